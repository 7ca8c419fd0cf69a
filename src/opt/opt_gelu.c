/* gelu: products that spell GELU, in any order of their factors, become Gelu:
 *   erf:  x * 0.5 * (1 + erf(x / sqrt 2))
 *   tanh: x * 0.5 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3))) */
#include "opt/opt_int.h"

#define FACTORS_MAX 6

typedef struct product {
    uint32_t values[FACTORS_MAX]; /* factors that are no scalars */
    uint32_t count;
    double scale; /* product of the scalars */
} product;

/* Adds the factors of v; nodes used by others too are factors themselves, unless they are the root. */
static bool collect(const wa_rw *r, uint32_t v, bool root, int depth, product *p)
{
    uint32_t mul = root ? wa__rw_def(r, v, WA_OP_Mul) : wa__rw_def1(r, v, WA_OP_Mul);
    uint32_t div = root ? wa__rw_def(r, v, WA_OP_Div) : wa__rw_def1(r, v, WA_OP_Div);
    double c;
    if (wa__rw_scalar(r, v, &c)) {
        p->scale *= c;
        return true;
    }
    if (mul != WA_NONE && depth < 4)
        return collect(r, wa__rw_in(r, mul, 0), false, depth + 1, p) && collect(r, wa__rw_in(r, mul, 1), false, depth + 1, p);
    if (div != WA_NONE && depth < 4 && wa__rw_scalar(r, wa__rw_in(r, div, 1), &c) && c != 0) {
        p->scale /= c;
        return collect(r, wa__rw_in(r, div, 0), false, depth + 1, p);
    }
    if (p->count == FACTORS_MAX) return false;
    p->values[p->count++] = v;
    return true;
}

static bool near(double a, double b)
{
    double d = a > b ? a - b : b - a;
    return d <= 2e-6 * (b < 0 ? -b : b);
}

/* All factors are x, `power` of them. */
static bool is_power(const product *p, uint32_t x, uint32_t power)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->values[i] != x) return false;
    return p->count == power;
}

/* v is c * x^power, spelt with Pow or products. */
static bool is_scaled_power(const wa_rw *r, uint32_t v, uint32_t x, double c, uint32_t power)
{
    product p = {.scale = 1};
    if (!collect(r, v, false, 0, &p) || !near(p.scale, c)) return false;
    if (is_power(&p, x, power)) return true;
    uint32_t pow = p.count == 1 ? wa__rw_def1(r, p.values[0], WA_OP_Pow) : WA_NONE;
    return pow != WA_NONE && wa__rw_in(r, pow, 0) == x && wa__rw_is_scalar(r, wa__rw_in(r, pow, 1), power);
}

/* v is sqrt(2/pi) * (x + 0.044715 x^3), or sqrt(2/pi) * x * (1 + 0.044715 x^2). */
static bool is_tanh_argument(const wa_rw *r, uint32_t v, uint32_t x)
{
    product p = {.scale = 1};
    if (!collect(r, v, false, 0, &p) || !near(p.scale, 0.7978845608028654)) return false;
    for (uint32_t i = 0; i < p.count; i++) {
        uint32_t sum = wa__rw_def1(r, p.values[i], WA_OP_Add);
        if (sum == WA_NONE) continue;
        uint32_t a = wa__rw_in(r, sum, 0), b = wa__rw_in(r, sum, 1);
        if (p.count == 1 && a == x && is_scaled_power(r, b, x, 0.044715, 3)) return true;
        if (p.count == 1 && b == x && is_scaled_power(r, a, x, 0.044715, 3)) return true;
        if (p.count != 2 || p.values[1 - i] != x) continue;
        if (wa__rw_is_scalar(r, a, 1) && is_scaled_power(r, b, x, 0.044715, 2)) return true;
        if (wa__rw_is_scalar(r, b, 1) && is_scaled_power(r, a, x, 0.044715, 2)) return true;
    }
    return false;
}

/* v is 1 + erf(x / sqrt 2) or 1 + tanh(...); says which. */
static bool is_gate(const wa_rw *r, uint32_t v, uint32_t x, const char **kind)
{
    uint32_t sum = wa__rw_def1(r, v, WA_OP_Add), inner;
    double one;
    if (sum == WA_NONE || !wa__rw_split_scalar(r, sum, &one, &inner) || one != 1) return false;
    uint32_t erf = wa__rw_def1(r, inner, WA_OP_Erf), tanh = wa__rw_def1(r, inner, WA_OP_Tanh);
    if (erf != WA_NONE) {
        *kind = "none";
        return is_scaled_power(r, wa__rw_in(r, erf, 0), x, 0.7071067811865476, 1);
    }
    *kind = "tanh";
    return tanh != WA_NONE && is_tanh_argument(r, wa__rw_in(r, tanh, 0), x);
}

static void match(wa_rw *r, uint32_t node)
{
    product p = {.scale = 1};
    const char *kind;
    wa_op op = r->g->nodes[node].op;
    uint32_t out = r->g->nodes[node].outputs[0];
    if ((op != WA_OP_Mul && op != WA_OP_Div) || !collect(r, out, true, 0, &p) || p.count != 2 || !near(p.scale, 0.5)) return;
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t x = p.values[i];
        if (!wa__rw_same_type(r, x, out) || !is_gate(r, p.values[1 - i], x, &kind)) continue;
        if (!wa__rw_become(r, node, WA_OP_Gelu, &x, 1)) return;
        if (wa__rw_need(r, wa__node_set_str(r->g, node, "approximate", wa__str(kind)))) wa__rw_type(r, node);
        return;
    }
}

void wa__opt_gelu(wa_rw *r)
{
    for (uint32_t i = 0, count = r->g->node_count; i < count; i++)
        if (wa__rw_visit(r, i)) match(r, i);
}
