/* REDUCE: over any axes, walked with strides, and the index of the largest or smallest element.
 * spec: 0 operation (wa_op), 1 dtype, 2 lanes that share a result (a power of two), 3 kept axes, 4 axes
 * reduced over, 5 the last of equals (ArgMax, ArgMin).
 * params: {results, elements each, 0, 0} {kept sizes 0..3} {4, 5, 0, 0} {kept strides} .. {sizes of the
 * reduced} .. {strides} ..
 * CUMULATE: running sums and products along an axis, a line an invocation. spec: 0 operation, 1 dtype,
 * 2 flags: 1 exclusive, 2 reverse. params: {lines, length, inner, 0}. */
#include "kernels/wgsl_int.h"

#define put  wa__wgsl_put
#define DIMS 6u

static bool is_arg(uint32_t op) { return op == WA_OP_ArgMax || op == WA_OP_ArgMin; }
static bool is_reduction(uint32_t op)
{
    return (op >= WA_OP_ReduceSum && op <= WA_OP_ReduceSumSquare) || op == WA_OP_ReduceLogSum || op == WA_OP_ReduceLogSumExp || is_arg(op);
}

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || !is_reduction(s[0]) || !wa__wgsl_type(s[1]) || !s[2] || s[2] > 256 || (s[2] & (s[2] - 1)) || s[3] > DIMS || s[4] > DIMS || s[5] > 1)
        return wa__fail(err, WA_VERIFY, "reduce: operation %u, dtype %u, %u lanes, axes %u and %u", s[0], s[1], s[2], s[3], s[4]);
    info->binding_count = 2;
    info->write_mask = 2;
    info->workgroup_bytes = s[2] > 1 ? s[2] * (is_arg(s[0]) ? 8 : 4) : 0;
    return WA_OK;
}

/* fn name(n) -> where element n of these axes lies. */
static void walk(const char *name, uint32_t dims, uint32_t first, wa_wgsl_emit *e)
{
    put(e, "fn %s(n: u32) -> u32 {\n", name);
    if (dims == 0) put(e, "  return 0u;\n}\n");
    else if (dims == 1) put(e, "  return n * p.a[%u].x;\n}\n", first + 2);
    if (dims < 2) return;
    put(e, "  var r = n; var at = 0u;\n");
    for (uint32_t k = dims; k-- > 0;) {
        if (k) put(e, "  at += (r %% p.a[%u][%u]) * p.a[%u][%u]; r /= p.a[%u][%u];\n", first + k / 4, k % 4, first + 2 + k / 4, k % 4, first + k / 4, k % 4);
        else put(e, "  at += r * p.a[%u][0];\n", first + 2);
    }
    put(e, "  return at;\n}\n");
}

/* How an operation starts, takes element y, joins two parts x and y, and ends. */
typedef struct form {
    const char *acc; /* the accumulator's type */
    const char *start, *step, *join, *end;
} form;

static form form_of(uint32_t op, const char *type)
{
    bool real = strcmp(type, "f32") == 0, is_unsigned = strcmp(type, "u32") == 0;
    form f = {type, real ? "0.0" : is_unsigned ? "0u" : "0", "v + y", "x + y", "v"};
    const char *first = "x[b]";
    switch (op) {
    case WA_OP_ReduceMean: f.end = real ? "v / f32(N)" : is_unsigned ? "v / N" : "v / i32(N)"; break;
    case WA_OP_ReduceMax: f.start = first, f.step = real ? "max_(v, y)" : "max(v, y)", f.join = real ? "max_(x, y)" : "max(x, y)"; break;
    case WA_OP_ReduceMin: f.start = first, f.step = real ? "min_(v, y)" : "min(v, y)", f.join = real ? "min_(x, y)" : "min(x, y)"; break;
    case WA_OP_ReduceProd: f.start = real ? "1.0" : is_unsigned ? "1u" : "1", f.step = "v * y", f.join = "x * y"; break;
    case WA_OP_ReduceL1: f.step = is_unsigned ? "v + y" : "v + abs(y)"; break;
    case WA_OP_ReduceL2: f.step = "v + y * y", f.end = real ? "sqrt(v)" : is_unsigned ? "u32(sqrt(f32(v)))" : "i32(sqrt(f32(v)))"; break;
    case WA_OP_ReduceSumSquare: f.step = "v + y * y"; break;
    case WA_OP_ReduceLogSum: f.end = real ? "log_(v)" : is_unsigned ? "u32(log_(f32(v)))" : "i32(log_(f32(v)))"; break;
    case WA_OP_ReduceLogSumExp:
        f.acc = "f32", f.start = "0.0", f.step = "v + exp(f32(y) - top)";
        f.end = real ? "top + log_(v)" : is_unsigned ? "u32(top + log_(v))" : "i32(top + log_(v))";
        break;
    default: break;
    }
    return f;
}

/* fn name(v, l): v of all lanes joined, the same in each. */
static void joiner(const char *name, const char *array, const char *type, const char *join, uint32_t lanes, wa_wgsl_emit *e)
{
    if (lanes == 1) {
        put(e, "fn %s(v: %s, l: u32) -> %s { return v; }\n", name, type, type);
        return;
    }
    put(e, "fn %s(v: %s, l: u32) -> %s {\n  workgroupBarrier(); %s[l] = v; workgroupBarrier();\n", name, type, type, array);
    for (uint32_t step = lanes / 2; step; step /= 2)
        put(e, "  if (l < %uu) { let y = %s[l + %uu]; let x = %s[l]; %s[l] = %s; }\n  workgroupBarrier();\n", step, array, step, array, array, join);
    put(e, "  return %s[0];\n}\n", array);
}

/* One invocation a result, or one workgroup: sets i, l, b and leaves when there is no such result. */
static void open_main(const uint32_t *s, wa_wgsl_emit *e)
{
    if (s[2] == 1)
        put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
               "  let i = g.y * (nw.x * 64u) + g.x; let l = 0u;\n");
    else
        put(e, "@compute @workgroup_size(%u)\nfn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) nw: vec3u, @builtin(local_invocation_id) t: vec3u) {\n"
               "  let i = w.y * nw.x + w.x; let l = t.x;\n", s[2]);
    put(e, "  if (i >= p.a[0].x) { return; }\n  let b = kept(i); let N = p.a[0].y;\n");
}

static void generate_arg(const uint32_t *s, const char *type, wa_wgsl_emit *e)
{
    const char *more = s[0] == WA_OP_ArgMax ? ">" : "<", *equal = s[5] ? ">" : "<";
    put(e, "struct Best { v: %s, at: u32 }\nfn better(x: Best, y: Best) -> Best { if (y.v %s x.v || (y.v == x.v && y.at %s x.at)) { return y; } return x; }\n", type, more, equal);
    if (s[2] > 1) put(e, "var<workgroup> red: array<Best, %u>;\n", s[2]);
    joiner("best", "red", "Best", "better(x, y)", s[2], e);
    open_main(s, e);
    put(e, "  var v = Best(x[b], 0u);\n  for (var n = l; n < N; n += %uu) { v = better(v, Best(x[b + run(n)], n)); }\n", s[2]);
    put(e, "  let r = best(v, l);\n  if (l == 0u) { o[i] = i32(r.at); }\n}\n");
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    const char *type = wa__wgsl_type(s[1]), *before, *after;
    form f = form_of(s[0], type);
    bool exponents = s[0] == WA_OP_ReduceLogSumExp;
    wa__wgsl_storage(e, 0, "x", type, false);
    wa__wgsl_storage(e, 1, "o", is_arg(s[0]) ? "i32" : type, true);
    wa__wgsl_params(e, 2, 9);
    walk("kept", s[3], 1, e);
    walk("run", s[4], 5, e);
    if (is_arg(s[0])) {
        generate_arg(s, type, e);
        return;
    }
    wa__wgsl_functions(e, WA_FN_MINMAX | (s[0] == WA_OP_ReduceLogSum || exponents ? (uint32_t)WA_FN_LOG : 0u));
    if (s[2] > 1) put(e, "var<workgroup> red: array<%s, %u>;\n", f.acc, s[2]);
    joiner("total", "red", f.acc, f.join, s[2], e);
    if (exponents) joiner("most", "red", "f32", "max_(x, y)", s[2], e);
    open_main(s, e);
    if (exponents)
        put(e, "  var m = f32(x[b]);\n  for (var n = l; n < N; n += %uu) { m = max_(m, f32(x[b + run(n)])); }\n  m = most(m, l);\n"
               "  let top = select(m, 0.0, (bitcast<u32>(m) & 0x7fffffffu) == 0x7f800000u);\n", s[2]);
    wa__wgsl_wrap(s[1], &before, &after);
    put(e, "  var v = %s;\n  for (var n = l; n < N; n += %uu) { let y = x[b + run(n)]; v = %s; }\n  v = total(v, l);\n", f.start, s[2], f.step);
    put(e, "  if (l == 0u) { o[i] = %s%s%s; }\n}\n", before, f.end, after);
}
const wa_wgsl_row wa__wgsl_reduce = {"reduce", check, generate};

static wa_status cumulate_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || (s[0] != WA_OP_CumSum && s[0] != WA_OP_CumProd) || !wa__wgsl_type(s[1]) || s[2] > 3)
        return wa__fail(err, WA_VERIFY, "cumulate: operation %u, dtype %u, flags %u", s[0], s[1], s[2]);
    info->binding_count = 2;
    info->write_mask = 2;
    return WA_OK;
}

static void cumulate_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    const char *type = wa__wgsl_type(s[1]), *before, *after;
    bool sum = s[0] == WA_OP_CumSum, exclusive = s[2] & 1;
    wa__wgsl_wrap(s[1], &before, &after);
    wa__wgsl_storage(e, 0, "x", type, false);
    wa__wgsl_storage(e, 1, "o", type, true);
    wa__wgsl_params(e, 2, 1);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let d = p.a[0]; let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= d.x) { return; }\n"
           "  let at = i / d.z * d.y * d.z + i %% d.z; var v = %s(%d);\n", type, sum ? 0 : 1);
    put(e, "  for (var n = 0u; n < d.y; n++) {\n    let k = at + %s * d.z; let y = x[k];\n", s[2] & 2 ? "(d.y - 1u - n)" : "n");
    if (exclusive) put(e, "    o[k] = v;\n");
    put(e, "    v = %sv %s y%s;\n", before, sum ? "+" : "*", after);
    if (!exclusive) put(e, "    o[k] = v;\n");
    put(e, "  }\n}\n");
}
const wa_wgsl_row wa__wgsl_cumulate = {"cumulate", cumulate_check, cumulate_generate};
