/* The table of WGSL kernels: ids are stable numbers, they stand in plans. */
#include "kernels/kernels.h"

wa_status wa__wgsl_check(const wa_wgsl_spec *s, const uint32_t *code, wa_wgsl_info *info, wa_error *err)
{
    (void)code, (void)info;
    return wa__fail(err, WA_VERIFY, "unknown kernel %u", s->kernel);
}

wa_status wa__wgsl_generate(const wa_wgsl_spec *s, const uint32_t *code, wa_buf *out, wa_error *err)
{
    (void)out;
    return wa__wgsl_check(s, code, NULL, err);
}
