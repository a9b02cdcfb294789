/* The signing side, against the examples that AWS documents
 * (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html). */
#include "unit.h"

#include "base/err.h"
#include "crypto/sign.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct sign_client client = {
    .access_key = SPAN_LITERAL("AKIAIOSFODNN7EXAMPLE"),
    .secret = SPAN_LITERAL("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    .timestamp = SPAN_LITERAL("20130524T000000Z"),
    .region = SPAN_LITERAL("us-east-1"),
    .service = SPAN_LITERAL("s3"),
};

static void check(const struct sign_request *request, const char *names, const char *signature)
{
    struct arena *arena = arena_create(65536);
    struct span value;
    assert_int_equal(sign_authorization(request, &client, arena, &value), 0);
    char *expected =
        arena_printf(arena,
                     "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                     "SignedHeaders=%s, Signature=%s",
                     names, signature);
    assert_int_equal(value.len, strlen(expected));
    assert_memory_equal(value.ptr, expected, value.len);
    arena_free(arena);
}

static void get_object(void **state)
{
    (void)state;
    const struct sign_header headers[] = {
        {SPAN_LITERAL("X-Amz-Date"), SPAN_LITERAL("20130524T000000Z")},
        {SPAN_LITERAL("Range"), SPAN_LITERAL("bytes=0-9")},
        {SPAN_LITERAL("Host"), SPAN_LITERAL("examplebucket.s3.amazonaws.com")},
        {SPAN_LITERAL("x-amz-content-sha256"), SPAN_LITERAL(EMPTY)},
    };
    check(&(struct sign_request){.method = SPAN_LITERAL("GET"),
                                 .path = SPAN_LITERAL("/test.txt"),
                                 .headers = headers,
                                 .header_count = 4,
                                 .payload_hash = SPAN_LITERAL(EMPTY)},
          "host;range;x-amz-content-sha256;x-amz-date",
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void list_objects(void **state)
{
    (void)state;
    const struct sign_header headers[] = {
        {SPAN_LITERAL("Host"), SPAN_LITERAL("examplebucket.s3.amazonaws.com")},
        {SPAN_LITERAL("x-amz-date"), SPAN_LITERAL("20130524T000000Z")},
        {SPAN_LITERAL("x-amz-content-sha256"), SPAN_LITERAL(EMPTY)},
    };
    check(&(struct sign_request){.method = SPAN_LITERAL("GET"),
                                 .path = SPAN_LITERAL("/"),
                                 .query = SPAN_LITERAL("prefix=J&max-keys=2"),
                                 .headers = headers,
                                 .header_count = 3,
                                 .payload_hash = SPAN_LITERAL(EMPTY)},
          "host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void names_stand_once(void **state)
{
    (void)state;
    struct sign_header headers[SIGN_CLIENT_HEADERS + 1];
    struct arena *arena = arena_create(65536);
    struct span value;
    for (size_t i = 0; i < SIGN_CLIENT_HEADERS + 1; i++)
        headers[i] = (struct sign_header){i % 2 ? SPAN_LITERAL("X-Same") : SPAN_LITERAL("x-same"), SPAN_LITERAL("v")};
    struct sign_request request = {.method = SPAN_LITERAL("GET"),
                                   .headers = headers,
                                   .header_count = SIGN_CLIENT_HEADERS,
                                   .payload_hash = SPAN_LITERAL("UNSIGNED-PAYLOAD")};
    assert_int_equal(sign_authorization(&request, &client, arena, &value), 0);
    assert_true(span_find(value, SPAN_LITERAL("SignedHeaders=x-same,")) > 0);
    request.header_count++;
    assert_int_equal(sign_authorization(&request, &client, arena, &value), ERR_TOO_LARGE);
    request.header_count = 0;
    request.path = SPAN_LITERAL("/%zz");
    assert_int_equal(sign_authorization(&request, &client, arena, &value), ERR_SYNTAX);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_object),
        cmocka_unit_test(list_objects),
        cmocka_unit_test(names_stand_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
