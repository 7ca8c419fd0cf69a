/* What a page says its WebNN context can do, from hostile JSON to the planner's table. */
#include "bridge/bridge_int.h"

static uint32_t types_of(const char *list)
{
    static const struct { const char *name; uint32_t d; } known[] = {{"float32", WA_F32}, {"float16", WA_F16}, {"int32", WA_I32}, {"uint32", WA_U32},
        {"int64", WA_I64}, {"uint64", WA_U64}, {"int8", WA_I8}, {"uint8", WA_U8}, {"int4", WA_I4}, {"uint4", WA_U4}};
    uint32_t bits = 0;
    while (*list) {
        size_t n = strcspn(list, ",");
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strlen(known[i].name) == n && memcmp(known[i].name, list, n) == 0) bits |= 1u << known[i].d;
        list += n + (list[n] == ',');
    }
    return bits;
}

static uint16_t rank_of(const json_t *v)
{
    json_int_t r = json_is_integer(v) ? json_integer_value(v) : 0;
    return (uint16_t)(r < 0 ? 0 : r > WA_RANK_MAX ? WA_RANK_MAX : r);
}

/* ["float32,float16", least rank, greatest rank] */
static wa_nn_slot slot_of(const json_t *v)
{
    const char *list = json_string_value(json_array_get(v, 0));
    return (wa_nn_slot){list ? types_of(list) : 0, rank_of(json_array_get(v, 1)), rank_of(json_array_get(v, 2))};
}

void wa__hello_nn(const json_t *hello, wa_nn_limits *out)
{
    const json_t *l = json_object_get(hello, "webnn_limits"), *ops = json_object_get(l, "ops"), *bytes = json_object_get(l, "bytes");
    const char *layout = json_string_value(json_object_get(l, "layout")), *device = json_string_value(json_object_get(hello, "webnn_device"));
    memset(out, 0, sizeof *out);
    out->input = slot_of(json_object_get(l, "input"));
    out->constant = slot_of(json_object_get(l, "constant"));
    out->output = slot_of(json_object_get(l, "output"));
    out->nchw = layout && strcmp(layout, "nchw") == 0;
    if (json_is_number(bytes) && json_number_value(bytes) > 0 && json_number_value(bytes) < 1e15) out->tensor_bytes = (uint64_t)json_number_value(bytes);
    snprintf(out->device, sizeof out->device, "%s", device && strlen(device) < sizeof out->device ? device : "");
    for (uint32_t op = 1; op < WA_NN_COUNT; op++) {
        const wa_nn_op_info *info = wa__nn_op_info(op);
        const json_t *o = info->name ? json_object_get(ops, info->name) : NULL;
        out->ops += o != NULL;
        for (uint32_t i = 0; o && i < WA_NN_SLOTS && info->slots[i]; i++) out->op[op][i] = slot_of(json_object_get(o, info->slots[i]));
    }
}
