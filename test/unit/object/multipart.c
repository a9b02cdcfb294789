/* Uploads in parts. */
#include "fixture.h"

#include "base/text.h"
#include "crypto/digest.h"

#define MIB ((uint64_t)1 << 20)

/* An upload and what was put into it. Parts are pieces of one pattern, so that the object is that pattern. */
static struct {
    struct span id;
    Arca__CompletedPart parts[8];
    Arca__CompletedPart *list[8];
    size_t count;
    char etags[8][33];
    Arca__Checksum checksum, *checksums[1];
    uint8_t crc[DIGEST_MAX];
    enum digest_kind kind;
} up;

struct part_source {
    struct test_source body; /* first */
    struct digest *digest;
};

static void begin(enum digest_kind kind, bool full)
{
    Arca__Upload upload = ARCA__UPLOAD__INIT;
    memset(&up, 0, sizeof(up));
    upload.checksum_kind = kind;
    upload.checksum_full = full;
    upload.owner_id = (char *)(uintptr_t) "owner";
    assert_int_equal(upload_create(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("key"), &upload), 0);
    up.id = span_of(upload.id.data, upload.id.len);
    up.kind = kind;
}

/* The CRC and an ETag of bytes [at, at + size) of the pattern. */
static int describe_part(void *arg, char **etag, Arca__Checksum ***checksums, size_t *count)
{
    (void)arg;
    *etag = up.etags[up.count - 1];
    if (up.kind != DIGEST_NONE) {
        arca__checksum__init(&up.checksum);
        up.checksum.kind = up.kind;
        up.checksum.value = (ProtobufCBinaryData){digest_size(up.kind), up.crc};
        up.checksums[0] = &up.checksum;
        *checksums = up.checksums;
        *count = 1;
    }
    return 0;
}

static void digest_pattern(enum digest_kind kind, uint64_t at, uint64_t size, uint8_t out[DIGEST_MAX])
{
    struct digest *digest;
    uint8_t piece[4096];
    assert_int_equal(digest_create(kind, &digest), 0);
    while (size > 0) {
        size_t n = size < sizeof(piece) ? (size_t)size : sizeof(piece);
        for (size_t i = 0; i < n; i++)
            piece[i] = pattern(1, at + i);
        digest_update(digest, span_of(piece, n));
        at += n;
        size -= n;
    }
    digest_final(digest, out);
    digest_free(digest);
}

/* Puts bytes [at, at + size) of the pattern as the next part of the list. */
static int put_part(uint32_t number, uint64_t at, uint64_t size)
{
    Arca__Part part = ARCA__PART__INIT;
    struct test_source source = body_of(1, at + size, true);
    uint8_t md5[DIGEST_MAX];
    source.at = at;
    source.source.length = (int64_t)size;
    part.number = number;
    digest_pattern(DIGEST_MD5, at, size, md5);
    text_hex(span_of(md5, 16), up.etags[up.count]);
    if (up.kind != DIGEST_NONE)
        digest_pattern(up.kind, at, size, up.crc);
    arca__completed_part__init(&up.parts[up.count]);
    up.parts[up.count].number = number;
    up.parts[up.count].etag = up.etags[up.count];
    up.list[up.count] = &up.parts[up.count];
    up.count++;
    struct part_put put = {.bucket = fx.bucket,
                           .key = SPAN_LITERAL("key"),
                           .upload_id = up.id,
                           .part = &part,
                           .body = &source.source,
                           .seal = {describe_part, NULL},
                           .deadline_ms = DEADLINE_NONE};
    return part_put(fx.engine, fx.arena, &put);
}

static int complete_with(struct span checksum, uint64_t size, Arca__Object *object)
{
    struct upload_complete complete = {.bucket = fx.bucket,
                                       .key = SPAN_LITERAL("key"),
                                       .upload_id = up.id,
                                       .parts = up.list,
                                       .part_count = up.count,
                                       .checksum = checksum,
                                       .size = size,
                                       .object = object};
    arca__object__init(object);
    return upload_complete(fx.engine, fx.arena, &complete);
}

static int complete(void)
{
    Arca__Object object;
    return complete_with(SPAN_NONE, 0, &object);
}

static void expected_etag(char out[64])
{
    uint8_t raw[16], md5[DIGEST_MAX];
    struct digest *digest;
    assert_int_equal(digest_create(DIGEST_MD5, &digest), 0);
    for (size_t i = 0; i < up.count; i++) {
        assert_int_equal(text_unhex(span_str(up.etags[i]), raw, 16), 0);
        digest_update(digest, span_of(raw, 16));
    }
    digest_final(digest, md5);
    digest_free(digest);
    text_hex(span_of(md5, 16), out);
    snprintf(out + 32, 32, "-%zu", up.count);
}

/* --- */

static void whole(void *arg)
{
    const uint64_t sizes[] = {5 * MIB, 5 * MIB + 1, 6 * MIB + SEGMENT - 3, 12345};
    const uint32_t numbers[] = {2, 3, 7, 10000};
    Arca__Object object;
    char etag[64];
    uint64_t at = 0;
    (void)arg;
    make_all();
    begin(DIGEST_NONE, false);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(put_part(numbers[i], at, sizes[i]), 0);
        at += sizes[i];
    }
    assert_int_equal(complete_with(SPAN_NONE, at + 1, &object), ERR_INVALID);
    assert_int_equal(complete_with(SPAN_NONE, at, &object), 0);
    expected_etag(etag);
    assert_string_equal(object.etag, etag);
    assert_int_equal(object.size, at);
    assert_int_equal(check_whole("key", 1, at), 0);
    uint64_t edge = 0;
    for (size_t i = 0; i < 4; i++) {
        for (uint64_t shift = edge > 0 ? 2 : 0; shift + 1 > 0 && shift <= 2; shift--) {
            uint64_t length = at - (edge - shift) < 2 * MIB ? at - (edge - shift) : 2 * MIB;
            assert_int_equal(check_range("key", 1, edge - shift, 1), 0);
            assert_int_equal(check_range("key", 1, edge - shift, length), 0);
        }
        edge += sizes[i];
    }
    assert_int_equal(garbage_count(NULL), 0);
    assert_int_equal(budget_used(fx.budget), 0);

    /* Again: the same answer. And never for another list. */
    assert_int_equal(complete_with(SPAN_NONE, 0, &object), 0);
    assert_string_equal(object.etag, etag);
    assert_int_equal(object.size, at);
    up.count--;
    assert_int_equal(complete(), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(put_part(4, 0, 1), ERR_NO_SUCH_UPLOAD);

    /* Copies refer to the manifest. */
    Arca__Object *row;
    assert_int_equal(index_object_get(fx.index, fx.bucket->id, SPAN_LITERAL("key"), fx.arena, &row, NULL), 0);
    assert_int_equal(object_copy(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("copy"), row, NULL), 0);
    assert_int_equal(object_delete(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("key"), NULL), 0);
    assert_int_equal(garbage_count(NULL), 0);
    assert_int_equal(check_whole("copy", 1, at), 0);
    assert_int_equal(object_delete(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("copy"), NULL), 0);
    assert_int_equal(garbage_count(NULL), 4);
}

static void wrong_lists(void *arg)
{
    char etag[33];
    (void)arg;
    make_all();
    begin(DIGEST_NONE, false);
    assert_int_equal(complete(), ERR_INVALID_PART);
    assert_int_equal(put_part(1, 0, 5 * MIB - 1), 0);
    assert_int_equal(put_part(2, 5 * MIB - 1, 1), 0);
    assert_int_equal(complete(), ERR_PART_TOO_SMALL);
    up.list[0] = &up.parts[1];
    up.list[1] = &up.parts[0];
    assert_int_equal(complete(), ERR_PART_ORDER);
    up.list[0] = up.list[1] = &up.parts[0];
    assert_int_equal(complete(), ERR_PART_ORDER);
    up.list[1] = &up.parts[1];
    up.parts[1].number = 3;
    assert_int_equal(complete(), ERR_INVALID_PART);
    up.parts[1].number = 2;
    memcpy(etag, up.etags[1], 33);
    up.etags[1][0] ^= 1;
    assert_int_equal(complete(), ERR_INVALID_PART);
    up.etags[1][0] = 'x';
    assert_int_equal(complete(), ERR_INVALID_PART);
    memcpy(up.etags[1], etag, 33);
    /* A part of that number again: the first one is garbage. */
    assert_int_equal(put_part(1, 0, 5 * MIB), 0);
    assert_int_equal(garbage_count(NULL), 1);
    up.list[0] = &up.parts[2];
    up.count = 1;
    assert_int_equal(complete(), 0);
    assert_int_equal(check_whole("key", 1, 5 * MIB), 0);
    /* So is what was not listed. */
    assert_int_equal(garbage_count(NULL), 2);
    assert_int_equal(put_part(1, 0, 1), ERR_NO_SUCH_UPLOAD);
}

static void aborted(void *arg)
{
    (void)arg;
    make_all();
    begin(DIGEST_NONE, false);
    assert_int_equal(put_part(1, 0, 2 * MIB + 1), 0);
    assert_int_equal(upload_abort(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("key"), up.id), 0);
    assert_int_equal(garbage_count(NULL), 1);
    assert_int_equal(upload_abort(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("key"), up.id), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(put_part(1, 0, 1), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(complete(), ERR_NO_SUCH_UPLOAD);
}

static void empty_parts(void *arg)
{
    (void)arg;
    make_all();
    begin(DIGEST_NONE, false);
    assert_int_equal(put_part(1, 0, 5 * MIB), 0);
    assert_int_equal(put_part(2, 5 * MIB, 0), 0);
    assert_int_equal(complete(), 0);
    assert_int_equal(check_whole("key", 1, 5 * MIB), 0);
    begin(DIGEST_NONE, false);
    assert_int_equal(put_part(1, 0, 0), 0);
    assert_int_equal(complete(), 0);
    assert_int_equal(check_whole("key", 1, 0), 0);
}

/* The checksum of the whole, from those of the parts. */
static void checksums(void *arg)
{
    const enum digest_kind kinds[] = {DIGEST_CRC32, DIGEST_CRC32C, DIGEST_CRC64NVME, DIGEST_SHA256, DIGEST_SHA1};
    const uint64_t size = 10 * MIB + 99;
    Arca__Object object;
    (void)arg;
    make_all();
    for (size_t i = 0; i < 8; i++) {
        enum digest_kind kind = kinds[i % 5];
        bool full = i < 3;
        uint8_t expected[DIGEST_MAX], concatenated[3 * DIGEST_MAX];
        size_t len = digest_size(kind);
        begin(kind, full);
        const uint64_t ends[] = {0, 5 * MIB, 10 * MIB + 6, size};
        for (uint32_t n = 0; n < 3; n++) {
            assert_int_equal(put_part(n + 1, ends[n], ends[n + 1] - ends[n]), 0);
            memcpy(concatenated + n * len, up.crc, len);
        }
        if (full)
            digest_pattern(kind, 0, size, expected);
        else
            digest_once(kind, span_of(concatenated, 3 * len), expected);
        expected[0] ^= 1;
        assert_int_equal(complete_with(span_of(expected, len), 0, &object), ERR_BAD_CHECKSUM);
        expected[0] ^= 1;
        assert_int_equal(complete_with(span_of(expected, len), 0, &object), 0);
        assert_int_equal(object.n_checksums, 1);
        assert_int_equal(object.checksums[0]->composite, !full);
        assert_int_equal(object.checksums[0]->kind, kind);
        assert_memory_equal(object.checksums[0]->value.data, expected, len);
    }
}

TEST(whole)
TEST(wrong_lists)
TEST(aborted)
TEST(empty_parts)
TEST(checksums)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_aborted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_checksums, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
