/* Integer products for any processor. */
#include "kernels/matmul_int_body.h"
