/* Shape inference: finds an operator's rule, runs it, checks and stores what it found.
 * In: one node whose inputs are typed. Out: its outputs' types. Called by opt (folding), tests. */
#include "graph/graph_shapes.h"
#include "graph/graph_int.h"
#include "base/checked.h"

static const wa_shape_entry *const groups[] = {wa__shapes_elementwise, wa__shapes_move, wa__shapes_index, wa__shapes_math, wa__shapes_fused, wa__shapes_window,
                                                wa__shapes_seq, wa__shapes_quant, wa__shapes_select};

static wa_shape_rule rule_of(wa_op op)
{
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        for (const wa_shape_entry *e = groups[i]; e->rule; e++)
            if (e->op == op) return e->rule;
    return NULL;
}

bool wa__graph_op_known(wa_op op)
{
    bool control = op == WA_OP_If || op == WA_OP_Loop || op == WA_OP_Scan; /* their sub-graphs need an importer */
    return rule_of(op) || (op != WA_OP_NONE && !control && wa__op_info(op)->name != NULL);
}
bool wa__graph_op_typed(wa_op op) { return rule_of(op) != NULL; }

bool wa__infer_has(const wa_infer *f, uint32_t i) { return i < f->n->input_count && f->n->inputs[i] != WA_NONE; }

const wa_tensor_type *wa__infer_in(const wa_infer *f, uint32_t i)
{
    return wa__infer_has(f, i) ? &f->g->values[f->n->inputs[i]].type : NULL;
}

wa_status wa__infer_bad(wa_infer *f, const char *why)
{
    char shapes[512];
    size_t at = 0;
    shapes[0] = 0;
    for (uint32_t i = 0; i < f->n->input_count && i < 6; i++) {
        char one[200] = "-";
        if (wa__infer_has(f, i)) wa__type_text(wa__infer_in(f, i), one, sizeof one);
        size_t n = strlen(one);
        if (at + n + 2 >= sizeof shapes) break;
        if (at) shapes[at++] = ' ';
        memcpy(shapes + at, one, n + 1);
        at += n;
    }
    return wa__fail(f->err, WA_CORRUPT, "%s: %s (inputs %s)", f->text, why, shapes);
}

wa_status wa__infer_ints(wa_infer *f, uint32_t i, int64_t *out, uint32_t max, uint32_t *count)
{
    if (!wa__infer_has(f, i)) return wa__infer_bad(f, "an input that it needs is omitted");
    const wa_value *v = &f->g->values[f->n->inputs[i]];
    if (v->kind != WA_VALUE_CONST)
        return wa__fail(f->err, WA_DYNAMIC, "%s: its shape depends on data: input %u (%.*s) is known only at run time", f->text, i, WA_STR_ARG(v->name));
    if (!wa__graph_const_ints(f->g, f->n->inputs[i], out, max, count))
        return wa__infer_bad(f, "a list of sizes or axes has the wrong type or length");
    return WA_OK;
}

wa_status wa__infer_list(wa_infer *f, const char *name, uint32_t i, int64_t *out, uint32_t max, uint32_t *count, bool *given)
{
    const wa_attr *a = wa__attr_find(f->n->attrs, f->n->attr_count, name);
    *given = true;
    if (a && a->kind == WA_ATTR_KIND_INTS) {
        if (a->count > max) return wa__infer_bad(f, "an attribute lists too many numbers");
        if (a->count) memcpy(out, a->ints, a->count * sizeof *out);
        *count = a->count;
        return WA_OK;
    }
    if (wa__infer_has(f, i)) return wa__infer_ints(f, i, out, max, count);
    *given = false;
    *count = 0;
    return WA_OK;
}

wa_status wa__infer_axis(wa_infer *f, int64_t axis, uint32_t rank, uint32_t *out)
{
    if (axis < -(int64_t)rank || axis >= (int64_t)rank) return wa__infer_bad(f, "an axis is out of range");
    *out = (uint32_t)(axis < 0 ? axis + rank : axis);
    return WA_OK;
}

wa_status wa__infer_axes(wa_infer *f, uint32_t i, uint32_t rank, bool *flags, bool *given)
{
    int64_t axes[WA_RANK_MAX];
    uint32_t count, axis;
    memset(flags, 0, WA_RANK_MAX * sizeof *flags);
    WA_TRY(wa__infer_list(f, "axes", i, axes, WA_RANK_MAX, &count, given));
    for (uint32_t k = 0; k < count; k++) {
        WA_TRY(wa__infer_axis(f, axes[k], rank, &axis));
        if (flags[axis]) return wa__infer_bad(f, "an axis is named twice");
        flags[axis] = true;
    }
    return WA_OK;
}

wa_status wa__infer_broadcast(wa_infer *f, const wa_tensor_type *a, const wa_tensor_type *b, wa_tensor_type *out)
{
    return wa__broadcast(a, b, out) ? WA_OK : wa__infer_bad(f, "the shapes do not broadcast");
}

/* Inputs there, known and bound. */
static wa_status check_inputs(wa_infer *f)
{
    if ((int64_t)f->n->input_count < wa__op_info(f->n->op)->inputs_min) return wa__infer_bad(f, "it has too few inputs");
    for (uint32_t i = 0; i < f->n->input_count; i++)
        if (f->n->inputs[i] == WA_NONE && !wa__op_may_omit(f->n->op, i)) return wa__infer_bad(f, "a required input is omitted");
    for (uint32_t i = 0; i < f->n->input_count; i++) {
        int64_t n;
        const wa_tensor_type *t = wa__infer_in(f, i);
        if (t && (t->rank > WA_RANK_MAX || t->dtype == WA_DTYPE_NONE || !wa__type_count(t, &n)))
            return wa__fail(f->err, WA_UNSUPPORTED, "%s: the type of input %u (%.*s) is not known", f->text, i, WA_STR_ARG(f->g->values[f->n->inputs[i]].name));
    }
    return WA_OK;
}

static wa_status check_outputs(wa_infer *f)
{
    for (uint32_t i = 0; i < f->n->output_count; i++) {
        int64_t n;
        if (f->out[i].rank > WA_RANK_MAX) return wa__fail(f->err, WA_UNSUPPORTED, "%s: its result has more than %d dimensions", f->text, WA_RANK_MAX);
        if (!wa__type_count(&f->out[i], &n)) return wa__fail(f->err, WA_LIMIT, "%s: its result is too large", f->text);
    }
    return WA_OK;
}

#define FEW 8
wa_status wa__graph_infer_node(wa_graph *g, uint32_t node, wa_error *err)
{
    wa_tensor_type few[FEW] = {{0}}, *many = NULL;
    const wa_node *n = &g->nodes[node];
    wa_infer f = {.g = g, .n = n, .out = few, .err = err};
    wa__node_text(g, node, f.text, sizeof f.text);
    wa_shape_rule rule = rule_of(n->op);
    if (n->subgraph_count) return wa__fail(err, WA_DYNAMIC, "%s: its condition is known only at run time", f.text);
    if (!rule) return wa__fail(err, WA_UNSUPPORTED, "%s: this build lacks the operator, or this form of it", f.text);
    WA_TRY(check_inputs(&f));
    if (n->output_count > FEW) {
        many = wa__alloc(n->output_count, sizeof *many);
        if (!many) return wa__no_memory(err, "shape inference");
        f.out = many;
    }
    wa_status s = rule(&f);
    if (s == WA_OK) s = check_outputs(&f);
    for (uint32_t i = 0; s == WA_OK && i < n->output_count; i++) g->values[n->outputs[i]].type = f.out[i];
    wa__free(many);
    return s;
}
