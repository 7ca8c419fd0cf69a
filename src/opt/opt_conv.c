/* conv: what follows a convolution of 32-bit floats goes into it: scales and shifts of channels (what
 * batch normalisation has become) into constant weights and bias, then a residual, then an activation,
 * as ConvAct. In: Conv, Mul, Add, activations. Called by opt.c. */
#include "base/window.h"
#include "opt/opt_int.h"

typedef struct extra { /* what a node adds to the convolution that it takes over */
    uint32_t weights, bias, residual;
    int64_t act;
    float a, b;
} extra;
static const extra nothing = {WA_NONE, WA_NONE, WA_NONE, 0, 0, 0};

/* The convolution that makes a value which nobody else uses, if it may still grow. */
static uint32_t conv_of(const wa_rw *r, uint32_t value, bool shared)
{
    uint32_t c = shared ? wa__rw_def(r, value, WA_OP_NONE) : wa__rw_def1(r, value, WA_OP_NONE);
    if (c == WA_NONE || (r->g->nodes[c].op != WA_OP_Conv && r->g->nodes[c].op != WA_OP_ConvAct)) return WA_NONE;
    if (wa__rw_t(r, value)->dtype != WA_F32 || wa__node_int(&r->g->nodes[c], "act", 0) != 0) return WA_NONE;
    return c;
}

/* The node becomes the convolution `from` with more in it. */
static void take(wa_rw *r, uint32_t node, uint32_t from, const extra *x)
{
    wa_node f = r->g->nodes[from];
    uint32_t inputs[4] = {f.inputs[0], x->weights != WA_NONE ? x->weights : f.inputs[1], x->bias != WA_NONE ? x->bias : wa__rw_in(r, from, 2),
                          x->residual != WA_NONE ? x->residual : wa__rw_in(r, from, 3)};
    uint32_t count = inputs[3] != WA_NONE ? 4 : inputs[2] != WA_NONE ? 3 : 2;
    if (!wa__rw_become(r, node, count == 4 || x->act ? WA_OP_ConvAct : WA_OP_Conv, inputs, count)) return;
    wa_node *n = &r->g->nodes[node];
    n->attrs = f.attrs;
    n->attr_count = f.attr_count;
    if (n->op == WA_OP_Conv) n->opset = f.opset;
    if (f.name.len) n->name = f.name;
    bool ok = !x->act || wa__node_set_int(r->g, node, "act", x->act);
    ok = ok && (x->a == 0 || wa__node_set_float(r->g, node, "act_a", x->a)) && (x->b == 0 || wa__node_set_float(r->g, node, "act_b", x->b));
    if (wa__rw_need(r, ok)) wa__rw_type(r, node);
}

/* --- channels ----------------------------------------------------------------------------------------- */
/* A constant that is one number, or one a channel, as it broadcasts to `like`. */
static bool is_channels(const wa_rw *r, uint32_t value, const wa_tensor_type *like)
{
    if (!wa__rw_is_const(r, value)) return false;
    const wa_tensor_type *t = wa__rw_t(r, value);
    if (t->dtype != WA_F32 || t->rank > like->rank) return false;
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dims[i] != 1 && (i + like->rank - t->rank != 1 || t->dims[i] != like->dims[1])) return false;
    return true;
}

static float number(const wa_rw *r, uint32_t value, int64_t i)
{
    const wa_value *v = &r->g->values[value];
    float f;
    memcpy(&f, v->data + (wa__count(&v->type) == 1 ? 0 : (size_t)i * 4), 4); /* maybe unaligned */
    return f;
}

static uint32_t constant(wa_rw *r, const wa_tensor_type *t, const float *values)
{
    uint32_t c = wa__graph_const(r->g, WA_STR(""), t, values, -1);
    return wa__rw_need(r, c != WA_NONE) && wa__rw_grow(r) ? c : WA_NONE;
}

/* scale * bias + shift as a new bias; `scale` or `shift` may be none. */
static uint32_t make_bias(wa_rw *r, uint32_t bias, uint32_t scale, uint32_t shift, int64_t channels)
{
    float *v = wa__alloc((size_t)channels + 1, sizeof *v);
    if (!wa__rw_need(r, v != NULL)) return WA_NONE;
    for (int64_t i = 0; i < channels; i++)
        v[i] = (bias == WA_NONE ? 0 : number(r, bias, i)) * (scale == WA_NONE ? 1 : number(r, scale, i)) + (shift == WA_NONE ? 0 : number(r, shift, i));
    uint32_t c = constant(r, &(wa_tensor_type){WA_F32, 1, {channels}}, v);
    wa__free(v);
    return c;
}

static uint32_t scaled_weights(wa_rw *r, uint32_t weights, uint32_t scale)
{
    wa_tensor_type t = *wa__rw_t(r, weights);
    int64_t count = wa__count(&t), row = t.dims[0] ? count / t.dims[0] : 0;
    float *v = wa__alloc((size_t)count + 1, sizeof *v);
    if (!wa__rw_need(r, v != NULL)) return WA_NONE;
    if (count) memcpy(v, r->g->values[weights].data, (size_t)count * 4);
    for (int64_t i = 0; i < count; i++) v[i] *= number(r, scale, i / row);
    uint32_t c = constant(r, &t, v);
    wa__free(v);
    return c;
}

static bool may_change(const wa_rw *r, uint32_t c)
{
    uint32_t bias = wa__rw_in(r, c, 2);
    return wa__rw_in(r, c, 3) == WA_NONE && (bias == WA_NONE || (wa__rw_is_const(r, bias) && wa__rw_t(r, bias)->dtype == WA_F32));
}

static void take_scale(wa_rw *r, uint32_t node)
{
    uint32_t out = r->g->nodes[node].outputs[0];
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t y = wa__rw_in(r, node, i), c = conv_of(r, y, false), scale = wa__rw_in(r, node, 1 - i);
        if (c == WA_NONE || !may_change(r, c) || !wa__rw_same_type(r, y, out) || !is_channels(r, scale, wa__rw_t(r, out))) continue;
        uint32_t w = wa__rw_in(r, c, 1), bias = wa__rw_in(r, c, 2);
        if (!wa__rw_is_const(r, w) || wa__bytes(wa__rw_t(r, w)) > WA_LIMIT_FOLD_BYTES) continue;
        extra x = nothing;
        x.weights = scaled_weights(r, w, scale);
        if (r->status == WA_OK && bias != WA_NONE) x.bias = make_bias(r, bias, scale, WA_NONE, wa__rw_t(r, out)->dims[1]);
        if (r->status == WA_OK) take(r, node, c, &x);
        return;
    }
}

static void take_add(wa_rw *r, uint32_t node)
{
    uint32_t out = r->g->nodes[node].outputs[0];
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t y = wa__rw_in(r, node, i), c = conv_of(r, y, false), other = wa__rw_in(r, node, 1 - i);
        if (c == WA_NONE || !wa__rw_same_type(r, y, out)) continue;
        extra x = nothing;
        if (may_change(r, c) && is_channels(r, other, wa__rw_t(r, out))) x.bias = make_bias(r, wa__rw_in(r, c, 2), WA_NONE, other, wa__rw_t(r, out)->dims[1]);
        else if (wa__rw_in(r, c, 3) == WA_NONE && !wa__rw_is_const(r, other) && wa__rw_same_type(r, other, out)) x.residual = other;
        else continue;
        if (r->status == WA_OK) take(r, node, c, &x);
        return;
    }
}

/* --- activations ----------------------------------------------------------------------------------------- */
static bool clip_of(const wa_rw *r, uint32_t node, extra *x)
{
    double low = -3.4028234663852886e38, high = -low;
    uint32_t a = wa__rw_in(r, node, 1), b = wa__rw_in(r, node, 2);
    if ((a != WA_NONE && !wa__rw_scalar(r, a, &low)) || (b != WA_NONE && !wa__rw_scalar(r, b, &high)) || !(low <= high)) return false;
    *x = (extra){WA_NONE, WA_NONE, WA_NONE, WA_CONV_ACT_CLIP, (float)low, (float)high};
    return true;
}

static bool activation(const wa_rw *r, uint32_t node, extra *x)
{
    const wa_node *n = &r->g->nodes[node];
    const wa_attr *how = wa__attr_find(n->attrs, n->attr_count, "approximate");
    *x = nothing;
    switch (n->op) {
    case WA_OP_Gelu: x->act = how && how->kind == WA_ATTR_KIND_STRING && wa__str_is(how->s, "tanh") ? WA_CONV_ACT_GELU_TANH : WA_CONV_ACT_GELU; break;
    case WA_OP_Relu: x->act = WA_CONV_ACT_RELU; break;
    case WA_OP_Tanh: x->act = WA_CONV_ACT_TANH; break;
    case WA_OP_Sigmoid: x->act = WA_CONV_ACT_SIGMOID; break;
    case WA_OP_HardSwish: x->act = WA_CONV_ACT_HARD_SWISH; break;
    case WA_OP_LeakyRelu:
        x->act = WA_CONV_ACT_LEAKY_RELU;
        x->a = wa__node_float(n, "alpha", 0.01f);
        break;
    case WA_OP_HardSigmoid:
        x->act = WA_CONV_ACT_HARD_SIGMOID;
        x->a = wa__node_float(n, "alpha", 0.2f);
        x->b = wa__node_float(n, "beta", 0.5f);
        break;
    case WA_OP_Clip: return clip_of(r, node, x);
    default: return false;
    }
    return true;
}

static void take_activation(wa_rw *r, uint32_t node)
{
    extra x;
    uint32_t c = conv_of(r, wa__rw_in(r, node, 0), false);
    if (c != WA_NONE && activation(r, node, &x)) take(r, node, c, &x);
}

/* x * sigmoid(x), x * hardsigmoid(x) of a convolution that nobody else sees. */
static bool take_gate(wa_rw *r, uint32_t node)
{
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t y = wa__rw_in(r, node, i), s = wa__rw_def1(r, wa__rw_in(r, node, 1 - i), WA_OP_NONE), c = conv_of(r, y, true);
        if (s == WA_NONE || c == WA_NONE || wa__rw_in(r, s, 0) != y || r->uses[y] != 2 || r->is_output[y]) continue;
        const wa_node *g = &r->g->nodes[s];
        float a = wa__node_float(g, "alpha", 0.2f) * 6, b = wa__node_float(g, "beta", 0.5f);
        extra x = nothing;
        if (g->op == WA_OP_Sigmoid) x.act = WA_CONV_ACT_SILU;
        else if (g->op == WA_OP_HardSigmoid && a > 0.99999f && a < 1.00001f && b == 0.5f) x.act = WA_CONV_ACT_HARD_SWISH;
        else continue;
        take(r, node, c, &x);
        return true;
    }
    return false;
}

void wa__opt_conv(wa_rw *r)
{
    for (uint32_t i = 0, count = r->g->node_count; i < count; i++) {
        if (!wa__rw_visit(r, i)) continue;
        switch (r->g->nodes[i].op) {
        case WA_OP_Add: take_add(r, i); break;
        case WA_OP_Mul:
            if (!take_gate(r, i)) take_scale(r, i);
            break;
        case WA_OP_Gelu: case WA_OP_Relu: case WA_OP_Tanh: case WA_OP_Sigmoid: case WA_OP_HardSwish: case WA_OP_LeakyRelu: case WA_OP_HardSigmoid:
        case WA_OP_Clip:
            take_activation(r, i);
            break;
        default: break;
        }
    }
}
