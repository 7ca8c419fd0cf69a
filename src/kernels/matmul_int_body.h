/* Body of matmul_int_any.c, matmul_int_avx2.c and matmul_int_avx512.c. See matmul_int.h. */
#include "kernels/matmul_int.h"
#include "kernels/vec.h"

typedef uint32_t vu __attribute__((vector_size(4 * V_LANES))); /* wraps */
enum { WIDE = V_LANES == 16 ? 4 : 2 };

V_INLINE vu part(const uint32_t *p, int64_t n)
{
    vu r = {0};
    if (n >= V_LANES) memcpy(&r, p, sizeof r);
    else if (n > 0) memcpy(&r, p, (size_t)n * sizeof *p);
    return r;
}

/* WIDE vectors of columns from j on; n of them exist. */
V_INLINE void columns_from(const wa_int_tile *t, int64_t j, int64_t n, const int rows, const bool whole)
{
    vu s[WA_INT_ROWS][WIDE];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < WIDE; v++) s[i][v] = (vu){0};
    const uint32_t *b = t->b + j;
    for (int64_t k = 0; k < t->k; k++, b += t->b_row) {
        vu w[WIDE];
        for (int v = 0; v < WIDE; v++) w[v] = part(b + v * V_LANES, whole ? V_LANES : n - v * V_LANES);
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < WIDE; v++) s[i][v] += t->a[i * t->a_row + k] * w[v];
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < WIDE && v * V_LANES < n; v++) memcpy(t->c + i * t->c_row + j + v * V_LANES, &s[i][v], (size_t)(n - v * V_LANES < V_LANES ? n - v * V_LANES : V_LANES) * sizeof(uint32_t));
}

V_INLINE void rows_of(const wa_int_tile *t, const int rows)
{
    int64_t j = 0;
    for (; j + WIDE * V_LANES <= t->columns; j += WIDE * V_LANES) columns_from(t, j, WIDE * V_LANES, rows, true);
    if (j < t->columns) columns_from(t, j, t->columns - j, rows, false);
}

void WA_ISA(wa__int_tile)(const wa_int_tile *t)
{
    switch (t->rows) {
    case 1: rows_of(t, 1); break;
    case 2: rows_of(t, 2); break;
    case 3: rows_of(t, 3); break;
    default: rows_of(t, 4); break;
    }
}
