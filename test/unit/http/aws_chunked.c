/* aws-chunked: the forms that SDKs send, AWS's own signed examples, and what must not pass. */
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/err.h"
#include "crypto/digest.h"
#include "crypto/sign.h"
#include "http/aws_chunked.h"
#include "memory_source.h"

static struct arena *arena;

struct chain_verifier {
    struct aws_chunk_verifier verifier;
    struct sign_chain chain;
};

static int verify_chunk(struct aws_chunk_verifier *verifier, const uint8_t sha256[32], struct span signature)
{
    struct chain_verifier *self = LIST_ENTRY(verifier, struct chain_verifier, verifier);
    char expected[65];
    sign_chunk(&self->chain, sha256, expected);
    return sign_equal(signature, expected) ? 0 : ERR_SIGNATURE;
}

static int verify_trailer(struct aws_chunk_verifier *verifier, struct span canonical, struct span signature)
{
    struct chain_verifier *self = LIST_ENTRY(verifier, struct chain_verifier, verifier);
    uint8_t sha256[DIGEST_MAX];
    char expected[65];
    digest_once(DIGEST_SHA256, canonical, sha256);
    sign_trailer(&self->chain, sha256, expected);
    return sign_equal(signature, expected) ? 0 : ERR_SIGNATURE;
}

static struct chain_verifier chain_from(const char *seed)
{
    struct chain_verifier self = {.verifier = {verify_chunk, verify_trailer}};
    sign_key(SPAN_LITERAL("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), SPAN_LITERAL("20130524"),
             SPAN_LITERAL("us-east-1"), SPAN_LITERAL("s3"), self.chain.key);
    snprintf(self.chain.timestamp, sizeof(self.chain.timestamp), "20130524T000000Z");
    snprintf(self.chain.scope, sizeof(self.chain.scope), "20130524/us-east-1/s3/aws4_request");
    snprintf(self.chain.previous, sizeof(self.chain.previous), "%s", seed);
    return self;
}

/* Reads all in pieces of `piece` bytes. */
static int decode(struct span in, int64_t length, const char *announced, struct aws_chunk_verifier *verifier, size_t piece,
                  struct buf *out, struct aws_chunked **chunked)
{
    struct memory_source memory = memory_source_of(in, -1);
    uint8_t *bytes = malloc(piece);
    size_t got = 0;
    int rc, again;
    out->len = 0;
    arena_reset(arena);
    assert_int_equal(0, aws_chunked_create(arena, &memory.source, length, span_str(announced), verifier, chunked));
    struct source *source = aws_chunked_source(*chunked);
    assert_int_equal(source->length, length);
    while ((rc = source_read(source, bytes, piece, &got)) == 0 && got > 0) {
        buf_append(out, span_of(bytes, got));
        if (got < piece)
            break;
    }
    again = source_read(source, bytes, piece, &got);
    assert_int_equal(again, rc);
    assert_int_equal(got, 0);
    free(bytes);
    aws_chunked_free(*chunked);
    return rc;
}

#define CRC "x-amz-checksum-crc32"
static const struct {
    const char *in;
    int64_t length;
    const char *announced;
    const char *data; /* NULL: rc */
    int rc;
} bodies[] = {
    {"0\r\n\r\n", 0, NULL, "", 0},
    {"3\r\nabc\r\n0\r\n\r\n", 3, NULL, "abc", 0},
    {"003\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", 13, NULL, "abc0123456789", 0},
    {"3\r\nabc\r\n0\r\n" CRC ":NSRBwg==\r\n\r\n", 3, CRC, "abc", 0}, /* botocore */
    {"3\r\nabc\r\n0\r\n" CRC ":NSRBwg==\n\r\n", 3, CRC, "abc", 0},
    {"3\r\nabc\r\n0\r\nX-Amz-Checksum-CRC32: NSRBwg== \r\n\r\n", 3, " X-AMZ-checksum-crc32 ,", "abc", 0},
    {"3\r\nabc\r\n0\r\na:1\r\nb:2\r\n\r\n", 3, "b,a", "abc", 0},
    /* trailers */
    {"3\r\nabc\r\n0\r\n\r\n", 3, CRC, NULL, ERR_SYNTAX},
    {"3\r\nabc\r\n0\r\n" CRC ":NSRBwg==\r\n\r\n", 3, NULL, NULL, ERR_SYNTAX},
    {"3\r\nabc\r\n0\r\n" CRC "c:NSRBwg==\r\n\r\n", 3, CRC, NULL, ERR_SYNTAX},
    {"3\r\nabc\r\n0\r\na:1\r\na:2\r\n\r\n", 3, "a", NULL, ERR_SYNTAX},
    {"3\r\nabc\r\n0\r\na:1\r\nx-amz-trailer-signature:1\r\n\r\n", 3, "a", NULL, ERR_SYNTAX},
    {"3\r\nabc\r\n0\r\na\r\n\r\n", 3, "a", NULL, ERR_SYNTAX},
    {"3\r\nabc\r\n0\r\na:1\r\n", 3, "a", NULL, ERR_INCOMPLETE_BODY},
    {"3\r\nabc\r\n0\r\na:1\r\n\r\n\r\n", 3, "a", NULL, ERR_SYNTAX},
    {"3\r\nabc\r\n0\r\n\r\na:1\r\n\r\n", 3, "a", NULL, ERR_SYNTAX},
    {"3\r\nabc\r\n0\r\na:1", 3, "a", NULL, ERR_SYNTAX},
    {"3\r\nabc\r\n0\r\n\r\n3\r\nabc\r\n", 3, NULL, NULL, ERR_SYNTAX},
    /* lengths */
    {"3\r\nabc\r\n0\r\n\r\n", 4, NULL, NULL, ERR_INCOMPLETE_BODY},
    {"3\r\nabc\r\n0\r\n\r\n", 2, NULL, NULL, ERR_INCOMPLETE_BODY},
    {"3\r\nab", 3, NULL, NULL, ERR_INCOMPLETE_BODY},
    {"3\r\nabc\r\n", 3, NULL, NULL, ERR_INCOMPLETE_BODY},
    {"3\r\nabc\r\n0\r\n", 3, NULL, NULL, ERR_INCOMPLETE_BODY},
    {"", 0, NULL, NULL, ERR_INCOMPLETE_BODY},
    /* lines */
    {"3\nabc\n0\n\n", 3, NULL, NULL, ERR_SYNTAX},
    {"3\r\nabcX\r\n0\r\n\r\n", 3, NULL, NULL, ERR_SYNTAX},
    {"\r\nabc\r\n", 3, NULL, NULL, ERR_SYNTAX},
    {"x\r\nabc\r\n", 3, NULL, NULL, ERR_SYNTAX},
    {"-3\r\nabc\r\n", 3, NULL, NULL, ERR_SYNTAX},
    {"+3\r\nabc\r\n", 3, NULL, NULL, ERR_SYNTAX},
    {"`\r\n123456789\r\n0\r\n\r\n", 9, NULL, NULL, ERR_SYNTAX},
    {"@\r\n123456789\r\n0\r\n\r\n", 9, NULL, NULL, ERR_SYNTAX},
    {"3 \r\nabc\r\n", 3, NULL, NULL, ERR_SYNTAX},
    {"ffffffffffffffff\r\nabc\r\n", 3, NULL, NULL, ERR_SYNTAX},
    {"10000000000000003\r\nabc\r\n", 3, NULL, NULL, ERR_SYNTAX},
    {"3;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\nabc\r\n", 3, NULL, NULL,
     ERR_SYNTAX},
};

static void unsigned_forms(void **state)
{
    (void)state;
    struct buf out = {0};
    struct aws_chunked *chunked;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        for (size_t piece = 1; piece <= 16; piece++) {
            int rc = decode(span_str(bodies[i].in), bodies[i].length, bodies[i].announced, NULL, piece, &out, &chunked);
            if (rc != bodies[i].rc)
                fail_msg("%s instead of %s for %s", err_name(rc), err_name(bodies[i].rc), bodies[i].in);
            if (bodies[i].data != NULL)
                assert_true(span_eq_str(buf_span(&out), bodies[i].data));
            else
                assert_null(aws_chunked_trailer(chunked, "a").ptr);
        }
    }
    assert_int_equal(0, decode(span_str(bodies[5].in), 3, CRC, NULL, 9, &out, &chunked));
    assert_true(span_eq_str(aws_chunked_trailer(chunked, CRC), "NSRBwg=="));
    assert_null(aws_chunked_trailer(chunked, "x-amz-checksum-sha1").ptr);
    buf_free(&out);
}

static void add_chunk(struct buf *body, size_t size, const char *signature)
{
    buf_printf(body, "%zx;chunk-signature=%s\r\n", size, signature);
    uint8_t *data = buf_reserve(body, size);
    memset(data, 'a', size);
    body->len += size;
    if (size > 0)
        buf_append_str(body, "\r\n");
}

/* docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html: 66560 times 'a' in chunks of 64 KiB. */
static void signed_example(void **state)
{
    (void)state;
    static const char seed[] = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    struct buf body = {0}, out = {0};
    struct aws_chunked *chunked;
    add_chunk(&body, 65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648");
    add_chunk(&body, 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497");
    add_chunk(&body, 0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
    buf_append_str(&body, "\r\n");
    static const size_t pieces[] = {100, 65536, 66560, 100000};
    for (size_t i = 0; i < 4; i++) {
        struct chain_verifier verifier = chain_from(seed);
        assert_int_equal(0, decode(buf_span(&body), 66560, NULL, &verifier.verifier, pieces[i], &out, &chunked));
        assert_int_equal(out.len, 66560);
        assert_int_equal(out.ptr[0], 'a');
        assert_int_equal(0, memcmp(out.ptr, out.ptr + 1, out.len - 1));
    }
    /* No byte of it may differ, the last chunk's signature included. */
    for (size_t at = 0; at < body.len; at += at < 200 || at > body.len - 300 ? 1 : 997) {
        struct chain_verifier verifier = chain_from(seed);
        body.ptr[at] ^= 2;
        assert_int_not_equal(0, decode(buf_span(&body), 66560, NULL, &verifier.verifier, 40000, &out, &chunked));
        body.ptr[at] ^= 2;
    }
    /* Nor may it be cut, and a signed form needs its signatures. */
    for (size_t length = 0; length < body.len; length += length < 200 || length > body.len - 300 ? 1 : 997) {
        struct chain_verifier verifier = chain_from(seed);
        assert_int_not_equal(0, decode(span_take(buf_span(&body), length), 66560, NULL, &verifier.verifier, 40000, &out,
                                       &chunked));
    }
    struct chain_verifier verifier = chain_from(seed);
    assert_int_equal(ERR_SYNTAX, decode(span_str(bodies[1].in), 3, NULL, &verifier.verifier, 10, &out, &chunked));
    buf_free(&body);
    buf_free(&out);
}

/* .../sigv4-streaming-trailers.html: the same with a trailer. */
static void signed_trailer(void **state)
{
    (void)state;
    static const char seed[] = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
    static const char signature[] = "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";
    static const struct {
        const char *format;
        const char *announced;
        int rc;
    } ends[] = {
        {"x-amz-checksum-crc32c:sOO8/Q==\r\n%s\r\n\r\n", "x-amz-checksum-crc32c", 0},
        {"x-amz-checksum-crc32c:sOO8/Q==\n%s\r\n\r\n", "x-amz-checksum-crc32c", 0},
        {"x-amz-checksum-crc32c:sOO8/Q==\n\r\n%s\r\n\r\n", "x-amz-checksum-crc32c", 0}, /* as AWS describes it */
        {"X-Amz-Checksum-Crc32c: sOO8/Q==\r\n%s\r\n\r\n", "x-amz-checksum-crc32c", 0},
        {"x-amz-checksum-crc32c:tOO8/Q==\r\n%s\r\n\r\n", "x-amz-checksum-crc32c", ERR_SIGNATURE},
        {"x-amz-checksum-crc32c:sOO8/Q==\r\n%.*s\r\n", "x-amz-checksum-crc32c", ERR_SIGNATURE},
        {"%s\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n\r\n", "x-amz-checksum-crc32c", ERR_SYNTAX},
        {"x-amz-checksum-crc32c:sOO8/Q==\r\n%s\r\n\r\n", NULL, ERR_SYNTAX},
        {"%s\r\n\r\n", "x-amz-checksum-crc32c", ERR_SYNTAX},
        {"%s\r\n\r\n", NULL, ERR_SYNTAX},
    };
    struct buf out = {0};
    struct aws_chunked *chunked;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct buf body = {0};
        struct chain_verifier verifier = chain_from(seed);
        add_chunk(&body, 65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2");
        add_chunk(&body, 1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7");
        add_chunk(&body, 0, "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992");
        const char *at = strchr(ends[i].format, '%');
        buf_append(&body, span_of(ends[i].format, (size_t)(at - ends[i].format)));
        if (at[1] == 's')
            buf_append_str(&body, signature);
        buf_append_str(&body, strchr(at, 's') + 1);
        int rc = decode(buf_span(&body), 66560, ends[i].announced, &verifier.verifier, 70000, &out, &chunked);
        if (rc != ends[i].rc)
            fail_msg("%s instead of %s for %s", err_name(rc), err_name(ends[i].rc), ends[i].format);
        if (rc == 0)
            assert_true(span_eq_str(aws_chunked_trailer(chunked, "x-amz-checksum-crc32c"), "sOO8/Q=="));
        buf_free(&body);
    }
    buf_free(&out);
}

static void limits(void **state)
{
    (void)state;
    struct buf body = {0}, out = {0};
    struct aws_chunked *chunked;
    /* Lines and trailers without an end. */
    for (int i = 0; i < 5000; i++)
        buf_append_str(&body, "0");
    assert_int_equal(ERR_SYNTAX, decode(buf_span(&body), 3, NULL, NULL, 10, &out, &chunked));
    body.len = 0;
    buf_append_str(&body, "0\r\na:");
    for (int i = 0; i < 5000; i++)
        buf_append_str(&body, "x");
    buf_append_str(&body, "\r\n\r\n");
    assert_int_equal(ERR_SYNTAX, decode(buf_span(&body), 0, "a", NULL, 10, &out, &chunked));
    struct memory_source memory = memory_source_of(SPAN_NONE, -1);
    assert_int_equal(ERR_SYNTAX, aws_chunked_create(arena, &memory.source, 0, SPAN_LITERAL("a,b,c,d,e,f,g,h,i"), NULL,
                                                    &chunked));
    /* The inner source's error comes through, and a reader may stop in the middle of a signed chunk. */
    memory = memory_source_of(SPAN_LITERAL("3\r\na"), -1);
    memory.rc = ERR_CLOSED;
    uint8_t byte;
    size_t got;
    assert_int_equal(0, aws_chunked_create(arena, &memory.source, 3, SPAN_NONE, NULL, &chunked));
    assert_int_equal(ERR_CLOSED, source_read(aws_chunked_source(chunked), &byte, 1, &got));
    buf_free(&body);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsigned_forms),
        cmocka_unit_test(signed_example),
        cmocka_unit_test(signed_trailer),
        cmocka_unit_test(limits),
    };
    arena = arena_create(1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(arena);
    return failed;
}
