/* Any bytes as an ONNX file, with one external data file beside it. */
#include "import/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t weights[64] = {1, 2, 3};
    wa_model_file files[2] = {{WA_STR("model.onnx"), data, size},
                              {WA_STR("model.onnx.data"), weights, sizeof weights}};
    wa_model_files m = {files, 2};
    wa_error err;
    wa_graph *g = NULL;
    if (wa__import_onnx(&m, &files[0], &g, &err) == WA_OK) wa__graph_free(g);
    return 0;
}
