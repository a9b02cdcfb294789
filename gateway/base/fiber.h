/* Fibers: sequential code on an event loop. A fiber belongs to one loop for its life and runs on that loop's thread
 * only. Between two suspensions it has the loop to itself. No lock is held and no LMDB transaction is open across one.
 *
 * A function that can suspend carries SUSPENDS in its declaration, and only such functions call others. */
#ifndef ARCA_BASE_FIBER_H
#define ARCA_BASE_FIBER_H

#include <stdbool.h>
#include <stdint.h>

#define SUSPENDS /* may suspend the calling fiber: call it on a fiber only */

#define DEADLINE_NONE INT64_MAX

struct fiber;
struct loop;

/* Makes a fiber that runs fn(arg) and queues it to run on the calling thread's loop, which is `loop`. Its stack comes
 * from the loop's pool (256 KiB with a guard page). ERR_NOMEM; ERR_BUSY when the loop has its maximum of fibers. */
int fiber_spawn(struct loop *loop, void (*fn)(void *arg), void *arg, struct fiber **out);

/* The running fiber; NULL on a loop's own stack or another thread. */
struct fiber *fiber_self(void);
struct loop *fiber_loop(const struct fiber *fiber);

/* Suspends until fiber_wake. Returns 0 when woken, ERR_TIMEOUT when loop_now_ms passes `deadline_ms` (monotonic
 * milliseconds, as loop_now_ms()), ERR_CANCELED at once and always after fiber_cancel. A wake that came before the wait
 * is not lost: the wait returns 0 immediately. Wakes do not count: callers loop on their condition. */
int fiber_wait(int64_t deadline_ms) SUSPENDS;

/* Makes the fiber ready; it runs when the caller's stack is left. On the fiber's loop thread only. */
void fiber_wake(struct fiber *fiber);

/* Every fiber_wait of it, the present one included, returns ERR_CANCELED from now on. On its loop's thread only.
 * completion_wait is not affected. */
void fiber_cancel(struct fiber *fiber);
bool fiber_canceled(const struct fiber *fiber);

/* Lets every other ready fiber of the loop run first, then goes on. For long computations. */
void fiber_yield(void) SUSPENDS;

/* A result that another thread (index writer, disk writer, worker) hands to a waiting fiber. The memory is the
 * caller's, mostly its stack, so that the wait cannot be cancelled: whoever was given the completion posts it, in
 * bounded time. Waits that may take forever (sockets, remote backends) use fiber_wait. */
struct completion {
    struct completion *next; /* in the loop's queue */
    struct fiber *fiber;
    struct loop *loop;
    int rc;
    bool done;
};

/* Binds it to the calling fiber. */
void completion_init(struct completion *completion);
/* Any thread, once. The completion must not be touched afterwards. */
void completion_post(struct completion *completion, int rc);
/* The posted rc. */
int completion_wait(struct completion *completion) SUSPENDS;

#endif
