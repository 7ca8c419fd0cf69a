/* Hostile graphs: an ONNX file's bytes through import, shape inference, folding and every pass. What
 * imports must compile or be refused, never crash, hang or leak. */
#include "import/import.h"
#include "kernels/kernels.h"
#include "opt/opt.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compile(wa_graph *g)
{
    wa_error err;
    wa_binding_dim dims[64];
    uint32_t count = g->symbol_count < 64 ? g->symbol_count : 64;
    for (uint32_t i = 0; i < count; i++) dims[i] = (wa_binding_dim){g->symbols[i], 2 + (int64_t)(i & 1)};
    wa_opt_options o = {.eval = wa__kernel_eval};
    if (wa__graph_bind(g, dims, count, &err) != WA_OK) return;
    wa_status s = wa__opt_run(g, &o, &err);
    if (s == WA_INTERNAL) abort(); /* a pass broke the graph */
    if (s != WA_OK) return;
    wa_buf b;
    wa__buf_init(&b, 1 << 24);
    s = wa__graph_print(g, true, &b, &err);
    if (s != WA_OK && s != WA_LIMIT) abort();
    wa__buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wa_error err;
    wa_graph *g;
    wa_model_file file = {WA_STR("model.onnx"), data, size};
    wa_model_files files = {&file, 1};
    if (wa__import_onnx(&files, &file, &g, &err) == WA_OK) {
        compile(g);
        wa__graph_free(g);
    }
    return 0;
}
