Boutput_0Jˆd¢=hN¿Á
À96l?