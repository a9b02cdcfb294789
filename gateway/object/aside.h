/* A second fiber that works for the present one on the same loop: an extent that is stored while the next is filled, a
 * chunk that is read while the last is sent. Its memory is the owner's, who waits for it before he leaves. */
#ifndef ARCA_OBJECT_ASIDE_H
#define ARCA_OBJECT_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/fiber.h"

struct aside {
    int (*fn)(void *arg);
    void *arg;
    struct fiber *fiber; /* NULL: not running */
    struct fiber *waiter;
    struct completion *joined;
    int rc;
};

/* Runs fn(arg) on a fiber of its own. Nothing may be running. When no fiber can be had, fn runs at once on this one. */
void aside_start(struct aside *aside, int (*fn)(void *arg), void *arg) SUSPENDS;
static inline bool aside_running(const struct aside *aside)
{
    return aside->fiber != NULL;
}
/* Waits for its end. 0 (the result is then in aside->rc), ERR_TIMEOUT, ERR_CANCELED: it goes on running. */
int aside_wait(struct aside *aside, int64_t deadline_ms) SUSPENDS;
/* Waits for its end whatever happens to the caller; what fn returned. 0 when nothing was ever started. */
int aside_join(struct aside *aside) SUSPENDS;
/* The same, with its waits cancelled. */
void aside_cancel(struct aside *aside) SUSPENDS;

#endif
