/* Control flow whose condition is known only at run time: the host reads it and runs the child stage.
 * In: slots. Out: the step's output slots filled. Called by program_run.c.
 * ONNX If-16, Loop-16, Scan-16 (sections of the operator specification). */
#include "program/program_int.h"

enum { TRIPS_MAX = 1 << 24 };


static bool truth(const wa_view *v) { return v->data && wa__get_i64(v, 0) != 0; }

static wa_status run_if(wa_program *p, const wa_node *n, const program_step *s, wa_view *slots, wa_error *err)
{
    bool yes = truth(&slots[s->from[0]]);
    const wa_subgraph *sub = wa__node_subgraph(n, yes ? "then_branch" : "else_branch");
    program_stage *child = s->child[yes ? 0 : 1];
    wa_view *in = wa__alloc(sub->capture_count + 1u, sizeof *in), *out = wa__alloc(n->output_count + 1u, sizeof *out);
    wa_status st = in && out ? WA_OK : wa__no_memory(err, "If");
    if (st == WA_OK && child->graph->output_count != n->output_count) st = wa__fail(err, WA_CORRUPT, "If node \"%.*s\": a branch has another number of outputs", WA_STR_ARG(n->name));
    for (uint32_t i = 0; st == WA_OK && i < sub->capture_count; i++) in[i] = slots[s->from[sub->capture_first + i]];
    if (st == WA_OK) st = program_stage_run(p, child, in, out, err);
    for (uint32_t i = 0; st == WA_OK && i < n->output_count; i++) slots[s->to[i]] = out[i];
    wa__free(in);
    wa__free(out);
    return st;
}

/* --- results of all iterations, one after another ----------------------------------------------------- */

typedef struct rows {
    wa_tensor_type type; /* of one iteration's */
    wa_buf bytes;
    uint32_t count;
} rows;

static wa_status rows_add(rows *r, const wa_view *v, wa_error *err)
{
    if (r->count && !wa__type_eq(&r->type, &v->type)) return wa__fail(err, WA_INVALID_ARGUMENT, "a scan output changes its shape from one iteration to the next");
    r->type = v->type;
    r->count++;
    return wa__buf_append(&r->bytes, v->data, (size_t)wa__bytes(&v->type), err);
}

/* [count, ...] in memory of its own; iterations stacked along `axis`, last one first when reversed. */
static wa_status rows_take(const rows *r, const wa_tensor_type *none, int64_t axis, bool reversed, wa_view *out, wa_error *err)
{
    wa_tensor_type one = r->count ? r->type : *none, all = {one.dtype, one.rank + 1, {0}};
    size_t unit = wa__dtype_size(one.dtype);
    if (one.rank >= WA_RANK_MAX || !unit) return wa__fail(err, WA_UNSUPPORTED, "a scan output of rank %u", one.rank);
    if (axis < 0) axis += all.rank;
    if (axis < 0 || axis >= (int64_t)all.rank) return wa__fail(err, WA_CORRUPT, "a scan output's axis is out of range");
    for (uint32_t d = 0, k = 0; d < all.rank; d++) all.dims[d] = d == (uint32_t)axis ? (int64_t)r->count : one.dims[k++];
    size_t bytes = (size_t)wa__bytes(&all), outer = 1, inner = unit;
    *out = (wa_view){all, wa__alloc(1, bytes ? bytes : 1)};
    if (!out->data) return wa__no_memory(err, "a scan output");
    for (uint32_t d = 0; d < (uint32_t)axis; d++) outer *= (size_t)one.dims[d];
    for (uint32_t d = (uint32_t)axis; d < one.rank; d++) inner *= (size_t)one.dims[d];
    for (size_t i = 0; bytes && i < r->count; i++) {
        size_t at = reversed ? r->count - 1 - i : i;
        for (size_t o = 0; o < outer; o++)
            memcpy((char *)out->data + (o * r->count + at) * inner, (const char *)r->bytes.ptr + (i * outer + o) * inner, inner);
    }
    return WA_OK;
}

/* --- one iteration after another ------------------------------------------------------------------------ */

typedef struct loop {
    wa_program *p;
    const wa_node *n;
    const wa_subgraph *sub;
    program_stage *body;
    wa_view *in, *out;   /* of the body */
    wa_view *state;      /* carried values: memory owned */
    rows *scans;
    uint32_t fixed;      /* inputs of the body before the carried ones */
    uint32_t skip;       /* outputs of the body before the carried ones */
    uint32_t states, scan_count, scan_inputs;
} loop;

static wa_status loop_begin(loop *l, const program_step *s, const wa_view *slots, uint32_t first_state, wa_error *err)
{
    const wa_graph *g = l->body->graph;
    uint32_t own = l->sub->capture_first, captures = l->sub->capture_count;
    if (own < first_state + l->scan_inputs) return wa__fail(err, WA_CORRUPT, "%s has too few inputs", wa__op_info(l->n->op)->name);
    l->states = own - first_state - l->scan_inputs;
    if (g->input_count != l->fixed + l->states + l->scan_inputs + captures || g->output_count < l->skip + l->states ||
        l->n->output_count > g->output_count - l->skip || l->n->output_count < l->states)
        return wa__fail(err, WA_CORRUPT, "%s node \"%.*s\": its body has %u inputs and %u outputs, which do not fit", wa__op_info(l->n->op)->name,
                        WA_STR_ARG(l->n->name), g->input_count, g->output_count);
    l->scan_count = g->output_count - l->skip - l->states;
    l->in = wa__alloc(g->input_count + 1u, sizeof *l->in);
    l->out = wa__alloc(g->output_count + 1u, sizeof *l->out);
    l->state = wa__alloc(l->states + 1u, sizeof *l->state);
    l->scans = wa__alloc(l->scan_count + 1u, sizeof *l->scans);
    if (!l->in || !l->out || !l->state || !l->scans) return wa__no_memory(err, "a loop");
    for (uint32_t i = 0; i < l->scan_count; i++) wa__buf_init(&l->scans[i].bytes, (size_t)1 << 34);
    for (uint32_t i = 0; i < l->states; i++) {
        if (s->from[first_state + i] == WA_NONE) return wa__fail(err, WA_CORRUPT, "%s: a loop-carried value is omitted", wa__op_info(l->n->op)->name);
        WA_TRY(program_copy(&slots[s->from[first_state + i]], &l->state[i], err));
    }
    for (uint32_t i = 0; i < captures; i++) l->in[g->input_count - captures + i] = slots[s->from[own + i]];
    return WA_OK;
}

static wa_status loop_once(loop *l, wa_error *err)
{
    for (uint32_t i = 0; i < l->states; i++) l->in[l->fixed + i] = l->state[i];
    WA_TRY(program_stage_run(l->p, l->body, l->in, l->out, err));
    wa_status s = WA_OK;
    for (uint32_t i = 0; i < l->states; i++) {
        wa__free(l->state[i].data);
        l->state[i] = l->out[l->skip + i];
        l->out[l->skip + i].data = NULL;
    }
    for (uint32_t i = 0; s == WA_OK && i < l->scan_count; i++) s = rows_add(&l->scans[i], &l->out[l->skip + l->states + i], err);
    for (uint32_t i = l->skip + l->states; i < l->body->graph->output_count; i++) {
        wa__free(l->out[i].data);
        l->out[i].data = NULL;
    }
    return s;
}

/* What a scan output of no iterations is: its type, as the body planned for the first iteration tells it. */
static wa_status empty_type(loop *l, uint32_t scan, wa_tensor_type *out, wa_error *err)
{
    program_variant *v;
    for (uint32_t i = 0; i < l->states; i++) l->in[l->fixed + i] = l->state[i];
    WA_TRY(program_variant_of(l->p, l->body, l->in, &v, err));
    *out = v->graph->values[v->graph->outputs[l->skip + l->states + scan]].type;
    if (out->rank <= WA_RANK_MAX) return WA_OK;
    return wa__fail(err, WA_DYNAMIC, "%s node \"%.*s\" runs no iteration, and the shape of its scan output depends on data", wa__op_info(l->n->op)->name,
                    WA_STR_ARG(l->n->name));
}

static int64_t listed(const wa_node *n, const char *name, uint32_t i)
{
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, name);
    return a && a->kind == WA_ATTR_KIND_INTS && i < a->count ? a->ints[i] : 0;
}

static wa_status loop_end(loop *l, const program_step *s, wa_view *slots, wa_error *err)
{
    for (uint32_t i = 0; i < l->scan_count && l->states + i < l->n->output_count; i++) {
        wa_tensor_type none = {.rank = 0};
        if (!l->scans[i].count) WA_TRY(empty_type(l, i, &none, err));
        bool reversed = listed(l->n, "scan_output_directions", i) != 0;
        WA_TRY(rows_take(&l->scans[i], &none, listed(l->n, "scan_output_axes", i), reversed, &slots[s->to[l->states + i]], err));
    }
    for (uint32_t i = 0; i < l->states; i++) {
        slots[s->to[i]] = l->state[i];
        l->state[i].data = NULL;
    }
    return WA_OK;
}

static void loop_done(loop *l)
{
    for (uint32_t i = 0; l->state && i < l->states; i++) wa__free(l->state[i].data);
    for (uint32_t i = 0; l->out && i < l->body->graph->output_count; i++) wa__free(l->out[i].data);
    for (uint32_t i = 0; l->scans && i < l->scan_count; i++) wa__buf_done(&l->scans[i].bytes);
    wa__free(l->in);
    wa__free(l->out);
    wa__free(l->state);
    wa__free(l->scans);
}

static wa_status iterate(loop *l, const program_step *s, wa_view *slots, wa_error *err)
{
    int64_t limit = s->from[0] == WA_NONE ? TRIPS_MAX : wa__get_i64(&slots[s->from[0]], 0);
    uint8_t go = s->from[1] == WA_NONE || truth(&slots[s->from[1]]);
    int64_t i = 0;
    WA_TRY(loop_begin(l, s, slots, 2, err));
    l->in[0] = (wa_view){{WA_I64, 0, {0}}, &i};
    l->in[1] = (wa_view){{WA_BOOL, 0, {0}}, &go};
    for (; i < limit && go; i++) {
        if (i == TRIPS_MAX) return wa__fail(err, WA_LIMIT, "Loop node \"%.*s\" runs more than %d times", WA_STR_ARG(l->n->name), TRIPS_MAX);
        WA_TRY(loop_once(l, err));
        bool more = truth(&l->out[0]);
        wa__free(l->out[0].data);
        l->out[0].data = NULL;
        go = more;
    }
    return loop_end(l, s, slots, err);
}

/* Slice i along the axis, dense, into out (memory of the right size). */
static void slice(const wa_view *x, uint32_t axis, int64_t i, wa_view *out)
{
    size_t unit = wa__dtype_size(x->type.dtype), outer = 1, inner = unit;
    for (uint32_t d = 0; d < axis; d++) outer *= (size_t)x->type.dims[d];
    for (uint32_t d = axis + 1; d < x->type.rank; d++) inner *= (size_t)x->type.dims[d];
    for (size_t o = 0; o < outer; o++)
        memcpy((char *)out->data + o * inner, (const char *)x->data + (o * (size_t)x->type.dims[axis] + (size_t)i) * inner, inner);
}

static wa_status scan_axis(const wa_node *n, const wa_view *x, uint32_t k, uint32_t *axis, wa_error *err)
{
    int64_t a = listed(n, "scan_input_axes", k);
    if (a < 0) a += x->type.rank;
    if (a < 0 || a >= (int64_t)x->type.rank || !wa__dtype_size(x->type.dtype)) return wa__fail(err, WA_CORRUPT, "Scan: the axis of input %u is out of range", k);
    *axis = (uint32_t)a;
    return WA_OK;
}

static wa_status scan(loop *l, const program_step *s, wa_view *slots, wa_error *err)
{
    uint32_t first = l->sub->capture_first - l->scan_inputs, axis;
    int64_t trips = -1;
    WA_TRY(loop_begin(l, s, slots, 0, err));
    wa_view *x = l->in + l->states;
    for (uint32_t k = 0; k < l->scan_inputs; k++) {
        const wa_view *from = &slots[s->from[first + k]];
        WA_TRY(scan_axis(l->n, from, k, &axis, err));
        if (trips >= 0 && trips != from->type.dims[axis]) return wa__fail(err, WA_CORRUPT, "Scan: its inputs have different lengths");
        trips = from->type.dims[axis];
    }
    for (int64_t i = 0; i < trips; i++) {
        wa_status st = WA_OK;
        for (uint32_t k = 0; k < l->scan_inputs; k++) x[k].data = NULL;
        for (uint32_t k = 0; st == WA_OK && k < l->scan_inputs; k++) {
            const wa_view *from = &slots[s->from[first + k]];
            st = scan_axis(l->n, from, k, &axis, err);
            if (st != WA_OK) break;
            x[k].type = (wa_tensor_type){from->type.dtype, from->type.rank - 1, {0}};
            for (uint32_t d = 0, o = 0; d < from->type.rank; d++)
                if (d != axis) x[k].type.dims[o++] = from->type.dims[d];
            x[k].data = wa__alloc(1, (size_t)wa__bytes(&x[k].type) + 1);
            if (!x[k].data) st = wa__no_memory(err, "Scan");
            else slice(from, axis, listed(l->n, "scan_input_directions", k) ? trips - 1 - i : i, &x[k]);
        }
        if (st == WA_OK) st = loop_once(l, err);
        for (uint32_t k = 0; k < l->scan_inputs; k++) wa__free(x[k].data);
        WA_TRY(st);
    }
    return loop_end(l, s, slots, err);
}

wa_status program_step_run(wa_program *p, const program_variant *v, const program_step *s, wa_view *slots, wa_error *err)
{
    const wa_node *n = &v->graph->nodes[s->node];
    if (n->op == WA_OP_If) return run_if(p, n, s, slots, err);
    loop l = {.p = p, .n = n, .sub = wa__node_subgraph(n, "body"), .body = s->child[0]};
    wa_status st;
    if (n->op == WA_OP_Loop) {
        l.fixed = 2;
        l.skip = 1;
        st = iterate(&l, s, slots, err);
    } else {
        l.scan_inputs = (uint32_t)wa__node_int(n, "num_scan_inputs", 0);
        st = l.scan_inputs && l.scan_inputs <= l.sub->capture_first ? scan(&l, s, slots, err) : wa__fail(err, WA_CORRUPT, "Scan: num_scan_inputs does not fit its inputs");
    }
    loop_done(&l);
    return st;
}
