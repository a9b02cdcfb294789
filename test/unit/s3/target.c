#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/err.h"
#include "s3/copy_source.h"
#include "s3/error.h"
#include "s3/target.h"

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_create(1 << 20);
    return arena == NULL;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static char *domains[] = {(char[]){"s3.example.org"}, (char[]){"localhost"}};

static int parse(const char *host, const char *path, const char *query, struct s3_target *out)
{
    return target_parse(span_str(host), span_str(path), span_str(query), domains, 2, arena, out);
}

static void expect(const char *host, const char *path, const char *bucket, const char *key)
{
    struct s3_target target;
    assert_int_equal(parse(host, path, NULL, &target), 0);
    if (!span_eq_str(target.bucket, bucket) || !span_eq_str(target.key, key))
        fail_msg("%s %s: %.*s / %.*s", host, path, SPAN_FMT(target.bucket), SPAN_FMT(target.key));
}

static void bucket_names(void **state)
{
    (void)state;
    static const char *const good[] = {
        "abc",   "a-b",       "my.bucket.1",
        "1.2.3", "1.2.3.4.5", "a23456789012345678901234567890123456789012345678901234567890123"};
    static const char *const bad[] = {"",
                                      "ab",
                                      "Abc",
                                      "a_b",
                                      "-ab",
                                      "ab-",
                                      ".ab",
                                      "ab.",
                                      "a..b",
                                      "192.168.0.1",
                                      "xn--abc",
                                      "sthree-abc",
                                      "abc-s3alias",
                                      "abc--ol-s3",
                                      "a b",
                                      "a234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!target_bucket_name_valid(span_str(good[i])))
            fail_msg("%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (target_bucket_name_valid(span_str(bad[i])))
            fail_msg("%s", bad[i]);
    }
}

static void path_style(void **state)
{
    (void)state;
    expect("127.0.0.1:9000", "/", "", "");
    expect("127.0.0.1:9000", "/bucket", "bucket", "");
    expect("127.0.0.1:9000", "/bucket/", "bucket", "");
    expect("127.0.0.1:9000", "/bucket/a/b", "bucket", "a/b");
    expect("localhost", "/bucket/key", "bucket", "key");
}

static void keys_are_decoded_once_and_never_normalised(void **state)
{
    (void)state;
    expect("h", "/b/a%2Fb+c%20d", "b", "a/b+c d");
    expect("h", "/b//x/../y/./", "b", "/x/../y/./");
    expect("h", "/b/%2525", "b", "%25");
    expect("h", "/b/%E2%82%AC%0D%0A", "b", "\xe2\x82\xac\r\n");
}

static void virtual_host_style(void **state)
{
    (void)state;
    expect("bucket.s3.example.org", "/key/x", "bucket", "key/x");
    expect("bucket.S3.Example.ORG:8443", "/", "bucket", "");
    expect("my.dotted.localhost:80", "/k", "my.dotted", "k");
    expect("s3.example.org", "/bucket/k", "bucket", "k");
    expect("evils3.example.org", "/bucket/k", "bucket", "k");
}

static void what_no_key_can_be(void **state)
{
    (void)state;
    struct s3_target target;
    char path[1 + 1 + 1 + 1025 + 1] = "/b/";
    memset(path + 3, 'k', 1024);
    assert_int_equal(parse("h", path, NULL, &target), 0);
    assert_int_equal(target.key.len, 1024);
    path[3 + 1024] = 'k';
    assert_int_equal(parse("h", path, NULL, &target), S3_KEY_TOO_LONG);
    assert_int_equal(parse("h", "/b/%00", NULL, &target), S3_INVALID_URI);
    assert_int_equal(parse("h", "/b/%FF", NULL, &target), S3_INVALID_URI);
    assert_int_equal(parse("h", "/b/%4", NULL, &target), S3_INVALID_URI);
    assert_int_equal(parse("h", "/b/%zz", NULL, &target), S3_INVALID_URI);
    assert_int_equal(parse("h", "//key", NULL, &target), S3_INVALID_BUCKET_NAME);
}

static void parameters(void **state)
{
    (void)state;
    struct s3_target target;
    assert_int_equal(parse("h", "/b", "uploads&prefix=a%2Bb+c&empty=&&prefix=second&%C3%A4=1=2", &target), 0);
    assert_int_equal(target.param_count, 5);
    assert_true(span_eq_str(target_param(&target, "prefix"), "a+b c"));
    assert_non_null(target_param(&target, "uploads").ptr);
    assert_false(target.params[0].has_value);
    assert_true(target.params[2].has_value);
    assert_int_equal(target_param(&target, "empty").len, 0);
    assert_true(span_eq_str(target_param(&target, "\xc3\xa4"), "1=2"));
    assert_null(target_param(&target, "marker").ptr);
    assert_int_equal(parse("h", "/b", "a=%", &target), S3_INVALID_URI);
}

static void copy_sources(void **state)
{
    (void)state;
    struct copy_source source;
    static const char *const forms[] = {"b/a%20k", "/b/a%20k", "/b/a%20k?versionId=null", "b%2Fa%20k", "%2Fb%2Fa%20k"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        assert_int_equal(copy_source_parse(span_str(forms[i]), arena, &source), 0);
        assert_true(span_eq_str(source.bucket, "b"));
        assert_true(span_eq_str(source.key, "a k"));
        assert_int_equal(source.version.ptr != NULL, i == 2);
    }
    assert_int_equal(copy_source_parse(SPAN_LITERAL("b/what?+"), arena, &source), 0);
    assert_true(span_eq_str(source.key, "what?+"));
    char whole[3 + 3 + 1024] = "b%2F"; /* the longest key, the whole encoded */
    memset(whole + 4, 'k', 1024);
    assert_int_equal(copy_source_parse(span_of(whole, 4 + 1024), arena, &source), 0);
    assert_int_equal(source.key.len, 1024);
    assert_int_equal(copy_source_parse(SPAN_LITERAL("b"), arena, &source), S3_INVALID_ARGUMENT);
    assert_int_equal(copy_source_parse(SPAN_LITERAL("b/"), arena, &source), S3_INVALID_ARGUMENT);
    assert_int_equal(copy_source_parse(SPAN_LITERAL(""), arena, &source), S3_INVALID_ARGUMENT);
    assert_int_equal(copy_source_parse(SPAN_LITERAL("b/%zz"), arena, &source), S3_INVALID_URI);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bucket_names),
        cmocka_unit_test(path_style),
        cmocka_unit_test(keys_are_decoded_once_and_never_normalised),
        cmocka_unit_test(virtual_host_style),
        cmocka_unit_test(what_no_key_can_be),
        cmocka_unit_test(parameters),
        cmocka_unit_test(copy_sources),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
