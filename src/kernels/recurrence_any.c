/* Recurrence for any processor. */
#include "kernels/recurrence_body.h"
