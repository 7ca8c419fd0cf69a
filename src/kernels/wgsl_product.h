/* What the tiled products (wgsl_matmul_straight.c, wgsl_matmul_staged.c) share: their spec words,
 * bindings, the layer norm that stands before a product, and everything after its sums.
 *
 * spec: 0 K (a multiple of 4), 1 N, 2 ldb, 3 flags, 4 act, 5 BM x 6 BN: a workgroup's tile, 7 RM x 8 RN:
 * a lane's, 9 S: shares of K in a workgroup, 10 alpha's bits, 11 the kernel's own, 12 columns a partial
 * statistic covers, 13 epsilon's bits. params: {M, 0, 0, 0}. Grid: x over columns, y over rows.
 * bindings: a, b, bias?, residual?, {stats, gamma, beta?}?, o, kept?, partials?.
 *
 * Layer norm between two products takes no dispatch: STATS, each column tile of the first writes, for
 * each of its rows, mean and sum of squared differences from it (RMS: of squares) over its own columns
 * to partials [M][ceil(N/BN)]; NORM, the second merges a row's partials by Chan's formula, which is as
 * exact as two passes, and normalises A while loading it. KEEP: it also writes the normalised rows,
 * each column tile its share of their columns. */
#ifndef WA_WGSL_PRODUCT_H
#define WA_WGSL_PRODUCT_H
#include "kernels/wgsl_int.h"

typedef struct wgsl_product { /* a checked spec, taken apart */
    uint32_t k4, n, ld4, flags, act, bm, bn, rm, rn, slices, own, part_cols;
    uint32_t tx, ty, lanes, threads; /* lanes of one share; of the workgroup */
    uint32_t tile4;                  /* vec4s of the tile */
    bool vo;                         /* rows of o are whole vec4s */
    bool direct;                     /* what comes after the sums works from registers */
    const uint32_t *spec;
} wgsl_product;

/* Slices hand over at most so many bytes at a time: WebGPU's default of workgroup memory. */
#define WGSL_PRODUCT_SUM_BYTES 16384u

/* Common words; fills info but workgroup_bytes. False when one is out of range. */
bool wa__wgsl_product_check(const uint32_t *s, wa_wgsl_info *info);
/* Bindings that may hold f16: all but statistics; sums are in f32. */
uint32_t wa__wgsl_product_halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info);
/* direct: with one slice the sums never pass through `mem`; lanes then own whole groups of four rows. */
wgsl_product wa__wgsl_product_of(const uint32_t *s, bool direct);
/* vec4s of `mem` that the norm before, the sums and the statistics after want. */
uint32_t wa__wgsl_product_mem(const wgsl_product *p);
/* Bytes beside `mem`. */
uint32_t wa__wgsl_product_extra(const wgsl_product *p);
/* Bindings, params, `mem` of `mem4` vec4s (row 0: in one row; else [slices][depth][row]), the norm's and the
 * epilogue's functions. */
void wa__wgsl_product_head(const wgsl_product *p, uint32_t mem4, uint32_t row, uint32_t depth, wa_wgsl_emit *e);
/* The entry point up to: m, slice, lane, tx, ty, tile's first row r0 and vec4 column c0, and with NORM
 * the rows' scale and shift in row_norm. */
void wa__wgsl_product_begin(const wgsl_product *p, wa_wgsl_emit *e);
/* From accumulators c{i}_{j} (row ty*RM+i, vec4 column j*tx_count+tx of the tile) to the end. `mem` must be free. */
void wa__wgsl_product_end(const wgsl_product *p, wa_wgsl_emit *e);

#endif
