#include "textflag.h"

// One position of the set bits in MASK, added to R13, to OFFSET(TO); the bit is cleared.
// Writing one more than there are costs less than guessing how many there are.
#define POSITION(MASK, TO, OFFSET) \
	TZCNTQ MASK, AX       \
	ADDL   R13, AX        \
	MOVL   AX, OFFSET(TO) \
	BLSRQ  MASK, MASK

// func findAVX2(text *byte, steps int, all, ends *uint32, odd *uint64) (nAll, nEnds int)
TEXT ·findAVX2(SB), NOSPLIT, $0-56
	MOVQ text+0(FP), SI
	MOVQ steps+8(FP), CX
	MOVQ all+16(FP), DI
	MOVQ ends+24(FP), R11
	MOVQ odd+32(FP), R12
	XORL R13, R13
	MOVL $0x2c2c2c2c, AX // commas
	VMOVD AX, X8
	VPBROADCASTD X8, Y8
	MOVL $0x0a0a0a0a, AX // LFs
	VMOVD AX, X9
	VPBROADCASTD X9, Y9
	MOVL $0x20202020, AX // spaces: what is less, with a sign, is odd
	VMOVD AX, X10
	VPBROADCASTD X10, Y10

loop:
	TESTQ CX, CX
	JZ    done
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VPCMPEQB Y8, Y0, Y2
	VPCMPEQB Y8, Y1, Y3
	VPCMPEQB Y9, Y0, Y4
	VPCMPEQB Y9, Y1, Y5
	VPCMPGTB Y0, Y10, Y6
	VPCMPGTB Y1, Y10, Y7
	VPOR  Y4, Y2, Y2 // a separator is a comma or a LF
	VPOR  Y5, Y3, Y3
	VPXOR Y4, Y6, Y6 // a LF is not odd
	VPXOR Y5, Y7, Y7
	VPMOVMSKB Y2, R8
	VPMOVMSKB Y3, AX
	VPMOVMSKB Y4, R9
	VPMOVMSKB Y5, BX
	VPMOVMSKB Y6, R10
	VPMOVMSKB Y7, DX
	SHLQ $32, AX
	SHLQ $32, BX
	SHLQ $32, DX
	ORQ  AX, R8
	ORQ  BX, R9
	ORQ  DX, R10
	MOVQ R10, (R12)
	POPCNTQ R8, R10
	POPCNTQ R9, BX
	MOVQ DI, DX

separator:
	POSITION(R8, DX, 0)
	POSITION(R8, DX, 4)
	POSITION(R8, DX, 8)
	POSITION(R8, DX, 12)
	POSITION(R8, DX, 16)
	POSITION(R8, DX, 20)
	POSITION(R8, DX, 24)
	POSITION(R8, DX, 28)
	ADDQ  $32, DX
	TESTQ R8, R8
	JNZ   separator
	LEAQ  (DI)(R10*4), DI
	MOVQ  R11, DX

end:
	POSITION(R9, DX, 0)
	POSITION(R9, DX, 4)
	ADDQ  $8, DX
	TESTQ R9, R9
	JNZ   end
	LEAQ  (R11)(BX*4), R11
	ADDQ  $64, SI
	ADDL  $64, R13
	ADDQ  $8, R12
	DECQ  CX
	JMP   loop

done:
	VZEROUPPER
	SUBQ all+16(FP), DI
	SHRQ $2, DI
	MOVQ DI, nAll+40(FP)
	SUBQ ends+24(FP), R11
	SHRQ $2, R11
	MOVQ R11, nEnds+48(FP)
	RET
