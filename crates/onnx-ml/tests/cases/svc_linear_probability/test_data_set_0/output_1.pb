Boutput_1J3èy?j){<zÉ
<