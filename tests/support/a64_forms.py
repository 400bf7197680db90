"""Instruction forms of A64, one of each kind of encoding, by the event that counts them."""

from __future__ import annotations

FORMS: dict[str, list[str]] = {
    "LD_SPEC": [
        "ldr x1, [x20]", "ldr w1, [x20, #4]!", "ldrb w1, [x20], #1", "ldrsw x1, [x20]", "ldrsb w1, [x20, x21]",
        "ldur x1, [x20, #-8]", "ldtr x1, [x20]", "ldr x1, data", "ldrsw x1, data", "ldp x1, x2, [x20]",
        "ldnp x1, x2, [x20]", "ldpsw x1, x2, [x20]", "ldxr x1, [x22]", "ldaxr w1, [x22]", "ldar x1, [x22]",
        "ldapr x1, [x22]", "ldapur x1, [x22]", "ldxp x1, x2, [x22]", "ldr q1, [x20]", "ldr d1, [x20, #8]!",
        "ldr s1, [x20, x21]", "ldr b1, [x20]", "ldr q1, data", "ldur q1, [x20]", "ldp q1, q2, [x20]",
        "ldnp d1, d2, [x20]", "ld1 {v1.16b, v2.16b}, [x20]", "ld1 {v1.s}[1], [x20]", "ld1r {v1.4s}, [x20]",
        "ld4 {v1.4s-v4.4s}, [x20], #64", "ld2 {v1.h, v2.h}[3], [x20]",
    ],
    "ST_SPEC": [
        "str x1, [x20]", "strh w1, [x20, #2]!", "strb w1, [x20], #1", "str w1, [x20, x21]", "stur x1, [x20, #-8]",
        "sttr x1, [x20]", "stp x1, x2, [x20]", "stnp w1, w2, [x20]", "stxr w3, x1, [x22]", "stlxr w3, x1, [x22]",
        "stlr x1, [x22]", "stlur x1, [x22]", "str q1, [x20]", "str q1, [x20, #16]!", "str s1, [x20]",
        "stur d1, [x20]", "stp q1, q2, [x20]", "st1 {v1.16b}, [x20]", "st1 {v1.d}[1], [x20]",
        "st3 {v1.8b-v3.8b}, [x20]",
    ],
    "DP_SPEC": [
        "add x1, x2, #1", "movz x1, #7", "adr x1, data", "ubfx x1, x2, #3, #4", "extr x1, x2, x3, #5",
        "and x1, x2, #255", "add x1, x2, x3, lsl #2", "orr x1, x2, x3", "madd x1, x2, x3, x4", "udiv x1, x2, x3",
        "csel x1, x2, x3, eq", "ccmp x1, x2, #0, ne", "adc x1, x2, x3", "clz x1, x2", "crc32b w1, w2, w3",
        "smulh x1, x2, x3", "rev x1, x2",
    ],
    "ASE_SPEC": [
        "add v1.16b, v2.16b, v3.16b", "fmla v1.4s, v2.4s, v3.4s", "fmla v1.4s, v2.4s, v3.s[1]",
        "fmlal v1.4s, v2.4h, v3.4h", "movi v1.16b, #3", "dup v1.4s, w1", "umov w1, v1.s[1]",
        "tbl v1.16b, {v2.16b}, v3.16b", "zip1 v1.4s, v2.4s, v3.4s", "fcvtl v1.4s, v2.4h", "scvtf v1.4s, v2.4s",
        "addv s1, v2.4s", "sshr v1.4s, v2.4s, #4", "addp d1, v2.2d", "smull v1.8h, v2.8b, v3.8b",
        "fmul s1, s2, v3.s[0]", "sqadd b1, b2, b3", "mla v1.8h, v2.8h, v3.h[2]",
    ],
    "VFP_SPEC": [
        "fadd s1, s2, s3", "fmadd d1, d2, d3, d4", "fcvt s1, h2", "fmov s1, #1.0", "fmov w1, s1", "fmov d1, x1",
        "scvtf s1, w1", "fcvtzs x1, d1", "fcmp s1, s2", "fcsel s1, s2, s3, eq", "fsqrt s1, s2", "frintn s1, s2",
        "fadd h1, h2, h3",
    ],
    "BR_IMMED_SPEC": [
        "b 5f\n5:", "b.eq 5f\n5:", "cbz x1, 5f\n5:", "cbnz w1, 5f\n5:", "tbz x1, #3, 5f\n5:", "tbnz x1, #40, 5f\n5:",
    ],
    "CRYPTO_SPEC": [
        "aese v1.16b, v2.16b", "sha256h q1, q2, v3.4s", "sha256su0 v1.4s, v2.4s",
        "eor3 v1.16b, v2.16b, v3.16b, v4.16b",
    ],
    "dot_products": [
        "sdot v1.4s, v2.16b, v3.16b", "udot v1.2s, v2.8b, v3.8b", "sdot v1.4s, v2.16b, v3.4b[3]",
        "udot v1.4s, v2.16b, v3.4b[1]", "usdot v1.4s, v2.16b, v3.16b", "usdot v1.4s, v2.16b, v3.4b[0]",
        "sudot v1.4s, v2.16b, v3.4b[2]",
    ],
    "matrix_products": [
        "smmla v1.4s, v2.16b, v3.16b", "ummla v1.4s, v2.16b, v3.16b", "usmmla v1.4s, v2.16b, v3.16b",
    ],
    "": [
        "nop", "dmb ish", "isb", "mrs x1, tpidr_el0", "msr fpcr, xzr", "prfm pldl1keep, [x20]",
        "prfum pldl1keep, [x20, #-8]", "prfm pldl1keep, data", "prfm pldl1keep, [x20, x21]", "ldadd x1, x2, [x22]",
        "swp w1, w2, [x22]", "cas x1, x2, [x22]", "casp x2, x3, x4, x5, [x22]", "stadd x1, [x22]",
    ],
}  # fmt: skip
"""Forms under "" are in no class. Those of products are SIMD too."""
