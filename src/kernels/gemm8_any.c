/* Products of 8-bit codes for any processor. */
#include "kernels/gemm8_body.h"
