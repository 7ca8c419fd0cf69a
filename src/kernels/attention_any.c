/* Attention for any processor. */
#include "kernels/attention_body.h"
