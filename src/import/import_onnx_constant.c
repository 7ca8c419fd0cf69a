/* Constant nodes to constants, ConstantOfShape's value to attributes. In: a node's message. Out: a constant
 * of the graph, or attributes of the node as import.h tells. Called by import_onnx_node.c and
 * import_onnx_attr.c. */
#include "import/import_onnx_int.h"

static bool is_plain(wa_dtype d)
{
    return d == WA_F32 || d == WA_F16 || d == WA_BF16 || d == WA_BOOL || (d >= WA_I8 && d <= WA_U64);
}

/* An element that value_f and value_i cannot hold: the node becomes the expansion of a constant. */
static wa_status expand_fill(wa_onnx *o, const wa_onnx_tensor *t, uint32_t node, wa_error *err)
{
    wa_onnx_tensor scalar = *t;
    uint32_t value = WA_NONE;
    scalar.type.rank = 0;
    WA_TRY(wa__onnx_tensor_const(o, &scalar, WA_STR(""), &value, err));
    wa_node *d = &o->g->nodes[node];
    uint32_t *inputs = WA_ARENA_NEW(o->g->arena, uint32_t, 2);
    if (!inputs) return wa__no_memory(err, "a node");
    inputs[0] = value;
    inputs[1] = d->inputs[0];
    d->inputs = inputs;
    d->input_count = 2;
    d->op = WA_OP_Expand;
    return WA_OK;
}

wa_status wa__onnx_fill(wa_onnx *o, const wa_onnx_node *n, const wa_onnx_attr *a, uint32_t node, wa_error *err)
{
    wa_onnx_tensor t;
    const wa_model_file *file = NULL;
    const uint8_t *data = NULL;
    void *owned = NULL;
    bool ok;
    if (a->kind != WA_ONNX_TENSOR || !a->has_message) return wa__onnx_attr_bad(o, n, a, WA_CORRUPT, "holds no tensor", err);
    WA_TRY(wa__onnx_tensor_read(o, &a->message, &t, err));
    if (wa__count(&t.type) != 1) return wa__onnx_attr_bad(o, n, a, WA_CORRUPT, "must hold one element", err);
    if (!is_plain(t.type.dtype)) return expand_fill(o, &t, node, err);
    WA_TRY(wa__onnx_tensor_data(o, &t, &file, &data, &owned, err));
    union { const uint8_t *in; void *view; } p = {.in = data};
    wa_view view = {t.type, p.view};
    if (wa__dtype_is_float(t.type.dtype)) ok = wa__node_set_float(o->g, node, "value_f", (float)wa__get_f64(&view, 0));
    else ok = wa__node_set_int(o->g, node, "value_i", wa__get_i64(&view, 0));
    ok = ok && wa__node_set_int(o->g, node, "dtype", t.type.dtype);
    wa__free(owned);
    return ok ? WA_OK : wa__no_memory(err, "an attribute");
}

static wa_status list_constant(wa_onnx *o, const wa_onnx_attr *a, wa_str name, uint32_t *value, wa_error *err)
{
    void *p = NULL;
    uint32_t n = 0;
    WA_TRY(wa__onnx_attr_list(a, &p, &n, err));
    wa_tensor_type t = {a->kind == WA_ONNX_INTS ? WA_I64 : WA_F32, 1, {n}};
    *value = wa__graph_const(o->g, name, &t, p, -1);
    wa__free(p);
    return *value == WA_NONE ? wa__no_memory(err, "a constant") : WA_OK;
}

static wa_status scalar_constant(wa_onnx *o, const wa_onnx_attr *a, wa_str name, uint32_t *value, wa_error *err)
{
    bool integer = a->kind == WA_ONNX_INT;
    wa_tensor_type t = {integer ? WA_I64 : WA_F32, 0, {0}};
    *value = wa__graph_const(o->g, name, &t, integer ? (const void *)&a->i : (const void *)&a->f, -1);
    return *value == WA_NONE ? wa__no_memory(err, "a constant") : WA_OK;
}

static wa_status tensor_constant(wa_onnx *o, const wa_onnx_node *n, const wa_onnx_attr *a, wa_str name, uint32_t *value, wa_error *err)
{
    wa_onnx_tensor t;
    wa_str ignored;
    if (!a->has_message) return wa__onnx_attr_bad(o, n, a, WA_CORRUPT, "holds no tensor", err);
    if (a->kind == WA_ONNX_SPARSE) return wa__onnx_sparse(o, &a->message, &ignored, value, err);
    WA_TRY(wa__onnx_tensor_read(o, &a->message, &t, err));
    return wa__onnx_tensor_const(o, &t, name, value, err);
}

wa_status wa__onnx_constant(wa_onnx *o, const wa_onnx_node *n, wa_str name, uint32_t *value, wa_error *err)
{
    static const struct {
        const char *name;
        int64_t kind;
    } forms[] = {{"value", WA_ONNX_TENSOR}, {"sparse_value", WA_ONNX_SPARSE}, {"value_int", WA_ONNX_INT},
                 {"value_ints", WA_ONNX_INTS}, {"value_float", WA_ONNX_FLOAT}, {"value_floats", WA_ONNX_FLOATS}};
    wa_reader r = n->body;
    wa_onnx_attr a, extra;
    bool more = false, ok = false;
    WA_TRY(wa__onnx_attr_next(o, n, &r, &a, &more, err));
    if (!more) return wa__fail(err, WA_CORRUPT, WA_ONNX_NODE_FMT " has no value", WA_ONNX_NODE_ARG(o, n));
    WA_TRY(wa__onnx_attr_next(o, n, &r, &extra, &more, err));
    if (more)
        return wa__fail(err, WA_CORRUPT, WA_ONNX_NODE_FMT " has several values", WA_ONNX_NODE_ARG(o, n));
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        ok |= a.kind == forms[i].kind && strcmp(a.name, forms[i].name) == 0;
    if (!ok) return wa__onnx_attr_bad(o, n, &a, WA_UNSUPPORTED, "is a form of constant that is not supported (strings)", err);
    if (a.kind == WA_ONNX_INTS || a.kind == WA_ONNX_FLOATS) return list_constant(o, &a, name, value, err);
    if (a.kind == WA_ONNX_TENSOR || a.kind == WA_ONNX_SPARSE) return tensor_constant(o, n, &a, name, value, err);
    return scalar_constant(o, &a, name, value, err);
}
