/* The arithmetic peak of one thread: multiply-adds that never wait, in the widest vectors this processor has. */
#ifndef WA_PEAK_H
#define WA_PEAK_H
#include <stdint.h>

/* Runs `rounds` rounds; returns the operations done (a multiply-add counts as two). *sink keeps the result alive. */
double wa__peak_fma(uint32_t rounds, float *sink);

double wa__peak_fma_cpu(uint32_t rounds, float *sink);
double wa__peak_fma_avx2(uint32_t rounds, float *sink);
double wa__peak_fma_avx512(uint32_t rounds, float *sink);

#endif
