Boutput_1J
¨s¿