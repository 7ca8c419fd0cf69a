/* Test helper: reads graphs in the form that wa__graph_print writes (not canonical), so that golden
 * tests are text to text. More is allowed than is printed: any word may follow %, a node's type may be
 * left out (it is inferred), and constants without contents are filled with different numbers. */
#ifndef WA_GRAPH_TEXT_H
#define WA_GRAPH_TEXT_H
#include "graph/graph.h"
#include "tests.h"
#include <ctype.h>
#include <stdlib.h>

typedef struct reader {
    const char *at;
    wa_graph *g;
    char names[4096][24]; /* by value id */
} reader;

static void skip_blanks(reader *r)
{
    while (*r->at == ' ') r->at++;
}

static bool eat(reader *r, const char *s)
{
    skip_blanks(r);
    size_t n = strlen(s);
    if (strncmp(r->at, s, n) != 0) return false;
    r->at += n;
    return true;
}

static void need(reader *r, const char *s)
{
    if (!eat(r, s)) fail_msg("expected \"%s\" at: %.60s", s, r->at);
}

static void word(reader *r, char *out, size_t n)
{
    size_t i = 0;
    skip_blanks(r);
    while ((isalnum((unsigned char)*r->at) || *r->at == '_' || *r->at == '.') && i + 1 < n) out[i++] = *r->at++;
    out[i] = 0;
    if (i == 0) fail_msg("expected a word at: %.60s", r->at);
}

static void bind_name(reader *r, uint32_t value, const char *name) { snprintf(r->names[value], sizeof r->names[value], "%.23s", name); }

static uint32_t value_of(reader *r)
{
    char name[24];
    need(r, "%");
    word(r, name, sizeof name);
    for (uint32_t i = 0; i < r->g->value_count; i++)
        if (strcmp(r->names[i], name) == 0) return i;
    fail_msg("no value %%%s", name);
    return WA_NONE;
}

static wa_tensor_type type_of(reader *r)
{
    wa_tensor_type t = {0};
    char name[24];
    word(r, name, sizeof name);
    for (uint32_t d = 1; d <= WA_I2; d++)
        if (strcmp(wa__dtype_info(d)->name, name) == 0) t.dtype = (wa_dtype)d;
    if (!t.dtype) fail_msg("no element type %s", name);
    need(r, "[");
    while (!eat(r, "]")) {
        t.dims[t.rank++] = strtoll(r->at, (char **)&r->at, 10);
        eat(r, ",");
    }
    return t;
}

static wa_str comment(reader *r)
{
    if (!eat(r, "#")) return WA_STR("");
    skip_blanks(r);
    size_t n = strcspn(r->at, "\n");
    wa_str s = {r->at, n};
    r->at += n;
    return s;
}

static void read_const(reader *r)
{
    char name[24];
    need(r, "%");
    word(r, name, sizeof name);
    need(r, ":");
    wa_view v = {type_of(r), NULL};
    v.data = calloc(1, (size_t)wa__bytes(&v.type) + 8);
    int64_t n = wa__count(&v.type);
    bool given = eat(r, "=");
    if (given) need(r, "{");
    for (int64_t i = 0; i < n; i++) {
        if (given) {
            wa__set_f64(&v, i, strtod(r->at, (char **)&r->at));
            eat(r, ",");
        } else wa__set_f64(&v, i, wa__dtype_is_float(v.type.dtype) ? 0.1 + (double)((i + 13 * r->g->value_count) % 1000) * 0.001 : (double)(i % 100));
    }
    if (given) need(r, "}");
    uint32_t id = wa__graph_const(r->g, comment(r), &v.type, v.data, -1);
    free(v.data);
    assert_true(id != WA_NONE);
    bind_name(r, id, name);
}

static void read_attr(reader *r, uint32_t node)
{
    char name[64];
    int64_t ints[512];
    float floats[512];
    uint32_t n = 0;
    word(r, name, sizeof name);
    need(r, "=");
    if (eat(r, "\"")) {
        size_t len = strcspn(r->at, "\"");
        assert_true(wa__node_set_str(r->g, node, name, (wa_str){r->at, len}));
        r->at += len + 1;
    } else if (eat(r, "[")) {
        while (!eat(r, "]")) {
            ints[n++] = strtoll(r->at, (char **)&r->at, 10);
            eat(r, ",");
        }
        assert_true(wa__node_set_ints(r->g, node, name, ints, n));
    } else if (eat(r, "<")) {
        while (!eat(r, ">")) {
            floats[n++] = strtof(r->at, (char **)&r->at);
            eat(r, ",");
        }
        assert_true(wa__node_set_floats(r->g, node, name, floats, n));
    } else {
        char *as_int, *as_float;
        long long i = strtoll(r->at, &as_int, 10);
        float f = strtof(r->at, &as_float);
        assert_true(as_float > as_int ? wa__node_set_float(r->g, node, name, f) : wa__node_set_int(r->g, node, name, i));
        r->at = as_float > as_int ? as_float : as_int;
    }
}

static void read_lines(reader *r);

/* "body(2, 1) {", lines, "}" after the line of the node. */
static bool read_child(reader *r, uint32_t node)
{
    const char *start = r->at;
    char name[32];
    while (*r->at == ' ' || *r->at == '\n') r->at++;
    if (!isalpha((unsigned char)*r->at)) {
        r->at = start;
        return false;
    }
    word(r, name, sizeof name);
    if (!eat(r, "(")) {
        r->at = start;
        return false;
    }
    uint32_t first = (uint32_t)strtoul(r->at, (char **)&r->at, 10);
    need(r, ",");
    uint32_t count = (uint32_t)strtoul(r->at, (char **)&r->at, 10);
    need(r, ")");
    need(r, "{");
    reader *child = calloc(1, sizeof *child);
    wa_error err;
    child->at = r->at;
    assert_ok(wa__graph_create(&child->g, &err), err);
    read_lines(child);
    r->at = child->at;
    need(r, "}");
    assert_true(wa__graph_subgraph(r->g, node, wa__str(name), child->g, first, count));
    free(child);
    return true;
}

static void read_node(reader *r)
{
    char outs[8][24], op[32];
    uint32_t out_count = 0, inputs[64], in_count = 0;
    do {
        need(r, "%");
        word(r, outs[out_count++], sizeof outs[0]);
    } while (eat(r, ","));
    need(r, "=");
    word(r, op, sizeof op);
    need(r, "(");
    while (!eat(r, ")")) {
        inputs[in_count++] = eat(r, "-") ? WA_NONE : value_of(r);
        eat(r, ",");
    }
    wa_op id = wa__op_find(op, (uint32_t)strlen(op), "wa"); /* ours first: ONNX has an Attention too */
    if (!id) id = wa__op_find(op, (uint32_t)strlen(op), "");
    if (!id) id = wa__op_find(op, (uint32_t)strlen(op), "ai.onnx.preview");
    if (!id) fail_msg("no operator %s", op);
    uint32_t node = wa__graph_node(r->g, id, WA_STR(""), inputs, in_count, out_count);
    assert_true(node != WA_NONE);
    for (uint32_t i = 0; i < out_count; i++) bind_name(r, r->g->nodes[node].outputs[i], outs[i]);
    if (eat(r, "@")) r->g->nodes[node].opset = (int32_t)strtol(r->at, (char **)&r->at, 10);
    if (eat(r, "{"))
        while (!eat(r, "}")) {
            read_attr(r, node);
            eat(r, ",");
        }
    wa_error err;
    if (eat(r, ":") && !eat(r, "?")) {
        for (uint32_t i = 0; i < out_count; i++, eat(r, ",")) r->g->values[r->g->nodes[node].outputs[i]].type = type_of(r);
    } else if (r->at[-1] != '?' && wa__graph_op_known(id)) assert_ok(wa__graph_infer_node(r->g, node, &err), err);
    wa_str name = comment(r);
    if (name.len) { /* a literal of the test's text: outlives the graph */
        char *copy = wa__arena_strndup(r->g->arena, name.ptr, name.len);
        r->g->nodes[node].name = (wa_str){copy, name.len};
    }
    while (read_child(r, node)) continue;
}

static void read_input(reader *r)
{
    char name[24];
    need(r, "%");
    word(r, name, sizeof name);
    need(r, ":");
    wa_tensor_type t = {.rank = WA_RANK_UNKNOWN};
    if (!eat(r, "?")) t = type_of(r);
    wa_str label = comment(r);
    uint32_t v = wa__graph_input(r->g, label.len ? label : wa__str(name), &t);
    bind_name(r, v, name);
}

static void read_output(reader *r)
{
    uint32_t v = value_of(r);
    wa_str label = comment(r);
    if (label.len) {
        char *copy = wa__arena_strndup(r->g->arena, label.ptr, label.len);
        r->g->values[v].name = (wa_str){copy, label.len};
    }
    assert_true(wa__graph_output(r->g, v));
}

static void read_lines(reader *r)
{
    for (;;) {
        skip_blanks(r);
        if (*r->at == 0 || *r->at == '}') return;
        if (*r->at == '\n') r->at++;
        else if (eat(r, "input")) read_input(r);
        else if (eat(r, "const")) read_const(r);
        else if (eat(r, "output")) read_output(r);
        else read_node(r);
    }
}

static wa_graph *graph_from_text(const char *text)
{
    static reader r;
    wa_error err;
    memset(&r, 0, sizeof r);
    r.at = text;
    assert_ok(wa__graph_create(&r.g, &err), err);
    read_lines(&r);
    assert_ok(wa__graph_verify(r.g, &err), err);
    return r.g;
}

#endif
