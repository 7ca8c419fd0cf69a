/* Shape rules of recurrences, signal transforms, windows and random numbers. See graph_shapes.h. */
#include "graph/graph_shapes.h"

/* --- recurrences (kernels/recurrence.h checks the rest) ---------------------------------------------------- */
static wa_status recurrence(wa_infer *f)
{
    const wa_tensor_type *x = wa__infer_in(f, 0), *r = wa__infer_in(f, 1);
    int64_t kind = wa__node_int(f->n, "kind", -1), way = wa__node_int(f->n, "direction", -1), dirs = way == 2 ? 2 : 1;
    if (kind < 0 || kind > 2 || way < 0 || way > 2 || x->rank != 3 || r->rank != 3 || r->dims[0] != dirs) return wa__infer_bad(f, "its kind, direction or weights do not fit");
    int64_t gates = kind == 0 ? 1 : kind == 1 ? 3 : 4, h = r->dims[1];
    if (r->dims[2] / gates != h || r->dims[2] % gates || x->dims[2] / dirs != r->dims[2] || x->dims[2] % dirs) return wa__infer_bad(f, "its projection and weights do not fit");
    f->out[0] = (wa_tensor_type){x->dtype, 4, {x->dims[0], dirs, x->dims[1], h}};
    f->out[1] = (wa_tensor_type){x->dtype, 3, {dirs, x->dims[1], kind == 2 ? 2 * h : h}};
    return WA_OK;
}

static wa_status linear_scan(wa_infer *f)
{
    const wa_tensor_type *q = wa__infer_in(f, 0), *v = wa__infer_in(f, 2);
    int64_t q_heads = wa__node_int(f->n, "q_heads", 0), heads = wa__node_int(f->n, "heads", 0);
    if (q->rank != 3 || v->rank != 3 || q_heads < 1 || heads < 1 || q->dims[2] % q_heads || v->dims[2] % heads) return wa__infer_bad(f, "its heads do not fit");
    int64_t dv = v->dims[2] / heads;
    f->out[0] = (wa_tensor_type){q->dtype, 3, {q->dims[0], q->dims[1], q_heads * dv}};
    f->out[1] = (wa_tensor_type){q->dtype, 4, {q->dims[0], heads, q->dims[2] / q_heads, dv}};
    return WA_OK;
}

/* --- Fourier ------------------------------------------------------------------------------------------------ */
static wa_status one_int(wa_infer *f, uint32_t i, int64_t fallback, int64_t *out)
{
    uint32_t count;
    *out = fallback;
    if (!wa__infer_has(f, i)) return WA_OK;
    WA_TRY(wa__infer_ints(f, i, out, 1, &count));
    return count == 1 ? WA_OK : wa__infer_bad(f, "a length or axis is not one number");
}

static wa_status dft(wa_infer *f)
{
    const wa_tensor_type *x = wa__infer_in(f, 0);
    bool inverse = wa__node_int(f->n, "inverse", 0) != 0, onesided = wa__node_int(f->n, "onesided", 0) != 0;
    int64_t axis, length, parts = x->rank ? x->dims[x->rank - 1] : 0;
    uint32_t at;
    if (x->rank < 2 || (parts != 1 && parts != 2) || (onesided && inverse != (parts == 2))) return wa__infer_bad(f, "its input is not [.., 1] or [.., 2] as its direction asks");
    WA_TRY(one_int(f, 2, -2, &axis));
    WA_TRY(wa__infer_axis(f, axis, x->rank, &at));
    if (at + 1 == x->rank) return wa__infer_bad(f, "its axis is the one of real and imaginary parts");
    WA_TRY(one_int(f, 1, onesided && inverse ? 2 * (x->dims[at] - 1) : x->dims[at], &length));
    if (length < 1) return wa__infer_bad(f, "its length is not positive");
    f->out[0] = *x;
    f->out[0].dims[at] = onesided && !inverse ? length / 2 + 1 : length;
    f->out[0].dims[x->rank - 1] = onesided && inverse ? 1 : 2;
    return WA_OK;
}

static wa_status stft(wa_infer *f)
{
    const wa_tensor_type *x = wa__infer_in(f, 0), *w = wa__infer_in(f, 2);
    int64_t step, length;
    bool onesided = wa__node_int(f->n, "onesided", 1) != 0;
    if ((x->rank != 3 || (x->dims[2] != 1 && x->dims[2] != 2)) && x->rank != 2) return wa__infer_bad(f, "its signal is not [batch, length, 1 or 2]");
    if (onesided && x->rank == 3 && x->dims[2] == 2) return wa__infer_bad(f, "onesided needs a real signal");
    WA_TRY(one_int(f, 1, 0, &step));
    WA_TRY(one_int(f, 3, w ? w->dims[0] : x->dims[1], &length));
    if (step < 1 || length < 1 || length > x->dims[1] || (w && (w->rank != 1 || w->dims[0] != length))) return wa__infer_bad(f, "its step, window or frame length does not fit the signal");
    f->out[0] = (wa_tensor_type){x->dtype, 4, {x->dims[0], (x->dims[1] - length) / step + 1, onesided ? length / 2 + 1 : length, 2}};
    return WA_OK;
}

/* Attribute that holds ONNX's number of an element type. */
static wa_status type_attribute(wa_infer *f, const char *name, wa_dtype *out)
{
    *out = wa__dtype_from_onnx(wa__node_int(f->n, name, 1));
    return wa__dtype_size(*out) ? WA_OK : wa__infer_bad(f, "it makes an element type that is not supported");
}

static wa_status window(wa_infer *f)
{
    int64_t size;
    WA_TRY(one_int(f, 0, 0, &size));
    if (size < 0) return wa__infer_bad(f, "its size is negative");
    f->out[0] = (wa_tensor_type){WA_F32, 1, {size}};
    return type_attribute(f, "output_datatype", &f->out[0].dtype);
}

static wa_status mel(wa_infer *f)
{
    int64_t bins, length;
    WA_TRY(one_int(f, 0, 0, &bins));
    WA_TRY(one_int(f, 1, 0, &length));
    for (uint32_t i = 2; i < 5; i++)
        if (f->g->values[f->n->inputs[i]].kind != WA_VALUE_CONST) return wa__fail(f->err, WA_DYNAMIC, "%s: input %u is known only at run time", f->text, i);
    if (bins < 1 || length < 1) return wa__infer_bad(f, "its sizes are not positive");
    f->out[0] = (wa_tensor_type){WA_F32, 2, {length / 2 + 1, bins}};
    return type_attribute(f, "output_datatype", &f->out[0].dtype);
}

/* --- random ------------------------------------------------------------------------------------------------- */
static wa_status philox(wa_infer *f)
{
    const wa_attr *dims = wa__attr_find(f->n->attrs, f->n->attr_count, "dims");
    if (!dims || dims->kind != WA_ATTR_KIND_INTS || dims->count > WA_RANK_MAX) return wa__infer_bad(f, "it has no shape");
    f->out[0] = (wa_tensor_type){WA_F32, dims->count, {0}};
    if (dims->count) memcpy(f->out[0].dims, dims->ints, dims->count * sizeof *dims->ints);
    return WA_OK;
}

const wa_shape_entry wa__shapes_seq[] = {
    {WA_OP_Recurrence, recurrence}, {WA_OP_LinearScan, linear_scan}, {WA_OP_DFT, dft}, {WA_OP_STFT, stft}, {WA_OP_HannWindow, window},
    {WA_OP_HammingWindow, window}, {WA_OP_BlackmanWindow, window}, {WA_OP_MelWeightMatrix, mel}, {WA_OP_Philox, philox},
    {WA_OP_NONE, NULL},
};
