/* Compresses `blocks` blocks of each of LANES streams; included once for each instruction set by md5_lanes.c, which
 * defines LANES, COMPRESS (the function's name), TARGET, and the functions of MD5 (RFC 1321) on vectors. */

#define VECTOR   GLUE(COMPRESS, _vector)
#define UNALIGNED GLUE(COMPRESS, _unaligned)
typedef uint32_t VECTOR __attribute__((vector_size(4 * LANES)));
typedef uint32_t UNALIGNED __attribute__((vector_size(4 * LANES), aligned(1), may_alias));

#define LOAD(p) (*(const UNALIGNED *)(p))

#if LANES == 8
#define LOW_32(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH_32(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define LOW_64(a, b)  __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH_64(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#else
#define LOW_32(a, b)  __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH_32(a, b) __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define LOW_64(a, b)  __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH_64(a, b) __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#endif

/* Rows of four streams to columns of four words, within each 128 bits: x[4i+j] is word j of the rows 4i..4i+3. */
#define QUARTERS(x, row)                                                                                               \
    for (int i = 0; i < LANES; i += 4) {                                                                               \
        VECTOR a = LOW_32(row(i), row(i + 1)), b = LOW_32(row(i + 2), row(i + 3));                                     \
        VECTOR c = HIGH_32(row(i), row(i + 1)), d = HIGH_32(row(i + 2), row(i + 3));                                   \
        x[i] = LOW_64(a, b);                                                                                           \
        x[i + 1] = HIGH_64(a, b);                                                                                      \
        x[i + 2] = LOW_64(c, d);                                                                                       \
        x[i + 3] = HIGH_64(c, d);                                                                                      \
    }

/* w[j] becomes word j of all the streams' blocks at `offset`. */
TARGET static inline void GLUE(COMPRESS, _words)(const uint8_t *const data[LANES], size_t offset, VECTOR w[16])
{
    VECTOR x[LANES];

#if LANES == 8
    for (int half = 0; half < 2; half++) {
#define ROW(n) LOAD(data[n] + offset + 32 * half)
        QUARTERS(x, ROW)
#undef ROW
        for (int j = 0; j < 4; j++) {
            w[8 * half + j] = __builtin_shufflevector(x[j], x[4 + j], 0, 1, 2, 3, 8, 9, 10, 11);
            w[8 * half + 4 + j] = __builtin_shufflevector(x[j], x[4 + j], 4, 5, 6, 7, 12, 13, 14, 15);
        }
    }
#else
#define ROW(n) LOAD(data[n] + offset)
    QUARTERS(x, ROW)
#undef ROW
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define ODD(a, b)  __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
    for (int j = 0; j < 4; j++) {
        VECTOR a = EVEN(x[j], x[4 + j]), b = EVEN(x[8 + j], x[12 + j]);
        VECTOR c = ODD(x[j], x[4 + j]), d = ODD(x[8 + j], x[12 + j]);

        w[j] = EVEN(a, b);
        w[4 + j] = EVEN(c, d);
        w[8 + j] = ODD(a, b);
        w[12 + j] = ODD(c, d);
    }
#undef EVEN
#undef ODD
#endif
}

/* The steps wait for each other, so only what follows f counts. The barrier keeps the compiler from summing up in another
 * order, with two more additions behind f. */
#define STEP(f, a, b, c, d, word, k, s)                                                                                \
    a += w[word] + (uint32_t)k;                                                                                        \
    __asm__("" : "+v"(a));                                                                                             \
    a += f(b, c, d);                                                                                                   \
    a = ROTATE(a, s) + b;
#define FOUR(f, w0, k0, w1, k1, w2, k2, w3, k3, s0, s1, s2, s3)                                                        \
    STEP(f, a, b, c, d, w0, k0, s0)                                                                                    \
    STEP(f, d, a, b, c, w1, k1, s1)                                                                                    \
    STEP(f, c, d, a, b, w2, k2, s2)                                                                                    \
    STEP(f, b, c, d, a, w3, k3, s3)

TARGET static void COMPRESS(uint32_t state[4][MD5_LANES_MAX], const uint8_t *const data[LANES], size_t blocks)
{
    VECTOR a = LOAD(state[0]), b = LOAD(state[1]), c = LOAD(state[2]), d = LOAD(state[3]);
    VECTOR w[16];

    for (size_t block = 0; block < blocks; block++) {
        VECTOR a0 = a, b0 = b, c0 = c, d0 = d;

        GLUE(COMPRESS, _words)(data, 64 * block, w);
        FOUR(F, 0, 0xd76aa478, 1, 0xe8c7b756, 2, 0x242070db, 3, 0xc1bdceee, 7, 12, 17, 22)
        FOUR(F, 4, 0xf57c0faf, 5, 0x4787c62a, 6, 0xa8304613, 7, 0xfd469501, 7, 12, 17, 22)
        FOUR(F, 8, 0x698098d8, 9, 0x8b44f7af, 10, 0xffff5bb1, 11, 0x895cd7be, 7, 12, 17, 22)
        FOUR(F, 12, 0x6b901122, 13, 0xfd987193, 14, 0xa679438e, 15, 0x49b40821, 7, 12, 17, 22)
        FOUR(G, 1, 0xf61e2562, 6, 0xc040b340, 11, 0x265e5a51, 0, 0xe9b6c7aa, 5, 9, 14, 20)
        FOUR(G, 5, 0xd62f105d, 10, 0x02441453, 15, 0xd8a1e681, 4, 0xe7d3fbc8, 5, 9, 14, 20)
        FOUR(G, 9, 0x21e1cde6, 14, 0xc33707d6, 3, 0xf4d50d87, 8, 0x455a14ed, 5, 9, 14, 20)
        FOUR(G, 13, 0xa9e3e905, 2, 0xfcefa3f8, 7, 0x676f02d9, 12, 0x8d2a4c8a, 5, 9, 14, 20)
        FOUR(H, 5, 0xfffa3942, 8, 0x8771f681, 11, 0x6d9d6122, 14, 0xfde5380c, 4, 11, 16, 23)
        FOUR(H, 1, 0xa4beea44, 4, 0x4bdecfa9, 7, 0xf6bb4b60, 10, 0xbebfbc70, 4, 11, 16, 23)
        FOUR(H, 13, 0x289b7ec6, 0, 0xeaa127fa, 3, 0xd4ef3085, 6, 0x04881d05, 4, 11, 16, 23)
        FOUR(H, 9, 0xd9d4d039, 12, 0xe6db99e5, 15, 0x1fa27cf8, 2, 0xc4ac5665, 4, 11, 16, 23)
        FOUR(I, 0, 0xf4292244, 7, 0x432aff97, 14, 0xab9423a7, 5, 0xfc93a039, 6, 10, 15, 21)
        FOUR(I, 12, 0x655b59c3, 3, 0x8f0ccc92, 10, 0xffeff47d, 1, 0x85845dd1, 6, 10, 15, 21)
        FOUR(I, 8, 0x6fa87e4f, 15, 0xfe2ce6e0, 6, 0xa3014314, 13, 0x4e0811a1, 6, 10, 15, 21)
        FOUR(I, 4, 0xf7537e82, 11, 0xbd3af235, 2, 0x2ad7d2bb, 9, 0xeb86d391, 6, 10, 15, 21)
        a += a0;
        b += b0;
        c += c0;
        d += d0;
    }
    *(UNALIGNED *)state[0] = a;
    *(UNALIGNED *)state[1] = b;
    *(UNALIGNED *)state[2] = c;
    *(UNALIGNED *)state[3] = d;
}

#undef VECTOR
#undef UNALIGNED
#undef LOAD
#undef LOW_32
#undef HIGH_32
#undef LOW_64
#undef HIGH_64
#undef QUARTERS
#undef STEP
#undef FOUR
#undef LANES
#undef COMPRESS
#undef TARGET
#undef F
#undef G
#undef H
#undef I
#undef ROTATE
