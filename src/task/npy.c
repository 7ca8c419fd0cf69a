/* .npy bytes to a tensor view and back. Untrusted bytes. Called by api for named inputs and outputs. */
#include "task/npy.h"
#include "base/limits.h"
#include "base/reader.h"
#include <inttypes.h>

/* The header's text while it is parsed. */
typedef struct text {
    const char *p, *end, *what;
    wa_error *err;
} text;

static wa_status bad(const text *t, const char *why)
{
    return wa__fail(t->err, WA_CORRUPT, "%s: .npy header: %s at \"%.*s\"", t->what, why, (int)(t->end - t->p < 20 ? t->end - t->p : 20), t->p);
}

static void space(text *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\t' || *t->p == '\n' || *t->p == '\r')) t->p++;
}

static bool take(text *t, const char *word)
{
    space(t);
    size_t n = strlen(word);
    if ((size_t)(t->end - t->p) < n || memcmp(t->p, word, n) != 0) return false;
    t->p += n;
    return true;
}

static wa_status quoted(text *t, wa_str *out)
{
    space(t);
    char quote = t->p < t->end ? *t->p : 0;
    if (quote != '\'' && quote != '"') return bad(t, "a string was expected");
    const char *start = t->p + 1, *end = memchr(start, quote, (size_t)(t->end - start));
    if (!end) return bad(t, "a string does not end");
    *out = (wa_str){start, (size_t)(end - start)};
    t->p = end + 1;
    return WA_OK;
}

static wa_status shape(text *t, wa_tensor_type *type)
{
    if (!take(t, "(")) return bad(t, "a shape (a, b, ...) was expected");
    type->rank = 0;
    while (!take(t, ")")) {
        const char *start = t->p;
        while (t->p < t->end && *t->p >= '0' && *t->p <= '9') t->p++;
        int64_t dim;
        if (!wa__parse_i64((wa_str){start, (size_t)(t->p - start)}, &dim)) return bad(t, "a dimension was expected");
        take(t, "L"); /* Python 2's long */
        if (type->rank == WA_RANK_MAX) return wa__fail(t->err, WA_UNSUPPORTED, "%s: more than %d dimensions", t->what, WA_RANK_MAX);
        type->dims[type->rank++] = dim;
        if (take(t, ",")) continue;
        if (!take(t, ")")) return bad(t, "\",\" or \")\" was expected");
        break;
    }
    return WA_OK;
}

static wa_status descr(const text *t, wa_str d, wa_dtype *out)
{
    for (uint32_t i = 1; wa__dtype_info(i) && i <= WA_U4; i++) {
        const wa_dtype_info *info = wa__dtype_info(i);
        if (!*info->npy) continue;
        /* One byte has no order: NumPy writes "|u1", others "<u1". */
        bool same = wa__str_is(d, info->npy) || (info->npy[0] == '|' && d.len && *d.ptr == '<' && wa__str_eq((wa_str){d.ptr + 1, d.len - 1}, wa__str(info->npy + 1)));
        if (!same) continue;
        *out = (wa_dtype)i;
        return WA_OK;
    }
    if (d.len && *d.ptr == '>')
        return wa__fail(t->err, WA_UNSUPPORTED, "%s: big-endian data (%.*s); save it as little-endian", t->what, WA_STR_ARG(d));
    return wa__fail(t->err, WA_UNSUPPORTED, "%s: element type \"%.*s\" is not known here", t->what, WA_STR_ARG(d));
}

static wa_status header(text *t, wa_tensor_type *type)
{
    bool seen[3] = {false}, fortran = false;
    if (!take(t, "{")) return bad(t, "\"{\" was expected");
    while (!take(t, "}")) {
        wa_str key, value;
        WA_TRY(quoted(t, &key));
        if (!take(t, ":")) return bad(t, "\":\" was expected");
        int k = wa__str_is(key, "descr") ? 0 : wa__str_is(key, "fortran_order") ? 1 : wa__str_is(key, "shape") ? 2 : 3;
        if (k == 3 || seen[k]) return bad(t, "an unknown or doubled key before");
        seen[k] = true;
        if (k == 0) {
            space(t);
            if (t->p < t->end && *t->p == '[') return wa__fail(t->err, WA_UNSUPPORTED, "%s: a structured array; save plain numbers", t->what);
            WA_TRY(quoted(t, &value));
            WA_TRY(descr(t, value, &type->dtype));
        } else if (k == 1) {
            fortran = take(t, "True");
            if (!fortran && !take(t, "False")) return bad(t, "True or False was expected");
        } else {
            WA_TRY(shape(t, type));
        }
        if (take(t, ",")) continue;
        if (!take(t, "}")) return bad(t, "\",\" or \"}\" was expected");
        break;
    }
    if (!seen[0] || !seen[1] || !seen[2]) return bad(t, "descr, fortran_order or shape is missing");
    if (fortran && type->rank > 1)
        return wa__fail(t->err, WA_UNSUPPORTED, "%s: the array is in Fortran order; save numpy.ascontiguousarray(a)", t->what);
    space(t);
    return t->p == t->end ? WA_OK : bad(t, "something follows the header");
}

wa_status wa__npy_read(const void *bytes, size_t n, const char *what, wa_view *out, wa_error *err)
{
    wa_reader r = wa__reader(bytes, n, what);
    const uint8_t *magic, *head;
    uint8_t major, minor;
    uint16_t short_length = 0;
    uint32_t length = 0;
    if (n < 6 || memcmp(bytes, "\x93NUMPY", 6) != 0) return wa__fail(err, WA_CORRUPT, "%s: no .npy file (it does not start with \\x93NUMPY)", what);
    WA_TRY(wa__read_bytes(&r, 6, &magic, "magic", err));
    WA_TRY(wa__read_u8(&r, &major, "version", err));
    WA_TRY(wa__read_u8(&r, &minor, "version", err));
    if (major < 1 || major > 3) return wa__fail(err, WA_UNSUPPORTED, "%s: .npy version %u.%u; 1 to 3 are known", what, major, minor);
    if (major == 1) {
        WA_TRY(wa__read_u16(&r, &short_length, "header length", err));
        length = short_length;
    } else {
        WA_TRY(wa__read_u32(&r, &length, "header length", err));
    }
    WA_TRY(wa__read_bytes(&r, length, &head, "header", err));
    text t = {(const char *)head, (const char *)head + length, what, err};
    wa_tensor_type type = {0};
    WA_TRY(header(&t, &type));
    uint64_t size;
    if (!wa__type_bytes(&type, &size)) return wa__fail(err, WA_LIMIT, "%s: the shape has more than %lld elements", what, (long long)WA_LIMIT_ELEMENTS);
    if (size != wa__reader_left(&r))
        return wa__fail(err, WA_CORRUPT, "%s: the shape needs %" PRIu64 " bytes of data; the file has %zu", what, size, wa__reader_left(&r));
    *out = (wa_view){type, (void *)(uintptr_t)(r.data + r.pos)};
    return WA_OK;
}

wa_status wa__npy_write(const wa_view *v, wa_buf *out, wa_error *err)
{
    const wa_dtype_info *info = wa__dtype_info(v->type.dtype);
    uint64_t size;
    if (!info || !*info->npy) return wa__fail(err, WA_UNSUPPORTED, "NumPy has no element type %s; convert to F32 first", info ? info->name : "?");
    if (!wa__type_bytes(&v->type, &size)) return wa__fail(err, WA_LIMIT, "a tensor is too large for a .npy file");
    wa_buf h;
    wa__buf_init(&h, 4096);
    wa_status s = wa__buf_printf(&h, err, "{'descr': '%s', 'fortran_order': False, 'shape': (", info->npy);
    for (uint32_t i = 0; s == WA_OK && i < v->type.rank; i++)
        s = wa__buf_printf(&h, err, "%s%" PRId64 "%s", i ? " " : "", v->type.dims[i], v->type.rank == 1 || i + 1 < v->type.rank ? "," : "");
    if (s == WA_OK) s = wa__buf_printf(&h, err, "), }");
    while (s == WA_OK && (10 + h.len + 1) % 64) s = wa__buf_append(&h, " ", 1, err);
    if (s == WA_OK) s = wa__buf_append(&h, "\n", 1, err);
    /* Rank is at most 8, so that the header never passes version 1's 65535 bytes. */
    const uint8_t head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)(h.len & 0xff), (uint8_t)(h.len >> 8)};
    if (s == WA_OK) s = wa__buf_append(out, head, sizeof head, err);
    if (s == WA_OK) s = wa__buf_append(out, h.ptr, h.len, err);
    if (s == WA_OK) s = wa__buf_append(out, v->data, (size_t)size, err);
    wa__buf_done(&h);
    return s;
}
