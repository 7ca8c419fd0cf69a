/* Convolutions for any processor. */
#include "kernels/conv_body.h"
