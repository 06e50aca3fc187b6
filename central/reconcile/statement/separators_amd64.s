#include "textflag.h"

// SSE2 is part of every amd64, so that nothing has to be detected.

#define SIXTEEN(OFFSET, SHIFT) \
	MOVOU    OFFSET(SI), X0 \
	MOVO     X0, X1         \
	MOVO     X0, X2         \
	MOVO     X10, X3        \
	PCMPEQB  X8, X1         \
	PCMPEQB  X9, X2         \
	PCMPGTB  X0, X3         \
	PMOVMSKB X1, AX         \
	PMOVMSKB X2, BX         \
	PMOVMSKB X3, DX         \
	SHLQ     $SHIFT, AX     \
	SHLQ     $SHIFT, BX     \
	SHLQ     $SHIFT, DX     \
	ORQ      AX, R8         \
	ORQ      BX, R9         \
	ORQ      DX, R10

// func separators(data *byte, words int, commas, ends, odd *uint64)
TEXT ·separators(SB), NOSPLIT, $0-40
	MOVQ data+0(FP), SI
	MOVQ words+8(FP), CX
	MOVQ commas+16(FP), DI
	MOVQ ends+24(FP), R11
	MOVQ odd+32(FP), R12
	MOVQ $0x2c2c2c2c2c2c2c2c, AX
	MOVQ AX, X8
	PUNPCKLQDQ X8, X8
	MOVQ $0x0a0a0a0a0a0a0a0a, AX
	MOVQ AX, X9
	PUNPCKLQDQ X9, X9
	MOVQ $0x2020202020202020, AX
	MOVQ AX, X10
	PUNPCKLQDQ X10, X10

loop:
	TESTQ CX, CX
	JZ    done
	XORQ  R8, R8
	XORQ  R9, R9
	XORQ  R10, R10
	SIXTEEN(0, 0)
	SIXTEEN(16, 16)
	SIXTEEN(32, 32)
	SIXTEEN(48, 48)
	MOVQ  R8, (DI)
	MOVQ  R9, (R11)
	MOVQ  R9, AX
	NOTQ  AX
	ANDQ  AX, R10
	MOVQ  R10, (R12)
	ADDQ  $64, SI
	ADDQ  $8, DI
	ADDQ  $8, R11
	ADDQ  $8, R12
	DECQ  CX
	JMP   loop

done:
	RET
