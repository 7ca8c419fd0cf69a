/* See quant_block.h. */
#include "base/quant_block.h"
#include <math.h>

void wa__quant_block(const float x[WA_QUANT_BLOCK], unsigned bits, uint16_t *scale, int8_t codes[WA_QUANT_BLOCK])
{
    float most = 0, first = 0, low = bits == 8 ? -127 : -8, high = bits == 8 ? 127 : 7;
    for (unsigned i = 0; i < WA_QUANT_BLOCK; i++) {
        if (!(fabsf(x[i]) > most)) continue;
        most = fabsf(x[i]);
        first = x[i];
    }
    *scale = wa__f32_to_f16(bits == 8 ? most / 127.0f : first / -8.0f);
    float s = wa__f16_to_f32(*scale), inverse = s == 0 ? 0 : 1.0f / s;
    for (unsigned i = 0; i < WA_QUANT_BLOCK; i++) {
        float y = rintf(x[i] * inverse); /* to nearest, ties to even */
        codes[i] = (int8_t)(y >= high ? high : y <= low ? low : y == y ? y : 0);
    }
}

void wa__quant_place(uint32_t *words, unsigned bits, uint32_t ld, uint64_t block, uint64_t n, uint16_t scale, const int8_t codes[WA_QUANT_BLOCK])
{
    uint32_t *at = words + block * wa__quant_stride(bits, ld), *pair = at + (uint64_t)bits * ld + n / 2;
    for (unsigned w = 0; w < bits; w++) {
        uint32_t word = 0;
        for (unsigned j = 0; j < 4; j++) {
            if (bits == 8) word |= (uint32_t)(uint8_t)codes[4 * w + j] << (8 * j);
            else word |= (uint32_t)(codes[8 * w + j] + 8) << (8 * j) | (uint32_t)(codes[8 * w + 4 + j] + 8) << (8 * j + 4);
        }
        at[(uint64_t)w * ld + n] = word;
    }
    *pair = n % 2 ? (*pair & 0xffffu) | (uint32_t)scale << 16 : (*pair & 0xffff0000u) | scale;
}

void wa__quant_get(const uint32_t *words, unsigned bits, uint32_t ld, uint64_t block, uint64_t n, float out[WA_QUANT_BLOCK])
{
    const uint32_t *at = words + block * wa__quant_stride(bits, ld);
    float s = wa__f16_to_f32((uint16_t)(at[(uint64_t)bits * ld + n / 2] >> (n % 2 ? 16 : 0)));
    for (unsigned i = 0; i < WA_QUANT_BLOCK; i++) {
        uint32_t word = at[(uint64_t)(bits == 8 ? i / 4 : i / 8) * ld + n];
        int code = bits == 8 ? (int8_t)(word >> (i % 4 * 8)) : (int)(word >> (i % 4 * 8 + (i & 4)) & 15) - 8;
        out[i] = s * (float)code;
    }
}
