/* The chunked transfer coding, split at every byte. */
#include "unit.h"
#include "base/err.h"
#include "http/chunked.h"

/* Decodes `in` given in pieces that end at `split` and at its end. ERR_INCOMPLETE_BODY when more is needed. */
static int decode(struct span in, size_t split, uint8_t *out, size_t *out_length, size_t *used)
{
    struct chunked chunked = {0};
    *out_length = *used = 0;
    while (!chunked_ended(&chunked)) {
        size_t stop = *used < split ? split : in.len;
        if (*used == stop)
            return ERR_INCOMPLETE_BODY;
        size_t some = 0;
        if (chunked.remaining > 0) {
            some = stop - *used < chunked.remaining ? stop - *used : (size_t)chunked.remaining;
            memcpy(out + *out_length, in.ptr + *used, some);
            *out_length += some;
            chunked.remaining -= some;
        } else {
            int rc = chunked_framing(&chunked, span_of(in.ptr + *used, stop - *used), &some);
            if (rc != 0)
                return rc;
        }
        *used += some;
    }
    return 0;
}

static const struct {
    const char *in;
    const char *data; /* NULL: ERR_SYNTAX */
    const char *rest;
} bodies[] = {
    {"0\r\n\r\n", "", ""},
    {"3\r\nabc\r\n0\r\n\r\nGET", "abc", "GET"},
    {"3\r\nabc\r\n00A\r\n0123456789\r\n000\r\n\r\n", "abc0123456789", ""},
    {"3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n", "abc", ""},
    {"1\r\na\r\n0\r\nX-T: 1\r\nY:\r\n\r\n", "a", ""},
    {"3\r\n\r\n0\r\n0\r\n\r\n", "\r\n0", ""},
    {"\r\n0\r\n\r\n", NULL, ""},
    {"g\r\n", NULL, ""},
    {"0x3\r\nabc", NULL, ""},
    {"+3\r\nabc", NULL, ""},
    {"-3\r\nabc", NULL, ""},
    {" 3\r\nabc", NULL, ""},
    {"3 \r\nabc", NULL, ""},
    {"3\nabc\n0\n\n", NULL, ""},
    {"3\rabc", NULL, ""},
    {"3\r\nabcX\r\n", NULL, ""},
    {"3\r\nabc\n0\r\n\r\n", NULL, ""},
    {"3\r\nabc\rX", NULL, ""},
    {"3;a\nb\r\nabc", NULL, ""},
    {"3;a\rb\r\nabc", NULL, ""},
    {"3;\x01\r\nabc", NULL, ""},
    {"3\r\nabc0\r\n\r\n", NULL, ""},
    {"8000000000000000\r\n", NULL, ""},
    {"10000000000000000\r\n", NULL, ""},
    {"00000000000000003\r\nabc", NULL, ""},
    {"0\r\n X: 1\r\n\r\n", NULL, ""},
    {"0\r\nX: 1\n\r\n", NULL, ""},
    {"0\r\nX: 1\r\r\n\r\n", NULL, ""},
    {"0\r\n\n", NULL, ""},
    {"0\r\n\rX", NULL, ""},
};

static void split_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct span in = span_str(bodies[i].in);
        for (size_t split = 0; split <= in.len; split++) {
            uint8_t out[64];
            size_t length, used;
            int rc = decode(in, split, out, &length, &used);
            if (rc != (bodies[i].data != NULL ? 0 : ERR_SYNTAX))
                fail_msg("%s for %s, split at %zu", err_name(rc), bodies[i].in, split);
            if (bodies[i].data == NULL)
                continue;
            assert_true(span_eq_str(span_of(out, length), bodies[i].data));
            assert_true(span_eq_str(span_skip(in, used), bodies[i].rest));
        }
    }
}

static void cut(void **state)
{
    (void)state;
    struct span in = SPAN_LITERAL("3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n");
    uint8_t out[64];
    size_t length, used;
    for (size_t i = 0; i < in.len; i++)
        assert_int_equal(decode(span_take(in, i), 0, out, &length, &used), ERR_INCOMPLETE_BODY);
}

/* Framing that goes on for ever is cut off. */
static void endless(void **state)
{
    (void)state;
    static const struct {
        const char *begin;
        uint8_t byte;
        size_t most;
    } cases[] = {{"", '0', 16}, {"3;", 'x', CHUNKED_EXTENSIONS_MAX}, {"0\r\n", 'x', CHUNKED_TRAILERS_MAX}};
    for (size_t i = 0; i < 3; i++) {
        struct chunked chunked = {0};
        size_t used, count = 0;
        assert_int_equal(0, chunked_framing(&chunked, span_str(cases[i].begin), &used));
        while (count <= 100000 && chunked_framing(&chunked, span_of(&cases[i].byte, 1), &used) == 0)
            count++;
        assert_int_equal(count, cases[i].most);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_everywhere),
        cmocka_unit_test(cut),
        cmocka_unit_test(endless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
