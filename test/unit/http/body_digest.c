/* Digests of bodies, many fibers side by side: each must be what OpenSSL says of the same bytes. */
#include "unit.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include "base/err.h"
#include "http/body_digest.h"
#include "memory_source.h"
#include "on_fiber.h"

#define BODIES 40

static uint8_t bytes[3000000];

static void openssl(const EVP_MD *md, struct span s, uint8_t *out)
{
    assert_int_equal(1, EVP_Digest(s.ptr, s.len, out, NULL, md, NULL));
}

struct reader {
    struct span body;
    size_t piece;
    bool length_known, cancel;
    uint8_t md5[16];
    struct fiber *fiber;
    int rc;
    bool done;
};

static void read_body(void *arg)
{
    struct reader *reader = arg;
    struct arena *arena = arena_create(1 << 20);
    struct memory_source memory = memory_source_of(reader->body, reader->length_known ? (int64_t)reader->body.len : -1);
    struct body_expectation expectation = {.checksum = DIGEST_SHA1, .sha256_given = true};
    uint8_t *piece = malloc(reader->piece), sha1[20];
    struct body_digest *digest;
    size_t got = 0, passed = 0;
    openssl(EVP_sha256(), reader->body, expectation.sha256);
    openssl(EVP_sha1(), reader->body, sha1);
    assert_int_equal(0, body_digest_create(arena, &memory.source, &expectation, &digest));
    for (;;) {
        size_t half = reader->piece / 2;
        struct iovec iov[] = {{piece, half}, {piece + half, reader->piece - half}};
        reader->rc = reader->piece % 3 == 0 ? source_read(body_digest_source(digest), piece, reader->piece, &got)
                                            : source_readv(body_digest_source(digest), iov, 2, &got);
        if (reader->rc != 0 || got == 0)
            break;
        assert_memory_equal(piece, reader->body.ptr + passed, got);
        passed += got;
    }
    if (reader->rc == 0) {
        assert_int_equal(passed, reader->body.len);
        memcpy(reader->md5, body_digest_md5(digest), 16);
        assert_int_equal(body_digest_checksum(digest).len, 20);
        assert_memory_equal(body_digest_checksum(digest).ptr, sha1, 20);
    }
    body_digest_free(digest);
    free(piece);
    arena_free(arena);
    reader->done = true;
}

static void side_by_side(void *arg)
{
    static struct reader readers[BODIES];
    (void)arg;
    for (size_t i = 0; i < BODIES; i++) {
        size_t length = i * i * 1800 + i % 3;
        readers[i] = (struct reader){.body = span_of(bytes + i, length), .piece = 1 + i * 30011 % 700001,
                                     .length_known = i % 2 == 0, .cancel = i % 8 == 7};
        assert_int_equal(0, fiber_spawn(loop_self(), read_body, &readers[i], &readers[i].fiber));
    }
    fiber_yield(); /* all have begun */
    for (size_t i = 0; i < BODIES; i++)
        if (readers[i].cancel && !readers[i].done)
            fiber_cancel(readers[i].fiber);
    for (size_t i = 0; i < BODIES; i++) {
        uint8_t md5[16];
        while (!readers[i].done)
            fiber_yield();
        openssl(EVP_md5(), readers[i].body, md5);
        assert_true(readers[i].rc == 0 || (readers[i].cancel && readers[i].rc == ERR_CANCELED));
        if (readers[i].rc == 0)
            assert_memory_equal(readers[i].md5, md5, 16);
    }
}

static void concurrent(void **state)
{
    (void)state;
    on_fiber(side_by_side, NULL);
}

static int late_rc;
static uint8_t late_value[4];

static int late(void *arg, uint8_t *out, size_t *out_len)
{
    (void)arg;
    memcpy(out, late_value, 4);
    *out_len = 4;
    return late_rc;
}

/* How a read of exactly the body, or one more byte, ends; the bytes of a body that does not verify are withheld. */
static int result(const struct body_expectation *expectation, struct span body, size_t capacity, bool length_known)
{
    struct arena *arena = arena_create(1 << 20);
    struct memory_source memory = memory_source_of(body, length_known ? (int64_t)body.len : -1);
    struct body_digest *digest;
    uint8_t piece[100];
    size_t got = 0;
    assert_int_equal(0, body_digest_create(arena, &memory.source, expectation, &digest));
    int rc = source_read(body_digest_source(digest), piece, capacity, &got);
    assert_int_equal(got, rc == 0 ? (capacity < body.len ? capacity : body.len) : 0);
    if (rc == 0)
        rc = source_read(body_digest_source(digest), piece, capacity, &got);
    assert_int_equal(got, 0);
    assert_int_equal(rc, source_read(body_digest_source(digest), piece, capacity, &got));
    body_digest_free(digest);
    arena_free(arena);
    return rc;
}

static int expect(const struct body_expectation *expectation, struct span body)
{
    int rc = result(expectation, body, body.len + 1, false);
    assert_int_equal(rc, result(expectation, body, body.len, false));
    assert_int_equal(rc, result(expectation, body, body.len, true));
    return rc;
}

static void expectations(void **state)
{
    (void)state;
    struct span body = SPAN_LITERAL("abc");
    struct body_expectation good = {.md5_given = true, .sha256_given = true, .checksum = DIGEST_CRC32}, bad;
    static const uint8_t crc[] = {0x35, 0x24, 0x41, 0xc2};
    openssl(EVP_md5(), body, good.md5);
    openssl(EVP_sha256(), body, good.sha256);
    good.checksum_value = span_of(crc, 4);
    assert_int_equal(0, expect(&good, body));
    bad = good;
    bad.md5[15] ^= 1;
    bad.sha256[0] ^= 1;
    assert_int_equal(ERR_BAD_DIGEST, expect(&bad, body));
    bad.md5_given = false;
    bad.checksum_value = span_take(good.checksum_value, 3);
    assert_int_equal(ERR_BAD_SHA256, expect(&bad, body));
    bad.sha256_given = false;
    assert_int_equal(ERR_BAD_CHECKSUM, expect(&bad, body));
    bad.checksum_value = SPAN_NONE;
    assert_int_equal(0, expect(&bad, body));
    bad.checksum_late = late;
    memcpy(late_value, crc, 4);
    assert_int_equal(0, expect(&bad, body));
    late_value[3] ^= 1;
    assert_int_equal(ERR_BAD_CHECKSUM, expect(&bad, body));
    late_rc = ERR_SYNTAX;
    assert_int_equal(ERR_SYNTAX, expect(&bad, body));
    late_rc = 0;
    /* One SHA-256 serves both. */
    bad = good;
    bad.checksum = DIGEST_SHA256;
    bad.checksum_value = span_of(good.sha256, 32);
    assert_int_equal(0, expect(&bad, body));
    bad.sha256_given = false;
    bad.checksum_value = span_of(bytes, 32);
    assert_int_equal(ERR_BAD_CHECKSUM, expect(&bad, body));
}

static void inner_errors(void **state)
{
    (void)state;
    struct arena *arena = arena_create(1 << 20);
    struct memory_source memory = memory_source_of(SPAN_LITERAL("abc"), -1);
    struct body_expectation expectation = {0};
    struct body_digest *digest;
    uint8_t piece[10];
    size_t got;
    memory.rc = ERR_INCOMPLETE_BODY;
    assert_int_equal(0, body_digest_create(arena, &memory.source, &expectation, &digest));
    assert_int_equal(0, source_read(body_digest_source(digest), piece, 2, &got));
    assert_int_equal(ERR_INCOMPLETE_BODY, source_read(body_digest_source(digest), piece, 2, &got));
    memory.rc = 0;
    assert_int_equal(ERR_INCOMPLETE_BODY, source_read(body_digest_source(digest), piece, 2, &got));
    assert_int_equal(0, got);
    body_digest_free(digest);
    body_digest_free(NULL);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(concurrent),
        cmocka_unit_test(expectations),
        cmocka_unit_test(inner_errors),
    };
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
