#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/err.h"
#include "s3/xml_in.h"
#include "s3/xml_out.h"

static void expect_escaped(struct span text, const char *escaped)
{
    struct buf out = {0};
    xml_escape(&out, text);
    buf_append(&out, span_of("", 1));
    assert_string_equal((const char *)out.ptr, escaped);
    buf_free(&out);
}

static void keys_survive_as_text(void **state)
{
    (void)state;
    expect_escaped(SPAN_LITERAL("a<b>&\"c'"), "a&lt;b&gt;&amp;&quot;c'");
    expect_escaped(SPAN_LITERAL("\r\n\t"), "&#xD;\n\t");
    expect_escaped(SPAN_LITERAL("\x0b\x01\x1f\x7f"), "&#xB;&#x1;&#x1F;&#x7F;");
    expect_escaped(SPAN_LITERAL("\xe2\x82\xac +%"), "\xe2\x82\xac +%");
}

static void documents(void **state)
{
    (void)state;
    struct buf out = {0};
    xml_begin(&out, "R");
    xml_u64(&out, "N", 18446744073709551615ULL);
    xml_bool(&out, "T", true);
    xml_time(&out, "D", 1700000000999);
    xml_etag(&out, "ab-2");
    xml_name(&out, "K", SPAN_LITERAL("a/b c"), true);
    xml_name(&out, "K", SPAN_LITERAL("a/b c"), false);
    xml_close(&out, "R");
    buf_append(&out, span_of("", 1));
    assert_string_equal(
        (const char *)out.ptr,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
        "<N>18446744073709551615</N><T>true</T><D>2023-11-14T22:13:20.000Z</D>"
        "<ETag>&quot;ab-2&quot;</ETag><K>a/b%20c</K><K>a/b c</K></R>");
    buf_free(&out);
}

static int collect(void *arg, unsigned depth, struct span name, struct span text)
{
    struct buf *out = arg;
    buf_printf(out, "%u%.*s=%.*s;", depth, SPAN_FMT(name), SPAN_FMT(text));
    return 0;
}

static int parse(struct span xml, struct buf *out)
{
    struct xml_reader reader = {.closed = collect, .arg = out};
    out->len = 0;
    int rc = xml_in_parse(xml, "R", &reader);
    buf_append(out, span_of("", 1));
    return rc;
}

static void elements_come_with_depth_and_text(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(
        parse(SPAN_LITERAL("<R xmlns=\"x\" a='1'> <A>1&amp;&#13;2</A>\n<B><C/><D>é<![CDATA[<>]]></D> </B></R>"), &out),
        0);
    assert_string_equal((const char *)out.ptr, "2A=1&\r2;3C=;3D=é<>;2B=;1R=;");
    assert_int_equal(parse(SPAN_LITERAL("<?xml version=\"1.0\"?><p:R xmlns:p='y'><p:A>x</p:A></p:R>\n"), &out), 0);
    assert_string_equal((const char *)out.ptr, "2A=x;1R=;");
    buf_free(&out);
}

static void what_is_refused(void **state)
{
    (void)state;
    struct buf out = {0};
    static const char *const bad[] = {
        "",
        " ",
        "<R>",
        "<R></Q>",
        "<Q></Q>",
        "<R></R><R></R>",
        "<R>&unknown;</R>",
        "<R a=1></R>",
        "<R><a><b><c><d><e><f><g><h></h></g></f></e></d></c></b></a></R>",
        "<!DOCTYPE R [<!ENTITY e \"x\">]><R>&e;</R>",
        "<!DOCTYPE R><R></R>",
        "<!DOCTYPE R SYSTEM \"file:///etc/passwd\"><R></R>",
        "<R\x01></R>",
        "<R>&#0;</R>",
        "<R>\xf4\x8f\xbc\x81\x01</R>",
        "<R>\xff</R>",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse(span_str(bad[i]), &out) != ERR_SYNTAX)
            fail_msg("%s", bad[i]);
    }
    buf_free(&out);
}

/* boto3 sends them bare, others as references. */
static void control_bytes_of_keys_are_taken(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(parse(SPAN_LITERAL("<R><A>\x01 b\x1f</A><B>&#x1F;&#11;&#xb;&#13;&amp;#1;&#x41;</B></R>"), &out),
                     0);
    assert_string_equal((const char *)out.ptr, "2A=\x01 b\x1f;2B=\x1f\x0b\x0b\r&#1;A;1R=;");
    assert_int_equal(parse(SPAN_LITERAL("<R><A>\xf4\x8f\xbc\x81</A></R>"), &out), 0);
    assert_string_equal((const char *)out.ptr, "2A=\xf4\x8f\xbc\x81;1R=;");
    buf_free(&out);
}

static void text_has_a_limit(void **state)
{
    (void)state;
    struct buf xml = {0}, out = {.cap = 64 << 10};
    buf_append_str(&xml, "<R><A>");
    memset(buf_reserve(&xml, XML_TEXT_MAX), 'x', XML_TEXT_MAX);
    xml.len += XML_TEXT_MAX;
    buf_append_str(&xml, "</A></R>");
    assert_int_equal(parse(buf_span(&xml), &out), 0);
    xml.len -= 8;
    buf_append_str(&xml, "x</A></R>");
    assert_int_equal(parse(buf_span(&xml), &out), ERR_SYNTAX);
    buf_free(&xml);
    buf_free(&out);
}

static int stop_at_a(void *arg, unsigned depth, struct span name, struct span text)
{
    (void)arg, (void)depth, (void)text;
    return span_eq_str(name, "A") ? ERR_INVALID : 0;
}

static void a_callback_ends_the_parse(void **state)
{
    (void)state;
    struct xml_reader reader = {.closed = stop_at_a};
    assert_int_equal(xml_in_parse(SPAN_LITERAL("<R><A/><B/></R>"), "R", &reader), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_survive_as_text),
        cmocka_unit_test(documents),
        cmocka_unit_test(elements_come_with_depth_and_text),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(control_bytes_of_keys_are_taken),
        cmocka_unit_test(text_has_a_limit),
        cmocka_unit_test(a_callback_ends_the_parse),
    };
    xml_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
