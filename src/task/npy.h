/* NumPy's .npy files, versions 1 to 3: C order, little-endian, every element type of the schema that
 * NumPy has (not BF16 and the 4-bit ones).
 *
 *   "\x93NUMPY" | u8 major | u8 minor | u16 (v1) or u32 header length | header | data
 *   header: a Python dict literal {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, padded
 *   with spaces and a newline so that the data starts at a multiple of 64. */
#ifndef WA_NPY_H
#define WA_NPY_H
#include "base/tensor.h"

/* Reads a file's bytes. out->data points into them (borrowed), at any alignment: copy before use as
 * typed memory. `what` names the file in messages. */
wa_status wa__npy_read(const void *bytes, size_t n, const char *what, wa_view *out, wa_error *err) WA_MUST_CHECK;
/* Appends a whole file, version 1. */
wa_status wa__npy_write(const wa_view *v, wa_buf *out, wa_error *err) WA_MUST_CHECK;

#endif
