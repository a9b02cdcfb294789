/* Waits for what other threads do. */
#ifndef ARCA_TEST_AWAIT_H
#define ARCA_TEST_AWAIT_H

#include <unistd.h>
#include "base/clock.h"

#define PATIENCE_MS 60000 /* on a busy machine anything may take long; how long is not what is tested */

/* Polls until the condition holds, or patience ends. Whether it holds. Not on a fiber. */
#define AWAIT(condition)                                             \
    ({                                                               \
        int64_t await_until_ms = clock_monotonic_ms() + PATIENCE_MS; \
        bool await_met;                                              \
        while (!(await_met = (condition)) &&                         \
               clock_monotonic_ms() < await_until_ms)                \
            usleep(1000);                                            \
        await_met;                                                   \
    })

#endif
