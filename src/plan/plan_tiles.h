/* How a product with a packed constant runs on WebGPU: a kernel and its tile. The table of defaults is
 * in plan_gpu_tiles.c; `webaccel tune` hands measured rows over in wa_plan_target.
 *
 * Text of a tile, printed and parsed: KERNEL ROWSxCOLS[xDEPTH][/LANE_ROWSxLANE_COLS][ sSLICES][ uUNROLL]
 *   "plain 8x32/8x8"            MATMUL: no unrolling, also for K that 4 does not divide
 *   "straight 16x32/4x4 s4 u3"  MATMUL_STRAIGHT: few rows
 *   "staged 64x64x16/8x8"       MATMUL_STAGED: many rows
 * Left out in a text: lane 4x4 (plain and staged: 8x8), 1 slice, unroll 1, depth 16. */
#ifndef WA_PLAN_TILES_H
#define WA_PLAN_TILES_H
#include "base/error.h"
#include "kernels/kernels.h"

typedef struct wa_gpu_tile {
    uint32_t kernel;               /* WA_WGSL_MATMUL, WA_WGSL_MATMUL_STRAIGHT or WA_WGSL_MATMUL_STAGED */
    uint32_t rows, cols;           /* of a workgroup's tile */
    uint32_t lane_rows, lane_cols; /* of an invocation's */
    uint32_t depth;                /* staged: elements of K a step, else 0 */
    uint32_t slices;               /* shares of K in a workgroup */
    uint32_t unroll;               /* straight: quads of K, else 0 */
} wa_gpu_tile;

typedef struct wa_gpu_tile_row { /* a measured choice: products [M,k] x [k,n] with m_min <= M <= m_max */
    uint32_t m_max, n, k;
    wa_gpu_tile tile;
    uint32_t m_min;
} wa_gpu_tile_row;

#define WA_GPU_TILE_TEXT 64u
/* `out` has room for WA_GPU_TILE_TEXT. */
void wa__gpu_tile_print(const wa_gpu_tile *t, char *out);
/* False when the text is no tile. */
bool wa__gpu_tile_parse(const char *text, wa_gpu_tile *out);

struct wa_plan_target;
/* Whether the target's limits and the kernel's rules allow the tile for [m,k] x [k,n]. */
bool wa__gpu_tile_legal(const struct wa_plan_target *t, uint64_t m, uint64_t n, uint64_t k, const wa_gpu_tile *tile);
/* The tiles worth timing, the default first; at most `max`, their number is returned. */
#define WA_GPU_TILES_MAX 160u
uint32_t wa__gpu_tile_candidates(const struct wa_plan_target *t, uint64_t m, uint64_t n, uint64_t k, wa_gpu_tile *out, uint32_t max);
/* A measured row of the target when there is one, else the table's. Fails only where no kernel can. */
wa_status wa__gpu_tile_for(const struct wa_plan_target *t, uint64_t m, uint64_t n, uint64_t k, wa_gpu_tile *out, wa_error *err) WA_MUST_CHECK;
/* Kernel id, K, N, ldb and the tile's own words of the spec; flags, act and the rest are the caller's. */
void wa__gpu_tile_spec(const wa_gpu_tile *tile, uint64_t n, uint64_t k, uint32_t ldb, wa_wgsl_spec *s);
/* Workgroups over columns and rows. */
void wa__gpu_tile_grid(const wa_gpu_tile *tile, uint64_t m, uint64_t n, uint32_t grid[3]);

#endif
