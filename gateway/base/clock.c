#include "base/clock.h"
#include <stdbool.h>
#include <time.h>
#include "base/err.h"

static const char days[7][10] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

#define MS_MIN INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define MS_MAX INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

static int64_t read_clock(clockid_t id, int64_t divisor)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * (INT64_C(1000000000) / divisor) + now.tv_nsec / divisor;
}

int64_t clock_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME, 1000000);
}

int64_t clock_monotonic_ms(void)
{
    return read_clock(CLOCK_MONOTONIC, 1000000);
}

uint64_t clock_monotonic_ns(void)
{
    return (uint64_t)read_clock(CLOCK_MONOTONIC, 1);
}

struct civil {
    int year, month, day, hour, minute, second, millisecond, weekday; /* month from 1, weekday from Sunday 0 */
};

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar, and back: Howard Hinnant, "chrono-compatible
 * low-level date algorithms". Years begin in March, so that the leap day is the last of its year. */
static int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static struct civil civil_from_ms(int64_t ms)
{
    if (ms < MS_MIN)
        ms = MS_MIN;
    if (ms > MS_MAX)
        ms = MS_MAX;
    int64_t day = ms / 86400000 - (ms % 86400000 < 0);
    int64_t rest = ms - day * 86400000;
    int64_t shifted = day + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    struct civil civil = {
        .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .hour = (int)(rest / 3600000),
        .minute = (int)(rest / 60000 % 60),
        .second = (int)(rest / 1000 % 60),
        .millisecond = (int)(rest % 1000),
        .weekday = (int)(((day + 4) % 7 + 7) % 7),
    };
    civil.year = (int)(year_of_era + era * 400) + (civil.month <= 2);
    return civil;
}

static char *put(char *out, int value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + digits;
}

static char *put_text(char *out, const char *text, size_t length)
{
    memcpy(out, text, length);
    return out + length;
}

static char *put_time(char *out, const struct civil *civil)
{
    out = put(out, civil->hour, 2);
    *out++ = ':';
    out = put(out, civil->minute, 2);
    *out++ = ':';
    return put(out, civil->second, 2);
}

void clock_http(int64_t wall_ms, char out[CLOCK_HTTP_SIZE])
{
    struct civil civil = civil_from_ms(wall_ms);
    out = put_text(out, days[civil.weekday], 3);
    out = put_text(out, ", ", 2);
    out = put(out, civil.day, 2);
    *out++ = ' ';
    out = put_text(out, months[civil.month - 1], 3);
    *out++ = ' ';
    out = put(out, civil.year, 4);
    *out++ = ' ';
    out = put_time(out, &civil);
    put_text(out, " GMT", 5);
}

void clock_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE])
{
    struct civil civil = civil_from_ms(wall_ms);
    out = put(out, civil.year, 4);
    *out++ = '-';
    out = put(out, civil.month, 2);
    *out++ = '-';
    out = put(out, civil.day, 2);
    *out++ = 'T';
    out = put_time(out, &civil);
    *out++ = '.';
    out = put(out, civil.millisecond, 3);
    put_text(out, "Z", 2);
}

void clock_basic(int64_t wall_ms, char out[CLOCK_BASIC_SIZE])
{
    struct civil civil = civil_from_ms(wall_ms);
    out = put(out, civil.year, 4);
    out = put(out, civil.month, 2);
    out = put(out, civil.day, 2);
    *out++ = 'T';
    out = put(out, civil.hour, 2);
    out = put(out, civil.minute, 2);
    out = put(out, civil.second, 2);
    put_text(out, "Z", 2);
}

/* --- parsing: each take_ function eats its part from the front of *text and answers whether it was there --- */

static bool take(struct span *text, const char *literal)
{
    if (!span_starts(*text, span_str(literal)))
        return false;
    *text = span_skip(*text, strlen(literal));
    return true;
}

static bool take_number(struct span *text, size_t digits, int low, int high, int *out)
{
    int value = 0;
    if (text->len < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        int digit = text->ptr[i] - '0';
        if (digit < 0 || digit > 9)
            return false;
        value = value * 10 + digit;
    }
    *text = span_skip(*text, digits);
    *out = value;
    return value >= low && value <= high;
}

static bool take_month(struct span *text, int *month)
{
    for (*month = 1; *month <= 12; ++*month) {
        if (take(text, months[*month - 1]))
            return true;
    }
    return false;
}

/* Its truth is not checked: RFC 9110 does not ask for it. */
static bool take_weekday(struct span *text, bool whole)
{
    for (int i = 0; i < 7; i++) {
        struct span name = span_take(span_str(days[i]), whole ? sizeof(days[i]) : 3);
        if (span_starts(*text, name)) {
            *text = span_skip(*text, name.len);
            return true;
        }
    }
    return false;
}

/* A leap second is second 60. */
static bool take_time(struct span *text, const char *separator, struct civil *civil)
{
    return take_number(text, 2, 0, 23, &civil->hour) && take(text, separator) &&
           take_number(text, 2, 0, 59, &civil->minute) && take(text, separator) &&
           take_number(text, 2, 0, 60, &civil->second);
}

static int to_seconds(const struct civil *civil, int64_t *seconds)
{
    static const int lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = civil->year % 4 == 0 && (civil->year % 100 != 0 || civil->year % 400 == 0);
    if (civil->day > lengths[civil->month - 1] + (civil->month == 2 && leap))
        return ERR_SYNTAX;
    *seconds = days_from_civil(civil->year, civil->month, civil->day) * 86400 + civil->hour * 3600 +
               civil->minute * 60 + civil->second;
    return 0;
}

/* "Tue, 24 Nov 2026 20:30:43 GMT" */
static bool imf_fixdate(struct span text, struct civil *civil)
{
    return take_weekday(&text, false) && take(&text, ", ") && take_number(&text, 2, 1, 31, &civil->day) &&
           take(&text, " ") && take_month(&text, &civil->month) && take(&text, " ") &&
           take_number(&text, 4, 0, 9999, &civil->year) && take(&text, " ") && take_time(&text, ":", civil) &&
           take(&text, " GMT") && text.len == 0;
}

/* "Tuesday, 24-Nov-26 20:30:43 GMT"; a year more than 50 years ahead is of the past century (RFC 9110 5.6.7). */
static bool rfc850_date(struct span text, struct civil *civil)
{
    if (!take_weekday(&text, true) || !take(&text, ", ") || !take_number(&text, 2, 1, 31, &civil->day) ||
        !take(&text, "-") || !take_month(&text, &civil->month) || !take(&text, "-") ||
        !take_number(&text, 2, 0, 99, &civil->year) || !take(&text, " ") || !take_time(&text, ":", civil) ||
        !take(&text, " GMT") || text.len != 0)
        return false;
    int this_year = civil_from_ms(clock_wall_ms()).year;
    civil->year += this_year - this_year % 100;
    if (civil->year > this_year + 50)
        civil->year -= 100;
    return true;
}

/* "Tue Nov 24 20:30:43 2026", "Sun Nov  6 08:49:37 1994" */
static bool asctime_date(struct span text, struct civil *civil)
{
    if (!take_weekday(&text, false) || !take(&text, " ") || !take_month(&text, &civil->month) || !take(&text, " "))
        return false;
    bool day = take(&text, " ") ? take_number(&text, 1, 1, 9, &civil->day) : take_number(&text, 2, 1, 31, &civil->day);
    return day && take(&text, " ") && take_time(&text, ":", civil) && take(&text, " ") &&
           take_number(&text, 4, 0, 9999, &civil->year) && text.len == 0;
}

int clock_parse_http(struct span text, int64_t *seconds)
{
    struct civil civil = {0};
    if (!imf_fixdate(text, &civil) && !rfc850_date(text, &civil) && !asctime_date(text, &civil))
        return ERR_SYNTAX;
    return to_seconds(&civil, seconds);
}

/* "Z" or "+hh:mm" */
static bool take_zone(struct span *text, int64_t *offset)
{
    int hours, minutes;
    *offset = 0;
    if (take(text, "Z"))
        return true;
    bool east = take(text, "+");
    if ((!east && !take(text, "-")) || !take_number(text, 2, 0, 23, &hours) || !take(text, ":") ||
        !take_number(text, 2, 0, 59, &minutes))
        return false;
    *offset = (hours * 60 + minutes) * (east ? 60 : -60);
    return true;
}

int clock_parse_iso(struct span text, int64_t *seconds)
{
    struct civil civil = {0};
    int64_t offset;
    if (!take_number(&text, 4, 0, 9999, &civil.year) || !take(&text, "-") ||
        !take_number(&text, 2, 1, 12, &civil.month) || !take(&text, "-") || !take_number(&text, 2, 1, 31, &civil.day) ||
        !take(&text, "T") || !take_time(&text, ":", &civil))
        return ERR_SYNTAX;
    if (take(&text, ".")) {
        int digit;
        if (!take_number(&text, 1, 0, 9, &digit))
            return ERR_SYNTAX;
        while (take_number(&text, 1, 0, 9, &digit))
            ;
    }
    if (!take_zone(&text, &offset) || text.len != 0)
        return ERR_SYNTAX;
    int rc = to_seconds(&civil, seconds);
    if (rc == 0)
        *seconds -= offset;
    return rc;
}

int clock_parse_basic(struct span text, int64_t *seconds)
{
    struct civil civil = {0};
    if (!take_number(&text, 4, 0, 9999, &civil.year) || !take_number(&text, 2, 1, 12, &civil.month) ||
        !take_number(&text, 2, 1, 31, &civil.day) || !take(&text, "T") || !take_time(&text, "", &civil) ||
        !take(&text, "Z") || text.len != 0)
        return ERR_SYNTAX;
    return to_seconds(&civil, seconds);
}
