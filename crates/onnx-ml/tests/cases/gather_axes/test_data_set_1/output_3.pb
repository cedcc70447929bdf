Boutput_3J÷°÷?
ïb¿ö‹+?«Ç‰¿¢tR¾R§j>