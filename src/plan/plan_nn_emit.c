/* WebNN calls: operands, attributes, checks against the limits, and the small compositions that rows are
 * made of. In: operands of the segment. Out: calls in the plan's sections. Called by the rows. */
#include "plan/plan_nn_int.h"
#include <math.h>
#include <stdio.h>

/* --- operands ---------------------------------------------------------------------------------------- */
static wa_plan_nn_operand *at(const wa_plan_builder *b, wa_nn x) { return (wa_plan_nn_operand *)b->sec[WA_SEC_NN_OPERANDS].ptr + x; }

wa_tensor_type wa__nn_type(const wa_plan_builder *b, wa_nn x)
{
    wa_tensor_type t = {WA_F32, 0, {0}};
    if (x == WA_NONE) return t;
    const wa_plan_nn_operand *o = at(b, x);
    t.dtype = (wa_dtype)o->dtype;
    t.rank = o->rank;
    memcpy(t.dims, o->dims, sizeof t.dims);
    return t;
}

static wa_nn push(wa_plan_builder *b, uint32_t kind, uint32_t index, const wa_tensor_type *t)
{
    wa_plan_nn_operand *o = wa__plan_push(b, WA_SEC_NN_OPERANDS);
    if (!o) {
        b->nn.status = wa__no_memory(b->err, "the plan");
        return WA_NONE;
    }
    o->kind = kind;
    o->index = index;
    o->dtype = t->dtype;
    o->rank = t->rank;
    for (uint32_t i = 0; i < t->rank; i++) o->dims[i] = t->dims[i];
    return (uint32_t)b->sec[WA_SEC_NN_OPERANDS].count - 1;
}

static bool constant_ok(wa_plan_builder *b, const wa_tensor_type *t)
{
    int64_t n;
    if (wa__nn_off(b)) return false;
    if (!(b->t.nn->constant.dtypes >> t->dtype & 1)) wa__nn_refuse(b, "WebNN takes no constants of type %s here", wa__dtype_info(t->dtype)->name);
    else if (!wa__type_count(t, &n) || n == 0 || (uint64_t)n * 8 > (uint64_t)WA_PLAN_BUFFER_LIMIT) wa__nn_refuse(b, "a constant that it needs is too large or empty");
    return !wa__nn_off(b);
}

wa_nn wa__nn_fill(wa_plan_builder *b, wa_dtype d, uint32_t rank, const int64_t *dims, double v)
{
    wa_tensor_type t = {d, rank, {0}};
    for (uint32_t i = 0; i < rank; i++) t.dims[i] = dims[i];
    if (!constant_ok(b, &t)) return WA_NONE;
    wa_nn x = push(b, WA_NN_KIND_FILL, 0, &t);
    if (x == WA_NONE) return x;
    int64_t i = v >= 9.2233720368547758e18 ? INT64_MAX : v <= -9.2233720368547758e18 ? INT64_MIN : (int64_t)v;
    if (wa__dtype_is_float(d)) memcpy(&at(b, x)->bits, &v, 8);
    else memcpy(&at(b, x)->bits, &i, 8);
    return x;
}

wa_nn wa__nn_data(wa_plan_builder *b, const wa_tensor_type *t, const void *bytes)
{
    uint32_t buffer = WA_NONE;
    if (!constant_ok(b, t)) return WA_NONE;
    if (!b->nn.dry) {
        uint64_t n = wa__bytes(t), offset;
        b->nn.status = wa__plan_data_add(b, bytes, n, 16, &offset);
        if (b->nn.status == WA_OK) b->nn.status = wa__plan_buffer_add(b, WA_BUFFER_KIND_WEIGHTS, WA_TARGET_WEBNN, wa__align_up(n, 4), "constant", &buffer);
        wa_plan_weight *w = b->nn.status == WA_OK ? wa__plan_push(b, WA_SEC_WEIGHTS) : NULL;
        if (!w) {
            if (b->nn.status == WA_OK) b->nn.status = wa__no_memory(b->err, "the plan");
            return WA_NONE;
        }
        w->source = WA_NONE;
        w->offset = offset;
        w->length = n;
        w->dst_length = wa__align_up(n, 4);
        w->dtype = t->dtype;
        w->buffer = buffer;
    }
    return push(b, WA_NN_KIND_CONST, buffer, t);
}

wa_nn wa__nn_iota(wa_plan_builder *b, wa_dtype d, int64_t n, int64_t start, int64_t step)
{
    wa_tensor_type t = {d, 1, {n}};
    if (n > 1 << 22) wa__nn_refuse(b, "a list of %lld numbers that it needs is too long", (long long)n);
    if (!constant_ok(b, &t)) return WA_NONE;
    wa_view v = {t, wa__alloc((size_t)n, 8)};
    if (!v.data) {
        b->nn.status = wa__no_memory(b->err, "the plan");
        return WA_NONE;
    }
    for (int64_t i = 0; i < n; i++) {
        if (wa__dtype_is_float(d)) wa__set_f64(&v, i, (double)(start + i * step));
        else wa__set_i64(&v, i, start + i * step);
    }
    wa_nn x = wa__nn_data(b, &t, v.data);
    wa__free(v.data);
    return x;
}

/* --- attributes ---------------------------------------------------------------------------------------- */
static wa_plan_attr *attr(wa_plan_builder *b, const char *name, wa_attr_kind kind)
{
    wa_text text;
    if (wa__nn_off(b)) return NULL;
    b->nn.status = wa__plan_text_add(b, wa__str(name), &text);
    wa_plan_attr *a = b->nn.status == WA_OK ? wa__plan_push(b, WA_SEC_ATTRS) : NULL;
    if (!a && b->nn.status == WA_OK) b->nn.status = wa__no_memory(b->err, "the plan");
    if (!a) return NULL;
    a->name = text;
    a->kind = kind;
    return a;
}

void wa__nn_set_int(wa_plan_builder *b, const char *name, int64_t v)
{
    wa_plan_attr *a = attr(b, name, WA_ATTR_KIND_INT);
    if (a) a->i = v;
}

void wa__nn_set_float(wa_plan_builder *b, const char *name, double v)
{
    wa_plan_attr *a = isfinite((float)v) ? attr(b, name, WA_ATTR_KIND_FLOAT) : NULL;
    if (a) a->f = (float)v;
}

void wa__nn_set_ints(wa_plan_builder *b, const char *name, const int64_t *v, uint32_t count)
{
    uint64_t data;
    if (wa__nn_off(b)) return;
    b->nn.status = wa__plan_data_add(b, v, (uint64_t)count * 8, 8, &data);
    wa_plan_attr *a = attr(b, name, WA_ATTR_KIND_INTS);
    if (!a) return;
    a->count = count;
    a->data = data;
}

void wa__nn_set_str(wa_plan_builder *b, const char *name, const char *v)
{
    wa_text text;
    if (wa__nn_off(b)) return;
    b->nn.status = wa__plan_text_add(b, wa__str(v), &text);
    wa_plan_attr *a = attr(b, name, WA_ATTR_KIND_STRING);
    if (a) a->data = text;
}

/* --- calls ----------------------------------------------------------------------------------------------- */
static const wa_nn_slot *slot_of(const wa_plan_builder *b, wa_nn_op op, uint32_t slot)
{
    const wa_nn_op_info *info = wa__nn_op_info(op);
    uint32_t operands = info->in_count + info->opt_count;
    if ((op == WA_NN_concat || op == WA_NN_split) && slot >= operands) slot = operands; /* any number of results */
    return &b->t.nn->op[op][slot < WA_NN_SLOTS ? slot : WA_NN_SLOTS - 1];
}
bool wa__nn_takes(const wa_plan_builder *b, wa_nn_op op, uint32_t slot, wa_dtype d) { return slot_of(b, op, slot)->dtypes >> d & 1; }
bool wa__nn_rank_ok(const wa_plan_builder *b, wa_nn_op op, uint32_t slot, uint32_t rank)
{
    const wa_nn_slot *s = slot_of(b, op, slot);
    return rank >= s->rank_min && rank <= s->rank_max;
}

static bool check_slot(wa_plan_builder *b, wa_nn_op op, uint32_t slot, const wa_tensor_type *t)
{
    const wa_nn_op_info *info = wa__nn_op_info(op);
    const wa_nn_slot *s = slot_of(b, op, slot);
    const char *name = slot < WA_NN_SLOTS && info->slots[slot] ? info->slots[slot] : info->slots[0];
    int64_t n;
    if (!s->dtypes) wa__nn_refuse(b, "this WebNN has no %s", info->name);
    else if (!(s->dtypes >> t->dtype & 1)) wa__nn_refuse(b, "WebNN's %s takes no %s as %s here", info->name, wa__dtype_info(t->dtype)->name, name);
    else if (t->rank < s->rank_min || t->rank > s->rank_max) wa__nn_refuse(b, "WebNN's %s takes rank %u to %u as %s here, not %u", info->name, s->rank_min, s->rank_max, name, t->rank);
    else if (!wa__type_count(t, &n) || n == 0) wa__nn_refuse(b, "WebNN has no empty tensors");
    else if (b->t.nn->tensor_bytes && wa__bytes(t) > b->t.nn->tensor_bytes) wa__nn_refuse(b, "a tensor passes WebNN's maxTensorByteLength");
    return !wa__nn_off(b);
}

static bool check_call(wa_plan_builder *b, wa_nn_op op, const wa_nn *in, uint32_t in_count, const wa_tensor_type *types, uint32_t out_count)
{
    const wa_nn_op_info *info = wa__nn_op_info(op);
    for (uint32_t i = 0; i < in_count; i++) {
        if (in[i] == WA_NONE && i < info->in_count && !wa__nn_off(b)) b->nn.status = wa__fail(b->err, WA_INTERNAL, "WebNN's %s without %s", info->name, info->slots[i]);
        if (in[i] == WA_NONE) continue;
        wa_tensor_type t = wa__nn_type(b, in[i]);
        if (!check_slot(b, op, op == WA_NN_concat ? 0 : i, &t)) return false;
    }
    for (uint32_t i = 0; i < out_count; i++)
        if (!check_slot(b, op, info->in_count + info->opt_count + i, &types[i])) return false;
    return !wa__nn_off(b);
}

void wa__nn_calls(wa_plan_builder *b, wa_nn_op op, const wa_nn *in, uint32_t in_count, const wa_tensor_type *types, uint32_t out_count, wa_nn *out)
{
    const wa_nn_op_info *info = wa__nn_op_info(op);
    uint32_t want = op == WA_NN_concat ? in_count : info->in_count + info->opt_count;
    for (uint32_t i = 0; i < out_count; i++) out[i] = WA_NONE;
    if (wa__nn_off(b) || !check_call(b, op, in, in_count, types, out_count)) return;
    uint32_t first = (uint32_t)b->sec[WA_SEC_NN_REFS].count;
    for (uint32_t i = 0; i < want + out_count && b->nn.status == WA_OK; i++) {
        uint32_t id = i < in_count ? in[i] : WA_NONE;
        if (i >= want) id = out[i - want] = push(b, WA_NN_KIND_VALUE, WA_NONE, &types[i - want]);
        uint32_t *ref = wa__plan_push(b, WA_SEC_NN_REFS);
        if (!ref) b->nn.status = wa__no_memory(b->err, "the plan");
        else *ref = id;
    }
    wa_plan_nn_call *c = b->nn.status == WA_OK ? wa__plan_push(b, WA_SEC_NN_CALLS) : NULL;
    if (!c) {
        if (b->nn.status == WA_OK) b->nn.status = wa__no_memory(b->err, "the plan");
        return;
    }
    c->op = op;
    c->ref_first = first;
    c->in_count = want;
    c->out_count = out_count;
    c->attr_first = b->nn.attr_mark;
    c->attr_count = (uint32_t)b->sec[WA_SEC_ATTRS].count - b->nn.attr_mark;
    c->label = b->nn.label;
    b->nn.attr_mark = (uint32_t)b->sec[WA_SEC_ATTRS].count;
}

wa_nn wa__nn_call(wa_plan_builder *b, wa_nn_op op, const wa_nn *in, uint32_t in_count, const wa_tensor_type *type)
{
    wa_nn out = WA_NONE;
    wa__nn_calls(b, op, in, in_count, type, 1, &out);
    return out;
}

/* --- compositions ------------------------------------------------------------------------------------------ */
/* Attributes set for the next call step aside while a cast or reshape goes before it. */
typedef struct held {
    uint32_t first, count;
} held;
static held hold(wa_plan_builder *b)
{
    uint32_t end = (uint32_t)b->sec[WA_SEC_ATTRS].count;
    held h = {b->nn.attr_mark, end - b->nn.attr_mark};
    b->nn.attr_mark = end;
    return h;
}
static void release(wa_plan_builder *b, held h)
{
    b->nn.attr_mark = (uint32_t)b->sec[WA_SEC_ATTRS].count;
    for (uint32_t i = 0; i < h.count && !wa__nn_off(b); i++) {
        wa_plan_attr *to = wa__plan_push(b, WA_SEC_ATTRS);
        if (!to) b->nn.status = wa__no_memory(b->err, "the plan");
        else *to = ((wa_plan_attr *)b->sec[WA_SEC_ATTRS].ptr)[h.first + i];
    }
}

wa_nn wa__nn_cast(wa_plan_builder *b, wa_nn x, wa_dtype d)
{
    wa_tensor_type t = wa__nn_type(b, x);
    if (wa__nn_off(b) || t.dtype == d) return x;
    t.dtype = d;
    held h = hold(b);
    wa__nn_set_str(b, "type", d == WA_F32 ? "float32" : d == WA_F16 ? "float16" : d == WA_I32 ? "int32" : d == WA_U32 ? "uint32" : d == WA_I64 ? "int64"
                              : d == WA_U64 ? "uint64" : d == WA_I8 ? "int8" : "uint8");
    x = wa__nn_call(b, WA_NN_cast, &x, 1, &t);
    release(b, h);
    return x;
}

wa_nn wa__nn_reshape(wa_plan_builder *b, wa_nn x, uint32_t rank, const int64_t *dims)
{
    wa_tensor_type t = wa__nn_type(b, x), to = {t.dtype, rank, {0}};
    if (wa__nn_off(b)) return WA_NONE;
    for (uint32_t i = 0; i < rank; i++) to.dims[i] = dims[i];
    if (wa__type_eq(&t, &to)) return x;
    if (wa__count(&t) != wa__count(&to)) {
        b->nn.status = wa__fail(b->err, WA_INTERNAL, "a WebNN reshape of %lld elements to %lld", (long long)wa__count(&t), (long long)wa__count(&to));
        return WA_NONE;
    }
    if (at(b, x)->kind == WA_NN_KIND_CONST || at(b, x)->kind == WA_NN_KIND_FILL) { /* the same bytes under another shape */
        uint64_t bits = at(b, x)->bits;
        wa_nn y = push(b, at(b, x)->kind, at(b, x)->index, &to);
        if (y != WA_NONE) at(b, y)->bits = bits;
        return y;
    }
    held h = hold(b);
    wa__nn_set_ints(b, "newShape", to.dims, rank);
    x = wa__nn_call(b, WA_NN_reshape, &x, 1, &to);
    release(b, h);
    return x;
}

wa_nn wa__nn_like(wa_plan_builder *b, wa_nn x, const wa_tensor_type *t) { return wa__nn_reshape(b, x, t->rank, t->dims); }

/* The type that all of these slots take for values of type d, best first; NONE when there is none. */
static wa_dtype common(const wa_plan_builder *b, wa_nn_op op, uint32_t first, uint32_t n, bool result, wa_dtype d)
{
    wa_dtype tries[3] = {d, WA_DTYPE_NONE, WA_DTYPE_NONE};
    uint32_t mask = UINT32_MAX, out = wa__nn_op_info(op)->in_count + wa__nn_op_info(op)->opt_count;
    for (uint32_t i = first; i < n; i++) mask &= slot_of(b, op, i)->dtypes;
    if (result) mask &= slot_of(b, op, out)->dtypes;
    if (d == WA_I8 || d == WA_U8) tries[1] = WA_I32, tries[2] = WA_I64;
    if (d == WA_U32 || d == WA_I32) tries[1] = WA_I64;
    if (d == WA_I64) tries[1] = WA_I32;
    for (unsigned i = 0; i < 3; i++)
        if (tries[i] != WA_DTYPE_NONE && mask >> tries[i] & 1) return tries[i];
    return WA_DTYPE_NONE;
}

/* Broadcast shapes with neighbouring axes merged wherever every operand has both or neither. */
static uint32_t merge_axes(const wa_tensor_type *t, uint32_t n, const wa_tensor_type *out, wa_tensor_type *merged, wa_tensor_type *merged_out)
{
    uint32_t rank = 0, last = 0;
    for (uint32_t axis = 0; axis < out->rank; axis++) {
        if (out->dims[axis] == 1) continue;
        uint32_t has = 0;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t skip = out->rank - t[i].rank;
            if (axis >= skip && t[i].dims[axis - skip] != 1) has |= 1u << i;
        }
        bool join = rank && has == last;
        if (!join) rank++;
        for (uint32_t i = 0; i < n; i++) {
            int64_t dim = has >> i & 1 ? out->dims[axis] : 1;
            merged[i].dims[rank - 1] = join ? merged[i].dims[rank - 1] * dim : dim;
        }
        merged_out->dims[rank - 1] = join ? merged_out->dims[rank - 1] * out->dims[axis] : out->dims[axis];
        last = has;
    }
    for (uint32_t i = 0; i < n; i++) merged[i].rank = rank;
    merged_out->rank = rank;
    return rank;
}

enum { MAP_MAX = 3, COMMON_RANK = 4 };
/* An elementwise method. Operands from `same` on are of one type. result: the result has it too, else U8. */
static wa_nn map(wa_plan_builder *b, wa_nn_op op, const wa_nn *given, uint32_t n, uint32_t same, bool result)
{
    wa_tensor_type t[MAP_MAX], merged[MAP_MAX] = {{WA_DTYPE_NONE, 0, {0}}}, out, flat = {WA_F32, 0, {0}};
    wa_nn x[MAP_MAX];
    if (wa__nn_off(b)) return WA_NONE;
    for (uint32_t i = 0; i < n; i++) t[i] = wa__nn_type(b, x[i] = given[i]);
    wa_dtype own = t[n - 1].dtype, d = common(b, op, same, n, result, own);
    if (d == WA_DTYPE_NONE) {
        if (check_slot(b, op, same, &t[n - 1])) wa__nn_refuse(b, "WebNN's %s gives no %s here", wa__nn_op_info(op)->name, wa__dtype_info(own)->name);
        return WA_NONE;
    }
    for (uint32_t i = same; i < n; i++) x[i] = wa__nn_cast(b, x[i], d);
    out = t[0];
    bool wide = false;
    for (uint32_t i = 0; i < n; i++) {
        if (i && !wa__broadcast(&out, &t[i], &out)) wa__nn_refuse(b, "its operands do not broadcast");
        wide |= !wa__nn_rank_ok(b, op, i, t[i].rank);
    }
    if (wa__nn_off(b)) return WA_NONE;
    wa_tensor_type shape = out;
    wide |= out.rank > COMMON_RANK || !wa__nn_rank_ok(b, op, wa__nn_op_info(op)->in_count + wa__nn_op_info(op)->opt_count, out.rank);
    if (wide) {
        merge_axes(t, n, &out, merged, &flat);
        for (uint32_t i = 0; i < n; i++) x[i] = wa__nn_like(b, x[i], &merged[i]);
        out = flat;
    }
    out.dtype = result ? d : WA_U8;
    wa_nn y = wa__nn_like(b, wa__nn_call(b, op, x, n, &out), &shape);
    return result ? wa__nn_cast(b, y, own) : y;
}

wa_nn wa__nn_bool(wa_plan_builder *b, wa_nn x) { return wa__nn_cast(b, x, WA_U8); }

wa_nn wa__nn_un(wa_plan_builder *b, wa_nn_op op, wa_nn x)
{
    bool test = op == WA_NN_isNaN || op == WA_NN_isInfinite;
    if (op == WA_NN_logicalNot) x = wa__nn_bool(b, x);
    return map(b, op, &x, 1, 0, !test);
}

wa_nn wa__nn_bin(wa_plan_builder *b, wa_nn_op op, wa_nn x, wa_nn y)
{
    bool logic = op == WA_NN_logicalAnd || op == WA_NN_logicalOr || op == WA_NN_logicalXor;
    bool test = op >= WA_NN_equal && op <= WA_NN_lesserOrEqual;
    wa_nn in[2] = {x, y};
    if (logic) in[0] = wa__nn_bool(b, x), in[1] = wa__nn_bool(b, y);
    if (!wa__nn_off(b) && wa__nn_type(b, in[0]).dtype != wa__nn_type(b, in[1]).dtype) in[1] = wa__nn_cast(b, in[1], wa__nn_type(b, in[0]).dtype);
    return map(b, op, in, 2, 0, !test);
}

wa_nn wa__nn_where(wa_plan_builder *b, wa_nn c, wa_nn x, wa_nn y)
{
    wa_nn in[3] = {wa__nn_bool(b, c), x, y};
    return map(b, WA_NN_where, in, 3, 1, true);
}

wa_nn wa__nn_scaled(wa_plan_builder *b, wa_nn x, double by) { return by == 1 ? x : wa__nn_bin(b, WA_NN_mul, x, wa__nn_scalar(b, wa__nn_type(b, x).dtype, by)); }
wa_nn wa__nn_plus(wa_plan_builder *b, wa_nn x, double v) { return v == 0 ? x : wa__nn_bin(b, WA_NN_add, x, wa__nn_scalar(b, wa__nn_type(b, x).dtype, v)); }

/* A move of values: in a type that the method takes, back in its own. */
static wa_nn moved(wa_plan_builder *b, wa_nn_op op, wa_nn x, wa_tensor_type out)
{
    wa_dtype own = wa__nn_type(b, x).dtype, d = common(b, op, 0, 1, true, own);
    if (wa__nn_off(b)) return WA_NONE;
    out.dtype = d == WA_DTYPE_NONE ? own : d;
    x = wa__nn_cast(b, x, out.dtype);
    return wa__nn_cast(b, wa__nn_call(b, op, &x, 1, &out), own);
}

wa_nn wa__nn_transpose(wa_plan_builder *b, wa_nn x, const int64_t *perm)
{
    wa_tensor_type t = wa__nn_type(b, x), out = t;
    bool same = true;
    if (wa__nn_off(b)) return WA_NONE;
    for (uint32_t i = 0; i < t.rank; i++) {
        out.dims[i] = t.dims[perm[i]];
        same &= perm[i] == (int64_t)i;
    }
    if (same) return x;
    if (!wa__nn_rank_ok(b, WA_NN_transpose, 0, t.rank)) { /* axes that stay side by side become one */
        uint32_t group = 0, of[WA_RANK_MAX] = {0};
        int64_t dims[WA_RANK_MAX], short_perm[WA_RANK_MAX], order[WA_RANK_MAX];
        for (uint32_t i = 0; i < t.rank; i++) { /* groups in the result's order */
            if (i && perm[i] == perm[i - 1] + 1) {
                of[perm[i]] = group - 1;
            } else {
                of[perm[i]] = group;
                order[group++] = perm[i];
            }
        }
        if (group < t.rank) {
            for (uint32_t i = 0; i < group; i++) { /* rank of the group among the sources */
                short_perm[i] = 0;
                for (uint32_t k = 0; k < group; k++) short_perm[i] += order[k] < order[i];
                dims[short_perm[i]] = 1;
            }
            for (uint32_t a = 0; a < t.rank; a++) dims[short_perm[of[a]]] *= t.dims[a];
            return wa__nn_like(b, wa__nn_transpose(b, wa__nn_reshape(b, x, group, dims), short_perm), &out);
        }
    }
    wa__nn_set_ints(b, "permutation", perm, t.rank);
    return moved(b, WA_NN_transpose, x, out);
}

wa_nn wa__nn_swap(wa_plan_builder *b, wa_nn x, uint32_t i, uint32_t k)
{
    int64_t perm[WA_RANK_MAX];
    for (uint32_t a = 0; a < WA_RANK_MAX; a++) perm[a] = a;
    perm[i] = k, perm[k] = i;
    return wa__nn_transpose(b, x, perm);
}

wa_nn wa__nn_slice(wa_plan_builder *b, wa_nn x, const int64_t *starts, const int64_t *sizes, const int64_t *strides)
{
    wa_tensor_type t = wa__nn_type(b, x), out = t;
    int64_t starts1[WA_RANK_MAX], sizes1[WA_RANK_MAX], strides1[WA_RANK_MAX];
    bool whole = true, steps = false;
    if (wa__nn_off(b)) return WA_NONE;
    for (uint32_t i = 0; i < t.rank; i++) {
        int64_t step = strides ? strides[i] : 1;
        out.dims[i] = (sizes[i] + step - 1) / step;
        whole &= starts[i] == 0 && sizes[i] == t.dims[i] && step == 1;
        steps |= step != 1;
    }
    if (whole) return x;
    if (!wa__nn_rank_ok(b, WA_NN_slice, 0, t.rank)) { /* axes taken whole become one */
        wa_tensor_type flat = {t.dtype, 0, {0}};
        bool was = false;
        for (uint32_t i = 0; i < t.rank; i++) {
            bool all = starts[i] == 0 && sizes[i] == t.dims[i] && (!strides || strides[i] == 1);
            if (all && was) {
                flat.dims[flat.rank - 1] *= t.dims[i], sizes1[flat.rank - 1] *= t.dims[i];
            } else {
                flat.dims[flat.rank] = t.dims[i], starts1[flat.rank] = starts[i], sizes1[flat.rank] = sizes[i], strides1[flat.rank] = strides ? strides[i] : 1;
                flat.rank++;
            }
            was = all;
        }
        if (flat.rank < t.rank) return wa__nn_like(b, wa__nn_slice(b, wa__nn_like(b, x, &flat), starts1, sizes1, strides1), &out);
    }
    wa__nn_set_ints(b, "starts", starts, t.rank);
    wa__nn_set_ints(b, "sizes", sizes, t.rank);
    if (steps) wa__nn_set_ints(b, "strides", strides, t.rank);
    return moved(b, WA_NN_slice, x, out);
}

wa_nn wa__nn_part(wa_plan_builder *b, wa_nn x, uint32_t axis, int64_t start, int64_t size)
{
    wa_tensor_type t = wa__nn_type(b, x);
    int64_t starts[WA_RANK_MAX] = {0}, sizes[WA_RANK_MAX];
    memcpy(sizes, t.dims, sizeof sizes);
    starts[axis] = start;
    sizes[axis] = size;
    return wa__nn_slice(b, x, starts, sizes, NULL);
}

wa_nn wa__nn_concat(wa_plan_builder *b, const wa_nn *x, uint32_t count, uint32_t axis)
{
    if (wa__nn_off(b)) return WA_NONE;
    wa_tensor_type out = wa__nn_type(b, x[0]);
    for (uint32_t i = 1; i < count; i++) out.dims[axis] += wa__nn_type(b, x[i]).dims[axis];
    if (count == 1) return x[0];
    wa__nn_set_int(b, "axis", axis);
    return wa__nn_call(b, WA_NN_concat, x, count, &out);
}

wa_nn wa__nn_expand(wa_plan_builder *b, wa_nn x, uint32_t rank, const int64_t *dims)
{
    wa_tensor_type t = wa__nn_type(b, x), out = {t.dtype, rank, {0}};
    if (wa__nn_off(b)) return WA_NONE;
    for (uint32_t i = 0; i < rank; i++) out.dims[i] = dims[i];
    if (wa__count(&t) == wa__count(&out)) return wa__nn_like(b, x, &out);
    if (rank > COMMON_RANK) { /* LiteRT says more and fails at it */
        wa_tensor_type small, flat = {t.dtype, 0, {0}};
        uint32_t short_rank = merge_axes(&t, 1, &out, &small, &flat);
        small.dtype = t.dtype;
        if (short_rank < rank) return wa__nn_like(b, wa__nn_expand(b, wa__nn_like(b, x, &small), short_rank, flat.dims), &out);
    }
    wa__nn_set_ints(b, "newShape", out.dims, rank);
    return moved(b, WA_NN_expand, x, out);
}

wa_nn wa__nn_reduce(wa_plan_builder *b, wa_nn_op op, wa_nn x, uint32_t mask, bool keep)
{
    wa_tensor_type t = wa__nn_type(b, x), out = {t.dtype, 0, {0}};
    int64_t axes[WA_RANK_MAX];
    uint32_t count = 0;
    if (wa__nn_off(b)) return WA_NONE;
    for (uint32_t i = 0; i < t.rank; i++) {
        if (mask >> i & 1) axes[count++] = i;
        if (!(mask >> i & 1)) out.dims[out.rank++] = t.dims[i];
        else if (keep) out.dims[out.rank++] = 1;
    }
    if (t.rank > COMMON_RANK) { /* neighbours that go together become one axis */
        wa_tensor_type flat = {t.dtype, 0, {0}};
        uint32_t small = 0;
        for (uint32_t i = 0; i < t.rank; i++) {
            bool join = i && (mask >> i & 1) == (mask >> (i - 1) & 1);
            if (!join) {
                small |= (mask >> i & 1) << flat.rank;
                flat.dims[flat.rank++] = 1;
            }
            flat.dims[flat.rank - 1] *= t.dims[i];
        }
        if (flat.rank < t.rank) return wa__nn_like(b, wa__nn_reduce(b, op, wa__nn_like(b, x, &flat), small, false), &out);
    }
    wa__nn_set_ints(b, "axes", axes, count);
    wa__nn_set_int(b, "keepDimensions", keep);
    return moved(b, op, x, out);
}

wa_nn wa__nn_matmul(wa_plan_builder *b, wa_nn x, wa_nn y)
{
    wa_tensor_type s = wa__nn_type(b, x), t = wa__nn_type(b, y), out;
    if (wa__nn_off(b)) return WA_NONE;
    if (s.rank < 2 || t.rank < 2) wa__nn_refuse(b, "a product of vectors");
    if (wa__nn_off(b)) return WA_NONE;
    wa_tensor_type sb = s, tb = t;
    sb.rank -= 2, tb.rank -= 2;
    if (!wa__broadcast(&sb, &tb, &out)) wa__nn_refuse(b, "its batches do not broadcast");
    out.dtype = s.dtype;
    out.dims[out.rank++] = s.dims[s.rank - 2];
    out.dims[out.rank++] = t.dims[t.rank - 1];
    if ((s.rank != 3 || t.rank != 3) && (!wa__nn_rank_ok(b, WA_NN_matmul, 0, s.rank) || !wa__nn_rank_ok(b, WA_NN_matmul, 1, t.rank))) {
        /* equal batches become one axis */
        int64_t batch = wa__count(&out) / (out.dims[out.rank - 1] * out.dims[out.rank - 2]);
        wa_tensor_type s3 = {s.dtype, 3, {wa__count(&s) / (s.dims[s.rank - 1] * s.dims[s.rank - 2]), s.dims[s.rank - 2], s.dims[s.rank - 1]}};
        wa_tensor_type t3 = {t.dtype, 3, {wa__count(&t) / (t.dims[t.rank - 1] * t.dims[t.rank - 2]), t.dims[t.rank - 2], t.dims[t.rank - 1]}};
        if ((s3.dims[0] == batch || s3.dims[0] == 1) && (t3.dims[0] == batch || t3.dims[0] == 1))
            return wa__nn_like(b, wa__nn_matmul(b, wa__nn_like(b, x, &s3), wa__nn_like(b, y, &t3)), &out);
    }
    return wa__nn_call(b, WA_NN_matmul, (wa_nn[]){x, y}, 2, &out);
}

wa_nn wa__nn_softmax(wa_plan_builder *b, wa_nn x, uint32_t axis)
{
    wa_tensor_type t = wa__nn_type(b, x);
    if (!wa__nn_off(b) && t.rank != 3 && !wa__nn_rank_ok(b, WA_NN_softmax, 0, t.rank)) { /* rank 3 or none */
        int64_t dims[3] = {1, 1, 1};
        for (uint32_t i = 0; i < t.rank; i++) dims[i < axis ? 0 : i == axis ? 1 : 2] *= t.dims[i];
        return wa__nn_like(b, wa__nn_softmax(b, wa__nn_reshape(b, x, 3, dims), 1), &t);
    }
    wa__nn_set_int(b, "axis", axis);
    return wa__nn_call(b, WA_NN_softmax, &x, 1, &t);
}

/* Without keepDimensions: LiteRT's result lacks the axis whatever it was told. */
wa_nn wa__nn_arg(wa_plan_builder *b, wa_nn_op op, wa_nn x, uint32_t axis)
{
    wa_tensor_type kept = wa__nn_type(b, x), out = {WA_I32, 0, {0}};
    if (wa__nn_off(b)) return WA_NONE;
    for (uint32_t i = 0; i < kept.rank; i++)
        if (i != axis) out.dims[out.rank++] = kept.dims[i];
    kept.dims[axis] = 1;
    wa__nn_set_int(b, "axis", axis);
    wa__nn_set_int(b, "keepDimensions", 0);
    wa__nn_set_str(b, "outputDataType", "int32");
    return wa__nn_like(b, wa__nn_call(b, op, &x, 1, &out), &kept);
}

wa_nn wa__nn_gather(wa_plan_builder *b, wa_nn x, wa_nn indices, uint32_t axis)
{
    wa_tensor_type t = wa__nn_type(b, x), k = wa__nn_type(b, indices), out = {t.dtype, 0, {0}};
    if (wa__nn_off(b)) return WA_NONE;
    if (t.rank + k.rank > WA_RANK_MAX + 1u) wa__nn_refuse(b, "its result passes rank %d", WA_RANK_MAX);
    if (wa__nn_off(b)) return WA_NONE;
    for (uint32_t i = 0; i < axis; i++) out.dims[out.rank++] = t.dims[i];
    for (uint32_t i = 0; i < k.rank; i++) out.dims[out.rank++] = k.dims[i];
    for (uint32_t i = axis + 1; i < t.rank; i++) out.dims[out.rank++] = t.dims[i];
    if (t.rank > COMMON_RANK || k.rank > 2 || out.rank > COMMON_RANK) {
        wa_tensor_type flat = {t.dtype, 3, {1, t.dims[axis], 1}};
        int64_t count = wa__count(&k);
        for (uint32_t i = 0; i < t.rank; i++)
            if (i != axis) flat.dims[i < axis ? 0 : 2] *= t.dims[i];
        if (t.rank != 3 || k.rank != 1) return wa__nn_like(b, wa__nn_gather(b, wa__nn_like(b, x, &flat), wa__nn_reshape(b, indices, 1, &count), 1), &out);
    }
    wa_dtype d = wa__nn_takes(b, WA_NN_gather, 0, t.dtype) ? t.dtype : t.dtype == WA_U32 ? WA_I64 : WA_I32;
    wa_nn in[2] = {wa__nn_cast(b, x, d), wa__nn_takes(b, WA_NN_gather, 1, k.dtype) ? indices : wa__nn_cast(b, indices, WA_I32)};
    out.dtype = d;
    wa__nn_set_int(b, "axis", axis);
    return wa__nn_cast(b, wa__nn_call(b, WA_NN_gather, in, 2, &out), t.dtype);
}

wa_nn wa__nn_pad(wa_plan_builder *b, wa_nn x, const int64_t *before, const int64_t *after, const char *mode, double value)
{
    wa_tensor_type t = wa__nn_type(b, x), out = t;
    bool none = true;
    if (wa__nn_off(b)) return WA_NONE;
    for (uint32_t i = 0; i < t.rank; i++) {
        out.dims[i] += before[i] + after[i];
        none &= !before[i] && !after[i];
    }
    if (none) return x;
    wa__nn_set_ints(b, "beginningPadding", before, t.rank);
    wa__nn_set_ints(b, "endingPadding", after, t.rank);
    wa__nn_set_str(b, "mode", mode);
    if (value != 0) wa__nn_set_float(b, "value", value);
    return moved(b, WA_NN_pad, x, out);
}

wa_nn wa__nn_reverse(wa_plan_builder *b, wa_nn x, uint32_t mask)
{
    int64_t axes[WA_RANK_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < WA_RANK_MAX; i++)
        if (mask >> i & 1) axes[count++] = i;
    if (!count || wa__nn_off(b)) return x;
    wa__nn_set_ints(b, "axes", axes, count);
    return moved(b, WA_NN_reverse, x, wa__nn_type(b, x));
}

wa_nn wa__nn_layernorm(wa_plan_builder *b, wa_nn x, wa_nn scale, wa_nn bias, uint32_t axis, double epsilon)
{
    wa_tensor_type t = wa__nn_type(b, x);
    int64_t axes[WA_RANK_MAX];
    uint32_t count = 0;
    for (uint32_t i = axis; i < t.rank; i++) axes[count++] = i;
    wa__nn_set_ints(b, "axes", axes, count);
    wa__nn_set_float(b, "epsilon", epsilon);
    return wa__nn_call(b, WA_NN_layerNormalization, (wa_nn[]){x, scale, bias}, 3, &t);
}

/* --- what rows read from a node ----------------------------------------------------------------------------- */
bool wa__nn_ints(wa_plan_builder *b, const wa_node *n, uint32_t i, int64_t *out, uint32_t *count)
{
    if (wa__nn_has(n, i) && wa__graph_const_ints(b->g, n->inputs[i], out, WA_RANK_MAX * 2, count)) return true;
    wa__nn_refuse(b, "its input %u must be constant for WebNN", i);
    return false;
}

bool wa__nn_number(wa_plan_builder *b, const wa_node *n, uint32_t i, double *out)
{
    if (wa__nn_has(n, i) && wa__graph_const_scalar(b->g, n->inputs[i], out)) return true;
    wa__nn_refuse(b, "its input %u must be one constant number for WebNN", i);
    return false;
}
