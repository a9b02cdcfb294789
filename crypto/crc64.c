#include "crypto/crc64.h"

#include <endian.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

uint64_t crc_multiply(unsigned width, uint64_t polynomial, uint64_t a, uint64_t b)
{
    uint64_t product = 0;

    for (uint64_t bit = UINT64_C(1) << (width - 1); bit != 0 && a != 0; bit >>= 1) {
        if (a & bit) {
            product ^= b;
            a ^= bit;
        }
        b = b & 1 ? (b >> 1) ^ polynomial : b >> 1;
    }
    return product;
}

uint64_t crc_power_of_x(unsigned width, uint64_t polynomial, uint64_t n)
{
    uint64_t square = UINT64_C(1) << (width - 2);
    uint64_t power = UINT64_C(1) << (width - 1);

    for (; n != 0; n >>= 1) {
        if (n & 1)
            power = crc_multiply(width, polynomial, power, square);
        square = crc_multiply(width, polynomial, square, square);
    }
    return power;
}

#define SLICES 8
static uint64_t tables[SLICES][256];
/* What carries the two halves of 16 bytes over a distance of so many bits: [0] the first half, [1] the second.
 * One less than the distance, because the product of two reflected numbers stands one bit too low. */
static uint64_t fold_2048[2], fold_512[2], fold_128[2];
static bool have_clmul, have_wide_clmul;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fold_over(uint64_t fold[2], unsigned bits)
{
    fold[0] = crc_power_of_x(64, CRC64NVME_POLYNOMIAL, bits + 64 - 1);
    fold[1] = crc_power_of_x(64, CRC64NVME_POLYNOMIAL, bits - 1);
}

static void prepare(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ CRC64NVME_POLYNOMIAL : crc >> 1;
        tables[0][i] = crc;
    }
    for (unsigned slice = 1; slice < SLICES; slice++) {
        for (unsigned i = 0; i < 256; i++)
            tables[slice][i] = tables[0][tables[slice - 1][i] & 0xff] ^ (tables[slice - 1][i] >> 8);
    }
    fold_over(fold_2048, 2048);
    fold_over(fold_512, 512);
    fold_over(fold_128, 128);
#ifdef __x86_64__
    have_clmul = __builtin_cpu_supports("pclmul");
    have_wide_clmul = __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512f");
#endif
}

/* Without the inversions at both ends. */
static uint64_t by_tables(uint64_t crc, const uint8_t *p, size_t len)
{
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;

        memcpy(&word, p, 8);
        crc ^= le64toh(word);
        crc = tables[7][crc & 0xff] ^ tables[6][crc >> 8 & 0xff] ^ tables[5][crc >> 16 & 0xff] ^
              tables[4][crc >> 24 & 0xff] ^ tables[3][crc >> 32 & 0xff] ^ tables[2][crc >> 40 & 0xff] ^
              tables[1][crc >> 48 & 0xff] ^ tables[0][crc >> 56];
    }
    for (; len > 0; p++, len--)
        crc = tables[0][(crc ^ *p) & 0xff] ^ (crc >> 8);
    return crc;
}

#ifdef __x86_64__
#define FOLD(x, by, next)                                                                                              \
    _mm_xor_si128(next, _mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x00), _mm_clmulepi64_si128(x, by, 0x11)))

/* Four strands of 16 bytes, each folded over the 64 bytes to its next; then into one, which the tables reduce. */
__attribute__((target("pclmul,sse2"))) static uint64_t by_folding(uint64_t crc, const uint8_t *p, size_t len)
{
    const __m128i *block = (const __m128i *)p;
    __m128i far = _mm_loadu_si128((const __m128i *)fold_512);
    __m128i near = _mm_loadu_si128((const __m128i *)fold_128);
    __m128i x0 = _mm_xor_si128(_mm_loadu_si128(block), _mm_cvtsi64_si128((long long)crc));
    __m128i x1 = _mm_loadu_si128(block + 1);
    __m128i x2 = _mm_loadu_si128(block + 2);
    __m128i x3 = _mm_loadu_si128(block + 3);
    uint8_t rest[16];

    for (block += 4, len -= 64; len >= 64; block += 4, len -= 64) {
        x0 = FOLD(x0, far, _mm_loadu_si128(block));
        x1 = FOLD(x1, far, _mm_loadu_si128(block + 1));
        x2 = FOLD(x2, far, _mm_loadu_si128(block + 2));
        x3 = FOLD(x3, far, _mm_loadu_si128(block + 3));
    }
    x1 = FOLD(x0, near, x1);
    x2 = FOLD(x1, near, x2);
    x3 = FOLD(x2, near, x3);
    _mm_storeu_si128((__m128i *)rest, x3);
    return by_tables(by_tables(0, rest, sizeof(rest)), (const uint8_t *)block, len);
}
#endif

#ifdef __x86_64__
#define FOLD_WIDE(x, by, next)                                                                                         \
    _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, by, 0x00), _mm512_clmulepi64_epi128(x, by, 0x11), next, 0x96)

/* The same with strands of 64 bytes, each folded over 256. */
__attribute__((target("avx512f,vpclmulqdq,pclmul"))) static uint64_t by_wide_folding(uint64_t crc, const uint8_t *p,
                                                                                     size_t len)
{
    const uint8_t *end = p + len;
    __m512i far = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)fold_2048));
    __m512i near = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)fold_512));
    __m512i x0 = _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_zextsi128_si512(_mm_cvtsi64_si128((long long)crc)));
    __m512i x1 = _mm512_loadu_si512(p + 64);
    __m512i x2 = _mm512_loadu_si512(p + 128);
    __m512i x3 = _mm512_loadu_si512(p + 192);
    uint8_t rest[64];

    for (p += 256; end - p >= 256; p += 256) {
        x0 = FOLD_WIDE(x0, far, _mm512_loadu_si512(p));
        x1 = FOLD_WIDE(x1, far, _mm512_loadu_si512(p + 64));
        x2 = FOLD_WIDE(x2, far, _mm512_loadu_si512(p + 128));
        x3 = FOLD_WIDE(x3, far, _mm512_loadu_si512(p + 192));
    }
    x1 = FOLD_WIDE(x0, near, x1);
    x2 = FOLD_WIDE(x1, near, x2);
    x3 = FOLD_WIDE(x2, near, x3);
    _mm512_storeu_si512(rest, x3);
    return by_tables(by_tables(0, rest, sizeof(rest)), p, (size_t)(end - p));
}
#endif

uint64_t crc64nvme(uint64_t crc, const void *bytes, size_t len)
{
    pthread_once(&once, prepare);
    crc = ~crc;
#ifdef __x86_64__
    if (have_wide_clmul && len >= 1024)
        return ~by_wide_folding(crc, bytes, len);
    if (have_clmul && len >= 128)
        return ~by_folding(crc, bytes, len);
#endif
    return ~by_tables(crc, bytes, len);
}
