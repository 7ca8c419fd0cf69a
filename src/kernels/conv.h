/* Fast convolutions of f32: what conv_cpu.c, conv_product.c, conv_direct.c, conv_transposed.c and the compilations of
 * conv_body.h share. */
#ifndef WA_CONV_H
#define WA_CONV_H
#include "base/window.h"
#include "kernels/gemm.h"
#include "kernels/kernels_int.h"

typedef struct wa_conv_columns { /* the columns of 16 pixels: a panel of B */
    const wa_window *window;
    const float *x;        /* the group's first plane */
    int64_t in_size, taps; /* of a plane, of a kernel */
    int64_t pixel, pixels; /* first, and how many there are (up to 16; the rest are 0) */
    int64_t k_from, k;     /* rows: channel x tap */
    float *out;            /* [k][16] */
} wa_conv_columns;

typedef struct wa_conv_dots { /* C[i][j] = or += row i of W . column j */
    const float *w, *columns;   /* each contiguous in k */
    int64_t w_row, columns_row; /* floats between them */
    int64_t k;
    float *c;
    int64_t c_row;
    int64_t rows, count; /* rows at most those of a tile */
    bool add;
} wa_conv_dots;

#define WA_CONV_ROOM  32768 /* floats that a depthwise band may take */
#define WA_CONV_LINES 64    /* rows of a depthwise kernel, over all planes */

typedef struct wa_conv_plane { /* one channel of a depthwise convolution */
    const float *x;        /* its plane, [in z, in y, in x] */
    const float *w;        /* its taps */
    const float *residual; /* like out, or NULL */
    float *out;
    float *room;           /* WA_CONV_ROOM floats */
    float bias, act_a, act_b;
    uint32_t act;
    const wa_window *window;
} wa_conv_plane;

typedef struct wa_conv_isa {
    void (*columns)(const wa_conv_columns *c);
    void (*dots)(const wa_conv_dots *d);
    void (*plane)(const wa_conv_plane *p);
    /* out[0], out[1], out[2], ... = a[0], b[0], a[1], ..., plus bias: n of each */
    void (*interleave)(const float *a, const float *b, int64_t n, float bias, float *out);
} wa_conv_isa;
extern const wa_conv_isa wa__conv_cpu, wa__conv_avx2, wa__conv_avx512;

typedef struct wa_conv { /* what a call asks for */
    const wa_gemm_isa *gemm;
    const wa_conv_isa *isa;
    wa_window w;
    const float *x, *weights, *bias, *residual;
    float *out;
    int64_t channels_in, channels_out; /* of a group */
    int64_t taps, k, in_size, out_size;
    uint32_t act;
    float act_a, act_b;
} wa_conv;

/* Conv, ConvAct, ConvTranspose with every tensor f32. */
bool wa__conv_has_fast(const wa_kernel_args *a);
wa_status wa__conv_fast(const wa_kernel_args *a, wa_error *err);
/* False where this form does not serve. */
bool wa__conv_direct(const wa_conv *c, wa_pool *pool);
wa_status wa__conv_product(const wa_conv *c, const wa_kernel_args *a, wa_error *err);
wa_status wa__conv_transposed(const wa_conv *c, const wa_kernel_args *a, wa_error *err);

static inline int64_t wa__conv_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t wa__conv_least(int64_t a, int64_t b) { return a < b ? a : b; }

#endif
