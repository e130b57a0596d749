# Debug information in which a function is a copy of itself, and two are copies of each other.
.section .debug_abbrev,"",@progbits
.byte 1,0x11,1,0,0
.byte 2,0x2e,0,0x31,0x13,0x11,0x01,0x12,0x06,0,0
.byte 3,0x2e,0,0x03,0x08,0x11,0x01,0x12,0x06,0,0
.byte 0
.section .debug_info,"",@progbits
start: .long end - begin
begin: .short 4
.long 0
.byte 8
.byte 1
self: .byte 2
.long self - start
.quad 0x1000
.long 0x10
first: .byte 2
.long second - start
.quad 0x2000
.long 0x10
second: .byte 2
.long first - start
.quad 0x3000
.long 0x10
.byte 3
.asciz "sound"
.quad 0x4000
.long 0x10
.byte 0
end:
