#include "store/health.h"

#include <stddef.h>
#include "base/err.h"

#define DECAY_AT   1024 /* observations: then each counts half */
#define UPDATE_AT  16   /* observations between two looks at the 95th percentile */
#define KNOWN_AT   20   /* observations that make one */
#define LOST_MAX   3
#define TOKEN_COST 20              /* a hedged read; every read earns 1 */
#define TOKENS_MAX (10 * TOKEN_COST) /* a burst */

enum { CLOSED, OPEN, HALF_OPEN };

/* What an outcome says about the backend, and not about one blob or the caller. */
enum verdict { ANSWERED, FAILED, NOTHING };

static enum verdict judge(int rc)
{
    switch (rc) {
    case 0:
    case ERR_NOT_FOUND:
    case ERR_CORRUPT:
    case ERR_EXISTS:
    case ERR_RANGE:
    case ERR_NOSPC:
    case ERR_READONLY:
        return ANSWERED;
    case ERR_CANCELED:
    case ERR_NOMEM:
    case ERR_BUSY:
    case ERR_INVALID:
    case ERR_TOO_LARGE:
        return NOTHING;
    default:
        return FAILED;
    }
}

void health_init(struct health *health, int64_t now_ms)
{
    *health = (struct health){.changed_ms = INT64_MIN, .window_ms = now_ms};
    health->answered_ms = now_ms;
    health->probed_ms = now_ms - HEALTH_IDLE_MS;
    health->suspect_until_ms = INT64_MIN;
    health->trial_ms = INT64_MIN;
    health->tokens = TOKEN_COST;
    pthread_mutex_init(&health->lock, NULL);
}

void health_fini(struct health *health)
{
    pthread_mutex_destroy(&health->lock);
}

/* --- latency --- */

static unsigned bucket_of(uint64_t ns)
{
    uint64_t us = ns / 1000 + 4; /* from here on two bits follow the first */
    unsigned octave = 63 - (unsigned)__builtin_clzll(us);
    unsigned bucket = (octave - 2) * 4 + (unsigned)(us >> (octave - 2) & 3);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The longest time that falls into it. */
static uint64_t bucket_end_ns(unsigned bucket)
{
    unsigned octave = bucket / 4 + 2;
    uint64_t us = ((uint64_t)(4 + bucket % 4 + 1) << (octave - 2)) - 4;
    return us * 1000;
}

static void latency_update(struct latency *latency)
{
    unsigned total = 0, seen = 0, bucket = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        total += atomic_load_explicit(&latency->buckets[i], memory_order_relaxed);
    if (total < KNOWN_AT)
        return;
    while (bucket < LATENCY_BUCKETS - 1) {
        seen += atomic_load_explicit(&latency->buckets[bucket], memory_order_relaxed);
        if ((uint64_t)seen * 100 >= (uint64_t)total * 95)
            break;
        bucket++;
    }
    latency->p95_ns = bucket_end_ns(bucket);
}

/* What other threads count meanwhile may be lost: it is an estimate. */
static void latency_fade(struct latency *latency)
{
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        unsigned n = atomic_load_explicit(&latency->buckets[i], memory_order_relaxed);
        if (n > 0)
            atomic_store_explicit(&latency->buckets[i], n / 2, memory_order_relaxed);
    }
    atomic_store_explicit(&latency->count, DECAY_AT / 2, memory_order_relaxed);
}

void latency_note(struct latency *latency, uint64_t ns)
{
    atomic_fetch_add_explicit(&latency->buckets[bucket_of(ns)], 1, memory_order_relaxed);
    unsigned count = atomic_fetch_add_explicit(&latency->count, 1, memory_order_relaxed) + 1;
    if (count % UPDATE_AT != 0 && count != KNOWN_AT)
        return;
    latency_update(latency);
    if (count >= DECAY_AT)
        latency_fade(latency);
}

uint64_t health_p95_ns(const struct health *health, enum health_op op)
{
    return health->latency[op].p95_ns;
}

/* --- the breaker, under the lock --- */

static void change(struct health *health, int breaker, int64_t now_ms)
{
    health->breaker = breaker;
    health->changed_ms = now_ms;
    health->in_row = 0;
    health->closing = 0;
    health->failed = 0;
    health->succeeded = 0;
    health->window_ms = now_ms;
}

static void settle(struct health *health)
{
    health->troubled = health->breaker != CLOSED || health->in_row > 0 || health->writes != 0;
}

static enum health_event open_breaker(struct health *health, int64_t now_ms)
{
    /* One that fails again as soon as it is let in is asked less and less often. */
    int64_t backoff_ms = health->breaker == CLOSED ? HEALTH_TENSE_MS : 2 * health->backoff_ms;
    health->backoff_ms = backoff_ms < HEALTH_BACKOFF_MS ? backoff_ms : HEALTH_BACKOFF_MS;
    enum health_event event = health->breaker == OPEN ? HEALTH_SAME : HEALTH_OPENED;
    change(health, OPEN, now_ms);
    health->trial_ms = now_ms + HEALTH_TRIAL_MS;
    return event;
}

static enum health_event note_failure(struct health *health, unsigned weight, int rc, int64_t now_ms)
{
    health->last_error = rc;
    health->suspect_until_ms = now_ms + HEALTH_SUSPECT_MS;
    if (health->breaker == HALF_OPEN)
        return open_breaker(health, now_ms);
    if (health->breaker == OPEN)
        return HEALTH_SAME;
    if (now_ms - health->window_ms > HEALTH_WINDOW_MS) {
        health->window_ms = now_ms;
        health->failed = 0;
        health->succeeded = 0;
    }
    health->failed++;
    health->in_row += weight;
    unsigned all = health->failed + health->succeeded;
    if (health->in_row >= HEALTH_IN_ROW || (all >= HEALTH_WINDOW_MIN && health->failed * 2 >= all))
        return open_breaker(health, now_ms);
    return HEALTH_SAME;
}

static enum health_event note_success(struct health *health, int64_t now_ms)
{
    health->in_row = 0;
    if (health->breaker == OPEN) {
        change(health, HALF_OPEN, now_ms);
        return HEALTH_HALF_OPENED;
    }
    if (health->breaker == HALF_OPEN && ++health->closing >= HEALTH_CLOSE) {
        change(health, CLOSED, now_ms);
        health->suspect_until_ms = now_ms;
        return HEALTH_CLOSED;
    }
    return HEALTH_SAME;
}

/* --- operations --- */

bool health_admit(struct health *health, enum health_op op, int64_t now_ms)
{
    if (health->breaker == OPEN) {
        int64_t trial_ms = health->trial_ms;
        if (op != HEALTH_GET || now_ms < trial_ms ||
            !atomic_compare_exchange_strong(&health->trial_ms, &trial_ms, now_ms + HEALTH_TRIAL_MS))
            return false;
    }
    if (op == HEALTH_PUT) {
        if (atomic_load_explicit(&health->puts, memory_order_relaxed) == 0)
            atomic_store_explicit(&health->stored_ms, now_ms, memory_order_relaxed);
        atomic_fetch_add_explicit(&health->puts, 1, memory_order_relaxed);
    }
    /* Nothing was owed an answer before: the silence begins now. */
    if (atomic_fetch_add_explicit(&health->in_flight, 1, memory_order_relaxed) == 0)
        atomic_store_explicit(&health->answered_ms, now_ms, memory_order_relaxed);
    return true;
}

static void note_latency(struct health *health, enum health_op op, int rc, uint64_t ns)
{
    struct latency *latency = &health->latency[op];
    /* One that was given up has told that it takes longer than this; else slow operations that are hedged would never
     * be seen. */
    if (rc == 0 || rc == ERR_TIMEOUT || (rc == ERR_CANCELED && ns > latency->p95_ns))
        latency_note(latency, ns);
}

enum health_event health_done(struct health *health, enum health_op op, int rc, uint64_t ns, int64_t now_ms)
{
    enum verdict verdict = judge(rc);
    atomic_fetch_sub_explicit(&health->in_flight, 1, memory_order_relaxed);
    if (op == HEALTH_PUT && verdict != NOTHING)
        atomic_store_explicit(&health->stored_ms, now_ms, memory_order_relaxed);
    if (op == HEALTH_PUT)
        atomic_fetch_sub_explicit(&health->puts, 1, memory_order_relaxed);
    note_latency(health, op, rc, ns);
    bool refused = op == HEALTH_REMOVE && verdict == FAILED;
    if (refused)
        health->doubted = true;
    if (refused || verdict == NOTHING)
        return HEALTH_SAME;
    atomic_store_explicit(&health->answered_ms, now_ms, memory_order_relaxed);
    int writes = op != HEALTH_PUT ? health->writes : rc == ERR_NOSPC || rc == ERR_READONLY ? rc : 0;
    if (verdict == ANSWERED)
        atomic_fetch_add_explicit(&health->succeeded, 1, memory_order_relaxed);
    if (verdict == ANSWERED && !health->troubled && writes == health->writes)
        return HEALTH_SAME;
    enum health_event event = HEALTH_SAME;
    pthread_mutex_lock(&health->lock);
    if (verdict == ANSWERED)
        health->writes = writes;
    if (verdict == ANSWERED && writes != 0)
        health->last_error = writes;
    /* What began before the breaker changed is news from another time. */
    if (now_ms - (int64_t)(ns / 1000000) >= health->changed_ms)
        event = verdict == ANSWERED ? note_success(health, now_ms) : note_failure(health, 1, rc, now_ms);
    settle(health);
    pthread_mutex_unlock(&health->lock);
    return event;
}

/* --- probes --- */

bool health_probe_due(const struct health *health, int64_t now_ms)
{
    int64_t since = now_ms - health->probed_ms;
    int64_t silent = now_ms - health->answered_ms;
    if (health->breaker == OPEN)
        return since >= health->backoff_ms;
    if (health_state(health, now_ms) != HEALTH_HEALTHY || health->doubted ||
        (health->in_flight > 0 && silent >= HEALTH_TENSE_MS))
        return since >= HEALTH_TENSE_MS;
    return since >= HEALTH_IDLE_MS && silent >= HEALTH_IDLE_MS;
}

enum health_event health_probed(struct health *health, int rc, int64_t now_ms)
{
    enum health_event event = HEALTH_SAME;
    bool answered = rc == 0 || rc == ERR_READONLY;
    health->probed_ms = now_ms;
    health->doubted = false;
    if (!answered && judge(rc) == NOTHING)
        return HEALTH_SAME;
    pthread_mutex_lock(&health->lock);
    if (answered) {
        /* Why it takes none, the next put will be told. */
        health->writes = rc == 0 ? 0 : health->writes != 0 ? health->writes : ERR_NOSPC;
        if (rc != 0)
            health->last_error = health->writes;
        event = note_success(health, now_ms);
    } else if (health->breaker == OPEN) {
        health->last_error = rc;
        (void)open_breaker(health, now_ms);
    } else {
        event = note_failure(health, HEALTH_PROBE_FAIL, rc, now_ms);
    }
    settle(health);
    pthread_mutex_unlock(&health->lock);
    return event;
}

/* --- the state --- */

enum health_state health_state(const struct health *health, int64_t now_ms)
{
    if (health->breaker == OPEN)
        return HEALTH_DOWN;
    bool stuck = health->puts > 0 && now_ms - health->stored_ms >= HEALTH_STUCK_MS;
    bool fine = health->breaker == CLOSED && health->writes == 0 && now_ms >= health->suspect_until_ms && !stuck;
    return fine ? HEALTH_HEALTHY : HEALTH_DEGRADED;
}

const char *health_state_name(enum health_state state)
{
    static const char *const names[] = {"healthy", "degraded", "down"};
    return names[state];
}

int health_writable(const struct health *health)
{
    if (health->breaker == OPEN)
        return ERR_UNAVAILABLE;
    return health->writes == ERR_READONLY ? ERR_READONLY : 0;
}

unsigned health_rank(const struct health *health, int64_t now_ms)
{
    if (health->breaker == OPEN)
        return 2;
    return health->breaker == HALF_OPEN || now_ms < health->suspect_until_ms ? 1 : 0;
}

int64_t health_retry_ms(const struct health *health, int64_t now_ms)
{
    if (health->breaker != OPEN)
        return 0;
    int64_t wait_ms = health->probed_ms + health->backoff_ms - now_ms;
    return wait_ms > 0 ? wait_ms : 0;
}

/* --- hedged reads --- */

void health_hedge_earn(struct health *health)
{
    if (health->tokens < TOKENS_MAX)
        atomic_fetch_add_explicit(&health->tokens, 1, memory_order_relaxed);
}

bool health_hedge_take(struct health *health)
{
    int tokens = health->tokens;
    while (tokens >= TOKEN_COST) {
        if (atomic_compare_exchange_weak(&health->tokens, &tokens, tokens - TOKEN_COST))
            return true;
    }
    return false;
}

void health_hedge_over(struct health *health, bool lost, int64_t now_ms)
{
    if (!lost)
        health->lost = 0;
    if (!lost || atomic_fetch_add(&health->lost, 1) + 1 < LOST_MAX)
        return;
    health->lost = 0;
    health->suspect_until_ms = now_ms + HEALTH_SUSPECT_MS;
}
