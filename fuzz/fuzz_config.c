/* Any bytes as config.json beside a small fixed safetensors file: BERT of one layer, two wide. */
#include "import/import.h"
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VOCAB = 4, WIDE = 2, INNER = 3, PLACES = 4, TYPES = 2 };

typedef struct file {
    char header[8192];
    size_t n;
    uint64_t data;
} file;

static void add(file *f, const char *name, int rows, int columns)
{
    uint64_t bytes = 4u * (uint64_t)(rows ? rows : 1) * (uint64_t)columns;
    char shape[32];
    snprintf(shape, sizeof shape, rows ? "[%d,%d]" : "[%.0d%d]", rows, columns);
    f->n += (size_t)snprintf(f->header + f->n, sizeof f->header - f->n,
                             "%s\"%s\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[%llu,%llu]}",
                             f->n > 1 ? "," : "", name, shape, (unsigned long long)f->data,
                             (unsigned long long)(f->data + bytes));
    f->data += bytes;
}

static void add_linear(file *f, const char *name, int in, int out)
{
    char text[128];
    snprintf(text, sizeof text, "%s.weight", name);
    add(f, text, out, in);
    snprintf(text, sizeof text, "%s.bias", name);
    add(f, text, 0, out);
}

static void add_norm(file *f, const char *name)
{
    char text[128];
    snprintf(text, sizeof text, "%s.weight", name);
    add(f, text, 0, WIDE);
    snprintf(text, sizeof text, "%s.bias", name);
    add(f, text, 0, WIDE);
}

/* Made once and kept: header and zeroed data. */
static const uint8_t *weights(size_t *size)
{
    static uint8_t bytes[16384];
    static size_t used;
    file f = {.header = "{", .n = 1};
    if (!used) {
        add(&f, "embeddings.word_embeddings.weight", VOCAB, WIDE);
        add(&f, "embeddings.position_embeddings.weight", PLACES, WIDE);
        add(&f, "embeddings.token_type_embeddings.weight", TYPES, WIDE);
        add_norm(&f, "embeddings.LayerNorm");
        add_linear(&f, "encoder.layer.0.attention.self.query", WIDE, WIDE);
        add_linear(&f, "encoder.layer.0.attention.self.key", WIDE, WIDE);
        add_linear(&f, "encoder.layer.0.attention.self.value", WIDE, WIDE);
        add_linear(&f, "encoder.layer.0.attention.output.dense", WIDE, WIDE);
        add_norm(&f, "encoder.layer.0.attention.output.LayerNorm");
        add_linear(&f, "encoder.layer.0.intermediate.dense", WIDE, INNER);
        add_linear(&f, "encoder.layer.0.output.dense", INNER, WIDE);
        add_norm(&f, "encoder.layer.0.output.LayerNorm");
        f.header[f.n++] = '}';
        uint64_t n = f.n;
        if (8 + n + f.data > sizeof bytes) abort();
        memcpy(bytes, &n, 8);
        memcpy(bytes + 8, f.header, f.n);
        used = 8 + (size_t)n + (size_t)f.data;
    }
    *size = used;
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wa_model_file files[2] = {{WA_STR("config.json"), data, size}, {WA_STR("model.safetensors"), NULL, 0}};
    wa_model_files m = {files, 2};
    wa_error err;
    wa_graph *g = NULL;
    size_t n = 0;
    files[1].data = weights(&n);
    files[1].size = n;
    if (wa__import_hf(&m, &g, &err) == WA_OK) wa__graph_free(g);
    return 0;
}
