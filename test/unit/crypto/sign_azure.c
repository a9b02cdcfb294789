/* Azure's Shared Key: the texts of learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key, and what is ours. */
#include "unit.h"

#include "base/err.h"
#include "crypto/sign_azure.h"

#define HEADER(name, value) {{(const uint8_t *)(name), sizeof(name) - 1}, {(const uint8_t *)(value), sizeof(value) - 1}}

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_create(1 << 20);
    return arena != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void assert_text(const struct sign_azure_request *request, const char *expected)
{
    struct span text;
    assert_int_equal(sign_azure_string(request, arena, &text), 0);
    assert_string_equal((const char *)text.ptr, expected);
    assert_int_equal(text.len, strlen(expected));
}

static void the_documented_get(void **state)
{
    (void)state;
    static const struct sign_header headers[] = {HEADER("x-ms-version", "2015-02-21"),
                                                 HEADER("X-MS-Date", " Fri, 26 Jun 2015 23:39:12 GMT ")};
    static const char text[] = "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
                               "x-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\nrestype:container\n"
                               "timeout:20";
    static const uint8_t key[] = "arca contract tests, a key for nobody";
    char signature[SIGN_AZURE_SIZE];
    const struct sign_azure_request request = {
        .account = SPAN_LITERAL("myaccount"),
        .method = SPAN_LITERAL("GET"),
        .path = SPAN_LITERAL("/mycontainer"),
        .query = SPAN_LITERAL("restype=container&comp=metadata&timeout=20"),
        .headers = headers,
        .header_count = 2,
    };
    assert_text(&request, text);
    sign_azure_signature(span_of(key, sizeof(key) - 1), SPAN_LITERAL(text), signature);
    assert_string_equal(signature, "//FDzrAnAwpW5jjGJmZ0QbMbDslMRDGz2WQ+swyr0J8=");
}

/* A length of 0 is no length; what is in the query is signed decoded, names in lower case, values of one name together. */
static void lengths_and_parameters(void **state)
{
    (void)state;
    static const struct sign_header headers[] = {HEADER("Content-Type", "text/plain"), HEADER("Range", "bytes=0-9"),
                                                 HEADER("Content-MD5", "md5"), HEADER("x-ms-a", "1"), HEADER("Other", "x")};
    struct sign_azure_request request = {
        .account = SPAN_LITERAL("a"),
        .method = SPAN_LITERAL("PUT"),
        .path = SPAN_LITERAL("/a/c/b%20b"),
        .query = SPAN_LITERAL("Marker=%2Fx%3D&b=2&b=1&empty&a=%41"),
        .headers = headers,
        .header_count = 5,
    };
    assert_text(&request, "PUT\n\n\n\nmd5\ntext/plain\n\n\n\n\n\nbytes=0-9\nx-ms-a:1\n/a/a/c/b%20b\na:A\nb:1,2\nempty:\n"
                          "marker:/x=");
    request.content_length = 8388608;
    request.query = SPAN_NONE;
    assert_text(&request, "PUT\n\n\n8388608\nmd5\ntext/plain\n\n\n\n\n\nbytes=0-9\nx-ms-a:1\n/a/a/c/b%20b");
}

static void what_cannot_be_signed(void **state)
{
    (void)state;
    struct sign_header headers[SIGN_AZURE_HEADERS + 1];
    struct span text;
    for (size_t i = 0; i <= SIGN_AZURE_HEADERS; i++)
        headers[i] = (struct sign_header)HEADER("x-ms-a", "1");
    struct sign_azure_request request = {.method = SPAN_LITERAL("GET"), .path = SPAN_LITERAL("/"),
                                         .query = SPAN_LITERAL("a=%4"), .headers = headers, .header_count = 1};
    assert_int_equal(sign_azure_string(&request, arena, &text), ERR_SYNTAX);
    request.query = SPAN_LITERAL("1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16");
    assert_int_equal(sign_azure_string(&request, arena, &text), 0);
    request.query = SPAN_LITERAL("1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17");
    assert_int_equal(sign_azure_string(&request, arena, &text), ERR_TOO_LARGE);
    request.query = SPAN_NONE;
    request.header_count = SIGN_AZURE_HEADERS;
    assert_int_equal(sign_azure_string(&request, arena, &text), 0);
    request.header_count++;
    assert_int_equal(sign_azure_string(&request, arena, &text), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_get),
        cmocka_unit_test(lengths_and_parameters),
        cmocka_unit_test(what_cannot_be_signed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
