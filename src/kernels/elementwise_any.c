/* Elementwise steps for any processor. */
#include "kernels/elementwise_body.h"
