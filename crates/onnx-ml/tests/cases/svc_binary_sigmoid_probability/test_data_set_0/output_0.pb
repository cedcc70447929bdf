2
versicolorBoutput_0