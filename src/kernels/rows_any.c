/* Row kernels for any processor. */
#include "kernels/rows_body.h"
