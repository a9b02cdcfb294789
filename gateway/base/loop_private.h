/* What loop.c and fiber.c share. */
#ifndef ARCA_BASE_LOOP_PRIVATE_H
#define ARCA_BASE_LOOP_PRIVATE_H

#include <stdatomic.h>
#include <stddef.h>
#include "base/asan.h"
#include "base/fiber.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/worker.h"

/* libboost_context's C entry points. `stack` is the upper end; a transfer carries the context that was left. */
typedef void *fcontext_t;
typedef struct {
    fcontext_t fctx;
    void *data;
} transfer_t;
fcontext_t make_fcontext(void *stack, size_t size, void (*fn)(transfer_t));
transfer_t jump_fcontext(fcontext_t to, void *data);

enum fiber_state {
    FIBER_READY, /* in the ready or the yielded list */
    FIBER_RUNNING,
    FIBER_WAITING, /* in fiber_wait */
    FIBER_BOUND,   /* in completion_wait: only its completion makes it ready */
    FIBER_ENDED,
};

#define TIMER_NONE SIZE_MAX

/* Stands at the upper end of its own stack. */
struct fiber {
    struct list link; /* loop.ready, loop.yielded or loop.idle_stacks */
    struct list all;  /* loop.fibers */
    struct loop *loop;
    void (*fn)(void *arg);
    void *arg;
    fcontext_t context;
    enum fiber_state state;
    bool woken, canceled;
    struct completion *awaited;
    int64_t deadline_ms;
    size_t timer_index; /* in loop.timers, or TIMER_NONE */
    const char *request_id;
#ifdef __SANITIZE_ADDRESS__
    void *fake_stack;
#endif
#ifdef __SANITIZE_THREAD__
    void *tsan;
#endif
    unsigned valgrind_id;
};

struct loop_message {
    struct loop_message *next;
    void (*fn)(void *arg);
    void *arg;
};

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_idle_t idle;   /* active while yielded fibers wait: the loop must not sleep */
    uv_timer_t timer; /* the earliest of timers */
    uv_async_t async;
    unsigned number;
    struct thread *thread;
    atomic_bool stopping, cancel_all;

    /* Pushed by any thread, newest first. */
    _Atomic(struct completion *) completions;
    _Atomic(struct loop_message *) messages;
    _Atomic(struct loop_signal *) signals;

    struct list ready, yielded, fibers;
    atomic_uint fiber_count;
    unsigned fibers_max;
    struct list idle_stacks;
    unsigned idle_stack_count;
    fcontext_t context; /* the loop's own, while a fiber runs */
#ifdef __SANITIZE_ADDRESS__
    void *fake_stack;
    const void *stack_bottom;
    size_t stack_size;
#endif
#ifdef __SANITIZE_THREAD__
    void *tsan;
#endif

    struct fiber **timers; /* binary heap by deadline; room for fibers_max */
    size_t timer_count;
    int64_t armed_ms; /* the deadline that `timer` is set to; DEADLINE_NONE: not active */

    struct loop_quiet *quiet, **quiet_tail;
};

/* --- fiber.c, on the loop's thread --- */
void fiber_run_ready(struct loop *loop);
void fiber_completed(struct completion *completion);
void fiber_expire(struct fiber *fiber); /* its deadline has passed */
void fiber_cancel_all(struct loop *loop);
void fiber_free_stacks(struct loop *loop);
/* The place of a fiber's request id; a thread's own outside fibers. */
const char **fiber_request_id(void);

/* --- loop.c, any thread --- */
void loop_complete(struct loop *loop, struct completion *completion);

/* --- timer_heap.c --- */
void timers_add(struct loop *loop, struct fiber *fiber);
void timers_remove(struct loop *loop, struct fiber *fiber);

#endif
