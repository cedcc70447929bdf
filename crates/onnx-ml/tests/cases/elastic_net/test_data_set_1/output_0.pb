Boutput_0J0‘-C”Ü*CX7$C?2C4·âBo¼Cæ»ACFsC
õ/C¢T(CÌC«¸,C