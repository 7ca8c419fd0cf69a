/* The peak on any processor, and the choice of its form. */
#include "kernels/isa.h"
#include "kernels/peak_body.h"

double wa__peak_fma(uint32_t rounds, float *sink) { return WA_PICK_ISA(wa__peak_fma)(rounds, sink); }
