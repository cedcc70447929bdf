Boutput_1Jοκ>9
?