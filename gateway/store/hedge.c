#include "store/hedge.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/loop.h"
#include "store/watched.h"

#define DELAY_MIN_MS     5
#define DELAY_MAX_MS     2000
#define DELAY_UNKNOWN_MS 500 /* as long as there are too few reads to tell how long they take */
#define RECHECK_MS       250 /* the budget is spent: is the first down by now? */
/* All attempts' memory together: it is not the body budget's, whose holders must not wait for more of it. Beyond this,
 * reads are not hedged. */
#define MEMORY_MAX ((size_t)64 << 20)

static atomic_size_t memory_used;

struct race;

struct attempt {
    struct race *race;
    struct backend *backend;
    struct locator locator;
    struct fiber *fiber; /* NULL: not begun, or over */
    bool begun;
    bool done;
    int rc;
    uint8_t *data;
};

/* Shared by the caller and the attempts, fibers of one loop. The last one out frees it. A driver writes into its
 * attempt's memory until it returns, which may be long after the caller has left with the other's bytes. */
struct race {
    unsigned references;
    struct fiber *caller; /* NULL once it has left */
    struct blob_name name;
    uint64_t offset;
    size_t length;
    struct attempt attempts[2];
};

static void race_unref(struct race *race)
{
    if (--race->references > 0)
        return;
    for (int i = 0; i < 2; i++) {
        if (race->attempts[i].data != NULL)
            atomic_fetch_sub(&memory_used, race->length);
        free(race->attempts[i].data);
    }
    free(race);
}

static void run_attempt(void *arg) SUSPENDS
{
    struct attempt *attempt = arg;
    struct race *race = attempt->race;
    struct backend *backend = attempt->backend;
    attempt->rc =
        backend->ops->get(backend, &race->name, &attempt->locator, race->offset, race->length, attempt->data);
    attempt->done = true;
    attempt->fiber = NULL;
    if (race->caller != NULL)
        fiber_wake(race->caller);
    race_unref(race);
}

static int start_attempt(struct race *race, int i, const struct hedge_side *side)
{
    struct attempt *attempt = &race->attempts[i];
    if (atomic_fetch_add(&memory_used, race->length) + race->length > MEMORY_MAX) {
        atomic_fetch_sub(&memory_used, race->length);
        return ERR_BUSY;
    }
    attempt->data = malloc(race->length > 0 ? race->length : 1);
    if (attempt->data == NULL) {
        atomic_fetch_sub(&memory_used, race->length);
        return ERR_NOMEM;
    }
    attempt->race = race;
    attempt->backend = side->backend;
    attempt->locator = side->locator;
    int rc = fiber_spawn(fiber_loop(fiber_self()), run_attempt, attempt, &attempt->fiber);
    if (rc != 0) {
        attempt->fiber = NULL;
        return rc;
    }
    attempt->begun = true;
    race->references++;
    return 0;
}

static int64_t delay_ms(struct backend *backend)
{
    uint64_t p95_ns = health_p95_ns(watched_health(backend), HEALTH_GET);
    if (p95_ns == 0)
        return DELAY_UNKNOWN_MS;
    int64_t ms = (int64_t)(p95_ns / 1000000) + 1;
    return ms < DELAY_MIN_MS ? DELAY_MIN_MS : ms > DELAY_MAX_MS ? DELAY_MAX_MS : ms;
}

/* The first has been slow for long enough: whether the second is asked now. */
static bool may_hedge(struct backend *backend)
{
    struct health *health = watched_health(backend);
    if (health_state(health, loop_now_ms()) != HEALTH_DOWN && !health_hedge_take(health))
        return false;
    watched_count(backend, METRICS_HEDGES);
    return true;
}

/* Until one has the bytes, or both have failed. */
static int run_race(struct race *race, const struct hedge_side sides[2], int *winner) SUSPENDS
{
    struct attempt *first = &race->attempts[0], *second = &race->attempts[1];
    int64_t due_ms = loop_now_ms() + delay_ms(first->backend);
    int rc = start_attempt(race, 0, &sides[0]);
    bool alone = false; /* the second cannot be started */
    while (rc == 0) {
        if ((first->done && first->rc == 0) || (second->done && second->rc == 0)) {
            *winner = first->done && first->rc == 0 ? 0 : 1;
            return 0;
        }
        bool failed = first->done;
        if (failed && (second->done || alone))
            return first->rc;
        if (!second->begun && !alone && (failed || (loop_now_ms() >= due_ms && may_hedge(first->backend)))) {
            alone = start_attempt(race, 1, &sides[1]) != 0;
            continue;
        }
        bool waits = second->begun || alone;
        if (!waits && loop_now_ms() >= due_ms)
            due_ms = loop_now_ms() + RECHECK_MS;
        rc = fiber_wait(waits ? DEADLINE_NONE : due_ms);
        if (rc == ERR_TIMEOUT)
            rc = 0;
    }
    return rc;
}

int hedge_get(struct hedge_side sides[2], const struct blob_name *name, uint64_t offset, uint64_t length, uint8_t *dst,
              int *winner) SUSPENDS
{
    struct race *race = calloc(1, sizeof(*race));
    if (race == NULL)
        return ERR_NOMEM;
    race->references = 1;
    race->caller = fiber_self();
    race->name = *name;
    race->offset = offset;
    race->length = (size_t)length;
    race->attempts[0].backend = sides[0].backend;
    struct health *health = watched_health(sides[0].backend);
    health_hedge_earn(health);
    int rc = run_race(race, sides, winner);
    if (rc == 0)
        memcpy(dst, race->attempts[*winner].data, race->length);
    bool lost = rc == 0 && *winner == 1 && !race->attempts[0].done;
    if (lost)
        watched_count(sides[0].backend, METRICS_HEDGES_WON);
    if (rc == 0)
        health_hedge_over(health, lost, loop_now_ms());
    race->caller = NULL;
    for (int i = 0; i < 2; i++) {
        struct attempt *attempt = &race->attempts[i];
        sides[i].rc = attempt->done ? attempt->rc : ERR_BUSY;
        if (attempt->fiber != NULL)
            fiber_cancel(attempt->fiber);
    }
    race_unref(race);
    return rc;
}
