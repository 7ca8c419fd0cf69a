/* layernorm: the nine operators that older exports write for layer normalisation become one:
 *   d = x - mean(x);  d / sqrt(mean(d*d) + epsilon) * gamma + beta
 * with both means over the last axis. */
#include "opt/opt_int.h"

/* v is mean(d*d) over the last axis: ReduceMean(Pow(d, 2)) or ReduceMean(Mul(d, d)). */
static bool is_variance(const wa_rw *r, uint32_t v, uint32_t d)
{
    uint32_t mean = wa__rw_def1(r, v, WA_OP_ReduceMean);
    if (mean == WA_NONE || !wa__rw_reduces(r, mean, -1, 1)) return false;
    uint32_t square = wa__rw_in(r, mean, 0), pow = wa__rw_def1(r, square, WA_OP_Pow), mul = wa__rw_def1(r, square, WA_OP_Mul);
    if (pow != WA_NONE) return wa__rw_in(r, pow, 0) == d && wa__rw_is_scalar(r, wa__rw_in(r, pow, 1), 2);
    return mul != WA_NONE && wa__rw_in(r, mul, 0) == d && wa__rw_in(r, mul, 1) == d;
}

/* v is sqrt(variance(d) + epsilon). */
static bool is_deviation(const wa_rw *r, uint32_t v, uint32_t d, double *epsilon)
{
    uint32_t root = wa__rw_def1(r, v, WA_OP_Sqrt), sum, variance;
    if (root == WA_NONE) return false;
    sum = wa__rw_def1(r, wa__rw_in(r, root, 0), WA_OP_Add);
    return sum != WA_NONE && wa__rw_split_scalar(r, sum, epsilon, &variance) && is_variance(r, variance, d);
}

/* v is (x - mean(x)) / deviation, or times its reciprocal; gives x and epsilon. */
static bool is_normalized(const wa_rw *r, uint32_t v, uint32_t *x, double *epsilon)
{
    uint32_t d, div = wa__rw_def1(r, v, WA_OP_Div), mul = wa__rw_def1(r, v, WA_OP_Mul), inverse;
    if (div != WA_NONE) {
        d = wa__rw_in(r, div, 0);
        if (!is_deviation(r, wa__rw_in(r, div, 1), d, epsilon)) return false;
    } else if (mul != WA_NONE && wa__rw_split_def1(r, mul, WA_OP_Reciprocal, &inverse, &d)) {
        if (!is_deviation(r, wa__rw_in(r, inverse, 0), d, epsilon)) return false;
    } else return false;
    uint32_t sub = wa__rw_def(r, d, WA_OP_Sub);
    if (sub == WA_NONE || r->is_output[d]) return false;
    *x = wa__rw_in(r, sub, 0);
    uint32_t mean = wa__rw_def(r, wa__rw_in(r, sub, 1), WA_OP_ReduceMean);
    return mean != WA_NONE && wa__rw_in(r, mean, 0) == *x && wa__rw_reduces(r, mean, -1, 1);
}

/* A constant vector along x's last axis. */
static bool is_row(const wa_rw *r, uint32_t v, uint32_t x)
{
    const wa_tensor_type *t = wa__rw_t(r, x);
    return wa__rw_is_weight(r, v) && wa__rw_t(r, v)->rank == 1 && t->rank > 0 && wa__rw_t(r, v)->dims[0] == t->dims[t->rank - 1];
}

static void match(wa_rw *r, uint32_t node)
{
    uint32_t x = WA_NONE, gamma = WA_NONE;
    double epsilon = 0;
    if (r->g->nodes[node].op != WA_OP_Add) return;
    for (uint32_t side = 0; side < 2; side++) {
        uint32_t beta = wa__rw_in(r, node, 1 - side), mul = wa__rw_def1(r, wa__rw_in(r, node, side), WA_OP_Mul);
        bool found = false;
        for (uint32_t i = 0; mul != WA_NONE && i < 2 && !found; i++) {
            gamma = wa__rw_in(r, mul, 1 - i);
            found = is_normalized(r, wa__rw_in(r, mul, i), &x, &epsilon);
        }
        if (!found || !is_row(r, gamma, x) || !is_row(r, beta, x) || !wa__rw_same_type(r, x, r->g->nodes[node].outputs[0])) continue;
        if (!wa__rw_become(r, node, WA_OP_LayerNormalization, (uint32_t[]){x, gamma, beta}, 3)) return;
        bool ok = wa__node_set_int(r->g, node, "axis", -1) && wa__node_set_float(r->g, node, "epsilon", (float)epsilon);
        if (wa__rw_need(r, ok)) wa__rw_type(r, node);
        return;
    }
}

void wa__opt_layernorm(wa_rw *r)
{
    for (uint32_t i = 0, count = r->g->node_count; i < count; i++)
        if (wa__rw_visit(r, i)) match(r, i);
}
