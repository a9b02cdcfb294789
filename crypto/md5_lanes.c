/* OpenSSL's assembler is the fastest MD5 of one stream; its low-level calls continue from any state. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/md5_lanes.h"

#include <openssl/md5.h>
#include <stdbool.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define BLOCK 64

void md5_init(struct md5_state *state)
{
    *state = (struct md5_state){.h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}};
}

static void compress_one(struct md5_state *state, const uint8_t *data, size_t blocks)
{
    MD5_CTX context = {.A = state->h[0], .B = state->h[1], .C = state->h[2], .D = state->h[3]};

    MD5_Update(&context, data, blocks * BLOCK);
    state->h[0] = context.A;
    state->h[1] = context.B;
    state->h[2] = context.C;
    state->h[3] = context.D;
}

struct job {
    struct md5_state *state;
    const uint8_t *data;
    size_t blocks;
};

#ifdef __x86_64__
/* Words of a block are read as they stand: these machines are little-endian. */
#define GLUE_(a, b) a##b
#define GLUE(a, b)  GLUE_(a, b)

#define LANES        8
#define COMPRESS     compress_8_avx2
#define TARGET       __attribute__((target("avx2")))
#define F(x, y, z)   ((z) ^ ((x) & ((y) ^ (z))))
#define G(x, y, z)   ((y) ^ ((z) & ((x) ^ (y))))
#define H(x, y, z)   ((x) ^ (y) ^ (z))
#define I(x, y, z)   ((y) ^ ((x) | ~(z)))
#define ROTATE(x, n) (((x) << (n)) | ((x) >> (32 - (n))))
#include "crypto/md5_lanes_compress.h"

/* AVX-512 has any function of three bits in one instruction, given by its truth table, and a rotation. */
#define LANES        8
#define COMPRESS     compress_8_avx512
#define TARGET       __attribute__((target("avx512f,avx512vl")))
#define TERNARY(x, y, z, table)                                                                                        \
    (compress_8_avx512_vector) _mm256_ternarylogic_epi32((__m256i)(x), (__m256i)(y), (__m256i)(z), table)
#define F(x, y, z)   TERNARY(x, y, z, 0xca)
#define G(x, y, z)   TERNARY(x, y, z, 0xe4)
#define H(x, y, z)   TERNARY(x, y, z, 0x96)
#define I(x, y, z)   TERNARY(x, y, z, 0x39)
#define ROTATE(x, n) (compress_8_avx512_vector) _mm256_rol_epi32((__m256i)(x), n)
#include "crypto/md5_lanes_compress.h"
#undef TERNARY

#define LANES        16
#define COMPRESS     compress_16_avx512
#define TARGET       __attribute__((target("avx512f,avx512vl")))
#define TERNARY(x, y, z, table)                                                                                        \
    (compress_16_avx512_vector) _mm512_ternarylogic_epi32((__m512i)(x), (__m512i)(y), (__m512i)(z), table)
#define F(x, y, z)   TERNARY(x, y, z, 0xca)
#define G(x, y, z)   TERNARY(x, y, z, 0xe4)
#define H(x, y, z)   TERNARY(x, y, z, 0x96)
#define I(x, y, z)   TERNARY(x, y, z, 0x39)
#define ROTATE(x, n) (compress_16_avx512_vector) _mm512_rol_epi32((__m512i)(x), n)
#include "crypto/md5_lanes_compress.h"
#undef TERNARY

/* How many streams one pass takes; 1: there is no vector code for this machine. */
static size_t lanes(void)
{
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
        return 16;
    return __builtin_cpu_supports("avx2") ? 8 : 1;
}

/* Advances `count` jobs, at most `width` = lanes(), by the same number of blocks. Spare lanes repeat the first job and
 * are thrown away. */
static void compress_many(struct job *jobs, size_t count, size_t width, size_t blocks)
{
    uint32_t state[4][MD5_LANES_MAX];
    const uint8_t *data[MD5_LANES_MAX];

    for (size_t lane = 0; lane < MD5_LANES_MAX; lane++) {
        const struct job *job = &jobs[lane < count ? lane : 0];

        data[lane] = job->data;
        for (int i = 0; i < 4; i++)
            state[i][lane] = job->state->h[i];
    }
    if (count > 8)
        compress_16_avx512(state, data, blocks);
    else if (width > 8)
        compress_8_avx512(state, data, blocks);
    else
        compress_8_avx2(state, data, blocks);
    for (size_t lane = 0; lane < count; lane++) {
        for (int i = 0; i < 4; i++)
            jobs[lane].state->h[i] = state[i][lane];
        jobs[lane].data += blocks * BLOCK;
        jobs[lane].blocks -= blocks;
    }
}

/* Runs jobs side by side while that pays; returns how many are left, at the front of `jobs`. */
static size_t compress_together(struct job *jobs, size_t count)
{
    size_t width = lanes();

    while (count > 1 && width > 1) {
        /* Groups of even size: a pass costs nearly the same for any number of lanes, and one stream alone is slow. */
        size_t groups = (count + width - 1) / width;
        size_t group = (count + groups - 1) / groups;
        size_t blocks = jobs[0].blocks;
        size_t left = 0;

        for (size_t i = 1; i < group; i++)
            blocks = jobs[i].blocks < blocks ? jobs[i].blocks : blocks;
        compress_many(jobs, group, width, blocks);
        for (size_t i = 0; i < count; i++) {
            if (jobs[i].blocks > 0)
                jobs[left++] = jobs[i];
        }
        count = left;
    }
    return count;
}
#else
static size_t compress_together(struct job *jobs, size_t count)
{
    (void)jobs;
    return count;
}
#endif

void md5_update_lanes(struct md5_state *const *states, const struct span *bytes, size_t count)
{
    struct job jobs[MD5_LANES_MAX];
    size_t job_count = 0;

    for (size_t i = 0; i < count; i++) {
        struct md5_state *state = states[i];
        struct span rest = bytes[i];
        size_t filled = state->length % BLOCK;

        if (rest.len == 0)
            continue;
        state->length += rest.len;
        if (filled > 0) {
            struct span head = span_take(rest, BLOCK - filled);

            memcpy(state->tail + filled, head.ptr, head.len);
            rest = span_skip(rest, head.len);
            if (filled + head.len == BLOCK)
                compress_one(state, state->tail, 1);
        }
        if (rest.len >= BLOCK)
            jobs[job_count++] = (struct job){state, rest.ptr, rest.len / BLOCK};
        if (rest.len % BLOCK > 0)
            memcpy(state->tail, rest.ptr + rest.len - rest.len % BLOCK, rest.len % BLOCK);
    }
    job_count = compress_together(jobs, job_count);
    for (size_t i = 0; i < job_count; i++)
        compress_one(jobs[i].state, jobs[i].data, jobs[i].blocks);
}

void md5_final(struct md5_state *state, uint8_t out[16])
{
    uint64_t bits = state->length * 8;
    size_t filled = state->length % BLOCK;
    uint8_t end[2 * BLOCK] = {0};
    size_t blocks = filled < BLOCK - 8 ? 1 : 2;

    memcpy(end, state->tail, filled);
    end[filled] = 0x80;
    for (int i = 0; i < 8; i++)
        end[blocks * BLOCK - 8 + i] = (uint8_t)(bits >> 8 * i);
    compress_one(state, end, blocks);
    for (int i = 0; i < 16; i++)
        out[i] = (uint8_t)(state->h[i / 4] >> 8 * (i % 4));
}
