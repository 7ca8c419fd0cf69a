/* Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011), shared by reference and tests. */
#ifndef WA_SIGNAL_H
#define WA_SIGNAL_H
#include "kernels/kernels_int.h"

/* Four words of block `block` under `key`. */
void wa__philox(uint64_t key, uint64_t block, uint32_t out[4]);

#endif
