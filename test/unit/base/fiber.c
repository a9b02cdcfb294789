#include "unit.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/loop.h"
#include "base/worker.h"
#include "on_fiber.h"

/* What happened, in order, as letters. */
static char events[64];

static void event(char letter)
{
    size_t at = strlen(events);
    assert_true(at + 1 < sizeof(events));
    events[at] = letter;
    events[at + 1] = '\0';
}

static int clear(void **state)
{
    (void)state;
    memset(events, 0, sizeof(events));
    return 0;
}

static struct fiber *spawn(void (*fn)(void *arg), void *arg)
{
    struct fiber *fiber;
    assert_int_equal(fiber_spawn(loop_self(), fn, arg, &fiber), 0);
    return fiber;
}

/* --- order --- */

static void say(void *arg)
{
    event(*(const char *)arg);
}

static void spawn_three(void *arg)
{
    (void)arg;
    spawn(say, "a");
    spawn(say, "b");
    spawn(say, "c");
    event('0');
}

static void spawned_fibers_run_in_order_after_their_spawner(void **state)
{
    (void)state;
    on_fiber(spawn_three, NULL);
    assert_string_equal(events, "0abc");
}

static void say_twice(void *arg)
{
    event(*(const char *)arg);
    fiber_yield();
    event(*(const char *)arg);
}

static void spawn_yielding(void *arg)
{
    (void)arg;
    spawn(say_twice, "a");
    spawn(say_twice, "b");
}

static void a_yield_lets_the_others_run(void **state)
{
    (void)state;
    on_fiber(spawn_yielding, NULL);
    assert_string_equal(events, "abab");
}

/* --- waits --- */

static void wait_and_say(void *arg)
{
    int rc = fiber_wait(*(const int64_t *)arg);
    event(rc == 0 ? 'w' : rc == ERR_TIMEOUT ? 't' : rc == ERR_CANCELED ? 'c' : '?');
}

static void wake_one(void *arg)
{
    (void)arg;
    int64_t deadline = DEADLINE_NONE;
    struct fiber *fiber = spawn(wait_and_say, &deadline);
    fiber_yield();
    fiber_wake(fiber);
    fiber_wake(fiber);
    event('0');
    fiber_yield();
}

static void a_wake_ends_the_wait_and_only_queues(void **state)
{
    (void)state;
    on_fiber(wake_one, NULL);
    assert_string_equal(events, "0w");
}

static void wake_before_wait(void *arg)
{
    (void)arg;
    fiber_wake(fiber_self());
    assert_int_equal(fiber_wait(DEADLINE_NONE), 0);
    assert_int_equal(fiber_wait(loop_now_ms() + 1), ERR_TIMEOUT); /* it counted once */
    assert_int_equal(fiber_wait(loop_now_ms()), ERR_TIMEOUT);
}

static void a_wake_before_the_wait_is_kept(void **state)
{
    (void)state;
    on_fiber(wake_before_wait, NULL);
}

struct timed {
    int64_t after_ms;
    char letter;
};

static void wait_timed(void *arg)
{
    const struct timed *timed = arg;
    int64_t deadline_ms = loop_now_ms() + timed->after_ms;
    assert_int_equal(fiber_wait(deadline_ms), ERR_TIMEOUT);
    assert_true(clock_monotonic_ms() >= deadline_ms); /* the loop's clock is the same one, and may be behind */
    event(timed->letter);
}

static void wait_many(void *arg)
{
    (void)arg;
    static const struct timed timed[] = {{60, 'd'}, {20, 'b'}, {40, 'c'}, {1, 'a'}, {80, 'e'}};
    for (size_t i = 0; i < 5; i++)
        spawn(wait_timed, (void *)&timed[i]);
}

static void deadlines_pass_in_order(void **state)
{
    (void)state;
    on_fiber(wait_many, NULL);
    assert_string_equal(events, "abcde");
}

static void wake_each_third(void *arg)
{
    struct fiber **fibers = arg;
    for (int i = 0; i < 40; i += 3)
        fiber_wake(fibers[i]);
}

/* Removing from the middle of the heap must keep its order. */
static void wake_some_of_many(void *arg)
{
    (void)arg;
    struct fiber *fibers[40];
    int64_t deadlines[40];
    int64_t now = loop_now_ms();
    for (int i = 0; i < 40; i++) {
        deadlines[i] = now + 1000 + (i * 7) % 40;
        fibers[i] = spawn(wait_and_say, &deadlines[i]);
    }
    spawn(wake_each_third, fibers); /* in the turn in which they begin to wait: no deadline passes before it ends */
    while (loop_fibers(loop_self()) > 1)
        assert_int_equal(fiber_wait(loop_now_ms() + 2), ERR_TIMEOUT);
    for (int i = 0; i < 40; i++)
        assert_int_equal(events[i], i < 14 ? 'w' : 't');
}

static void woken_waits_leave_no_timer(void **state)
{
    (void)state;
    on_fiber(wake_some_of_many, NULL);
}

static void wait_twice(void *arg)
{
    (void)arg;
    assert_int_equal(fiber_wait(loop_now_ms() + 60000), ERR_CANCELED);
    assert_true(fiber_canceled(fiber_self()));
    fiber_wake(fiber_self());
    assert_int_equal(fiber_wait(DEADLINE_NONE), ERR_CANCELED);
    event('c');
}

static void cancel_one(void *arg)
{
    (void)arg;
    struct fiber *fiber = spawn(wait_twice, NULL);
    fiber_yield();
    fiber_cancel(fiber);
}

static void a_canceled_fiber_waits_no_more(void **state)
{
    (void)state;
    on_fiber(cancel_one, NULL);
    assert_string_equal(events, "c");
}

static void cancel_from_main(void **state)
{
    (void)state;
    struct loop *loop;
    int64_t deadline = DEADLINE_NONE;
    assert_int_equal(loop_create(&(struct loop_options){.number = 3}, &loop), 0);
    assert_int_equal(loop_number(loop), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fiber_spawn(loop, wait_and_say, &deadline, NULL), 0);
    assert_int_equal(loop_start(loop), 0);
    loop_stop(loop); /* alone does not end it: there are fibers */
    assert_int_equal(loop_fibers(loop), 3);
    loop_cancel_fibers(loop);
    loop_join(loop);
    assert_int_equal(loop_fibers(loop), 0);
    loop_free(loop);
    assert_string_equal(events, "ccc");
}

/* --- limits and memory --- */

static void nothing(void *arg)
{
    (void)arg;
}

static void a_loop_has_a_maximum_of_fibers(void **state)
{
    (void)state;
    struct loop *loop;
    assert_int_equal(loop_create(&(struct loop_options){.number = 0, .fibers_max = 2}, &loop), 0);
    assert_int_equal(fiber_spawn(loop, nothing, NULL, NULL), 0);
    assert_int_equal(fiber_spawn(loop, nothing, NULL, NULL), 0);
    assert_int_equal(fiber_spawn(loop, nothing, NULL, NULL), ERR_BUSY);
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
}

static void use_stack(void *arg)
{
    volatile char room[100 * 1024];
    for (size_t i = 0; i < sizeof(room); i += 1024)
        room[i] = (char)i;
    fiber_yield();
    for (size_t i = 0; i < sizeof(room); i += 1024)
        assert_int_equal(room[i], (char)i);
    ++*(int *)arg;
}

static void spawn_thousands(void *arg)
{
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 200; i++)
            spawn(use_stack, arg);
        while (loop_fibers(loop_self()) > 1)
            fiber_yield();
    }
}

static void stacks_are_used_again(void **state)
{
    (void)state;
    int ended = 0;
    on_fiber(spawn_thousands, &ended);
    assert_int_equal(ended, 2000);
}

/* --- completions and workers --- */

static void post_at_once(void *arg)
{
    completion_post(arg, 7);
}

static void wait_for_completions(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        struct completion completion;
        struct thread *thread;
        completion_init(&completion);
        assert_int_equal(thread_start("poster", post_at_once, &completion, &thread), 0);
        if (i % 2 == 0)
            thread_join(thread); /* posted before the wait begins */
        assert_int_equal(completion_wait(&completion), 7);
        if (i % 2 != 0)
            thread_join(thread);
    }
    struct completion own;
    completion_init(&own);
    completion_post(&own, -3);
    assert_int_equal(completion_wait(&own), -3);
}

static void completions_come_from_any_thread(void **state)
{
    (void)state;
    on_fiber(wait_for_completions, NULL);
}

static void wait_uncancelable(void *arg)
{
    struct completion *completion = arg;
    completion_init(completion);
    assert_int_equal(completion_wait(completion), 5);
    assert_int_equal(fiber_wait(DEADLINE_NONE), ERR_CANCELED);
    event('x');
}

static void cancel_a_completion(void *arg)
{
    (void)arg;
    static struct completion completion;
    struct fiber *fiber = spawn(wait_uncancelable, &completion);
    fiber_yield();
    fiber_cancel(fiber);
    fiber_wake(fiber);
    fiber_yield();
    fiber_yield();
    event('0');
    completion_post(&completion, 5);
}

static void a_completion_is_not_canceled(void **state)
{
    (void)state;
    on_fiber(cancel_a_completion, NULL);
    assert_string_equal(events, "0x");
}

struct sum {
    int a, b;
};

static int add(void *arg)
{
    const struct sum *sum = arg;
    return sum->a + sum->b;
}

struct calls {
    struct worker_pool *pool;
    int done;
};

static void call_often(void *arg)
{
    struct calls *calls = arg;
    for (int i = 0; i < 100; i++) {
        struct sum sum = {i, 1};
        assert_int_equal(worker_call(calls->pool, add, &sum), i + 1);
    }
    calls->done++;
}

static void call_from_many(void *arg)
{
    for (int i = 0; i < 20; i++)
        spawn(call_often, arg);
}

static atomic_int ticks;

static bool tick(void *arg)
{
    (void)arg;
    return ++ticks % 3 != 0;
}

static void call_and_wait_for_ticks(void *arg)
{
    struct calls *calls = arg;
    struct sum sum = {0, 1};
    for (int round = 1; round <= 2; round++) {
        worker_call(calls->pool, add, &sum);
        while (ticks < 3 * round)
            (void)fiber_wait(loop_now_ms() + 1);
        (void)fiber_wait(loop_now_ms() + 20); /* of a tick that should not come there would be ten */
        assert_int_equal(ticks, 3 * round);
    }
}

/* After a call, and again until it says that it is done; with the next call it begins anew. */
static void workers_tick(void **state)
{
    (void)state;
    struct calls calls = {0};
    assert_int_equal(worker_pool_create("ticks", 2, &calls.pool), 0);
    worker_pool_tick(calls.pool, 2, tick, NULL);
    on_fiber(call_and_wait_for_ticks, &calls);
    worker_pool_free(calls.pool);
}

static void workers_answer_their_callers(void **state)
{
    (void)state;
    struct calls calls = {0};
    assert_int_equal(worker_pool_create("a-very-long-name-indeed", 3, &calls.pool), 0);
    on_fiber(call_from_many, &calls);
    worker_pool_free(calls.pool);
    assert_int_equal(calls.done, 20);
}

/* --- the loop's own --- */

static void say_arg(void *arg)
{
    event((char)(intptr_t)arg);
}

static struct loop_quiet quiet;

static void quiet_again(void *arg)
{
    event('q');
    fiber_wake(arg);
}

static void register_quiet(void *arg)
{
    (void)arg;
    quiet = (struct loop_quiet){.fn = quiet_again, .arg = fiber_self()};
    loop_when_quiet(loop_self(), &quiet);
    loop_when_quiet(loop_self(), &quiet);
    spawn(say, "a");
    assert_int_equal(fiber_wait(DEADLINE_NONE), 0);
    event('b');
    loop_when_quiet(loop_self(), &quiet); /* free again */
    assert_int_equal(fiber_wait(DEADLINE_NONE), 0);
    event('c');
}

static void quiet_comes_when_no_fiber_is_ready(void **state)
{
    (void)state;
    on_fiber(register_quiet, NULL);
    assert_string_equal(events, "aqbqc");
}

static struct loop_signal signal_once;
static int signals;

static void count_signal(void *arg)
{
    (void)arg;
    signals++;
}

static void posts_arrive_in_order(void **state)
{
    (void)state;
    struct loop *loop;
    signals = 0;
    signal_once = (struct loop_signal){.fn = count_signal};
    assert_int_equal(loop_create(&(struct loop_options){.number = 0}, &loop), 0);
    for (char letter = 'a'; letter <= 'f'; letter++)
        assert_int_equal(loop_post(loop, say_arg, (void *)(intptr_t)letter), 0);
    loop_signal(loop, &signal_once);
    loop_signal(loop, &signal_once);
    assert_int_equal(loop_start(loop), 0);
    loop_stop(loop);
    loop_join(loop);
    assert_int_equal(loop_post(loop, say_arg, (void *)(intptr_t)'z'), 0); /* after the end: run by loop_free */
    loop_free(loop);
    assert_string_equal(events, "abcdefz");
    assert_int_equal(signals, 1);
}

/* Loops that post to each other and threads that post to all. */
struct flood {
    struct loop *loops[2];
    _Atomic int received;
};

static void count(void *arg)
{
    atomic_fetch_add(&((struct flood *)arg)->received, 1);
}

static void flood_both(void *arg)
{
    struct flood *flood = arg;
    for (int i = 0; i < 5000; i++)
        assert_int_equal(loop_post(flood->loops[i % 2], count, flood), 0);
}

static void no_post_is_lost(void **state)
{
    (void)state;
    struct flood flood = {0};
    struct thread *threads[3];
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(loop_create(&(struct loop_options){.number = i}, &flood.loops[i]), 0);
        assert_int_equal(loop_start(flood.loops[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(thread_start("flood", flood_both, &flood, &threads[i]), 0);
    for (int i = 0; i < 3; i++)
        thread_join(threads[i]);
    for (unsigned i = 0; i < 2; i++)
        loop_stop(flood.loops[i]);
    for (unsigned i = 0; i < 2; i++) {
        loop_join(flood.loops[i]);
        loop_free(flood.loops[i]);
    }
    assert_int_equal(flood.received, 15000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(spawned_fibers_run_in_order_after_their_spawner, clear),
        cmocka_unit_test_setup(a_yield_lets_the_others_run, clear),
        cmocka_unit_test_setup(a_wake_ends_the_wait_and_only_queues, clear),
        cmocka_unit_test_setup(a_wake_before_the_wait_is_kept, clear),
        cmocka_unit_test_setup(deadlines_pass_in_order, clear),
        cmocka_unit_test_setup(woken_waits_leave_no_timer, clear),
        cmocka_unit_test_setup(a_canceled_fiber_waits_no_more, clear),
        cmocka_unit_test_setup(cancel_from_main, clear),
        cmocka_unit_test_setup(a_loop_has_a_maximum_of_fibers, clear),
        cmocka_unit_test_setup(stacks_are_used_again, clear),
        cmocka_unit_test_setup(completions_come_from_any_thread, clear),
        cmocka_unit_test_setup(a_completion_is_not_canceled, clear),
        cmocka_unit_test_setup(workers_answer_their_callers, clear),
        cmocka_unit_test_setup(workers_tick, clear),
        cmocka_unit_test_setup(quiet_comes_when_no_fiber_is_ready, clear),
        cmocka_unit_test_setup(posts_arrive_in_order, clear),
        cmocka_unit_test_setup(no_post_is_lost, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
