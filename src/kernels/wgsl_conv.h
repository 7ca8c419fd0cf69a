/* What the convolution generators share. Spec words of all three:
 *   0 flags, 1 act (wa_conv_act), 2..4 kernel, 5..7 stride, 8..10 dilation (depth, height, width),
 *   11.. the kernel's own.
 * Params of all three, 6 vec4u: {outputs, C, M, C/groups} {in depth, height, width, M/groups}
 * {out depth, height, width, groups} {padding before: depth, height, width, 0} {act_a, act_b bits, 0, 0}
 * {packed row in vec4s, 0, 0, 0}. Sizes and padding are params: another image compiles nothing. */
#ifndef WA_WGSL_CONV_H
#define WA_WGSL_CONV_H
#include "base/window.h"
#include "kernels/wgsl_int.h"

/* Common words; false when one is out of range. */
bool wa__wgsl_conv_common(const uint32_t *s, uint32_t flags_allowed, wa_wgsl_info *info);
/* Bindings x, w, bias?, residual?, o, params; constants of the window; fn finish(v, m, at) -> type. */
void wa__wgsl_conv_head(const uint32_t *s, const char *weights, wa_wgsl_emit *e);

#endif
