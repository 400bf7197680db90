#include "../cpu.h"

#include <sys/auxv.h>

// Linux's AT_HWCAP and AT_HWCAP2 bits for aarch64 (arch/arm64/include/uapi/asm/hwcap.h): written out because older
// headers lack the newer ones.
#define HWCAP_FPHP_BIT (1ul << 9)
#define HWCAP_ASIMDHP_BIT (1ul << 10)
#define HWCAP_ASIMDDP_BIT (1ul << 20)
#define HWCAP_ASIMDFHM_BIT (1ul << 23)
#define HWCAP2_I8MM_BIT (1ul << 13)

uint32_t q4_cpu_detect(void) {
    unsigned long cap = getauxval(AT_HWCAP), cap2 = getauxval(AT_HWCAP2);
    uint32_t features = 0;
    if (cap & HWCAP_ASIMDDP_BIT)
        features |= Q4_CPU_DOTPROD;
    if (cap2 & HWCAP2_I8MM_BIT)
        features |= Q4_CPU_I8MM;
    if (cap & HWCAP_FPHP_BIT && cap & HWCAP_ASIMDHP_BIT)
        features |= Q4_CPU_FP16;
    if (cap & HWCAP_ASIMDFHM_BIT)
        features |= Q4_CPU_FHM;
    return features;
}

uint64_t q4_fp_enter(void) {
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return state;
}

void q4_fp_leave(uint64_t state) { __asm__ volatile("msr fpcr, %0" : : "r"(state)); }

const uint64_t q4_fp_flush_state = 1 << 24; // FZ
