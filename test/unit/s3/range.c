#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/err.h"
#include "s3/range.h"

struct row {
    const char *header;
    uint64_t size;
    int rc;
    uint64_t offset, length;
};

static void ranges_of_rfc_9110(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"bytes=0-4", 10, 0, 0, 5},
        {"bytes=0-", 10, 0, 0, 10},
        {"bytes=9-", 10, 0, 9, 1},
        {"bytes=9-100", 10, 0, 9, 1},
        {"bytes=5-5", 10, 0, 5, 1},
        {"bytes=-3", 10, 0, 7, 3},
        {"bytes=-30", 10, 0, 0, 10},
        {"BYTES = 1 - 2", 10, 0, 1, 2},
        {"bytes=0-99999999999999999999999", 10, 0, 0, 10},
        {"bytes=10-", 10, ERR_RANGE, 0, 0},
        {"bytes=99999999999999999999999-", 10, ERR_RANGE, 0, 0},
        {"bytes=-0", 10, ERR_RANGE, 0, 0},
        {"bytes=0-", 0, ERR_RANGE, 0, 0},
        {"bytes=-1", 0, ERR_RANGE, 0, 0},
        {"bytes=5-4", 10, ERR_INVALID, 0, 0},
        {"bytes=0-1,3-4", 10, ERR_INVALID, 0, 0},
        {"bytes=-", 10, ERR_INVALID, 0, 0},
        {"bytes=", 10, ERR_INVALID, 0, 0},
        {"bytes", 10, ERR_INVALID, 0, 0},
        {"lines=0-1", 10, ERR_INVALID, 0, 0},
        {"bytes=a-b", 10, ERR_INVALID, 0, 0},
        {"bytes=--1", 10, ERR_INVALID, 0, 0},
        {"", 10, ERR_INVALID, 0, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t offset = 0, length = 0;
        int rc = range_parse(span_str(rows[i].header), rows[i].size, &offset, &length);
        if (rc != rows[i].rc || offset != rows[i].offset || length != rows[i].length)
            fail_msg("%s of %d: rc %d, %d+%d", rows[i].header, (int)rows[i].size, rc, (int)offset, (int)length);
    }
}

static void copy_ranges_have_both_ends_within_the_source(void **state)
{
    (void)state;
    uint64_t offset, length;
    assert_int_equal(range_parse_copy(SPAN_LITERAL("bytes=2-9"), 10, &offset, &length), 0);
    assert_int_equal(offset, 2);
    assert_int_equal(length, 8);
    assert_int_equal(range_parse_copy(SPAN_LITERAL("bytes=2-10"), 10, &offset, &length), ERR_RANGE);
    assert_int_equal(range_parse_copy(SPAN_LITERAL("bytes=0-0"), 0, &offset, &length), ERR_RANGE);
    assert_int_equal(range_parse_copy(SPAN_LITERAL("bytes=2-"), 10, &offset, &length), ERR_INVALID);
    assert_int_equal(range_parse_copy(SPAN_LITERAL("bytes=-2"), 10, &offset, &length), ERR_INVALID);
    assert_int_equal(range_parse_copy(SPAN_LITERAL("0-2"), 10, &offset, &length), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_of_rfc_9110),
        cmocka_unit_test(copy_ranges_have_both_ends_within_the_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
