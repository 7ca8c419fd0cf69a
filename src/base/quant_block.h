/* Weights in blocks of 32 along the dimension that a product sums over: codes of 8 or 4 bits and one f16 scale a
 * block, symmetric. In: floats. Out: codes, and where they lie. Used by the planner, the transforms at load (CPU
 * and, with the same results, GPU: every step is exact or correctly rounded) and the CPU's kernels.
 *
 * A matrix [K,N] for WebGPU, as u32 words, ld = N rounded up to 8: for each block of k: `bits` rows of ld words,
 * word (w, n) holding the codes of column n from 32*block + w*32/bits on, then ld/2 words with the scales of two
 * columns each, the even one in the low half. 8 bits: byte j of a word is code j. 4 bits: the code plus 8; the
 * low nibble of byte j is code j, the high one code 4 + j.
 * A table [V,K] whose rows are looked up, 8 bits, K a multiple of 64: a row is K/4 words of codes, then K/64 words
 * of two scales each. */
#ifndef WA_QUANT_BLOCK_H
#define WA_QUANT_BLOCK_H
#include "base/tensor.h"

#define WA_QUANT_BLOCK 32u

/* bits 8: scale = f16(max|x| / 127), codes -127 to 127. bits 4: scale = f16(m / -8) where m is the first element
 * of the largest magnitude, codes -8 to 7. A scale of 0 gives codes 0. */
void wa__quant_block(const float x[WA_QUANT_BLOCK], unsigned bits, uint16_t *scale, int8_t codes[WA_QUANT_BLOCK]);

static inline uint32_t wa__quant_ld(uint64_t n) { return (uint32_t)((n + 7) & ~(uint64_t)7); }
/* Words of one block of k over all columns; of a whole matrix. */
static inline uint64_t wa__quant_stride(unsigned bits, uint32_t ld) { return (uint64_t)bits * ld + ld / 2; }
static inline uint64_t wa__quant_words(unsigned bits, uint64_t k, uint32_t ld) { return k / WA_QUANT_BLOCK * wa__quant_stride(bits, ld); }
/* Writes a block of column n (of all columns from `words` on), and reads it back as floats. */
void wa__quant_place(uint32_t *words, unsigned bits, uint32_t ld, uint64_t block, uint64_t n, uint16_t scale, const int8_t codes[WA_QUANT_BLOCK]);
void wa__quant_get(const uint32_t *words, unsigned bits, uint32_t ld, uint64_t block, uint64_t n, float out[WA_QUANT_BLOCK]);
static inline uint64_t wa__quant_table_row(uint64_t k) { return k / 4 + k / 64; }

#endif
