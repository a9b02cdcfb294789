/* Runs a test's function on a fiber: a loop of its own on the calling thread, until the fiber has ended. A failed
 * assert in there ends the test program. */
#ifndef ARCA_TEST_ON_FIBER_H
#define ARCA_TEST_ON_FIBER_H

#include <stdlib.h>
#include "base/fiber.h"
#include "base/loop.h"

static inline void on_fiber(void (*fn)(void *arg), void *arg)
{
    struct loop *loop;
    if (loop_create(&(struct loop_options){.number = 0}, &loop) != 0 || fiber_spawn(loop, fn, arg, NULL) != 0)
        abort();
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
}

#endif
