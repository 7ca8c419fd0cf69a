/* The WebNN part of a manifest, as page/webnn.js replays it: operands, calls, what its constants are made
 * of. In: a verified plan. */
#include "bridge/bridge_int.h"

static bool push(json_t *list, json_t *v) { return json_array_append_new(list, v) == 0; }

/* Numbers that JSON has no form for, and 64-bit ones, are text. */
static json_t *fill_value(const wa_plan_nn_operand *o)
{
    double v;
    int64_t i;
    char text[64];
    memcpy(&v, &o->bits, 8);
    memcpy(&i, &o->bits, 8);
    if (!wa__dtype_is_float((wa_dtype)o->dtype)) snprintf(text, sizeof text, "%lld", (long long)i);
    else if (v != v) snprintf(text, sizeof text, "NaN");
    else if (v - v != 0) snprintf(text, sizeof text, "%sInfinity", v < 0 ? "-" : "");
    else snprintf(text, sizeof text, "%.17g", v);
    return json_string(text);
}

static json_t *operand(const wa_plan_nn_operand *o)
{
    json_t *dims = json_array();
    bool ok = dims != NULL;
    for (uint32_t i = 0; i < o->rank && ok; i++) ok = push(dims, json_integer(o->dims[i]));
    json_t *a = json_pack("[i, I, i, o]", (int)o->kind, (json_int_t)(o->index == WA_NONE ? -1 : (int64_t)o->index), (int)o->dtype, dims);
    if (a && o->kind == WA_NN_KIND_FILL) ok = push(a, fill_value(o)) && ok;
    if (ok && a) return a;
    json_decref(a);
    return NULL;
}

static json_t *attr_value(const wa_plan *p, const wa_plan_attr *a)
{
    if (a->kind == WA_ATTR_KIND_INT) return json_integer(a->i);
    if (a->kind == WA_ATTR_KIND_FLOAT) return json_real((double)a->f);
    if (a->kind == WA_ATTR_KIND_STRING) return json_string(wa__plan_text(p, (wa_text)a->data));
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < a->count; i++) {
        int64_t v;
        float f;
        if (a->kind == WA_ATTR_KIND_INTS) memcpy(&v, p->data + a->data + (size_t)i * 8, 8);
        else memcpy(&f, p->data + a->data + (size_t)i * 4, 4);
        if (!push(list, a->kind == WA_ATTR_KIND_INTS ? json_integer(v) : json_real((double)f))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *call(const wa_plan *p, const wa_plan_nn_call *c)
{
    json_t *in = json_array(), *out = json_array(), *attrs = json_object(), *label = json_string(wa__plan_text(p, c->label));
    bool ok = in && out && attrs && label;
    for (uint32_t i = 0; i < c->in_count + c->out_count && ok; i++) {
        uint32_t id = p->nn_refs[c->ref_first + i];
        ok = push(i < c->in_count ? in : out, json_integer(id == WA_NONE ? -1 : (json_int_t)id));
    }
    for (uint32_t i = 0; i < c->attr_count && ok; i++) {
        const wa_plan_attr *a = &p->attrs[c->attr_first + i];
        ok = json_object_set_new(attrs, wa__plan_text(p, a->name), attr_value(p, a)) == 0;
    }
    json_t *o = ok ? json_pack("[i, O, O, O, O]", (int)c->op, in, out, attrs, label) : NULL;
    json_decref(in);
    json_decref(out);
    json_decref(attrs);
    json_decref(label);
    return o;
}

static json_t *upload(const wa_plan_weight *w)
{
    char source[16] = "d";
    if (w->source != WA_NONE) snprintf(source, sizeof source, "s%u", w->source);
    return json_pack("[s, I, I, i, I, i, i, [I, I, I, I]]", source, (json_int_t)w->offset, (json_int_t)w->length, (int)w->buffer, (json_int_t)w->dst_offset, (int)w->transform,
                     (int)w->dtype, (json_int_t)w->p[0], (json_int_t)w->p[1], (json_int_t)w->p[3], (json_int_t)w->p[4]);
}

json_t *wa__manifest_nn(const wa_plan *p)
{
    json_t *operands = json_array(), *calls = json_array(), *uploads = json_array();
    bool ok = operands && calls && uploads;
    for (uint32_t i = 0; i < p->nn_operand_count && ok; i++) ok = push(operands, operand(&p->nn_operands[i]));
    for (uint32_t i = 0; i < p->nn_call_count && ok; i++) ok = push(calls, call(p, &p->nn_calls[i]));
    for (uint32_t i = 0; i < p->weight_count && ok; i++) {
        const wa_plan_weight *w = &p->weights[i];
        if (w->buffer != WA_NONE && p->buffers[w->buffer].target == WA_TARGET_WEBNN && w->length) ok = push(uploads, upload(w));
    }
    if (ok) return json_pack("{s:o, s:o, s:o}", "operands", operands, "calls", calls, "uploads", uploads);
    json_decref(operands);
    json_decref(calls);
    json_decref(uploads);
    return NULL;
}
