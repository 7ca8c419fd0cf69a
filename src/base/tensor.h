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
bool wa__dtype_is_float(wa_dtype d); /* the small ones too */
bool wa__dtype_is_packed(wa_dtype d); /* several elements a byte, low bits first */
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
/* Floats of 8 and 4 bits (tensor_narrow.c). */
typedef enum wa_small_kind {
    WA_SMALL_ALL_ONES_NAN = 1, /* no infinity, NaN is all ones: E4M3FN */
    WA_SMALL_SIGN_NAN,         /* no infinity, no negative zero, NaN is the sign alone: FNUZ */
    WA_SMALL_INFINITE,         /* as IEEE's: E5M2 */
    WA_SMALL_FINITE,           /* neither: E2M1 */
    WA_SMALL_SCALE             /* powers of two, no sign, NaN is all ones: E8M0 */
} wa_small_kind;
typedef struct wa_small_float {
    wa_dtype dtype;
    uint8_t exponent_bits, mantissa_bits, bias;
    wa_small_kind kind;
} wa_small_float;
typedef enum wa_round_mode { WA_ROUND_UP = 0, WA_ROUND_DOWN, WA_ROUND_NEAREST } wa_round_mode; /* for E8M0 only */
const wa_small_float *wa__small_float(wa_dtype d); /* NULL when d is not one */
float wa__small_to_f32(const wa_small_float *s, uint8_t code);
/* ONNX's rules of Cast: nearest even; saturate: too large and infinite become the largest. */
uint8_t wa__f64_to_small(const wa_small_float *s, double x, bool saturate, wa_round_mode mode);
/* Code of element i of a packed type. */
unsigned wa__packed_get(wa_dtype d, const void *data, int64_t i);
void wa__packed_set(wa_dtype d, void *data, int64_t i, unsigned code);

/* Element i of a view as double or int64 (floats truncated, saturating); any dtype. Setting a float of
 * 8 or 4 bits rounds and saturates, setting a narrow integer keeps its low bits. */
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
