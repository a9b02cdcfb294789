#include "unit.h"
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    int64_t ms;
    const char *http, *iso, *basic;
} times[] = {
    {0, "Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00.000Z", "19700101T000000Z"},
    {1795552243007, "Tue, 24 Nov 2026 20:30:43 GMT", "2026-11-24T20:30:43.007Z", "20261124T203043Z"},
    {951782400000, "Tue, 29 Feb 2000 00:00:00 GMT", "2000-02-29T00:00:00.000Z", "20000229T000000Z"},
    {1709251199999, "Thu, 29 Feb 2024 23:59:59 GMT", "2024-02-29T23:59:59.999Z", "20240229T235959Z"},
    {4107542400000, "Mon, 01 Mar 2100 00:00:00 GMT", "2100-03-01T00:00:00.000Z", "21000301T000000Z"},
    {-1, "Wed, 31 Dec 1969 23:59:59 GMT", "1969-12-31T23:59:59.999Z", "19691231T235959Z"},
    {253402300799999, "Fri, 31 Dec 9999 23:59:59 GMT", "9999-12-31T23:59:59.999Z", "99991231T235959Z"},
    {-62167219200000, "Sat, 01 Jan 0000 00:00:00 GMT", "0000-01-01T00:00:00.000Z", "00000101T000000Z"},
};

static void times_are_written_and_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(times); i++) {
        char http[CLOCK_HTTP_SIZE], iso[CLOCK_ISO_SIZE], basic[CLOCK_BASIC_SIZE];
        int64_t seconds, expected = (times[i].ms - (times[i].ms < 0 ? 999 : 0)) / 1000;
        clock_http(times[i].ms, http);
        clock_iso(times[i].ms, iso);
        clock_basic(times[i].ms, basic);
        assert_string_equal(http, times[i].http);
        assert_string_equal(iso, times[i].iso);
        assert_string_equal(basic, times[i].basic);
        assert_int_equal(clock_parse_http(span_str(http), &seconds), 0);
        assert_true(seconds == expected);
        assert_int_equal(clock_parse_iso(span_str(iso), &seconds), 0);
        assert_true(seconds == expected);
        assert_int_equal(clock_parse_basic(span_str(basic), &seconds), 0);
        assert_true(seconds == expected);
    }
}

static void dates_agree_with_libc(void **state)
{
    (void)state;
    for (time_t day = -400 * 366; day < 400 * 366; day++) {
        time_t now = day * 86400 + 3661;
        struct tm tm;
        char ours[CLOCK_HTTP_SIZE], theirs[64];
        gmtime_r(&now, &tm);
        strftime(theirs, sizeof(theirs), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        clock_http((int64_t)now * 1000, ours);
        if (tm.tm_year + 1900 >= 1000) /* libc writes smaller years without zeroes */
            assert_string_equal(ours, theirs);
    }
}

static void times_out_of_range_are_cut(void **state)
{
    (void)state;
    char iso[CLOCK_ISO_SIZE];
    clock_iso(INT64_MAX, iso);
    assert_string_equal(iso, "9999-12-31T23:59:59.999Z");
    clock_iso(INT64_MIN, iso);
    assert_string_equal(iso, "0000-01-01T00:00:00.000Z");
}

/* RFC 9110, 5.6.7 */
static void http_dates_have_three_forms(void **state)
{
    (void)state;
    static const char *const same[] = {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                       "Sun Nov  6 08:49:37 1994"};
    int64_t seconds;
    for (size_t i = 0; i < COUNT(same); i++) {
        assert_int_equal(clock_parse_http(span_str(same[i]), &seconds), 0);
        assert_true(seconds == 784111777);
    }
    assert_int_equal(clock_parse_http(SPAN_LITERAL("Tue Nov 24 20:30:43 2026"), &seconds), 0);
    assert_true(seconds == 1795552243);
    assert_int_equal(clock_parse_http(SPAN_LITERAL("Sat, 31 Dec 2016 23:59:60 GMT"), &seconds), 0);
    assert_true(seconds == 1483228800);
}

static void iso_times_may_have_fractions_and_zones(void **state)
{
    (void)state;
    static const char *const same[] = {"2026-11-24T20:30:43Z",           "2026-11-24T20:30:43.1Z",
                                       "2026-11-24T20:30:43.123456789Z", "2026-11-24T20:30:43+00:00",
                                       "2026-11-24T22:30:43.5+02:00",    "2026-11-24T19:00:43-01:30"};
    for (size_t i = 0; i < COUNT(same); i++) {
        int64_t seconds;
        assert_int_equal(clock_parse_iso(span_str(same[i]), &seconds), 0);
        assert_true(seconds == 1795552243);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const http[] = {"",
                                       "0",
                                       "Sun",
                                       "Sun, 06 Nov 1994 08:49:37",
                                       "Sun, 06 Nov 1994 08:49:37 UTC",
                                       "Sun, 6 Nov 1994 08:49:37 GMT",
                                       "Sun, 06 nov 1994 08:49:37 GMT",
                                       "Sun, 32 Jan 1994 08:49:37 GMT",
                                       "Sun, 29 Feb 1900 08:49:37 GMT",
                                       "Sun, 29 Feb 2023 08:49:37 GMT",
                                       "Sun, 31 Apr 2023 08:49:37 GMT",
                                       "Sun, 06 Nov 1994 24:00:00 GMT",
                                       "Sun, 06 Nov 1994 08:60:37 GMT",
                                       "Sun, 06 Nov 1994 08:49:61 GMT",
                                       "Sun, 06 Nov 1994 08:49:37 GMT ",
                                       "Sun, 00 Nov 1994 08:49:37 GMT",
                                       "Sun, 06-Nov-94 08:49:37 GMT",
                                       "Sun Nov 6 08:49:37 1994",
                                       "Xxx, 06 Nov 1994 08:49:37 GMT",
                                       "Sun, -6 Nov 1994 08:49:37 GMT"};
    static const char *const iso[] = {"",
                                      "2026-11-24",
                                      "2026-11-24T20:30:43",
                                      "2026-11-24 20:30:43Z",
                                      "2026-11-24T20:30:43.Z",
                                      "2026-13-24T20:30:43Z",
                                      "2026-11-31T20:30:43Z",
                                      "2026-02-29T20:30:43Z",
                                      "2026-00-01T20:30:43Z",
                                      "2026-11-24T20:30:43ZZ",
                                      "2026-11-24T20:30:43+0200",
                                      "20261124T203043Z"};
    static const char *const basic[] = {"",
                                        "20261124T203043",
                                        "20261124T203043z",
                                        "20261124203043Z",
                                        "20261324T203043Z",
                                        "20260229T203043Z",
                                        "20261124T243043Z",
                                        "20261124T203043ZX",
                                        "2026112aT203043Z"};
    int64_t seconds;
    for (size_t i = 0; i < COUNT(http); i++)
        assert_int_equal(clock_parse_http(span_str(http[i]), &seconds), ERR_SYNTAX);
    for (size_t i = 0; i < COUNT(iso); i++)
        assert_int_equal(clock_parse_iso(span_str(iso[i]), &seconds), ERR_SYNTAX);
    for (size_t i = 0; i < COUNT(basic); i++)
        assert_int_equal(clock_parse_basic(span_str(basic[i]), &seconds), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_and_read),
        cmocka_unit_test(dates_agree_with_libc),
        cmocka_unit_test(times_out_of_range_are_cut),
        cmocka_unit_test(http_dates_have_three_forms),
        cmocka_unit_test(iso_times_may_have_fractions_and_zones),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
