# Same number of bytes in and out: the string table keeps its offsets.
s/odd_TAGESCAPE_end/odd_\x1b[31mRED\x07_end/g
s/odd_TAGQUOTES_end/odd_'";--\\`$(_end/g
s/odd_TAGBADUTF_end/odd_\xff\xfe\xc3(\xed\xa0\x80\xf5\x80_end/g
s/odd_TAGBIDIRL_end/odd_\xe2\x80\xaeRTLabc_end/g
s/odd_TAGLINEBR_end/odd_A\nB\tC\rD\x7fE_end/g
