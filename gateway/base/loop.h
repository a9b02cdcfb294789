/* Loop threads: one libuv loop a core. Loops are numbered from 0, so that rooms can keep loop-local data in arrays. */
#ifndef ARCA_BASE_LOOP_H
#define ARCA_BASE_LOOP_H

#include <stdatomic.h>
#include <stdint.h>
#include <uv.h>

struct loop;

#define LOOPS_SERVING_MAX 64
#define LOOPS_MAX (LOOPS_SERVING_MAX + 1) /* one more ships the journal */

struct loop_options {
    unsigned number;      /* below LOOPS_MAX */
    unsigned fibers_max;  /* 0: 4096 */
};

/* ERR_NOMEM, ERR_IO. The loop does not run yet. */
int loop_create(const struct loop_options *options, struct loop **out);
void loop_free(struct loop *loop);

/* Starts a thread named "arca-loop-N" that runs it until loop_stop. loop_join waits for its end. Before the loop runs,
 * the thread that created it may spawn fibers and start handles on it. ERR_NOMEM, ERR_IO. */
int loop_start(struct loop *loop);
/* Runs it on the calling thread instead. */
void loop_run(struct loop *loop);
/* Any thread. The loop ends when its last fiber has ended and its handles are closed. Threads that still post to it are
 * to be joined before loop_free. */
void loop_stop(struct loop *loop);
void loop_join(struct loop *loop);

/* Any thread. How many fibers have not ended yet; and fiber_cancel for each of them, when a drain takes too long. */
unsigned loop_fibers(const struct loop *loop);
void loop_cancel_fibers(struct loop *loop);

/* The calling thread's loop, or NULL. */
struct loop *loop_self(void);
unsigned loop_number(const struct loop *loop);
uv_loop_t *loop_uv(struct loop *loop);

/* Monotonic milliseconds as of this turn of the loop: what deadlines are measured in. Exact on other threads. */
int64_t loop_now_ms(void);

/* Runs fn(arg) on the loop's thread, in the order posted. Any thread. ERR_NOMEM. */
int loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

/* The same without an allocation, for what happens often: memory of the caller's, zero-initialised but for fn and arg,
 * that outlives the loop's run. Signalling again before fn is called does nothing more; fn sees everything that was
 * written before the signal. */
struct loop_signal {
    struct loop_signal *next;
    void (*fn)(void *arg);
    void *arg;
    atomic_bool pending;
};
void loop_signal(struct loop *loop, struct loop_signal *signal);

/* Calls fn(arg) once on the loop's own stack when no fiber is ready to run, before the loop sleeps: the place for work
 * that is better done for many fibers at once (MD5 lanes). On the loop's thread only. The memory is the caller's and is
 * free again when fn is called. Registering one that is registered already does nothing. */
struct loop_quiet {
    struct loop_quiet *next;
    void (*fn)(void *arg);
    void *arg;
    int registered;
};
void loop_when_quiet(struct loop *loop, struct loop_quiet *quiet);

#endif
