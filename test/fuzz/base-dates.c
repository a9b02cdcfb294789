/* Dates: what is accepted must lie in the years 0..9999 and come back from its canonical form. */
#include <stdlib.h>
#include "base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int64_t seconds)
{
    char http[CLOCK_HTTP_SIZE], iso[CLOCK_ISO_SIZE], basic[CLOCK_BASIC_SIZE];
    int64_t again;
    /* A zone or a leap second may carry over the edge. */
    if (seconds < INT64_C(-62167219200) || seconds > INT64_C(253402300799))
        return;
    clock_http(seconds * 1000, http);
    clock_iso(seconds * 1000, iso);
    clock_basic(seconds * 1000, basic);
    if (clock_parse_http(span_str(http), &again) != 0 || again != seconds)
        abort();
    if (clock_parse_iso(span_str(iso), &again) != 0 || again != seconds)
        abort();
    if (clock_parse_basic(span_str(basic), &again) != 0 || again != seconds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t seconds;
    if (clock_parse_http(span_of(data, size), &seconds) == 0)
        check(seconds);
    if (clock_parse_iso(span_of(data, size), &seconds) == 0)
        check(seconds);
    if (clock_parse_basic(span_of(data, size), &seconds) == 0)
        check(seconds);
    return 0;
}
