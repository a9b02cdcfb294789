/* Sealing and opening, and that no change of what is stored goes unnoticed. */
#include "crypto_keys.h"

#include <pthread.h>

#include "base/err.h"

static struct test_keys keys;
static const uint8_t blob_a[BLOB_ID_SIZE] = "blob a", blob_b[BLOB_ID_SIZE] = "blob b";

static int setup(void **state)
{
    (void)state;
    test_keys_create(&keys);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_keys_free(&keys);
    return 0;
}

static const enum envelope_suite suites[] = {SUITE_AES_256_GCM, SUITE_XCHACHA20_POLY1305, SUITE_AEGIS_256};
#define EACH_SUITE(suite)                                                                                              \
    for (size_t suite_index = 0; suite_index < 3; suite_index++)                                                       \
        for (enum envelope_suite suite = suites[suite_index], tested;                                                  \
             suite != 0 && envelope_suite_by_name(envelope_suite_name(suite), &tested) == 0; suite = 0)

static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i * 7 + i / 251 + 1);
}

/* One stored extent, in memory of exactly its size so that ASan sees each byte too many. */
struct stored {
    uint8_t *bytes;
    uint64_t size;
};

static struct stored seal(const struct data_key *key, enum envelope_suite suite, uint32_t number, uint64_t plain)
{
    struct stored stored = {.size = envelope_extent_size(suite, plain)};
    struct extent_sealer sealer;

    stored.bytes = malloc(stored.size);
    assert_non_null(stored.bytes);
    assert_int_equal(extent_seal_begin(&sealer, key, number, stored.bytes), 0);
    for (uint64_t n = 0, at = 0; at < plain; n++, at += ENVELOPE_SEGMENT) {
        size_t length = plain - at < ENVELOPE_SEGMENT ? plain - at : ENVELOPE_SEGMENT;
        uint8_t *text = stored.bytes + envelope_segment_offset(suite, n);

        for (size_t i = 0; i < length; i++)
            text[i] = pattern(at + i);
        extent_seal_segment(&sealer, length, at + length == plain);
    }
    extent_seal_end(&sealer);
    return stored;
}

static bool holds_plain(const uint8_t *segment, uint64_t from, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (segment[i] != pattern(from + i))
            return false;
    }
    return true;
}

/* All segments, in two turns: the stored bytes stay as they are. */
static int verify_stored(struct extent_opener *opener, struct stored stored, const uint8_t *copy)
{
    uint8_t *scratch = malloc(EXTENT_SCRATCH);
    int rc;

    assert_non_null(scratch);
    rc = extent_verify(opener, span_of(copy, stored.size), 0, 1, scratch);
    if (rc == 0)
        rc = extent_verify(opener, span_of(copy, stored.size), 1, UINT64_MAX, scratch);
    assert_memory_equal(copy, stored.bytes, stored.size);
    for (size_t i = 0; i < EXTENT_SCRATCH; i++)
        assert_int_equal(scratch[i], 0);
    free(scratch);
    return rc;
}

/* Opens as a reader does, header first. What does not open must be zeroes afterwards. Verifying comes to the same. */
static int open_stored(const struct data_key *key, enum envelope_suite suite, uint32_t number, struct stored stored,
                       uint64_t expected_plain)
{
    uint8_t *copy = malloc(stored.size + 1);
    struct extent_opener opener;
    int rc, opened = 0, verified;

    assert_non_null(copy);
    if (stored.size > 0)
        memcpy(copy, stored.bytes, stored.size);
    rc = extent_open_begin(&opener, key, number, stored.size);
    if (rc != 0)
        goto err0;
    verified = verify_stored(&opener, stored, copy);
    rc = extent_check_header(&opener, span_of(copy, ENVELOPE_HEADER_SIZE));
    for (uint64_t n = 0; n < opener.segments; n++) {
        uint64_t offset = envelope_segment_offset(suite, n);
        size_t whole = ENVELOPE_SEGMENT + envelope_tag_size(suite);
        size_t length = stored.size - offset < whole ? stored.size - offset : whole;
        int segment_rc = extent_open_segment(&opener, n, copy + offset, length);

        if (segment_rc == 0) {
            assert_true(holds_plain(copy + offset, n * ENVELOPE_SEGMENT, length - envelope_tag_size(suite)));
        } else {
            assert_int_equal(segment_rc, ERR_CORRUPT);
            for (size_t i = 0; i < length; i++)
                assert_int_equal(copy[offset + i], 0);
            rc = opened = segment_rc;
        }
    }
    assert_int_equal(verified, opened);
    if (rc == 0)
        assert_int_equal(opener.plain_size, expected_plain);
    extent_open_end(&opener);
err0:
    free(copy);
    return rc;
}

static struct data_key *new_key(enum envelope_suite suite, const uint8_t *blob_id)
{
    uint8_t wrapped[WRAPPED_KEY_SIZE];
    struct data_key *key;

    assert_int_equal(data_key_create(keys.bucket_key, suite, blob_id, wrapped, &key), 0);
    return key;
}

static void sizes_follow_from_each_other(void **state)
{
    static const uint64_t plains[] = {1, 2, 65535, 65536, 65537, 131072, 131073, 8 << 20, UINT64_C(5) << 40};

    (void)state;
    EACH_SUITE(suite) {
        uint64_t tag = envelope_tag_size(suite), plain;

        for (size_t i = 0; i < sizeof(plains) / sizeof(plains[0]); i++) {
            assert_int_equal(envelope_plain_size(suite, envelope_extent_size(suite, plains[i]), &plain), 0);
            assert_int_equal(plain, plains[i]);
        }
        for (uint64_t stored = 0; stored <= ENVELOPE_HEADER_SIZE + tag; stored++)
            assert_int_equal(envelope_plain_size(suite, stored, &plain), ERR_CORRUPT);
        assert_int_equal(envelope_plain_size(suite, envelope_segment_offset(suite, 1) + tag, &plain), ERR_CORRUPT);
        assert_int_equal(envelope_plain_size(suite, envelope_segment_offset(suite, 1) + tag + 1, &plain), 0);
        assert_int_equal(plain, ENVELOPE_SEGMENT + 1);
    }
}

/* Blobs of several extents, and rows that contradict themselves. */
static void extents_of_a_blob(void **state)
{
    const uint64_t extent = 8 << 20;
    const enum envelope_suite suite = SUITE_AES_256_GCM;

    (void)state;
    assert_int_equal(envelope_blob_extent_size(suite, 1, extent, 1, 0), envelope_extent_size(suite, 1));
    assert_int_equal(envelope_blob_extent_size(suite, 2 * extent, extent, 2, 1), envelope_extent_size(suite, extent));
    assert_int_equal(envelope_blob_extent_size(suite, 2 * extent + 5, extent, 3, 0), envelope_extent_size(suite, extent));
    assert_int_equal(envelope_blob_extent_size(suite, 2 * extent + 5, extent, 3, 2), envelope_extent_size(suite, 5));
    assert_int_equal(envelope_blob_extent_size(suite, 2 * extent + 5, extent, 3, 3), 0);
    assert_int_equal(envelope_blob_extent_size(suite, extent, extent, 2, 1), 0);
    assert_int_equal(envelope_blob_extent_size(suite, UINT64_MAX, UINT64_MAX, 3, 2), 0);
    assert_int_equal(envelope_blob_extent_size((enum envelope_suite)0, 1, extent, 1, 0), 0);
    assert_int_equal(envelope_blob_extent_size((enum envelope_suite)99, 1, extent, 1, 0), 0);
}

static void what_is_sealed_opens(void **state)
{
    static const uint64_t plains[] = {1, 15, 16, 17, 4096, 65535, 65536, 65537, 200000};

    (void)state;
    EACH_SUITE(suite) {
        uint8_t wrapped[WRAPPED_KEY_SIZE];
        struct data_key *key, *again;

        assert_int_equal(data_key_create(keys.bucket_key, suite, blob_a, wrapped, &key), 0);
        for (uint32_t i = 0; i < sizeof(plains) / sizeof(plains[0]); i++) {
            struct stored stored = seal(key, suite, i, plains[i]);

            assert_int_equal(open_stored(key, suite, i, stored, plains[i]), 0);
            assert_int_equal(data_key_open(keys.bucket_key, suite, blob_a, span_of(wrapped, sizeof(wrapped)), &again),
                             0);
            assert_int_equal(open_stored(again, suite, i, stored, plains[i]), 0);
            data_key_free(again);
            free(stored.bytes);
        }
        data_key_free(key);
    }
}

static void no_plaintext_is_stored(void **state)
{
    (void)state;
    EACH_SUITE(suite) {
        struct data_key *key = new_key(suite, blob_a);
        struct stored stored = seal(key, suite, 0, 1000);
        size_t same = 0;

        for (size_t i = 0; i < 1000; i++)
            same += stored.bytes[ENVELOPE_HEADER_SIZE + i] == pattern(i);
        assert_true(same < 50);
        free(stored.bytes);
        data_key_free(key);
    }
}

static void each_flipped_bit_is_detected(void **state)
{
    (void)state;
    EACH_SUITE(suite) {
        struct data_key *key = new_key(suite, blob_a);
        struct stored stored = seal(key, suite, 0, 100);

        for (uint64_t i = 0; i < stored.size; i++) {
            stored.bytes[i] ^= (uint8_t)(1u << i % 8);
            assert_int_equal(open_stored(key, suite, 0, stored, 100), ERR_CORRUPT);
            stored.bytes[i] ^= (uint8_t)(1u << i % 8);
        }
        assert_int_equal(open_stored(key, suite, 0, stored, 100), 0);
        free(stored.bytes);
        data_key_free(key);
    }
}

static void each_cut_and_each_extension_is_detected(void **state)
{
    (void)state;
    EACH_SUITE(suite) {
        struct data_key *key = new_key(suite, blob_a);
        struct stored stored = seal(key, suite, 0, 100);
        struct stored longer = {calloc(1, stored.size + 300), stored.size};

        assert_non_null(longer.bytes);
        memcpy(longer.bytes, stored.bytes, stored.size);
        for (uint64_t size = 0; size < stored.size; size++)
            assert_int_equal(open_stored(key, suite, 0, (struct stored){stored.bytes, size}, 100), ERR_CORRUPT);
        for (longer.size++; longer.size <= stored.size + 300; longer.size++)
            assert_int_equal(open_stored(key, suite, 0, longer, 100), ERR_CORRUPT);
        free(longer.bytes);
        free(stored.bytes);
        data_key_free(key);
    }
}

/* Only the final flag tells a cut at a segment's boundary, and an extension by a whole segment. */
static void cuts_and_extensions_by_whole_segments_are_detected(void **state)
{
    (void)state;
    EACH_SUITE(suite) {
        struct data_key *key = new_key(suite, blob_a);
        struct stored stored = seal(key, suite, 0, 3 * ENVELOPE_SEGMENT);
        uint64_t whole = ENVELOPE_SEGMENT + envelope_tag_size(suite);
        struct stored longer = {malloc(stored.size + whole), stored.size + whole};

        assert_non_null(longer.bytes);
        assert_int_equal(open_stored(key, suite, 0, stored, 3 * ENVELOPE_SEGMENT), 0);
        assert_int_equal(open_stored(key, suite, 0, (struct stored){stored.bytes, stored.size - whole}, 0),
                         ERR_CORRUPT);
        memcpy(longer.bytes, stored.bytes, stored.size);
        memcpy(longer.bytes + stored.size, stored.bytes + stored.size - whole, whole);
        assert_int_equal(open_stored(key, suite, 0, longer, 0), ERR_CORRUPT);
        free(longer.bytes);
        free(stored.bytes);
        data_key_free(key);
    }
}

static void swapped_and_repeated_segments_are_detected(void **state)
{
    (void)state;
    EACH_SUITE(suite) {
        struct data_key *key = new_key(suite, blob_a);
        struct stored stored = seal(key, suite, 0, 4 * ENVELOPE_SEGMENT);
        size_t whole = ENVELOPE_SEGMENT + envelope_tag_size(suite);
        uint8_t *other = malloc(whole);

        assert_non_null(other);
        for (uint64_t from = 0; from < 4; from++) {
            for (uint64_t to = 0; to < 4; to++) {
                uint8_t *at = stored.bytes + envelope_segment_offset(suite, to);

                if (from == to)
                    continue;
                memcpy(other, at, whole);
                memcpy(at, stored.bytes + envelope_segment_offset(suite, from), whole);
                assert_int_equal(open_stored(key, suite, 0, stored, 0), ERR_CORRUPT);
                memcpy(at, other, whole);
            }
        }
        assert_int_equal(open_stored(key, suite, 0, stored, 4 * ENVELOPE_SEGMENT), 0);
        free(other);
        free(stored.bytes);
        data_key_free(key);
    }
}

static void splices_from_other_extents_and_blobs_are_detected(void **state)
{
    (void)state;
    EACH_SUITE(suite) {
        struct data_key *key = new_key(suite, blob_a), *other_key = new_key(suite, blob_b);
        struct data_key *same_blob = new_key(suite, blob_a);
        struct stored mine = seal(key, suite, 0, 2000);
        struct stored foreign[] = {seal(key, suite, 1, 2000), seal(other_key, suite, 0, 2000),
                                   seal(same_blob, suite, 0, 2000)};

        for (size_t i = 0; i < 3; i++) {
            /* the whole extent */
            assert_int_equal(open_stored(key, suite, 0, foreign[i], 2000), ERR_CORRUPT);
            /* its segment behind the right header */
            memcpy(foreign[i].bytes, mine.bytes, ENVELOPE_HEADER_SIZE);
            assert_int_equal(open_stored(key, suite, 0, foreign[i], 2000), ERR_CORRUPT);
            free(foreign[i].bytes);
        }
        assert_int_equal(open_stored(key, suite, 1, mine, 2000), ERR_CORRUPT);
        assert_int_equal(open_stored(key, suite, 0, mine, 2000), 0);
        free(mine.bytes);
        data_key_free(key);
        data_key_free(other_key);
        data_key_free(same_blob);
    }
}

static void wrong_segment_number_or_length_opens_nothing(void **state)
{
    (void)state;
    EACH_SUITE(suite) {
        struct data_key *key = new_key(suite, blob_a);
        struct stored stored = seal(key, suite, 0, 500);
        size_t length = 500 + envelope_tag_size(suite);
        static const uint64_t numbers[] = {1, 2, UINT64_MAX};
        struct extent_opener opener;

        assert_int_equal(extent_open_begin(&opener, key, 0, stored.size), 0);
        for (size_t i = 0; i < 3; i++) {
            uint8_t copy[1000];

            memcpy(copy, stored.bytes + ENVELOPE_HEADER_SIZE, length);
            assert_int_equal(extent_open_segment(&opener, numbers[i], copy, length), ERR_CORRUPT);
            memcpy(copy, stored.bytes + ENVELOPE_HEADER_SIZE, length);
            assert_int_equal(extent_open_segment(&opener, 0, copy, length - 1 - i), ERR_CORRUPT);
        }
        extent_open_end(&opener);
        free(stored.bytes);
        data_key_free(key);
    }
}

static void a_data_key_fits_its_blob_suite_and_bucket_key_only(void **state)
{
    struct bucket_key *other = test_bucket_key(keys.keyring, TEST_BUCKET_KEY_ID);
    uint8_t wrapped[WRAPPED_KEY_SIZE];
    struct span span = span_of(wrapped, sizeof(wrapped));
    struct data_key *key;

    (void)state;
    assert_int_equal(data_key_create(keys.bucket_key, SUITE_AES_256_GCM, blob_a, wrapped, &key), 0);
    data_key_free(key);
    assert_int_equal(data_key_open(keys.bucket_key, SUITE_AES_256_GCM, blob_b, span, &key), ERR_WRONG_KEY);
    assert_int_equal(data_key_open(keys.bucket_key, SUITE_XCHACHA20_POLY1305, blob_a, span, &key), ERR_WRONG_KEY);
    assert_int_equal(data_key_open(other, SUITE_AES_256_GCM, blob_a, span, &key), ERR_WRONG_KEY);
    for (size_t i = 0; i < sizeof(wrapped); i++) {
        wrapped[i] ^= 1;
        assert_int_equal(data_key_open(keys.bucket_key, SUITE_AES_256_GCM, blob_a, span, &key), ERR_WRONG_KEY);
        wrapped[i] ^= 1;
    }
    for (size_t length = 0; length < sizeof(wrapped); length++)
        assert_int_equal(data_key_open(keys.bucket_key, SUITE_AES_256_GCM, blob_a, span_take(span, length), &key),
                         ERR_INVALID);
    assert_int_equal(data_key_open(keys.bucket_key, (enum envelope_suite)9, blob_a, span, &key), ERR_UNSUPPORTED);
    assert_int_equal(data_key_open(keys.bucket_key, SUITE_AES_256_GCM, blob_a, span, &key), 0);
    data_key_free(key);
    bucket_key_free(other);
}

static void many_data_keys_at_once_differ(void **state)
{
    enum { COUNT = 300 };
    struct data_key *opened[COUNT];
    uint8_t wrapped[COUNT][WRAPPED_KEY_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(data_key_create(keys.bucket_key, SUITE_AES_256_GCM, blob_a, wrapped[i], &opened[i]), 0);
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_ptr_not_equal(opened[i], opened[j]);
            assert_memory_not_equal(wrapped[i], wrapped[j], WRAPPED_KEY_SIZE);
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        data_key_free(opened[i]);
}

static void *seal_and_open_often(void *arg)
{
    static const uint64_t plain = 3000;
    size_t *good = arg;

    for (int round = 0; round < 200; round++) {
        enum envelope_suite suite = suites[round % 2];
        struct data_key *key = new_key(suite, blob_a);
        struct stored stored = seal(key, suite, (uint32_t)round, plain);

        *good += open_stored(key, suite, (uint32_t)round, stored, plain) == 0;
        free(stored.bytes);
        data_key_free(key);
    }
    return NULL;
}

/* Threads share the pool of data keys and the bucket key. */
static void threads_do_not_disturb_each_other(void **state)
{
    pthread_t threads[4];
    size_t good[4] = {0};

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, seal_and_open_often, &good[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(good[i], 200);
    }
}

/* Extents that are sealed in turns on one thread, as fibers do it. */
static void sealing_in_turns_is_as_good_as_one_after_the_other(void **state)
{
    (void)state;
    EACH_SUITE(suite) {
        struct data_key *key = new_key(suite, blob_a);
        struct stored expected[2] = {seal(key, suite, 0, 2 * ENVELOPE_SEGMENT),
                                     seal(key, suite, 1, 2 * ENVELOPE_SEGMENT)};
        struct stored turns[2];
        struct extent_sealer sealers[2];

        for (uint32_t i = 0; i < 2; i++) {
            turns[i] = (struct stored){malloc(expected[i].size), expected[i].size};
            assert_non_null(turns[i].bytes);
            assert_int_equal(extent_seal_begin(&sealers[i], key, i, turns[i].bytes), 0);
        }
        for (uint64_t n = 0; n < 2; n++) {
            for (size_t i = 0; i < 2; i++) {
                for (size_t j = 0; j < ENVELOPE_SEGMENT; j++)
                    turns[i].bytes[envelope_segment_offset(suite, n) + j] = pattern(n * ENVELOPE_SEGMENT + j);
                extent_seal_segment(&sealers[i], ENVELOPE_SEGMENT, n == 1);
            }
        }
        for (size_t i = 0; i < 2; i++) {
            extent_seal_end(&sealers[i]);
            assert_memory_equal(turns[i].bytes, expected[i].bytes, expected[i].size);
            free(turns[i].bytes);
            free(expected[i].bytes);
        }
        data_key_free(key);
    }
}

static void headers_parse(void **state)
{
    struct data_key *key = new_key(SUITE_XCHACHA20_POLY1305, blob_a);
    struct stored stored = seal(key, SUITE_XCHACHA20_POLY1305, 77, 10);
    struct span span = span_of(stored.bytes, ENVELOPE_HEADER_SIZE);
    uint8_t id[KEYRING_ID_SIZE];
    struct envelope_header header;

    (void)state;
    keyring_id(keys.keyring, id);
    assert_int_equal(envelope_parse_header(span, &header), 0);
    assert_int_equal(header.suite, SUITE_XCHACHA20_POLY1305);
    assert_int_equal(header.extent_number, 77);
    assert_int_equal(header.bucket_key_id, TEST_BUCKET_KEY_ID);
    assert_memory_equal(header.blob_id, blob_a, BLOB_ID_SIZE);
    assert_memory_equal(header.keyring_id, id, KEYRING_ID_SIZE);
    assert_int_equal(envelope_parse_header(span_take(span, ENVELOPE_HEADER_SIZE - 1), &header), ERR_CORRUPT);
    for (size_t i = 0; i < 9; i++) {
        stored.bytes[i] ^= 2;
        assert_int_equal(envelope_parse_header(span, &header), i == 8 ? ERR_FORMAT : ERR_CORRUPT);
        stored.bytes[i] ^= 2;
    }
    stored.bytes[9] = 4;
    assert_int_equal(envelope_parse_header(span, &header), ERR_UNSUPPORTED);
    stored.bytes[9] = SUITE_XCHACHA20_POLY1305;
    for (size_t i = 128; i < 160; i++) {
        stored.bytes[i] ^= 2;
        assert_int_equal(envelope_parse_header(span, &header), ERR_CORRUPT);
        stored.bytes[i] ^= 2;
    }
    assert_int_equal(envelope_parse_header(span, &header), 0);
    free(stored.bytes);
    data_key_free(key);
}

static void suites_have_names(void **state)
{
    enum envelope_suite suite;

    (void)state;
    assert_int_equal(envelope_suite_by_name("aes-256-gcm", &suite), 0);
    assert_int_equal(suite, SUITE_AES_256_GCM);
    assert_int_equal(envelope_suite_by_name("xchacha20-poly1305", &suite), 0);
    assert_int_equal(suite, SUITE_XCHACHA20_POLY1305);
    assert_int_equal(envelope_suite_by_name("rot13", &suite), ERR_INVALID);
    assert_string_equal(envelope_suite_name(SUITE_AEGIS_256), "aegis-256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_follow_from_each_other),
        cmocka_unit_test(extents_of_a_blob),
        cmocka_unit_test(what_is_sealed_opens),
        cmocka_unit_test(no_plaintext_is_stored),
        cmocka_unit_test(each_flipped_bit_is_detected),
        cmocka_unit_test(each_cut_and_each_extension_is_detected),
        cmocka_unit_test(cuts_and_extensions_by_whole_segments_are_detected),
        cmocka_unit_test(swapped_and_repeated_segments_are_detected),
        cmocka_unit_test(splices_from_other_extents_and_blobs_are_detected),
        cmocka_unit_test(wrong_segment_number_or_length_opens_nothing),
        cmocka_unit_test(a_data_key_fits_its_blob_suite_and_bucket_key_only),
        cmocka_unit_test(many_data_keys_at_once_differ),
        cmocka_unit_test(threads_do_not_disturb_each_other),
        cmocka_unit_test(sealing_in_turns_is_as_good_as_one_after_the_other),
        cmocka_unit_test(headers_parse),
        cmocka_unit_test(suites_have_names),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
