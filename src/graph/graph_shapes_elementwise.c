/* Shape rules of elementwise operators. See graph_shapes.h. */
#include "graph/graph_shapes.h"

static wa_status same(wa_infer *f)
{
    f->out[0] = *wa__infer_in(f, 0);
    return WA_OK;
}

static wa_status to_bool(wa_infer *f)
{
    f->out[0] = *wa__infer_in(f, 0);
    f->out[0].dtype = WA_BOOL;
    return WA_OK;
}

static wa_status cast(wa_infer *f)
{
    int64_t to = wa__node_int(f->n, "to", 0);
    f->out[0] = *wa__infer_in(f, 0);
    if (to <= 0 || wa__dtype_info((uint32_t)to)->bits == 0) return wa__infer_bad(f, "it casts to an element type that is not supported");
    f->out[0].dtype = (wa_dtype)to;
    return WA_OK;
}

/* The same elements read as another type of their width. */
static wa_status bit_cast(wa_infer *f)
{
    wa_dtype from = wa__infer_in(f, 0)->dtype;
    WA_TRY(cast(f));
    return wa__dtype_info(from)->bits == wa__dtype_info(f->out[0].dtype)->bits ? WA_OK : wa__infer_bad(f, "it reads bits as a type of another width");
}

/* Inputs first.. broadcast together and have one element type. */
static wa_status broadcast_from(wa_infer *f, uint32_t first)
{
    f->out[0] = *wa__infer_in(f, first);
    for (uint32_t i = first + 1; i < f->n->input_count; i++) {
        const wa_tensor_type *t = wa__infer_in(f, i);
        if (!t) return wa__infer_bad(f, "an input is omitted");
        if (t->dtype != f->out[0].dtype) return wa__infer_bad(f, "the element types differ");
        WA_TRY(wa__infer_broadcast(f, &f->out[0], t, &f->out[0]));
    }
    return WA_OK;
}

static wa_status arithmetic(wa_infer *f) { return broadcast_from(f, 0); }

static wa_status power(wa_infer *f) /* the exponent may be of another type */
{
    return wa__infer_broadcast(f, wa__infer_in(f, 0), wa__infer_in(f, 1), &f->out[0]);
}

/* The slope fits the input and never makes it larger. */
static wa_status slope(wa_infer *f)
{
    wa_tensor_type x = *wa__infer_in(f, 0);
    WA_TRY(broadcast_from(f, 0));
    return wa__type_eq(&x, &f->out[0]) ? WA_OK : wa__infer_bad(f, "its slope is larger than its input");
}

static wa_status compare(wa_infer *f)
{
    WA_TRY(broadcast_from(f, 0));
    f->out[0].dtype = WA_BOOL;
    return WA_OK;
}

static wa_status where(wa_infer *f)
{
    WA_TRY(broadcast_from(f, 1));
    if (wa__infer_in(f, 0)->dtype != WA_BOOL) return wa__infer_bad(f, "its condition is not boolean");
    wa_dtype d = f->out[0].dtype;
    WA_TRY(wa__infer_broadcast(f, &f->out[0], wa__infer_in(f, 0), &f->out[0]));
    f->out[0].dtype = d;
    return WA_OK;
}

static wa_status chain(wa_infer *f)
{
    const wa_attr *d = wa__attr_find(f->n->attrs, f->n->attr_count, "dtypes");
    if (!d || d->kind != WA_ATTR_KIND_INTS || d->count == 0 || d->ints[d->count - 1] <= 0 || d->ints[d->count - 1] > WA_BOOL)
        return wa__infer_bad(f, "its chain has no element types");
    f->out[0] = *wa__infer_in(f, 0);
    for (uint32_t i = 1; i < f->n->input_count; i++)
        WA_TRY(wa__infer_broadcast(f, &f->out[0], wa__infer_in(f, i), &f->out[0]));
    f->out[0].dtype = (wa_dtype)d->ints[d->count - 1];
    return WA_OK;
}

const wa_shape_entry wa__shapes_elementwise[] = {
    {WA_OP_Cast, cast}, {WA_OP_Where, where}, {WA_OP_Elementwise, chain},
    {WA_OP_Add, arithmetic}, {WA_OP_Sub, arithmetic}, {WA_OP_Mul, arithmetic}, {WA_OP_Div, arithmetic}, {WA_OP_Pow, power},
    {WA_OP_Mod, arithmetic}, {WA_OP_Min, arithmetic}, {WA_OP_Max, arithmetic}, {WA_OP_Sum, arithmetic}, {WA_OP_Mean, arithmetic},
    {WA_OP_PRelu, slope}, {WA_OP_BitCast, bit_cast},
    {WA_OP_BitwiseAnd, arithmetic}, {WA_OP_BitwiseOr, arithmetic}, {WA_OP_BitwiseXor, arithmetic}, {WA_OP_BitShift, arithmetic},
    {WA_OP_BitwiseNot, same}, {WA_OP_Acos, same}, {WA_OP_Acosh, same}, {WA_OP_Asin, same}, {WA_OP_Asinh, same}, {WA_OP_Atan, same},
    {WA_OP_Atanh, same}, {WA_OP_Cosh, same}, {WA_OP_Sinh, same}, {WA_OP_Celu, same}, {WA_OP_Selu, same}, {WA_OP_Mish, same},
    {WA_OP_Shrink, same}, {WA_OP_ThresholdedRelu, same},
    {WA_OP_Equal, compare}, {WA_OP_Less, compare}, {WA_OP_LessOrEqual, compare}, {WA_OP_Greater, compare},
    {WA_OP_GreaterOrEqual, compare}, {WA_OP_And, compare}, {WA_OP_Or, compare}, {WA_OP_Xor, compare},
    {WA_OP_Not, to_bool}, {WA_OP_IsNaN, to_bool}, {WA_OP_IsInf, to_bool},
    {WA_OP_Abs, same}, {WA_OP_Neg, same}, {WA_OP_Sign, same}, {WA_OP_Exp, same}, {WA_OP_Log, same}, {WA_OP_Sqrt, same},
    {WA_OP_Reciprocal, same}, {WA_OP_Erf, same}, {WA_OP_Sin, same}, {WA_OP_Cos, same}, {WA_OP_Tan, same}, {WA_OP_Tanh, same},
    {WA_OP_Sigmoid, same}, {WA_OP_Relu, same}, {WA_OP_LeakyRelu, same}, {WA_OP_Elu, same}, {WA_OP_Softplus, same},
    {WA_OP_Softsign, same}, {WA_OP_HardSigmoid, same}, {WA_OP_HardSwish, same}, {WA_OP_Gelu, same}, {WA_OP_Clip, same},
    {WA_OP_Floor, same}, {WA_OP_Ceil, same}, {WA_OP_Round, same},
    {WA_OP_NONE, NULL},
};
