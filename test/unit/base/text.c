#include "unit.h"
#include <string.h>
#include "base/err.h"
#include "base/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void hex_goes_there_and_back(void **state)
{
    (void)state;
    char out[9];
    uint8_t bytes[4];
    text_hex(SPAN_LITERAL("\x00\x7f\xab\xff"), out);
    assert_string_equal(out, "007fabff");
    assert_int_equal(text_unhex(SPAN_LITERAL("007FaBff"), bytes, 4), 0);
    assert_memory_equal(bytes, "\x00\x7f\xab\xff", 4);
    static const char *const bad[] = {"",         "007fabf",  "007fabff0", "007fabff00",
                                      "007fabfg", "007fab f", "0x7fabff",  "007f@bff"};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(text_unhex(span_str(bad[i]), bytes, 4), ERR_SYNTAX);
    assert_int_equal(text_unhex(SPAN_NONE, NULL, 0), 0);
}

/* RFC 4648, section 10 */
static const struct {
    const char *plain, *coded;
} base64[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xff\xef\xbe", "/+++"},
};

static void base64_goes_there_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(base64); i++) {
        char out[TEXT_BASE64_SIZE(8)];
        uint8_t bytes[8];
        size_t length;
        text_base64(span_str(base64[i].plain), out);
        assert_string_equal(out, base64[i].coded);
        assert_int_equal(text_unbase64(span_str(out), bytes, sizeof(bytes), &length), 0);
        assert_true(span_eq_str(span_of(bytes, length), base64[i].plain));
        if (length > 0)
            assert_int_equal(text_unbase64(span_str(out), bytes, length - 1, &length), ERR_SYNTAX);
    }
}

static void broken_base64_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"Z",    "Zg",     "Zg=",  "Zg===", "=",    "====", "Z===", "Zg==Zg==",
                                      "Zm 9", "Zm9v\n", "Zm9-", "Zm9_",  "Zh==", "Zm9=", "=g==", "Z=g="};
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint8_t bytes[16];
        size_t length;
        assert_int_equal(text_unbase64(span_str(bad[i]), bytes, sizeof(bytes), &length), ERR_SYNTAX);
    }
}

static void check_encode(const char *plain, bool keep_slash, const char *expected)
{
    struct buf buf = {0};
    text_uri_encode(&buf, span_str(plain), keep_slash);
    assert_true(span_eq_str(buf_span(&buf), expected));
    buf_free(&buf);
}

static void uris_are_encoded_as_sigv4_wants(void **state)
{
    (void)state;
    check_encode("a/b c~_-.9", true, "a/b%20c~_-.9");
    check_encode("a/b", false, "a%2Fb");
    check_encode("\xc3\xa4+=&%*'()", true, "%C3%A4%2B%3D%26%25%2A%27%28%29");
    check_encode("", true, "");
}

static void check_decode(const char *coded, bool plus, int rc, const char *expected)
{
    uint8_t out[64];
    size_t length;
    assert_int_equal(text_uri_decode(span_str(coded), plus, out, &length), rc);
    if (rc == 0)
        assert_true(span_eq_str(span_of(out, length), expected));
}

static void uris_are_decoded(void **state)
{
    (void)state;
    check_decode("a%20b+c%2b%C3%a4", false, 0, "a b+c+\xc3\xa4");
    check_decode("a+b", true, 0, "a b");
    check_decode("%", false, ERR_SYNTAX, NULL);
    check_decode("%2", false, ERR_SYNTAX, NULL);
    check_decode("a%g0", false, ERR_SYNTAX, NULL);
    check_decode("%%41", false, ERR_SYNTAX, NULL);
    uint8_t zero[3];
    size_t length;
    assert_int_equal(text_uri_decode(SPAN_LITERAL("%00"), false, zero, &length), 0);
    assert_int_equal(length, 1);
    assert_int_equal(zero[0], 0);
}

static void utf8_is_checked_to_the_letter(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "plain",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "a\xe2\x82\xac z"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xe2\x82",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xe2\x28\xa1"};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(text_is_utf8(span_str(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(text_is_utf8(span_str(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_goes_there_and_back),  cmocka_unit_test(base64_goes_there_and_back),
        cmocka_unit_test(broken_base64_is_refused), cmocka_unit_test(uris_are_encoded_as_sigv4_wants),
        cmocka_unit_test(uris_are_decoded),         cmocka_unit_test(utf8_is_checked_to_the_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
