/* Named threads for work that blocks. */
#ifndef ARCA_BASE_WORKER_H
#define ARCA_BASE_WORKER_H

#include "base/fiber.h"

struct worker_pool;

/* `threads` threads named `name`-N (15 bytes at most shown). ERR_NOMEM, ERR_IO. */
int worker_pool_create(const char *name, unsigned threads, struct worker_pool **out);
/* From now on, when nothing is queued, tick(arg) runs on one of the threads `every_ms` after a call, and again and again
 * as long as it returns true. To be called once, before the first worker_call. */
void worker_pool_tick(struct worker_pool *pool, int64_t every_ms, bool (*tick)(void *arg), void *arg);
/* Runs what is queued, then ends the threads. */
void worker_pool_free(struct worker_pool *pool);

/* Runs fn(arg) on one of the threads and returns what it returns. Not cancellable, so arg may be on the stack. */
int worker_call(struct worker_pool *pool, int (*fn)(void *arg), void *arg) SUSPENDS;

/* Starts one named thread with all signals blocked, for rooms that run a queue of their own. ERR_NOMEM, ERR_IO. */
struct thread;
int thread_start(const char *name, void (*fn)(void *arg), void *arg, struct thread **out);
void thread_join(struct thread *thread); /* and frees it; NULL is fine */

#endif
