/* The register-tile product of 8-bit codes behind MatMul, Gemm and FusedMatMul whose attribute weight_bits is 8:
 * C = (A's codes . B's codes) * (scale of the row * scale of the column).
 *
 * A row of A becomes codes 0 to 255, zero + round(x / scale) with scale = (max - min) / 255 over the row and 0, zero
 * the code of 0: what lies on one side of 0 (after GELU) has all 255 steps. A row that is all 0 has scale 0.
 * B becomes codes -127 to 127, round(w / scale), scale = max|w| / 127 of its column. Sums of products of codes are
 * exact in 32 bits (K up to WA_GEMM8_K_MAX), so that every form gives the same bits.
 * Packed B: ceil(n/16) panels, each [ceil(k/4)][16][4] codes, then 16 scales and 16 sums of the column's
 * codes; rows past k and columns past n are 0. Any form reads it. */
#ifndef WA_GEMM8_H
#define WA_GEMM8_H
#include "kernels/gemm.h"

#define WA_GEMM8_K_MAX 65536

typedef struct wa_gemm8_tile { /* at most isa->rows x (isa->panels panels) of C */
    const uint8_t *a;
    int64_t a_row; /* bytes between rows of A's codes: four a step */
    const float *a_scale;
    const int32_t *a_zero;
    const uint8_t *b;
    int64_t b_panel; /* bytes from a panel to the next */
    int64_t steps;   /* ceil(k / 4) */
    wa_gemm_tile after; /* C, rows, columns and what follows; it has no A and B */
} wa_gemm8_tile;

typedef struct wa_gemm8_isa {
    int rows, panels;
    void (*tile)(const wa_gemm8_tile *t);
    void (*quantize)(const float *x, int64_t n, uint8_t *out, float *scale, int32_t *zero); /* pads to a whole step with zeros */
} wa_gemm8_isa;
extern const wa_gemm8_isa wa__gemm8_cpu, wa__gemm8_avx2, wa__gemm8_avx512;
const wa_gemm8_isa *wa__gemm8(void); /* for this processor */

static inline int64_t wa__gemm8_steps(int64_t k) { return (k + 3) / 4; }
static inline int64_t wa__gemm8_panel(int64_t k) { return wa__gemm8_steps(k) * 4 * WA_PANEL + 2 * WA_PANEL * 4; } /* bytes */
/* n columns of B as wa__kernel_panels has them. */
void wa__gemm8_pack(const void *b, wa_dtype dtype, bool transposed, int64_t k, int64_t n, uint8_t *out);

/* What a call needs for A's codes; the product itself: `panels` packed as above, scratch of that size. */
size_t wa__matmul8_scratch(const wa_matmul *m);
wa_status wa__matmul8(const wa_kernel_args *a, const wa_matmul *m, const uint8_t *panels, wa_error *err);

#endif
