Boutput_0J~.¨?8ç
@²L@