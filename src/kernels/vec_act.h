/* The activations that fuse into products and convolutions, V_LANES numbers at a time (see vec.h). */
#ifndef WA_VEC_ACT_H
#define WA_VEC_ACT_H
#include "base/window.h"
#include "kernels/vec.h"

V_INLINE vf v_clip(vf v, vf low, vf high)
{
    v = v_pick((vi)(v < low), low, v);
    return v_pick((vi)(v > high), high, v);
}

/* WA_CONV_ACT_*; a and b as there. */
V_INLINE vf v_activate(uint32_t act, vf v, float a, float b)
{
    switch (act) {
    case WA_CONV_ACT_GELU: return v_gelu(v);
    case WA_CONV_ACT_GELU_TANH: return v_gelu_tanh(v);
    case WA_CONV_ACT_RELU: return v_pick((vi)(v < 0.0f), v_set(0.0f), v);
    case WA_CONV_ACT_TANH: return v_tanh(v);
    case WA_CONV_ACT_SIGMOID: return v_sigmoid(v);
    case WA_CONV_ACT_SILU: return v * v_sigmoid(v);
    case WA_CONV_ACT_CLIP: return v_clip(v, v_set(a), v_set(b));
    case WA_CONV_ACT_HARD_SIGMOID: return v_clip(v * a + b, v_set(0.0f), v_set(1.0f));
    case WA_CONV_ACT_HARD_SWISH: return v * v_clip(v * (1.0f / 6) + 0.5f, v_set(0.0f), v_set(1.0f));
    case WA_CONV_ACT_LEAKY_RELU: return v_pick((vi)(v < 0.0f), v * a, v);
    default: return v;
    }
}

#endif
