#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/err.h"
#include "base/loop_private.h"
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#ifdef __SANITIZE_ADDRESS__
#define STACK_SIZE ((size_t)1 << 20) /* redzones */
#else
#define STACK_SIZE ((size_t)256 << 10)
#endif
#define GUARD_SIZE      ((size_t)16 << 10) /* no frame of ours steps over it */
#define IDLE_STACKS_MAX 128

/* Fibers never change threads, so a compiler may keep the address of this across a switch. */
static __thread struct fiber *running;
static __thread const char *thread_request_id;

/* --- stacks: guard page, stack, struct fiber --- */

static uint8_t *stack_base(struct fiber *fiber)
{
    return (uint8_t *)(fiber + 1) - STACK_SIZE;
}

static struct fiber *stack_create(void)
{
    uint8_t *base =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    if (mprotect(base, GUARD_SIZE, PROT_NONE) != 0) {
        munmap(base, STACK_SIZE);
        return NULL;
    }
    struct fiber *fiber = (struct fiber *)(void *)(base + STACK_SIZE) - 1;
#ifdef VALGRIND_STACK_REGISTER
    fiber->valgrind_id = VALGRIND_STACK_REGISTER(base + GUARD_SIZE, base + STACK_SIZE);
#endif
    return fiber;
}

static void stack_free(struct fiber *fiber)
{
#ifdef VALGRIND_STACK_DEREGISTER
    VALGRIND_STACK_DEREGISTER(fiber->valgrind_id);
#endif
    ASAN_UNPOISON(stack_base(fiber) + GUARD_SIZE, STACK_SIZE - GUARD_SIZE);
    munmap(stack_base(fiber), STACK_SIZE);
}

void fiber_free_stacks(struct loop *loop)
{
    for (struct list *node; (node = list_shift(&loop->idle_stacks)) != NULL;)
        stack_free(LIST_ENTRY(node, struct fiber, link));
    loop->idle_stack_count = 0;
}

/* --- switching --- */

static void switch_to_fiber(struct fiber *fiber)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&fiber->loop->fake_stack, stack_base(fiber) + GUARD_SIZE, STACK_SIZE - GUARD_SIZE);
#endif
#ifdef __SANITIZE_THREAD__
    fiber->loop->tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->tsan, 0);
#endif
    transfer_t back = jump_fcontext(fiber->context, fiber);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fiber->loop->fake_stack, NULL, NULL);
#endif
    fiber->context = back.fctx;
}

static void arrived(struct fiber *fiber, transfer_t from)
{
    struct loop *loop = fiber->loop;
    loop->context = from.fctx;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &loop->stack_bottom, &loop->stack_size);
#endif
}

static void switch_to_loop(struct fiber *fiber)
{
    struct loop *loop = fiber->loop;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fiber->state != FIBER_ENDED ? &fiber->fake_stack : NULL, loop->stack_bottom,
                                   loop->stack_size);
#endif
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(loop->tsan, 0);
#endif
    arrived(fiber, jump_fcontext(loop->context, NULL));
}

static void fiber_main(transfer_t from)
{
    struct fiber *fiber = from.data;
    arrived(fiber, from);
    fiber->fn(fiber->arg);
    fiber->state = FIBER_ENDED;
    switch_to_loop(fiber);
    abort(); /* an ended fiber is never run again */
}

/* --- life --- */

int fiber_spawn(struct loop *loop, void (*fn)(void *arg), void *arg, struct fiber **out)
{
    if (atomic_load_explicit(&loop->fiber_count, memory_order_relaxed) >= loop->fibers_max)
        return ERR_BUSY;
    struct fiber *fiber;
    struct list *stack = list_shift(&loop->idle_stacks);
    if (stack != NULL) {
        fiber = LIST_ENTRY(stack, struct fiber, link);
        loop->idle_stack_count--;
    } else {
        fiber = stack_create();
        if (fiber == NULL)
            return ERR_NOMEM;
    }
    fiber->loop = loop;
    fiber->fn = fn;
    fiber->arg = arg;
    fiber->state = FIBER_READY;
    fiber->woken = fiber->canceled = false;
    fiber->awaited = NULL;
    fiber->timer_index = TIMER_NONE;
    fiber->request_id = NULL;
#ifdef __SANITIZE_ADDRESS__
    /* The frame that ended the last fiber here never returned. */
    ASAN_UNPOISON((uint8_t *)fiber - 4096, 4096);
    fiber->fake_stack = NULL;
#endif
#ifdef __SANITIZE_THREAD__
    fiber->tsan = __tsan_create_fiber(0);
#endif
    /* The ABI's 16-byte alignment is make_fcontext's affair. */
    fiber->context = make_fcontext(fiber, STACK_SIZE - GUARD_SIZE - sizeof(*fiber), fiber_main);
    list_append(&loop->fibers, &fiber->all);
    list_append(&loop->ready, &fiber->link);
    atomic_fetch_add_explicit(&loop->fiber_count, 1, memory_order_relaxed);
    if (out != NULL)
        *out = fiber;
    return 0;
}

static void ended(struct loop *loop, struct fiber *fiber)
{
    list_remove(&fiber->all);
    atomic_fetch_sub_explicit(&loop->fiber_count, 1, memory_order_relaxed);
#ifdef __SANITIZE_THREAD__
    __tsan_destroy_fiber(fiber->tsan);
#endif
    if (loop->idle_stack_count >= IDLE_STACKS_MAX) {
        stack_free(fiber);
        return;
    }
    /* The stack used last is the one in the cache. */
    list_append(loop->idle_stacks.next, &fiber->link);
    loop->idle_stack_count++;
}

void fiber_run_ready(struct loop *loop)
{
    for (struct list *node; (node = list_shift(&loop->ready)) != NULL;) {
        struct fiber *fiber = LIST_ENTRY(node, struct fiber, link);
        fiber->state = FIBER_RUNNING;
        running = fiber;
        switch_to_fiber(fiber);
        running = NULL;
        if (fiber->state == FIBER_ENDED)
            ended(loop, fiber);
    }
}

struct fiber *fiber_self(void)
{
    return running;
}

struct loop *fiber_loop(const struct fiber *fiber)
{
    return fiber->loop;
}

const char **fiber_request_id(void)
{
    return running != NULL ? &running->request_id : &thread_request_id;
}

/* --- waiting --- */

static void make_ready(struct fiber *fiber)
{
    if (fiber->timer_index != TIMER_NONE)
        timers_remove(fiber->loop, fiber);
    fiber->state = FIBER_READY;
    list_append(&fiber->loop->ready, &fiber->link);
}

int fiber_wait(int64_t deadline_ms)
{
    struct fiber *fiber = running;
    if (!fiber->canceled && !fiber->woken) {
        if (deadline_ms <= loop_now_ms())
            return ERR_TIMEOUT;
        if (deadline_ms != DEADLINE_NONE) {
            fiber->deadline_ms = deadline_ms;
            timers_add(fiber->loop, fiber);
        }
        fiber->state = FIBER_WAITING;
        switch_to_loop(fiber);
    }
    if (fiber->canceled)
        return ERR_CANCELED;
    if (fiber->woken) {
        fiber->woken = false;
        return 0;
    }
    return ERR_TIMEOUT;
}

void fiber_wake(struct fiber *fiber)
{
    fiber->woken = true;
    if (fiber->state == FIBER_WAITING)
        make_ready(fiber);
}

void fiber_cancel(struct fiber *fiber)
{
    fiber->canceled = true;
    if (fiber->state == FIBER_WAITING)
        make_ready(fiber);
}

void fiber_expire(struct fiber *fiber)
{
    make_ready(fiber);
}

bool fiber_canceled(const struct fiber *fiber)
{
    return fiber->canceled;
}

void fiber_cancel_all(struct loop *loop)
{
    LIST_EACH(node, &loop->fibers)
        fiber_cancel(LIST_ENTRY(node, struct fiber, all));
}

void fiber_yield(void)
{
    struct fiber *fiber = running;
    fiber->state = FIBER_READY;
    list_append(&fiber->loop->yielded, &fiber->link);
    switch_to_loop(fiber);
}

/* --- completions --- */

void completion_init(struct completion *completion)
{
    completion->next = NULL;
    completion->fiber = running;
    completion->loop = running->loop;
    completion->rc = 0;
    completion->done = false;
}

void completion_post(struct completion *completion, int rc)
{
    struct loop *loop = completion->loop;
    completion->rc = rc;
    if (loop == loop_self()) {
        fiber_completed(completion);
        return;
    }
    loop_complete(loop, completion);
}

void fiber_completed(struct completion *completion)
{
    struct fiber *fiber = completion->fiber;
    completion->done = true;
    if (fiber->state == FIBER_BOUND && fiber->awaited == completion)
        make_ready(fiber);
}

int completion_wait(struct completion *completion)
{
    struct fiber *fiber = completion->fiber;
    if (!completion->done) {
        fiber->awaited = completion;
        fiber->state = FIBER_BOUND;
        switch_to_loop(fiber);
        fiber->awaited = NULL;
    }
    return completion->rc;
}
