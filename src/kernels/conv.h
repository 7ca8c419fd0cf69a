/* Fast convolutions of f32: what conv_cpu.c and its two compilations of conv_body.h share. */
#ifndef WA_CONV_H
#define WA_CONV_H
#include "base/window.h"
#include "kernels/kernels_int.h"

typedef struct wa_conv_after { /* what follows the sums of `rows` x `columns` of C, in place */
    float *c;
    int64_t c_row;
    const float *residual; /* like C, or NULL */
    int64_t rows, columns;
    uint32_t act;          /* WA_CONV_ACT_* */
    float a, b;
} wa_conv_after;

typedef struct wa_conv_line { /* one output row of one channel of a depthwise convolution */
    const float *x;        /* the channel's plane, [in z, in y, in x] */
    const float *w;        /* its taps */
    float bias;
    float *out;
    int64_t z, y;          /* of the output row */
    const wa_window *window;
} wa_conv_line;

typedef struct wa_conv_isa {
    void (*after)(const wa_conv_after *t);
    void (*line)(const wa_conv_line *l);
} wa_conv_isa;
extern const wa_conv_isa wa__conv_cpu, wa__conv_avx2, wa__conv_avx512;

/* Conv, ConvAct, ConvTranspose with every tensor f32. */
bool wa__conv_has_fast(const wa_kernel_args *a);
wa_status wa__conv_fast(const wa_kernel_args *a, wa_error *err);

#endif
