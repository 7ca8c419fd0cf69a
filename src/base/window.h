/* Geometry of sliding windows (convolution, pooling and their transposes), from types and attributes.
 * Graph rules, kernels and lowerings all ask here, so that padding is resolved in one place.
 *
 * Spatial axes are right-aligned in three: axis 2 is the last of the tensor; an axis that the tensor
 * does not have is of size 1 with a window of 1. Every number is at most 2^30, and so is the number of a kernel's taps. */
#ifndef WA_WINDOW_H
#define WA_WINDOW_H
#include "base/tensor.h"

#define WA_WINDOW_AXES 3

/* Attribute act of ConvAct: what it does to a sum. act_a and act_b are the attributes of that name.
 * 0 to 6 are FusedMatMul's. */
enum {
    WA_CONV_ACT_NONE = 0, WA_CONV_ACT_GELU, WA_CONV_ACT_GELU_TANH, WA_CONV_ACT_RELU, WA_CONV_ACT_TANH, WA_CONV_ACT_SIGMOID, WA_CONV_ACT_SILU,
    WA_CONV_ACT_CLIP,         /* to [a, b] */
    WA_CONV_ACT_HARD_SIGMOID, /* a*x + b, to [0, 1] */
    WA_CONV_ACT_HARD_SWISH,
    WA_CONV_ACT_LEAKY_RELU,   /* a*x below 0 */
    WA_CONV_ACT_COUNT
};

typedef struct wa_window {
    uint32_t rank;          /* spatial axes of the tensors, 1 to 3 */
    int64_t batch, in_channels, out_channels, groups;
    int64_t in[WA_WINDOW_AXES], out[WA_WINDOW_AXES], kernel[WA_WINDOW_AXES];
    int64_t stride[WA_WINDOW_AXES], dilation[WA_WINDOW_AXES];
    int64_t begin[WA_WINDOW_AXES], end[WA_WINDOW_AXES]; /* padding, auto_pad resolved */
} wa_window;

/* All return NULL, or why the attributes do not fit. Attributes are those of ONNX: kernel_shape,
 * strides, pads, dilations, auto_pad, group, ceil_mode, output_padding, output_shape. */
/* x [N,C,...], w [M,C/group,...] */
const char *wa__window_conv(const wa_tensor_type *x, const wa_tensor_type *w, const wa_attr *attrs, uint32_t count, wa_window *out) WA_MUST_CHECK;
/* x [N,C,...], w [C,M/group,...]; in and out are ConvTranspose's own, so out is the larger. */
const char *wa__window_conv_transpose(const wa_tensor_type *x, const wa_tensor_type *w, const wa_attr *attrs, uint32_t count, wa_window *out) WA_MUST_CHECK;
/* x [N,C,...] */
const char *wa__window_pool(const wa_tensor_type *x, const wa_attr *attrs, uint32_t count, wa_window *out) WA_MUST_CHECK;
/* [batch, out_channels, out...] */
wa_tensor_type wa__window_out(const wa_window *w, wa_dtype dtype);
/* Elements of a kernel, of one channel in and out. */
int64_t wa__window_taps(const wa_window *w);
int64_t wa__window_in_size(const wa_window *w);
int64_t wa__window_out_size(const wa_window *w);

#endif
