#include "unit.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/text.h"
#include "crypto/digest.h"

static const struct {
    enum digest_kind kind;
    const char *name, *empty, *check; /* of "", of "123456789" */
} known[] = {
    {DIGEST_MD5, "MD5", "d41d8cd98f00b204e9800998ecf8427e", "25f9e794323b453885f5181f1b624d0b"},
    {DIGEST_SHA1, "SHA1", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"},
    {DIGEST_SHA256, "SHA256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
     "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"},
    {DIGEST_CRC32, "CRC32", "00000000", "cbf43926"},
    {DIGEST_CRC32C, "CRC32C", "00000000", "e3069283"},
    {DIGEST_CRC64NVME, "CRC64NVME", "0000000000000000", "ae8b14860a799888"},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

static void check(enum digest_kind kind, struct span bytes, const char *expected)
{
    uint8_t out[DIGEST_MAX];
    char hex[2 * DIGEST_MAX + 1];

    digest_once(kind, bytes, out);
    text_hex(span_of(out, digest_size(kind)), hex);
    assert_string_equal(hex, expected);
}

static void known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < KNOWN; i++) {
        check(known[i].kind, SPAN_NONE, known[i].empty);
        check(known[i].kind, SPAN_LITERAL("123456789"), known[i].check);
    }
}

static void names(void **state)
{
    (void)state;
    for (size_t i = 0; i < KNOWN; i++) {
        assert_string_equal(digest_name(known[i].kind), known[i].name);
        assert_int_equal(digest_by_name(span_str(known[i].name)), known[i].kind);
    }
    assert_int_equal(digest_by_name(SPAN_LITERAL("crc64nvme")), DIGEST_CRC64NVME);
    assert_int_equal(digest_by_name(SPAN_LITERAL("SHA512")), DIGEST_NONE);
    assert_int_equal(digest_by_name(SPAN_NONE), DIGEST_NONE);
}

static uint8_t *some_bytes(size_t size)
{
    uint8_t *bytes = malloc(size);
    uint32_t random = 1;

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        random = random * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(random >> 24);
    }
    return bytes;
}

/* The textbook form, bit by bit. */
static uint64_t slow_crc(uint64_t polynomial, unsigned width, struct span bytes)
{
    uint64_t ones = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    uint64_t crc = ones;

    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= bytes.ptr[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ polynomial : crc >> 1;
    }
    return crc ^ ones;
}

static uint64_t crc_of(enum digest_kind kind, struct span bytes)
{
    uint8_t out[DIGEST_MAX];
    uint64_t crc = 0;

    digest_once(kind, bytes, out);
    for (size_t i = 0; i < digest_size(kind); i++)
        crc = crc << 8 | out[i];
    return crc;
}

static void crcs_of_every_length_and_alignment(void **state)
{
    uint8_t *bytes = some_bytes(2000);

    (void)state;
    for (size_t length = 0; length < 1900; length++) {
        struct span span = span_of(bytes + length % 17, length);

        assert_int_equal(crc_of(DIGEST_CRC32, span), slow_crc(0xedb88320, 32, span));
        assert_int_equal(crc_of(DIGEST_CRC32C, span), slow_crc(0x82f63b78, 32, span));
        assert_int_equal(crc_of(DIGEST_CRC64NVME, span), slow_crc(UINT64_C(0x9a6c9329ac4bc9b5), 64, span));
        assert_int_equal(digest_crc32c(0, span.ptr, span.len), crc_of(DIGEST_CRC32C, span));
    }
    free(bytes);
}

static void pieces_give_what_the_whole_gives(void **state)
{
    static const size_t pieces[] = {1, 0, 63, 64, 65, 127, 1, 128, 4096, 3, 500};
    uint8_t *bytes = some_bytes(20000);

    (void)state;
    for (size_t k = 0; k < KNOWN; k++) {
        uint8_t whole[DIGEST_MAX], out[DIGEST_MAX];
        struct digest *digest;
        size_t at = 0;

        assert_int_equal(digest_create(known[k].kind, &digest), 0);
        for (size_t i = 0; at < 20000; i++) {
            size_t length = pieces[i % (sizeof(pieces) / sizeof(pieces[0]))];

            length = length < 20000 - at ? length : 20000 - at;
            digest_update(digest, span_of(bytes + at, length));
            at += length;
        }
        digest_final(digest, out);
        digest_free(digest);
        digest_once(known[k].kind, span_of(bytes, 20000), whole);
        assert_memory_equal(out, whole, DIGEST_MAX);
    }
    free(bytes);
}

static void crcs_combine(void **state)
{
    static const enum digest_kind kinds[] = {DIGEST_CRC32, DIGEST_CRC32C, DIGEST_CRC64NVME};
    static const size_t cuts[] = {0, 1, 9, 64, 4095, 9999, 10000};
    uint8_t *bytes = some_bytes(10000);

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        uint8_t whole[DIGEST_MAX], first[DIGEST_MAX], second[DIGEST_MAX];

        digest_once(kinds[k], span_of(bytes, 10000), whole);
        for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
            digest_once(kinds[k], span_of(bytes, cuts[i]), first);
            digest_once(kinds[k], span_of(bytes + cuts[i], 10000 - cuts[i]), second);
            assert_int_equal(digest_crc_combine(kinds[k], first, second, 10000 - cuts[i]), 0);
            assert_memory_equal(first, whole, DIGEST_MAX);
        }
    }
    assert_int_equal(digest_crc_combine(DIGEST_MD5, bytes, bytes, 1), ERR_INVALID);
    assert_int_equal(digest_crc_combine(DIGEST_NONE, bytes, bytes, 1), ERR_INVALID);
    free(bytes);
}

/* Lengths of terabytes: appending zeroes in one step is the same as in many. */
static void crcs_of_huge_parts_combine(void **state)
{
    static const enum digest_kind kinds[] = {DIGEST_CRC32, DIGEST_CRC32C, DIGEST_CRC64NVME};
    static const uint8_t zero_crc[DIGEST_MAX];

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        uint8_t once[DIGEST_MAX], twice[DIGEST_MAX];

        digest_once(kinds[k], SPAN_LITERAL("a part"), once);
        memcpy(twice, once, sizeof(once));
        digest_crc_combine(kinds[k], once, zero_crc, UINT64_C(1) << 63);
        digest_crc_combine(kinds[k], twice, zero_crc, UINT64_C(1) << 62);
        digest_crc_combine(kinds[k], twice, zero_crc, UINT64_C(1) << 62);
        assert_memory_equal(once, twice, sizeof(once));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(names),
        cmocka_unit_test(crcs_of_every_length_and_alignment),
        cmocka_unit_test(pieces_give_what_the_whole_gives),
        cmocka_unit_test(crcs_combine),
        cmocka_unit_test(crcs_of_huge_parts_combine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
