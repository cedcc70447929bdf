Boutput_1JúSy?BX<–P
<