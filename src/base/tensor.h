/* Tensor views, attributes and element conversions that graph, plan and kernels share. */
#ifndef WA_TENSOR_H
#define WA_TENSOR_H
#include "base/schema_gen.h"
#include "base/str.h"

/* A borrowed dense row-major tensor in host memory. */
typedef struct wa_view {
    wa_tensor_type type;
    void *data; /* type's element count * size bytes; read-only for inputs */
} wa_view;

/* Product of dims; false when a dim is negative or the product passes WA_LIMIT_ELEMENTS. */
bool wa__type_count(const wa_tensor_type *t, int64_t *out);
/* Bytes of a dense tensor (4-bit types rounded up); false as above. */
bool wa__type_bytes(const wa_tensor_type *t, uint64_t *out);
bool wa__type_eq(const wa_tensor_type *a, const wa_tensor_type *b);
/* Element count of a type already checked; bytes likewise. */
int64_t wa__count(const wa_tensor_type *t);
uint64_t wa__bytes(const wa_tensor_type *t);
unsigned wa__dtype_size(wa_dtype d); /* bytes, 0 for sub-byte or unknown */
bool wa__dtype_is_float(wa_dtype d);
/* "f32[2,128,384]" into out. */
void wa__type_text(const wa_tensor_type *t, char *out, size_t n);

float wa__f16_to_f32(uint16_t h);
uint16_t wa__f32_to_f16(float f); /* round to nearest even */
static inline float wa__bf16_to_f32(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
/* Element i of a view as double or int64 (floats truncated, saturating); any dtype but 4-bit. */
double wa__get_f64(const wa_view *v, int64_t i);
int64_t wa__get_i64(const wa_view *v, int64_t i);
void wa__set_f64(const wa_view *v, int64_t i, double x);
void wa__set_i64(const wa_view *v, int64_t i, int64_t x);

/* One attribute of an operator. Arrays and strings are borrowed from the owner's arena. */
typedef struct wa_attr {
    wa_str name;
    wa_attr_kind kind;
    uint32_t count; /* of ints or floats */
    int64_t i;
    float f;
    wa_str s;
    const int64_t *ints;
    const float *floats;
} wa_attr;

const wa_attr *wa__attr_find(const wa_attr *attrs, uint32_t count, const char *name);
int64_t wa__attr_int(const wa_attr *attrs, uint32_t count, const char *name, int64_t fallback);
float wa__attr_float(const wa_attr *attrs, uint32_t count, const char *name, float fallback);

/* Fused elementwise chains (operator Elementwise): words a step, and the mark of no operand. The
 * format is in graph/graph.h. */
#define WA_EW_WORDS  4
#define WA_EW_ABSENT INT32_MIN
/* The numbers that an operator's attributes put in the place of operands 1 and 2 of its step: bit k of
 * the result says that value[k] is one. Inputs that are there come before attributes (Clip). */
uint32_t wa__ew_attr_operands(wa_op op, const wa_attr *attrs, uint32_t count, float value[3]);

/* NumPy broadcasting of two shapes; false when they do not match. */
bool wa__broadcast(const wa_tensor_type *a, const wa_tensor_type *b, wa_tensor_type *out);

#endif
