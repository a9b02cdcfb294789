#include "base/loop.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/loop_private.h"

#define FIBERS_DEFAULT 4096

static __thread struct loop *self;

struct loop *loop_self(void)
{
    return self;
}

unsigned loop_number(const struct loop *loop)
{
    return loop->number;
}

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

int64_t loop_now_ms(void)
{
    return self != NULL ? (int64_t)uv_now(&self->uv) : clock_monotonic_ms();
}

/* --- what other threads send: stacks of which the loop takes all at once, and turns them into arrival order --- */

#define TAKE_ALL(type, head)                                                                         \
    ({                                                                                               \
        type *newest_ = atomic_exchange_explicit(head, NULL, memory_order_acquire), *oldest_ = NULL; \
        while (newest_ != NULL) {                                                                    \
            type *next_ = newest_->next;                                                             \
            newest_->next = oldest_;                                                                 \
            oldest_ = newest_;                                                                       \
            newest_ = next_;                                                                         \
        }                                                                                            \
        oldest_;                                                                                     \
    })

/* Whoever pushes on an empty stack wakes the loop. */
#define PUSH(type, loop, member, node)                                                                     \
    do {                                                                                                   \
        type *head_ = atomic_load_explicit(&(loop)->member, memory_order_relaxed);                         \
        do                                                                                                 \
            (node)->next = head_;                                                                          \
        while (!atomic_compare_exchange_weak_explicit(&(loop)->member, &head_, node, memory_order_release, \
                                                      memory_order_relaxed));                              \
        if (head_ == NULL)                                                                                 \
            uv_async_send(&(loop)->async);                                                                 \
    } while (0)

int loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct loop_message *message = malloc(sizeof(*message));
    if (message == NULL)
        return ERR_NOMEM;
    message->fn = fn;
    message->arg = arg;
    PUSH(struct loop_message, loop, messages, message);
    return 0;
}

void loop_signal(struct loop *loop, struct loop_signal *signal)
{
    if (!atomic_exchange(&signal->pending, true))
        PUSH(struct loop_signal, loop, signals, signal);
}

void loop_complete(struct loop *loop, struct completion *completion)
{
    PUSH(struct completion, loop, completions, completion);
}

static void receive(struct loop *loop)
{
    struct completion *completion = TAKE_ALL(struct completion, &loop->completions);
    while (completion != NULL) {
        struct completion *next = completion->next;
        fiber_completed(completion);
        completion = next;
    }
    struct loop_message *message = TAKE_ALL(struct loop_message, &loop->messages);
    while (message != NULL) {
        struct loop_message *next = message->next;
        message->fn(message->arg);
        free(message);
        message = next;
    }
    struct loop_signal *signal = TAKE_ALL(struct loop_signal, &loop->signals);
    while (signal != NULL) {
        struct loop_signal *next = signal->next;
        atomic_store(&signal->pending, false);
        signal->fn(signal->arg);
        signal = next;
    }
    if (atomic_exchange(&loop->cancel_all, false))
        fiber_cancel_all(loop);
}

static void on_async(uv_async_t *async)
{
    receive(async->data);
}

/* --- the turn of the loop --- */

static void on_timer(uv_timer_t *timer)
{
    struct loop *loop = timer->data;
    int64_t now = (int64_t)uv_now(&loop->uv);
    loop->armed_ms = DEADLINE_NONE;
    while (loop->timer_count > 0 && loop->timers[0]->deadline_ms <= now)
        fiber_expire(loop->timers[0]);
}

/* A timer that rings too early only finds nothing to do, so it is moved for an earlier deadline only. */
static void arm_timer(struct loop *loop)
{
    if (loop->timer_count == 0 || loop->timers[0]->deadline_ms >= loop->armed_ms)
        return;
    int64_t now = (int64_t)uv_now(&loop->uv);
    int64_t deadline = loop->timers[0]->deadline_ms;
    loop->armed_ms = deadline;
    uv_timer_start(&loop->timer, on_timer, deadline > now ? (uint64_t)(deadline - now) : 0, 0);
}

static void run_quiet(struct loop *loop)
{
    struct loop_quiet *quiet = loop->quiet;
    loop->quiet = NULL;
    loop->quiet_tail = &loop->quiet;
    while (quiet != NULL) {
        struct loop_quiet *next = quiet->next;
        quiet->registered = 0;
        quiet->fn(quiet->arg);
        quiet = next;
    }
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static bool finished(struct loop *loop)
{
    return atomic_load(&loop->stopping) && atomic_load_explicit(&loop->fiber_count, memory_order_relaxed) == 0;
}

/* The last thing before the loop sleeps, whatever woke fibers since. Those that yield meanwhile wait for the next turn,
 * so that sockets are looked at in between. */
static void turn(struct loop *loop)
{
    for (struct list *node; (node = list_shift(&loop->yielded)) != NULL;)
        list_append(&loop->ready, node);
    do {
        fiber_run_ready(loop);
        run_quiet(loop);
    } while (!list_empty(&loop->ready) || loop->quiet != NULL);

    if (list_empty(&loop->yielded))
        uv_idle_stop(&loop->idle);
    else
        uv_idle_start(&loop->idle, on_idle);
    arm_timer(loop);
    if (finished(loop))
        uv_unref((uv_handle_t *)&loop->async);
    else
        uv_ref((uv_handle_t *)&loop->async);
}

static void on_prepare(uv_prepare_t *prepare)
{
    turn(prepare->data);
}

void loop_when_quiet(struct loop *loop, struct loop_quiet *quiet)
{
    if (quiet->registered)
        return;
    quiet->registered = 1;
    quiet->next = NULL;
    *loop->quiet_tail = quiet;
    loop->quiet_tail = &quiet->next;
}

/* --- life --- */

static int handles_init(struct loop *loop)
{
    int rc = uv_async_init(&loop->uv, &loop->async, on_async);
    if (rc != 0)
        return rc;
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_timer_init(&loop->uv, &loop->timer);
    loop->async.data = loop->prepare.data = loop->timer.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->timer);
    return 0;
}

int loop_create(const struct loop_options *options, struct loop **out)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return ERR_NOMEM;
    if (options->number >= LOOPS_MAX) {
        free(loop);
        return ERR_INVALID;
    }
    loop->number = options->number;
    loop->fibers_max = options->fibers_max != 0 ? options->fibers_max : FIBERS_DEFAULT;
    loop->armed_ms = DEADLINE_NONE;
    loop->quiet_tail = &loop->quiet;
    list_init(&loop->ready);
    list_init(&loop->yielded);
    list_init(&loop->fibers);
    list_init(&loop->idle_stacks);
    int rc = ERR_NOMEM;
    loop->timers = calloc(loop->fibers_max, sizeof(struct fiber *));
    if (loop->timers == NULL)
        goto err0;
    rc = ERR_IO;
    if (uv_loop_init(&loop->uv) != 0)
        goto err1;
    if (handles_init(loop) != 0)
        goto err2;
    *out = loop;
    return 0;
err2:
    uv_loop_close(&loop->uv);
err1:
    free(loop->timers);
err0:
    free(loop);
    return rc;
}

void loop_run(struct loop *loop)
{
    struct loop *outer = self;
    self = loop;
    uv_update_time(&loop->uv);
    do {
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        receive(loop); /* it may have come after libuv saw no reason to go on */
        turn(loop);
    } while (!finished(loop) || uv_loop_alive(&loop->uv));
    self = outer;
}

static void loop_main(void *arg)
{
    loop_run(arg);
}

int loop_start(struct loop *loop)
{
    char name[32];
    snprintf(name, sizeof(name), "arca-loop-%u", loop->number);
    return thread_start(name, loop_main, loop, &loop->thread);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopping, true);
    uv_async_send(&loop->async);
}

void loop_join(struct loop *loop)
{
    thread_join(loop->thread);
    loop->thread = NULL;
}

unsigned loop_fibers(const struct loop *loop)
{
    return atomic_load_explicit(&loop->fiber_count, memory_order_relaxed);
}

void loop_cancel_fibers(struct loop *loop)
{
    atomic_store(&loop->cancel_all, true);
    uv_async_send(&loop->async);
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    receive(loop); /* what was posted after the end */
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_close((uv_handle_t *)&loop->timer, NULL);
    uv_close((uv_handle_t *)&loop->async, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
    fiber_free_stacks(loop);
    free(loop->timers);
    free(loop);
}
