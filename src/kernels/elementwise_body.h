/* Body of elementwise_any.c, elementwise_avx2.c and elementwise_avx512.c. See elementwise_vec.h. */
#include "kernels/elementwise_vec.h"
#include "kernels/vec.h"

#define EACH(expression)                                                                           \
    for (int64_t i = 0; i < n; i += V_LANES) {                                                           \
        vf x = v_load(a + i);                                                                      \
        v_store(out + i, (expression));                                                            \
    }                                                                                              \
    break
#define EACH2(expression)                                                                          \
    for (int64_t i = 0; i < n; i += V_LANES) {                                                           \
        vf x = v_load(a + i), y = v_load(b + i);                                                   \
        v_store(out + i, (expression));                                                            \
    }                                                                                              \
    break

void WA_ISA(wa__ew_step)(wa_op op, const float *a, const float *b, const float *c, int64_t n, float *out)
{
    switch (op) {
    case WA_OP_Add: case WA_OP_Sum: EACH2(x + y);
    case WA_OP_Sub: EACH2(x - y);
    case WA_OP_Mul: EACH2(x * y);
    case WA_OP_Div: EACH2(x / y);
    case WA_OP_Min: EACH2(v_min(x, y));
    case WA_OP_Max: EACH2(v_max(x, y));
    case WA_OP_Mean: EACH2((x + y) * 0.5f);
    case WA_OP_PRelu: case WA_OP_LeakyRelu: EACH2(v_pick((vi)(x < 0.0f), x * y, x));
    case WA_OP_Abs: EACH(v_abs(x));
    case WA_OP_Neg: EACH(-x);
    case WA_OP_Exp: EACH(v_exp(x));
    case WA_OP_Sqrt: EACH(v_sqrt(x));
    case WA_OP_Reciprocal: EACH(1.0f / x);
    case WA_OP_Erf: EACH(v_erf(x));
    case WA_OP_Tanh: EACH(v_tanh(x));
    case WA_OP_Sigmoid: EACH(v_sigmoid(x));
    case WA_OP_Relu: EACH(v_pick((vi)(x < 0.0f), v_set(0.0f), x));
    case WA_OP_Gelu:
        if (b && b[0] != 0.0f) { EACH(v_gelu_tanh(x)); }
        EACH(v_gelu(x));
    case WA_OP_Clip:
        for (int64_t i = 0; i < n; i += V_LANES) {
            vf x = v_load(a + i);
            if (b) x = v_max(x, v_load(b + i));
            if (c) x = v_min(x, v_load(c + i));
            v_store(out + i, x);
        }
        break;
    default: break;
    }
}
