/* Attributes of elementwise operators as operands of a fused chain's step: one table for the CPU
 * kernels, the fusing pass and the WebGPU planner. See tensor.h. */
#include "base/tensor.h"

typedef struct row {
    wa_op op;
    const char *name[2]; /* for operands 1 and 2 */
    float fallback[2];
} row;

/* Floating-point attributes; whole numbers and words are below. */
static const row rows[] = {
    {WA_OP_LeakyRelu, {"alpha", NULL}, {0.01f, 0}},
    {WA_OP_Elu, {"alpha", NULL}, {1, 0}},
    {WA_OP_Celu, {"alpha", NULL}, {1, 0}},
    {WA_OP_Selu, {"alpha", "gamma"}, {1.67326319217681884765625f, 1.05070102214813232421875f}},
    {WA_OP_HardSigmoid, {"alpha", "beta"}, {0.2f, 0.5f}},
    {WA_OP_ThresholdedRelu, {"alpha", NULL}, {1, 0}},
    {WA_OP_Shrink, {"bias", "lambd"}, {0, 0.5f}},
};

static bool word_is(const wa_attr *attrs, uint32_t count, const char *name, const char *word)
{
    const wa_attr *a = wa__attr_find(attrs, count, name);
    return a && a->kind == WA_ATTR_KIND_STRING && wa__str_is(a->s, word);
}

uint32_t wa__ew_attr_operands(wa_op op, const wa_attr *attrs, uint32_t count, float value[3])
{
    uint32_t mask = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].op != op) continue;
        for (uint32_t k = 0; k < 2 && rows[i].name[k]; k++) {
            value[1 + k] = wa__attr_float(attrs, count, rows[i].name[k], rows[i].fallback[k]);
            mask |= 2u << k;
        }
        return mask;
    }
    switch (op) {
    case WA_OP_Gelu: value[1] = word_is(attrs, count, "approximate", "tanh") ? 1.0f : 0.0f; return 2;
    case WA_OP_Mod: value[2] = wa__attr_int(attrs, count, "fmod", 0) ? 1.0f : 0.0f; return 4;
    case WA_OP_BitShift: value[2] = word_is(attrs, count, "direction", "LEFT") ? 1.0f : 0.0f; return 4;
    case WA_OP_IsInf:
        value[1] = wa__attr_int(attrs, count, "detect_negative", 1) ? 1.0f : 0.0f;
        value[2] = wa__attr_int(attrs, count, "detect_positive", 1) ? 1.0f : 0.0f;
        return 6;
    case WA_OP_Clip:
        for (uint32_t k = 0; k < 2; k++) {
            const char *name = k ? "max" : "min";
            if (!wa__attr_find(attrs, count, name)) continue;
            value[1 + k] = wa__attr_float(attrs, count, name, 0);
            mask |= 2u << k;
        }
        return mask;
    default: return 0;
    }
}
