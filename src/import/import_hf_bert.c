/* BERT encoders (Devlin et al., 2018) as the graph that PyTorch's export of BertModel makes.
 * In: config and weights. Out: inputs input_ids, attention_mask, token_type_ids, i64 [batch, sequence];
 * output last_hidden_state, f32 [batch, sequence, hidden]. Heads of BertForX are not built: the body
 * is. Called by import_hf.c. */
#include "import/import_hf.h"
#include <float.h>
#include <math.h>

typedef struct bert {
    wa_hf *h;
    wa_graph *g;
    int64_t hidden, layers, heads, inner, positions, types, words;
    float epsilon;
    const char *act;
    uint32_t ids, mask, token_types;
    uint32_t bias;  /* f32 [batch,1,1,sequence], 0 or the lowest float where the mask is 0 */
    bool old_names; /* LayerNorm.gamma and .beta */
    bool failed;    /* memory or a limit; checked once per block */
} bert;

/* --- config ---------------------------------------------------------------------------------------- */

static const char *const acts[] = {"gelu",      "gelu_python", "gelu_new", "gelu_pytorch_tanh",
                                   "gelu_fast", "relu",        "tanh",     "sigmoid",
                                   "silu",      "swish"};

static void check_choices(bert *b)
{
    bool known = false;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) known |= strcmp(b->act, acts[i]) == 0;
    if (!known) wa__hf_problem(b->h, "hidden_act", "unknown activation");
    if (strcmp(wa__hf_text(b->h, "position_embedding_type", "absolute"), "absolute") != 0)
        wa__hf_problem(b->h, "position_embedding_type", "only absolute is supported");
    if (wa__hf_bool(b->h, "is_decoder", false))
        wa__hf_problem(b->h, "is_decoder", "only encoders are supported");
    if (wa__hf_bool(b->h, "add_cross_attention", false))
        wa__hf_problem(b->h, "add_cross_attention", "only encoders are supported");
    if (json_is_object(json_object_get(b->h->config, "quantization_config")))
        wa__hf_problem(b->h, "quantization_config", "quantised checkpoints are not supported");
    if (b->hidden % b->heads) wa__hf_problem(b->h, "num_attention_heads", "does not divide hidden_size");
}

/* Defaults are those of transformers' BertConfig. */
static wa_status read_config(bert *b, wa_error *err)
{
    wa_hf *h = b->h;
    b->hidden = wa__hf_int(h, "hidden_size", 768, 1, 1 << 20);
    b->layers = wa__hf_int(h, "num_hidden_layers", 12, 0, 1024);
    b->heads = wa__hf_int(h, "num_attention_heads", 12, 1, 1 << 16);
    b->inner = wa__hf_int(h, "intermediate_size", 3072, 1, 1 << 24);
    b->positions = wa__hf_int(h, "max_position_embeddings", 512, 1, 1 << 20);
    b->types = wa__hf_int(h, "type_vocab_size", 2, 1, 1 << 20);
    b->words = wa__hf_int(h, "vocab_size", 30522, 1, 1 << 30);
    b->epsilon = (float)wa__hf_float(h, "layer_norm_eps", 1e-12);
    b->act = wa__hf_text(h, "hidden_act", "gelu");
    check_choices(b);
    return wa__hf_config_done(h, err);
}

/* --- nodes ----------------------------------------------------------------------------------------- */

static uint32_t node(bert *b, wa_op op, const uint32_t *inputs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) b->failed |= inputs[i] == WA_NONE;
    uint32_t n = b->failed ? WA_NONE : wa__graph_node(b->g, op, WA_STR(""), inputs, count, 1);
    b->failed |= n == WA_NONE;
    if (n != WA_NONE) b->g->nodes[n].opset = WA_HF_OPSET;
    return n;
}

static uint32_t result(const bert *b, uint32_t n) { return b->failed ? WA_NONE : b->g->nodes[n].outputs[0]; }

static uint32_t unary(bert *b, wa_op op, uint32_t x) { return result(b, node(b, op, &x, 1)); }

static uint32_t binary(bert *b, wa_op op, uint32_t x, uint32_t y)
{
    return result(b, node(b, op, (uint32_t[]){x, y}, 2));
}

static uint32_t transpose(bert *b, uint32_t x, uint32_t rank, const int64_t *perm)
{
    uint32_t n = node(b, WA_OP_Transpose, &x, 1);
    b->failed |= b->failed || !wa__node_set_ints(b->g, n, "perm", perm, rank);
    return result(b, n);
}

/* Dims of 0 are x's own. */
static uint32_t reshape(bert *b, uint32_t x, uint32_t rank, const int64_t *dims)
{
    return binary(b, WA_OP_Reshape, x, wa__graph_const_i64(b->g, dims, rank));
}

static uint32_t unsqueeze(bert *b, uint32_t x, int64_t axis)
{
    return binary(b, WA_OP_Unsqueeze, x, wa__graph_const_i64(b->g, &axis, 1));
}

static uint32_t gather(bert *b, uint32_t data, uint32_t indices)
{
    uint32_t n = node(b, WA_OP_Gather, (uint32_t[]){data, indices}, 2);
    b->failed |= b->failed || !wa__node_set_int(b->g, n, "axis", 0);
    return result(b, n);
}

static wa_status checked(const bert *b, wa_error *err)
{
    return b->failed ? wa__no_memory(err, "the graph") : WA_OK;
}

/* x times the stored [out, in] weight, transposed, plus its bias: as nn.Linear exports. */
static wa_status linear(bert *b, const char *name, uint32_t x, int64_t in, int64_t out, uint32_t *y,
                        wa_error *err)
{
    char text[160];
    uint32_t w = WA_NONE, bias = WA_NONE;
    snprintf(text, sizeof text, "%s.weight", name);
    WA_TRY(wa__hf_weight(b->h, text, 2, (int64_t[]){out, in}, &w, err));
    snprintf(text, sizeof text, "%s.bias", name);
    WA_TRY(wa__hf_weight(b->h, text, 1, &out, &bias, err));
    uint32_t product = node(b, WA_OP_MatMul, (uint32_t[]){x, transpose(b, w, 2, (int64_t[]){1, 0})}, 2);
    if (!b->failed) b->g->nodes[product].name = wa__str(wa__arena_strndup(b->g->arena, name, strlen(name)));
    *y = binary(b, WA_OP_Add, bias, result(b, product));
    return checked(b, err);
}

static wa_status layer_norm(bert *b, const char *name, uint32_t x, uint32_t *y, wa_error *err)
{
    char text[160];
    uint32_t gamma = WA_NONE, beta = WA_NONE;
    snprintf(text, sizeof text, "%s.%s", name, b->old_names ? "gamma" : "weight");
    WA_TRY(wa__hf_weight(b->h, text, 1, &b->hidden, &gamma, err));
    snprintf(text, sizeof text, "%s.%s", name, b->old_names ? "beta" : "bias");
    WA_TRY(wa__hf_weight(b->h, text, 1, &b->hidden, &beta, err));
    uint32_t n = node(b, WA_OP_LayerNormalization, (uint32_t[]){x, gamma, beta}, 3);
    if (b->failed || !wa__node_set_int(b->g, n, "axis", -1) ||
        !wa__node_set_float(b->g, n, "epsilon", b->epsilon))
        b->failed = true;
    if (!b->failed) b->g->nodes[n].name = wa__str(wa__arena_strndup(b->g->arena, name, strlen(name)));
    *y = result(b, n);
    return checked(b, err);
}

static uint32_t activation(bert *b, uint32_t x)
{
    if (strcmp(b->act, "relu") == 0) return unary(b, WA_OP_Relu, x);
    if (strcmp(b->act, "tanh") == 0) return unary(b, WA_OP_Tanh, x);
    if (strcmp(b->act, "sigmoid") == 0) return unary(b, WA_OP_Sigmoid, x);
    if (strcmp(b->act, "silu") == 0 || strcmp(b->act, "swish") == 0)
        return binary(b, WA_OP_Mul, x, unary(b, WA_OP_Sigmoid, x));
    bool exact = strcmp(b->act, "gelu") == 0 || strcmp(b->act, "gelu_python") == 0;
    uint32_t n = node(b, WA_OP_Gelu, &x, 1);
    b->failed |=
        b->failed || !wa__node_set_str(b->g, n, "approximate", exact ? WA_STR("none") : WA_STR("tanh"));
    return result(b, n);
}

/* --- the model ------------------------------------------------------------------------------------- */

static wa_status add_inputs(bert *b, wa_error *err)
{
    uint32_t batch = wa__graph_symbol(b->g, WA_STR("batch")),
             sequence = wa__graph_symbol(b->g, WA_STR("sequence"));
    wa_tensor_type t = {WA_I64, 2, {-1 - (int64_t)batch, -1 - (int64_t)sequence}};
    if (batch == WA_NONE || sequence == WA_NONE) return wa__no_memory(err, "symbols");
    b->ids = wa__graph_input(b->g, WA_STR("input_ids"), &t);
    b->mask = wa__graph_input(b->g, WA_STR("attention_mask"), &t);
    b->token_types = wa__graph_input(b->g, WA_STR("token_type_ids"), &t);
    b->failed = b->ids == WA_NONE || b->mask == WA_NONE || b->token_types == WA_NONE;
    return checked(b, err);
}

/* Positions 0 to sequence-1 as [1, sequence]: the head of a constant, by input_ids' shape. */
static wa_status positions(bert *b, uint32_t *out, wa_error *err)
{
    int64_t zero = 0, one = 1;
    int64_t *all = wa__alloc((size_t)b->positions, sizeof *all);
    if (!all) return wa__no_memory(err, "positions");
    for (int64_t i = 0; i < b->positions; i++) all[i] = i;
    wa_tensor_type t = {WA_I64, 2, {1, b->positions}}, scalar = {WA_I64, 0, {0}};
    uint32_t table = wa__graph_const(b->g, WA_STR(""), &t, all, -1);
    wa__free(all);
    uint32_t second = wa__graph_const(b->g, WA_STR(""), &scalar, &one, -1);
    uint32_t length = unsqueeze(b, gather(b, unary(b, WA_OP_Shape, b->ids), second), 0);
    uint32_t inputs[] = {table, wa__graph_const_i64(b->g, &zero, 1), length,
                         wa__graph_const_i64(b->g, &one, 1), wa__graph_const_i64(b->g, &one, 1)};
    *out = result(b, node(b, WA_OP_Slice, inputs, 5));
    return checked(b, err);
}

static wa_status embeddings(bert *b, uint32_t *x, wa_error *err)
{
    uint32_t word = WA_NONE, position = WA_NONE, type = WA_NONE, places = WA_NONE;
    WA_TRY(wa__hf_weight(b->h, "embeddings.word_embeddings.weight", 2, (int64_t[]){b->words, b->hidden},
                         &word, err));
    WA_TRY(wa__hf_weight(b->h, "embeddings.position_embeddings.weight", 2,
                         (int64_t[]){b->positions, b->hidden}, &position, err));
    WA_TRY(wa__hf_weight(b->h, "embeddings.token_type_embeddings.weight", 2, (int64_t[]){b->types, b->hidden},
                         &type, err));
    WA_TRY(positions(b, &places, err));
    uint32_t of_words = gather(b, word, b->ids), of_types = gather(b, type, b->token_types);
    uint32_t sum = binary(b, WA_OP_Add, of_words, of_types);
    sum = binary(b, WA_OP_Add, sum, gather(b, position, places));
    return layer_norm(b, "embeddings.LayerNorm", sum, x, err);
}

/* (1 - mask) * lowest float, [batch, 1, 1, sequence]. */
static wa_status mask_bias(bert *b, wa_error *err)
{
    uint32_t n = node(b, WA_OP_Cast, (uint32_t[]){unsqueeze(b, unsqueeze(b, b->mask, 1), 2)}, 1);
    b->failed |= b->failed || !wa__node_set_int(b->g, n, "to", WA_F32);
    uint32_t off = binary(b, WA_OP_Sub, wa__graph_const_f32(b->g, 1.0f), result(b, n));
    b->bias = binary(b, WA_OP_Mul, off, wa__graph_const_f32(b->g, -FLT_MAX));
    return checked(b, err);
}

/* One of query, key, value, split into heads: [batch, heads, sequence, size], key with its last two turned. */
static wa_status heads(bert *b, int64_t layer, const char *which, uint32_t x, const int64_t *perm,
                       uint32_t *out, wa_error *err)
{
    char name[96];
    uint32_t y = WA_NONE;
    snprintf(name, sizeof name, "encoder.layer.%lld.attention.self.%s", (long long)layer, which);
    WA_TRY(linear(b, name, x, b->hidden, b->hidden, &y, err));
    y = reshape(b, y, 4, (int64_t[]){0, 0, b->heads, b->hidden / b->heads});
    *out = transpose(b, y, 4, perm);
    return checked(b, err);
}

static wa_status attention(bert *b, int64_t layer, uint32_t x, uint32_t *out, wa_error *err)
{
    static const int64_t split[] = {0, 2, 1, 3}, turned[] = {0, 2, 3, 1};
    uint32_t q = WA_NONE, k = WA_NONE, v = WA_NONE;
    WA_TRY(heads(b, layer, "query", x, split, &q, err));
    WA_TRY(heads(b, layer, "key", x, turned, &k, err));
    WA_TRY(heads(b, layer, "value", x, split, &v, err));
    uint32_t root = wa__graph_const_f32(b->g, (float)sqrt((double)(b->hidden / b->heads)));
    uint32_t scores = binary(b, WA_OP_Div, binary(b, WA_OP_MatMul, q, k), root);
    scores = binary(b, WA_OP_Add, scores, b->bias);
    uint32_t n = node(b, WA_OP_Softmax, &scores, 1);
    b->failed |= b->failed || !wa__node_set_int(b->g, n, "axis", -1);
    uint32_t y = transpose(b, binary(b, WA_OP_MatMul, result(b, n), v), 4, split);
    *out = reshape(b, y, 3, (int64_t[]){0, 0, b->hidden});
    return checked(b, err);
}

/* A linear, then the residual and its norm. */
static wa_status block_end(bert *b, int64_t layer, const char *part, uint32_t x, int64_t in,
                           uint32_t residual, uint32_t *out, wa_error *err)
{
    char name[96];
    uint32_t y = WA_NONE;
    snprintf(name, sizeof name, "encoder.layer.%lld.%s.dense", (long long)layer, part);
    WA_TRY(linear(b, name, x, in, b->hidden, &y, err));
    snprintf(name, sizeof name, "encoder.layer.%lld.%s.LayerNorm", (long long)layer, part);
    return layer_norm(b, name, binary(b, WA_OP_Add, y, residual), out, err);
}

static wa_status encoder_layer(bert *b, int64_t layer, uint32_t *x, wa_error *err)
{
    char name[96];
    uint32_t y = WA_NONE, middle = WA_NONE;
    WA_TRY(attention(b, layer, *x, &y, err));
    WA_TRY(block_end(b, layer, "attention.output", y, b->hidden, *x, &middle, err));
    snprintf(name, sizeof name, "encoder.layer.%lld.intermediate.dense", (long long)layer);
    WA_TRY(linear(b, name, middle, b->hidden, b->inner, &y, err));
    return block_end(b, layer, "output", activation(b, y), b->inner, middle, x, err);
}

wa_status wa__hf_build_bert(wa_hf *h, wa_error *err)
{
    bert b = {.h = h, .g = h->g};
    uint32_t x = WA_NONE;
    WA_TRY(read_config(&b, err));
    if (wa__hf_has(h, "bert.", "embeddings.word_embeddings.weight")) h->prefix = "bert.";
    b.old_names = wa__hf_has(h, h->prefix, "embeddings.LayerNorm.gamma");
    WA_TRY(add_inputs(&b, err));
    WA_TRY(embeddings(&b, &x, err));
    WA_TRY(mask_bias(&b, err));
    for (int64_t i = 0; i < b.layers; i++) WA_TRY(encoder_layer(&b, i, &x, err));
    h->g->values[x].name = WA_STR("last_hidden_state");
    if (!wa__graph_output(h->g, x)) return wa__no_memory(err, "the output");
    return WA_OK;
}
