/* AWS's published examples, and what botocore signs (test/vectors/sign.json). */
#include "unit.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/err.h"
#include "crypto/digest.h"
#include "crypto/sign.h"

#define HOST         "examplebucket.s3.amazonaws.com"
#define TIMESTAMP    "20130524T000000Z"
#define SCOPE        "20130524/us-east-1/s3/aws4_request"
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

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

static void example_key(uint8_t out[32])
{
    sign_key(SPAN_LITERAL("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), SPAN_LITERAL("20130524"),
             SPAN_LITERAL("us-east-1"), SPAN_LITERAL("s3"), out);
}

struct example {
    const char *method, *path, *query;
    struct sign_header headers[8];
    const char *payload_hash;
    const char *canonical_hash; /* NULL: not published */
    const char *signature;
};

#define HEADER(name, value) {SPAN_LITERAL(name), SPAN_LITERAL(value)}

/* docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, sigv4-query-string-auth.html,
 * sigv4-streaming.html, sigv4-streaming-trailers.html */
static const struct example examples[] = {
    {"GET", "/test.txt", "",
     {HEADER("Host", HOST), HEADER("Range", "bytes=0-9"), HEADER("x-amz-content-sha256", EMPTY_SHA256),
      HEADER("x-amz-date", TIMESTAMP)},
     EMPTY_SHA256, "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"PUT", "/test$file.text", "",
     {HEADER("Date", "Fri, 24 May 2013 00:00:00 GMT"), HEADER("x-amz-storage-class", "REDUCED_REDUNDANCY"),
      HEADER("Host", HOST),
      HEADER("x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
      HEADER("x-amz-date", TIMESTAMP)},
     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
     "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"GET", "/", "lifecycle",
     {HEADER("Host", HOST), HEADER("x-amz-date", TIMESTAMP), HEADER("x-amz-content-sha256", EMPTY_SHA256)},
     EMPTY_SHA256, "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"GET", "/", "prefix=J&max-keys=2",
     {HEADER("Host", HOST), HEADER("x-amz-date", TIMESTAMP), HEADER("x-amz-content-sha256", EMPTY_SHA256)},
     EMPTY_SHA256, "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    {"GET", "/test.txt",
     "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
     "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
     "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
     {HEADER("Host", HOST)}, "UNSIGNED-PAYLOAD", "3bfa292879f6447bbcda7001decf97f4a54dc650c8942174ae0a9121cf58ad04",
     "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"},
    {"PUT", "/examplebucket/chunkObject.txt", "",
     {HEADER("Host", "s3.amazonaws.com"), HEADER("x-amz-date", TIMESTAMP),
      HEADER("x-amz-storage-class", "REDUCED_REDUNDANCY"),
      HEADER("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), HEADER("Content-Encoding", "aws-chunked"),
      HEADER("x-amz-decoded-content-length", "66560"), HEADER("Content-Length", "66824")},
     "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "cee3fed04b70f867d036f722359b0b1f2f0e5dc0efadbc082b76c4c60e316455",
     "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"},
    {"PUT", "/examplebucket/chunkObject.txt", "",
     {HEADER("Host", "s3.amazonaws.com"), HEADER("x-amz-date", TIMESTAMP),
      HEADER("x-amz-storage-class", "REDUCED_REDUNDANCY"),
      HEADER("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
      HEADER("Content-Encoding", "aws-chunked"), HEADER("x-amz-decoded-content-length", "66560"),
      HEADER("x-amz-trailer", "x-amz-checksum-crc32c")},
     "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", NULL,
     "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"},
};
#define EXAMPLES (sizeof(examples) / sizeof(examples[0]))

static void published_requests(void **state)
{
    uint8_t key[32];

    (void)state;
    example_key(key);
    for (size_t i = 0; i < EXAMPLES; i++) {
        const struct example *example = &examples[i];
        struct sign_request request = {.method = span_str(example->method), .path = span_str(example->path),
                                       .query = span_str(example->query), .headers = example->headers,
                                       .payload_hash = span_str(example->payload_hash),
                                       .skip_parameter = SPAN_LITERAL("X-Amz-Signature")};
        char hash[65], signature[65];

        while (request.header_count < 8 && request.headers[request.header_count].name.len > 0)
            request.header_count++;
        arena_reset(arena);
        assert_int_equal(sign_canonical_hash(&request, arena, hash), 0);
        if (example->canonical_hash != NULL)
            assert_string_equal(hash, example->canonical_hash);
        sign_signature(key, SPAN_LITERAL(TIMESTAMP), SPAN_LITERAL(SCOPE), hash, signature);
        assert_string_equal(signature, example->signature);
        assert_true(sign_equal(span_str(example->signature), signature));
    }
}

static void chunk(struct sign_chain *chain, size_t length, const char *expected)
{
    uint8_t *data = malloc(length + 1);
    uint8_t hash[DIGEST_MAX];
    char signature[65];

    assert_non_null(data);
    memset(data, 'a', length);
    digest_once(DIGEST_SHA256, span_of(data, length), hash);
    sign_chunk(chain, hash, signature);
    assert_string_equal(signature, expected);
    free(data);
}

static void published_chunks(void **state)
{
    struct sign_chain chain = {.timestamp = TIMESTAMP, .scope = SCOPE};
    static const uint8_t zeroes[sizeof(chain)];

    (void)state;
    example_key(chain.key);
    strcpy(chain.previous, examples[5].signature);
    chunk(&chain, 65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648");
    chunk(&chain, 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497");
    chunk(&chain, 0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
    sign_chain_wipe(&chain);
    assert_memory_equal(&chain, zeroes, sizeof(chain));
}

static void published_trailer(void **state)
{
    struct sign_chain chain = {.timestamp = TIMESTAMP, .scope = SCOPE};
    uint8_t hash[DIGEST_MAX];
    char signature[65];

    (void)state;
    example_key(chain.key);
    strcpy(chain.previous, examples[6].signature);
    chunk(&chain, 65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2");
    chunk(&chain, 1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7");
    chunk(&chain, 0, "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992");
    digest_once(DIGEST_SHA256, SPAN_LITERAL("x-amz-checksum-crc32c:sOO8/Q==\n"), hash);
    sign_trailer(&chain, hash, signature);
    assert_string_equal(signature, "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435");
}

static struct span string(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);

    assert_non_null(value);
    return span_of(json_string_value(value), json_string_length(value));
}

static void what_botocore_signs(void **state)
{
    const char *source = getenv("ARCA_SOURCE");
    char path[1000];
    json_error_t error;
    json_t *cases, *one;
    size_t i;

    (void)state;
    snprintf(path, sizeof(path), "%s/test/vectors/sign.json", source != NULL ? source : ".");
    cases = json_load_file(path, 0, &error);
    assert_non_null(cases);
    assert_true(json_array_size(cases) > 20);
    json_array_foreach(cases, i, one) {
        struct sign_header headers[16];
        struct sign_request request = {.method = string(one, "method"), .path = string(one, "path"),
                                       .query = string(one, "query"), .headers = headers,
                                       .payload_hash = string(one, "payload_hash"),
                                       .skip_parameter = SPAN_LITERAL("X-Amz-Signature")};
        json_t *pair;
        size_t n;
        uint8_t key[32];
        char hash[65], signature[65];

        json_array_foreach(json_object_get(one, "headers"), n, pair) {
            headers[n].name = span_str(json_string_value(json_array_get(pair, 0)));
            headers[n].value = span_str(json_string_value(json_array_get(pair, 1)));
            request.header_count = n + 1;
        }
        arena_reset(arena);
        assert_int_equal(sign_canonical_hash(&request, arena, hash), 0);
        sign_key(string(one, "secret"), span_take(string(one, "timestamp"), 8), SPAN_LITERAL("us-east-1"),
                 SPAN_LITERAL("s3"), key);
        sign_signature(key, string(one, "timestamp"), string(one, "scope"), hash, signature);
        if (!sign_equal(string(one, "signature"), signature))
            fail_msg("case %zu: %.*s?%.*s", i, SPAN_FMT(request.path), SPAN_FMT(request.query));
    }
    json_decref(cases);
}

static int hash_of(const char *path, const char *query, char out[65])
{
    struct sign_request request = {.method = SPAN_LITERAL("GET"), .path = span_str(path), .query = span_str(query),
                                   .payload_hash = SPAN_LITERAL("UNSIGNED-PAYLOAD"),
                                   .skip_parameter = SPAN_LITERAL("skip")};

    arena_reset(arena);
    return sign_canonical_hash(&request, arena, out);
}

static void same(const char *path, const char *query, const char *other_path, const char *other_query, bool expected)
{
    char a[65], b[65];

    assert_int_equal(hash_of(path, query, a), 0);
    assert_int_equal(hash_of(other_path, other_query, b), 0);
    assert_int_equal(strcmp(a, b) == 0, expected);
}

static void encodings_of_the_same_are_the_same(void **state)
{
    (void)state;
    same("/a%2fb", "", "/a/b", "", true);
    same("/%61", "", "/a", "", true);
    same("/a b", "", "/a%20b", "", true);
    same("/a+b", "", "/a%2Bb", "", true);
    same("/a+b", "", "/a%20b", "", false);
    same("/a//b/../c/.", "", "/a/c", "", false);
    same("", "", "/", "", true);
    same("/", "b=2&a=1", "/", "a=1&b=2", true);
    same("/", "a=2&a=1", "/", "a=1&a=2", true);
    same("/", "a", "/", "a=", true);
    same("/", "a=x+y", "/", "a=x%20y", true);
    same("/", "&&a=1&", "/", "a=1", true);
    same("/", "a=1=2", "/", "a=1%3D2", true);
    same("/", "a=1&skip=zz", "/", "a=1", true);
    same("/", "a=1&sk%69p=zz", "/", "a=1", true);
    same("/", "a=1&skipped=zz", "/", "a=1", false);
    same("/", "a-b=1&a=1", "/", "a=1&a-b=1", true);
    same("/", "a", "/", "A", false);
}

static void broken_escapes_are_refused(void **state)
{
    static const char *const broken[] = {"/%", "/%4", "/%4g", "/%g4", "/a%", "/%%41", "/%-1"};
    char out[65];

    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        assert_int_equal(hash_of(broken[i], "", out), ERR_SYNTAX);
        assert_int_equal(hash_of("/", broken[i] + 1, out), ERR_SYNTAX);
        assert_int_equal(hash_of("/", "a=b", out), 0);
    }
    assert_int_equal(hash_of("/", "a=%zz", out), ERR_SYNTAX);
}

static void header_values_are_joined_and_trimmed(void **state)
{
    const struct sign_header untidy[] = {HEADER("X-Two", "  b   c  "), HEADER("HOST", "h"), HEADER("x-two", "a"),
                                         HEADER("X-Empty", "   ")};
    const struct sign_header tidy[] = {HEADER("host", "h"), HEADER("x-empty", ""), HEADER("x-two", "b c,a")};
    struct sign_request request = {.method = SPAN_LITERAL("GET"), .path = SPAN_LITERAL("/"),
                                   .payload_hash = SPAN_LITERAL("UNSIGNED-PAYLOAD")};
    char a[65], b[65];

    (void)state;
    arena_reset(arena);
    request.headers = untidy;
    request.header_count = 4;
    assert_int_equal(sign_canonical_hash(&request, arena, a), 0);
    request.headers = tidy;
    request.header_count = 3;
    assert_int_equal(sign_canonical_hash(&request, arena, b), 0);
    assert_string_equal(a, b);
}

static void too_small_an_arena_is_no_crash(void **state)
{
    struct arena *small = arena_create(64);
    struct sign_request request = {.method = SPAN_LITERAL("GET"),
                                   .path = SPAN_LITERAL("/a/path/that/is/a/little/longer/than/fits/into/it"),
                                   .payload_hash = SPAN_LITERAL("UNSIGNED-PAYLOAD")};
    char out[65];

    (void)state;
    assert_non_null(small);
    assert_int_equal(sign_canonical_hash(&request, small, out), ERR_NOMEM);
    arena_free(small);
}

static void signatures_are_compared_whole(void **state)
{
    char expected[65] = EMPTY_SHA256, given[65] = EMPTY_SHA256;

    (void)state;
    assert_true(sign_equal(span_of(given, 64), expected));
    for (size_t i = 0; i < 64; i++) {
        assert_false(sign_equal(span_of(given, i), expected));
        given[i] ^= 1;
        assert_false(sign_equal(span_of(given, 64), expected));
        given[i] ^= 1;
    }
    assert_false(sign_equal(span_of(given, 65), expected));
    assert_false(sign_equal(SPAN_NONE, expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_requests),
        cmocka_unit_test(published_chunks),
        cmocka_unit_test(published_trailer),
        cmocka_unit_test(what_botocore_signs),
        cmocka_unit_test(encodings_of_the_same_are_the_same),
        cmocka_unit_test(broken_escapes_are_refused),
        cmocka_unit_test(header_values_are_joined_and_trimmed),
        cmocka_unit_test(too_small_an_arena_is_no_crash),
        cmocka_unit_test(signatures_are_compared_whole),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
