#include "instructions.h"

#include <stddef.h>

struct encoding {
    uint32_t mask, value;
    uint32_t counters;
};

#define BIT(c) (1u << (c))

// The first row that matches counts. Source of all masks: Arm Architecture Reference Manual (DDI 0487), chapter C4,
// "A64 Instruction Set Encoding"; the title above each part is the manual's for that part of the encoding.
static const struct encoding encodings[] = {
    // Data Processing -- Immediate: bits 28:26 are 100.
    {0x1c000000, 0x10000000, BIT(INTEGER)},

    // Branches, Exception Generating and System instructions: bits 28:26 are 101.
    {0xfe000000, 0x54000000, BIT(BRANCH_IMMEDIATE)}, // B.cond, BC.cond
    {0x7c000000, 0x14000000, BIT(BRANCH_IMMEDIATE)}, // B, BL
    {0x7e000000, 0x34000000, BIT(BRANCH_IMMEDIATE)}, // CBZ, CBNZ
    {0x7e000000, 0x36000000, BIT(BRANCH_IMMEDIATE)}, // TBZ, TBNZ
    {0xfe000000, 0xd6000000, BIT(BRANCH_INDIRECT)},  // BR, BLR, RET and their authenticated forms
    {0x1c000000, 0x14000000, 0},                     // SVC, MRS, DMB, NOP, …

    // Loads and Stores: bit 27 is 1, bit 25 is 0.
    // Compare and swap; compare and swap pair
    {0x3fa00000, 0x08a00000, 0},
    {0xbfa00000, 0x08200000, 0},
    // Load/store exclusive and ordered; L is bit 22
    {0x3f400000, 0x08400000, BIT(LOAD)},
    {0x3f400000, 0x08000000, BIT(STORE)},
    // Load register (literal); opc 11 of the general registers is PRFM
    {0xff000000, 0xd8000000, 0},
    {0x3b000000, 0x18000000, BIT(LOAD)},
    // LDAPR/STLR (unscaled immediate); opc, bits 23:22, is 00 for stores
    {0x3fe00c00, 0x19000000, BIT(STORE)},
    {0x3f200c00, 0x19000000, BIT(LOAD)},
    // Load/store register pair, all forms; L is bit 22
    {0x3a400000, 0x28400000, BIT(LOAD)},
    {0x3a400000, 0x28000000, BIT(STORE)},
    // Load/store register: LDAPR, which stands among the atomic memory operations; these; LDRAA and LDRAB; PRFM and
    // PRFUM (size 11, opc 10)
    {0x3ffffc00, 0x38bfc000, BIT(LOAD)},
    {0x3f200c00, 0x38200000, 0},
    {0xff200400, 0xf8200400, BIT(LOAD)},
    {0xfec00000, 0xf8800000, 0},
    // … all addressing modes; vector registers: opc bit 0, bit 22, is 1 for loads; general: opc is 00 for stores
    {0x3e400000, 0x3c400000, BIT(LOAD)},
    {0x3e400000, 0x3c000000, BIT(STORE)},
    {0x3ec00000, 0x38000000, BIT(STORE)},
    {0x3e000000, 0x38000000, BIT(LOAD)},
    // Advanced SIMD load/store multiple structures and single structure; L is bit 22
    {0xbe400000, 0x0c400000, BIT(LOAD)},
    {0xbe400000, 0x0c000000, BIT(STORE)},
    {0x0a000000, 0x08000000, 0}, // memory tags, memory copies

    // Data Processing -- Register: bits 27:25 are 101.
    {0x0e000000, 0x0a000000, BIT(INTEGER)},

    // Data Processing -- Scalar Floating-Point and Advanced SIMD: bits 27:25 are 111.
    // Cryptographic AES; three-register SHA; two-register SHA; SHA512, SHA3, SM3 and SM4
    {0xff3e0c00, 0x4e280800, BIT(CRYPTO)},
    {0xff208c00, 0x5e000000, BIT(CRYPTO)},
    {0xff3e0c00, 0x5e280800, BIT(CRYPTO)},
    {0xff000000, 0xce000000, BIT(CRYPTO)},
    // Advanced SIMD three-register extension: SDOT, UDOT; USDOT; SMMLA, UMMLA, USMMLA
    {0x9fe0fc00, 0x0e809400, BIT(SIMD) | BIT(DOT)},
    {0xbfe0fc00, 0x0e809c00, BIT(SIMD) | BIT(DOT)},
    {0xdfe0fc00, 0x4e80a400, BIT(SIMD) | BIT(MATRIX)},
    {0xffe0fc00, 0x4e80ac00, BIT(SIMD) | BIT(MATRIX)},
    // Advanced SIMD vector x indexed element: SDOT, UDOT; USDOT; SUDOT
    {0x9fc0f400, 0x0f80e000, BIT(SIMD) | BIT(DOT)},
    {0xbfc0f400, 0x0f80f000, BIT(SIMD) | BIT(DOT)},
    {0xbfc0f400, 0x0f00f000, BIT(SIMD) | BIT(DOT)},
    // Scalar floating-point: bit 31 or sf is free, bit 30 is 0, bit 28 is 1; Advanced SIMD, scalar and vector: the rest
    {0x5e000000, 0x1e000000, BIT(SCALAR_FP)},
    {0x0e000000, 0x0e000000, BIT(SIMD)},
};

uint32_t q4_instruction_counters(uint32_t instruction) {
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
        if ((instruction & encodings[i].mask) == encodings[i].value)
            return encodings[i].counters | BIT(ALL);
    return BIT(ALL); // reserved, SVE, SME
}
