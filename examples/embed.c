/* Embeds the sentences given and prints their cosine similarity to the first.
 * build: cc embed.c -lwebaccel -lm     usage: embed MODEL_OR_CID SENTENCE SENTENCE... */
#include <webaccel/webaccel.h>
#include <math.h>
#include <stdio.h>

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

int main(int argc, char **argv)
{
    wa_accelerator *accelerator = NULL;
    wa_accelerate_options options = WA_ACCELERATE_OPTIONS_INIT;
    wa_result *result = NULL;
    wa_error err = {0};
    if (argc < 4) {
        fprintf(stderr, "usage: embed MODEL_OR_CID SENTENCE SENTENCE...\n");
        return 2;
    }
    options.model = argv[1];
    options.texts = (const char *const *)argv + 2;
    options.text_count = (size_t)argc - 2;
    wa_status s = wa_accelerator_create(NULL, &accelerator, &err);
    if (s == WA_OK) s = wa_accelerate(accelerator, &options, &result, &err);
    if (s == WA_OK) {
        const wa_named_tensor *t = wa_result_output(result, 0);
        const float *rows = t->data;
        int64_t n = t->type.dims[1];
        for (int64_t i = 1; i < t->type.dims[0]; i++)
            printf("%.4f  %s\n", dot(rows, rows + i * n, n) / sqrt(dot(rows, rows, n) * dot(rows + i * n, rows + i * n, n)), argv[2 + i]);
        printf("ran on %s: %s\n", wa_result_text(result, "target"), wa_result_text(result, "reason"));
    } else fprintf(stderr, "embed: %s\n", err.message);
    wa_result_free(result);
    wa_accelerator_free(accelerator);
    return s == WA_OK ? 0 : 1;
}
