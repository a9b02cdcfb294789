/* The linker hands the calls named __wrap_* to this file (--wrap, see CMakeLists.txt). */
#include "simulated.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>
#include <uv.h>
#include "base/err.h"
#include "base/fiber.h"
#include "base/loop.h"
#include "dice.h"
#include "index/index.h"
#include "index/journal.h"

#define START_US    (1800000000LL * 1000000) /* a wall clock: somewhen in 2027 */
#define TURN_US     50
#define YIELDS      4
#define THE_PAST_MS 1000 /* monotonic time does not begin at 0 */

static _Atomic int64_t now_us;
static bool busy; /* a fiber has yielded and waits for the next turn */
static int64_t due_us;
static uv_timer_cb on_due;
static struct dice entropy, order, index_dice;
static unsigned index_faults;
static uint64_t index_refusals;
static bool index_frozen;
static bool applying;
static sem_t applied;

/* --- time --- */

int64_t simulated_now_ms(void)
{
    return now_us / 1000 + THE_PAST_MS;
}

void simulated_pass_ms(int64_t ms)
{
    now_us += ms * 1000;
}

int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_monotonic_ms(void);
uint64_t __wrap_clock_monotonic_ns(void);
uint64_t __wrap_uv_now(const uv_loop_t *loop);

int64_t __wrap_clock_wall_ms(void)
{
    return (START_US + now_us) / 1000;
}

int64_t __wrap_clock_monotonic_ms(void)
{
    return simulated_now_ms();
}

uint64_t __wrap_clock_monotonic_ns(void)
{
    return (uint64_t)(now_us + THE_PAST_MS * 1000) * 1000;
}

uint64_t __wrap_uv_now(const uv_loop_t *loop)
{
    (void)loop;
    return (uint64_t)simulated_now_ms();
}

/* The loop's one timer rings with every turn while it is armed; only what is due by then is woken. */
int __real_uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat);
int __wrap_uv_idle_start(uv_idle_t *idle, uv_idle_cb cb);
int __wrap_uv_idle_stop(uv_idle_t *idle);
int __real_uv_idle_start(uv_idle_t *idle, uv_idle_cb cb);
int __real_uv_idle_stop(uv_idle_t *idle);

static void on_turn(uv_timer_t *timer)
{
    now_us += TURN_US;
    if (!busy && due_us > now_us)
        now_us = due_us;
    on_due(timer);
}

int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
    on_due = cb;
    due_us = (now_us / 1000 + (int64_t)timeout) * 1000;
    return __real_uv_timer_start(timer, on_turn, 0, repeat);
}

int __wrap_uv_idle_start(uv_idle_t *idle, uv_idle_cb cb)
{
    busy = true;
    return __real_uv_idle_start(idle, cb);
}

int __wrap_uv_idle_stop(uv_idle_t *idle)
{
    busy = false;
    return __real_uv_idle_stop(idle);
}

/* --- random numbers that decide something: ids --- */

int __wrap_getentropy(void *buffer, size_t length);
int __wrap_getentropy(void *buffer, size_t length)
{
    uint8_t *bytes = buffer;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)dice_next(&entropy);
    return 0;
}

/* --- the index --- */

void simulated_index_faults(unsigned per_million)
{
    index_faults = per_million;
}

void simulated_index_freeze(int frozen)
{
    index_frozen = frozen;
}

uint64_t simulated_index_refusals(void)
{
    return index_refusals;
}

int __real_completion_wait(struct completion *completion);
void __real_completion_post(struct completion *completion, int rc);
int __wrap_completion_wait(struct completion *completion);
void __wrap_completion_post(struct completion *completion, int rc);

/* From the writer's thread, for the one mutation that is under way. */
void __wrap_completion_post(struct completion *completion, int rc)
{
    if (loop_self() != NULL) {
        __real_completion_post(completion, rc);
        return;
    }
    completion->rc = rc;
    sem_post(&applied);
}

int __wrap_completion_wait(struct completion *completion)
{
    if (!applying)
        return __real_completion_wait(completion);
    while (sem_wait(&applied) != 0)
        continue;
    return completion->rc;
}

static void let_others_run(void) SUSPENDS
{
    for (uint64_t i = dice_below(&order, YIELDS); i > 0; i--)
        fiber_yield();
}

static int refusal(void)
{
    if (index_frozen)
        return ERR_IO;
    if (!dice_chance(&index_dice, index_faults))
        return 0;
    index_refusals++;
    return ERR_NOSPC;
}

int __real_index_apply(struct index *index, const Arca__Mutation *mutation);
int __wrap_index_apply(struct index *index, const Arca__Mutation *mutation);
int __wrap_index_apply(struct index *index, const Arca__Mutation *mutation)
{
    let_others_run();
    int rc = refusal();
    if (rc == 0) {
        applying = true;
        rc = __real_index_apply(index, mutation);
        applying = false;
    }
    let_others_run();
    return rc;
}

void __real_index_apply_all(struct index *index, const Arca__Mutation *const *mutations, size_t count, int *results);
void __wrap_index_apply_all(struct index *index, const Arca__Mutation *const *mutations, size_t count, int *results);
void __wrap_index_apply_all(struct index *index, const Arca__Mutation *const *mutations, size_t count, int *results)
{
    let_others_run();
    int rc = refusal();
    for (size_t i = 0; i < count; i++)
        results[i] = rc;
    if (rc == 0) {
        applying = true;
        __real_index_apply_all(index, mutations, count, results);
        applying = false;
    }
    let_others_run();
}

/* What a killed process wrote is there for the next one without a sync. */
static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

void simulated_begin(uint64_t seed)
{
    entropy.state = dice_mix(seed + 1);
    order.state = dice_mix(seed + 2);
    index_dice.state = dice_mix(seed + 3);
    now_us = 0;
    journal_fdatasync = no_sync;
    sem_init(&applied, 0, 0);
}
