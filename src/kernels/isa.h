/* Which of the compiled forms of the CPU kernels this processor runs. */
#ifndef WA_ISA_H
#define WA_ISA_H

typedef enum wa_isa { WA_ISA_ANY = 0, WA_ISA_AVX2, WA_ISA_AVX512 } wa_isa;
/* The best that this processor has (any thread). */
wa_isa wa__isa(void);
/* For tests, which run every form on one machine: no better than this from now on. Not while kernels run. */
void wa__isa_limit(wa_isa most);

/* Picks name_cpu, name_avx2 or name_avx512 by wa__isa(). */
#if defined(__x86_64__)
#define WA_PICK_ISA(name) (wa__isa() == WA_ISA_AVX512 ? name##_avx512 : wa__isa() == WA_ISA_AVX2 ? name##_avx2 : name##_cpu)
#define WA_PICK_ISA_AT(name) (wa__isa() == WA_ISA_AVX512 ? &name##_avx512 : wa__isa() == WA_ISA_AVX2 ? &name##_avx2 : &name##_cpu)
#else
#define WA_PICK_ISA(name) (name##_cpu)
#define WA_PICK_ISA_AT(name) (&name##_cpu)
#endif

#endif
