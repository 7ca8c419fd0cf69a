/* Matrix product tiles for any processor. */
#include "kernels/gemm_body.h"
