/* Includes the module's source, so that the code for each instruction set is reached on a machine that has them all. */
#include "crypto/md5_lanes.c"

#include "unit.h"

#include <openssl/evp.h>
#include <stdlib.h>

static uint32_t random_state = 7;
static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % limit;
}

#define STREAM_MAX 3000

/* `count` streams of different lengths, fed in pieces of different lengths, against OpenSSL. */
static void compare(size_t count, const uint32_t *lengths, uint32_t piece_max)
{
    struct md5_state states[MD5_LANES_MAX], *pointers[MD5_LANES_MAX];
    uint8_t *streams[MD5_LANES_MAX];
    uint32_t fed[MD5_LANES_MAX] = {0};
    size_t left = count;

    for (size_t i = 0; i < count; i++) {
        /* Memory of exactly the stream's size, so that ASan sees each byte too many. */
        streams[i] = malloc(lengths[i] + !lengths[i]);
        assert_non_null(streams[i]);
        for (uint32_t j = 0; j < lengths[i]; j++)
            streams[i][j] = (uint8_t)random_below(256);
        md5_init(&states[i]);
    }
    while (left > 0) {
        struct span pieces[MD5_LANES_MAX];
        size_t active = 0;

        left = 0;
        for (size_t i = 0; i < count; i++) {
            uint32_t rest = lengths[i] - fed[i];
            uint32_t piece = random_below(piece_max + 1);

            if (rest == 0)
                continue;
            piece = piece < rest ? piece : rest;
            pointers[active] = &states[i];
            pieces[active++] = span_of(streams[i] + fed[i], piece);
            fed[i] += piece;
            left += lengths[i] - fed[i];
        }
        md5_update_lanes(pointers, pieces, active);
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t mine[16], expected[16];

        md5_final(&states[i], mine);
        assert_int_equal(EVP_Digest(streams[i], lengths[i], expected, NULL, EVP_md5(), NULL), 1);
        assert_memory_equal(mine, expected, 16);
        free(streams[i]);
    }
}

static void one_stream_of_each_length(void **state)
{
    (void)state;
    for (uint32_t length = 0; length < 300; length++)
        compare(1, &length, 100);
}

static void streams_of_equal_lengths(void **state)
{
    (void)state;
    for (size_t count = 1; count <= MD5_LANES_MAX; count++) {
        uint32_t lengths[MD5_LANES_MAX];

        for (size_t i = 0; i < count; i++)
            lengths[i] = 64 * 30 + 5;
        compare(count, lengths, 1 << 20);
    }
}

static void streams_of_different_lengths(void **state)
{
    (void)state;
    for (int round = 0; round < 400; round++) {
        size_t count = 1 + random_below(MD5_LANES_MAX);
        uint32_t lengths[MD5_LANES_MAX];

        for (size_t i = 0; i < count; i++)
            lengths[i] = random_below(STREAM_MAX);
        compare(count, lengths, 1 + random_below(1500));
    }
}

#ifdef __x86_64__
/* What a machine with that many lanes would run, against one stream at a time. */
static void each_instruction_set_agrees(void **state)
{
    static uint8_t data[MD5_LANES_MAX][64 * 20];

    (void)state;
    for (size_t i = 0; i < MD5_LANES_MAX; i++) {
        for (size_t j = 0; j < sizeof(data[i]); j++)
            data[i][j] = (uint8_t)random_below(256);
    }
    for (size_t width = 8; width <= lanes(); width += 8) {
        for (size_t count = 1; count <= width; count++) {
            struct md5_state together[MD5_LANES_MAX], alone;
            struct job jobs[MD5_LANES_MAX];

            for (size_t i = 0; i < count; i++) {
                md5_init(&together[i]);
                jobs[i] = (struct job){&together[i], data[i], 20};
            }
            compress_many(jobs, count, width, 13);
            compress_many(jobs, count, width, 7);
            for (size_t i = 0; i < count; i++) {
                md5_init(&alone);
                compress_one(&alone, data[i], 20);
                assert_memory_equal(together[i].h, alone.h, sizeof(alone.h));
                assert_int_equal(jobs[i].blocks, 0);
            }
        }
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef __x86_64__
        cmocka_unit_test(each_instruction_set_agrees),
#endif
        cmocka_unit_test(one_stream_of_each_length),
        cmocka_unit_test(streams_of_equal_lengths),
        cmocka_unit_test(streams_of_different_lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
