/* Pieces: their bytes, sealed and opened, and what becomes of one that was changed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "store/ship/piece.h"
#include "unit.h"

static struct keyring *keyring;
static char folder[256];

static struct keyring *make_keyring(const char *name)
{
    char path[300];
    struct keyring *out;
    struct span secret = SPAN_LITERAL("a secret of at least thirty-two bytes");
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(keyring_create(path, KEYRING_KEY_FILE, secret), 0);
    assert_int_equal(keyring_open(path, KEYRING_KEY_FILE, secret, &out), 0);
    unlink(path);
    return out;
}

static struct piece piece_of(uint64_t length)
{
    struct piece piece = {.kind = PIECE_JOURNAL, .rank = 1, .file = 7, .offset = 100, .length = length, .first = 9,
                          .last = 12, .time_ms = 1700000000000};
    memset(piece.before, 1, sizeof(piece.before));
    memset(piece.after, 2, sizeof(piece.after));
    return piece;
}

static struct blob_name name_of(uint32_t number)
{
    struct blob_name name = {{1, 2, 3}};
    name.bytes[15] = 9;
    for (int i = 0; i < 4; i++)
        name.bytes[16 + i] = (uint8_t)(number >> (24 - 8 * i));
    return name;
}

/* A sealed piece in `out`, whose bytes of the file count up. */
static size_t seal(enum envelope_suite suite, const struct blob_name *name, const struct piece *piece, size_t room, uint8_t *out)
{
    struct bucket_key *key;
    struct block block = {.capacity = piece_block_size(suite, room)};
    block.data = calloc(1, block.capacity);
    assert_non_null(block.data);
    uint8_t *plain = piece_plain(&block, suite, room) + PIECE_HEADER_SIZE;
    for (size_t i = 0; i < piece->length; i++)
        plain[i] = (uint8_t)(i * 7 + i / 256);
    assert_int_equal(journal_key_open(keyring, 1, &key), 0);
    assert_int_equal(piece_seal(key, suite, name, piece, room, &block), 0);
    bucket_key_free(key);
    memcpy(out, block.data, block.length);
    free(block.data);
    return block.length;
}

#define SIZE_MAX_TESTED (300 * 1024)

static void what_is_sealed_opens(void **state)
{
    static const size_t lengths[] = {1, 100, 65536 - PIECE_HEADER_SIZE, 65537 - PIECE_HEADER_SIZE, 200000};
    uint8_t *bytes = malloc(SIZE_MAX_TESTED);
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (size_t more = 0; more <= 70000; more += 35000) { /* room that was not used */
            struct piece piece = piece_of(lengths[i]), got;
            struct blob_name name = name_of(NAME_PIECE | 5);
            struct span content;
            size_t size = seal(SUITE_AES_256_GCM, &name, &piece, lengths[i] + more, bytes);
            assert_int_equal(piece_open(keyring, &name, size, bytes, size, &got, &content), 0);
            assert_memory_equal(&got, &piece, sizeof(piece));
            assert_int_equal(content.len, lengths[i]);
            for (size_t n = 0; n < content.len; n++)
                assert_int_equal(content.ptr[n], (uint8_t)(n * 7 + n / 256));
        }
    }
    free(bytes);
}

static void the_head_tells_what_it_is(void **state)
{
    uint8_t *bytes = malloc(SIZE_MAX_TESTED);
    struct piece piece = piece_of(200000), got;
    struct blob_name name = name_of(NAME_PIECE | 5);
    struct span content;
    (void)state;
    size_t size = seal(SUITE_XCHACHA20_POLY1305, &name, &piece, piece.length, bytes);
    assert_true(piece_head_size(size) < size);
    assert_int_equal(piece_open(keyring, &name, size, bytes, piece_head_size(size), &got, &content), 0);
    assert_memory_equal(&got, &piece, sizeof(piece));
    assert_int_equal(content.len, 65536 - PIECE_HEADER_SIZE);
    free(bytes);
}

static void any_changed_byte_is_refused(void **state)
{
    uint8_t sealed[2000], bytes[2000];
    struct piece piece = piece_of(500), got;
    struct blob_name name = name_of(NAME_PIECE | 5), other = name_of(NAME_PIECE | 6);
    struct span content;
    (void)state;
    size_t size = seal(SUITE_AES_256_GCM, &name, &piece, piece.length, sealed);
    for (size_t i = 0; i < size; i++) {
        memcpy(bytes, sealed, size);
        bytes[i] ^= 0x10;
        assert_int_not_equal(piece_open(keyring, &name, size, bytes, size, &got, &content), 0);
    }
    for (size_t cut = 1; cut < size; cut += 50) {
        memcpy(bytes, sealed, size);
        assert_int_not_equal(piece_open(keyring, &name, size - cut, bytes, size - cut, &got, &content), 0);
    }
    memcpy(bytes, sealed, size); /* another's place */
    assert_int_equal(piece_open(keyring, &other, size, bytes, size, &got, &content), ERR_CORRUPT);
    struct keyring *foreign = make_keyring("foreign");
    memcpy(bytes, sealed, size);
    assert_int_equal(piece_open(foreign, &name, size, bytes, size, &got, &content), ERR_WRONG_KEY);
    keyring_free(foreign);
}

static void headers_that_cannot_be_are_refused(void **state)
{
    uint8_t bytes[PIECE_HEADER_SIZE];
    struct piece good = piece_of(10), got, bad[8];
    (void)state;
    piece_encode(&good, bytes);
    assert_int_equal(piece_decode(span_of(bytes, sizeof(bytes)), &got), 0);
    assert_int_equal(piece_decode(span_of(bytes, sizeof(bytes) - 1), &got), ERR_CORRUPT);
    bytes[11] = 2;
    assert_int_equal(piece_decode(span_of(bytes, sizeof(bytes)), &got), ERR_FORMAT);
    for (size_t i = 0; i < 8; i++)
        bad[i] = good;
    bad[0].kind = (enum piece_kind)3;
    bad[1].length = 0;
    bad[2].length = PIECE_MAX + 1;
    bad[3].first = 6;              /* before its segment */
    bad[4].last = 8;               /* before its first */
    bad[5].offset = 0;             /* the segment's beginning has its first record */
    bad[6].kind = PIECE_SNAPSHOT;  /* which has no two sums */
    bad[7].offset = UINT64_MAX - 5;
    for (size_t i = 0; i < 8; i++) {
        piece_encode(&bad[i], bytes);
        assert_int_equal(piece_decode(span_of(bytes, sizeof(bytes)), &got), ERR_CORRUPT);
    }
}

static int begin(void **state)
{
    const char *tmp = getenv("TMPDIR");
    (void)state;
    snprintf(folder, sizeof(folder), "%s/arca-piece-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (crypto_init() != 0 || mkdtemp(folder) == NULL)
        return -1;
    keyring = make_keyring("keyring");
    return 0;
}

static int end(void **state)
{
    (void)state;
    keyring_free(keyring);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens),
        cmocka_unit_test(the_head_tells_what_it_is),
        cmocka_unit_test(any_changed_byte_is_refused),
        cmocka_unit_test(headers_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
