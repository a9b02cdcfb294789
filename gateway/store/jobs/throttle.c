#include "throttle.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"

static double nanoseconds(uint64_t amount, uint64_t per_second)
{
    return per_second == 0 ? 0 : (double)amount * 1e9 / (double)per_second;
}

int throttle_wait(struct throttle *throttle, uint64_t bytes, size_t operations) SUSPENDS
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t start_ns = throttle->free_ns > now_ns ? throttle->free_ns : now_ns;
    double for_bytes = nanoseconds(bytes, throttle->rate.bytes);
    double for_operations = nanoseconds(operations, throttle->rate.operations);
    throttle->free_ns = start_ns + (uint64_t)(for_bytes > for_operations ? for_bytes : for_operations);
    int64_t until_ms = loop_now_ms() + (int64_t)((start_ns - now_ns + 999999) / 1000000);
    int rc = 0;
    while (rc == 0 && loop_now_ms() < until_ms)
        rc = fiber_wait(until_ms);
    return rc == ERR_TIMEOUT ? 0 : rc;
}
