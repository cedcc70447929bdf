Boutput_0J
ïÙ¾:Ì*: