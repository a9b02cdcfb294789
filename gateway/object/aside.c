#include "object/aside.h"

static void run(void *arg) SUSPENDS
{
    struct aside *aside = arg;
    aside->rc = aside->fn(aside->arg);
    aside->fiber = NULL;
    /* The owner may free the memory as soon as it runs, which is not before this fiber has ended. */
    if (aside->joined != NULL)
        completion_post(aside->joined, 0);
    else if (aside->waiter != NULL)
        fiber_wake(aside->waiter);
}

void aside_start(struct aside *aside, int (*fn)(void *arg), void *arg) SUSPENDS
{
    *aside = (struct aside){.fn = fn, .arg = arg};
    if (fiber_spawn(fiber_loop(fiber_self()), run, aside, &aside->fiber) != 0) {
        aside->fiber = NULL;
        aside->rc = fn(arg);
    }
}

int aside_wait(struct aside *aside, int64_t deadline_ms) SUSPENDS
{
    int rc = 0;
    aside->waiter = fiber_self();
    while (aside_running(aside) && rc == 0)
        rc = fiber_wait(deadline_ms);
    aside->waiter = NULL;
    return aside_running(aside) ? rc : 0;
}

int aside_join(struct aside *aside) SUSPENDS
{
    if (aside_running(aside)) {
        struct completion joined;
        completion_init(&joined);
        aside->joined = &joined;
        completion_wait(&joined);
        aside->joined = NULL;
    }
    return aside->rc;
}

void aside_cancel(struct aside *aside) SUSPENDS
{
    if (aside_running(aside))
        fiber_cancel(aside->fiber);
    aside_join(aside);
}
