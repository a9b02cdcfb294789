/* Loop threads: one libuv loop a core. Loops are numbered from 0, so that rooms can keep loop-local data in arrays. */
#ifndef ARCA_BASE_LOOP_H
#define ARCA_BASE_LOOP_H

#include <stdint.h>
#include <uv.h>

struct loop;

#define LOOPS_MAX 64

struct loop_options {
    unsigned number;      /* below LOOPS_MAX */
    unsigned fibers_max;  /* 0: 4096 */
};

/* ERR_NOMEM, ERR_IO. The loop does not run yet. */
int loop_create(const struct loop_options *options, struct loop **out);
void loop_free(struct loop *loop);

/* Starts a thread named "arca-loop-N" that runs it until loop_stop. loop_join waits for its end. */
int loop_start(struct loop *loop);
/* Any thread. The loop ends when its last fiber has ended and its handles are closed. */
void loop_stop(struct loop *loop);
void loop_join(struct loop *loop);

/* The calling thread's loop, or NULL. */
struct loop *loop_self(void);
unsigned loop_number(const struct loop *loop);
uv_loop_t *loop_uv(struct loop *loop);

/* Monotonic milliseconds as of this turn of the loop: what deadlines are measured in. */
int64_t loop_now_ms(void);

/* Runs fn(arg) on the loop's thread, in the order posted. Any thread. ERR_NOMEM. */
int loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

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
