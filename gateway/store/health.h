/* How a backend is: a state machine over the outcomes of its operations, with a circuit breaker and the time that
 * operations take. Pure: the clock is handed in (milliseconds, as loop_now_ms) and nothing here waits. Any thread; a
 * success of a healthy backend takes no lock.
 *
 *   closed --- failures in a row, or half of many ---> open --- it answers ---> half-open --- successes ---> closed
 *                                                       ^------------ a failure -----'
 */
#ifndef ARCA_STORE_HEALTH_H
#define ARCA_STORE_HEALTH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HEALTH_IN_ROW     5     /* failures in a row that open the breaker; a failed probe counts as several */
#define HEALTH_PROBE_FAIL 3     /* as many */
#define HEALTH_WINDOW_MS  10000 /* half of the operations in it failed, of at least so many: */
#define HEALTH_WINDOW_MIN 20
#define HEALTH_SUSPECT_MS 10000 /* how long a failure is remembered: reads prefer other backends */
#define HEALTH_TRIAL_MS   1000  /* how often an open breaker lets a read through that has no other replica */
#define HEALTH_STUCK_MS   5000  /* puts are under way and none has ended for so long: they hang */
#define HEALTH_CLOSE      3     /* successes that close a half-open breaker */
#define HEALTH_IDLE_MS    5000  /* a backend without operations is probed so often, */
#define HEALTH_TENSE_MS   1000  /* one that is not healthy, or has not answered for so long, so often */
#define HEALTH_BACKOFF_MS 15000 /* and one that is down less and less often, up to this */

enum health_state { HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_DOWN };
enum health_op { HEALTH_PUT, HEALTH_GET, HEALTH_REMOVE, HEALTH_LIST, HEALTH_OPS };
enum health_event { HEALTH_SAME, HEALTH_OPENED, HEALTH_HALF_OPENED, HEALTH_CLOSED };

/* A histogram of times with four buckets an octave from 1 us up; old observations fade. */
#define LATENCY_BUCKETS 112
struct latency {
    atomic_uint buckets[LATENCY_BUCKETS];
    atomic_uint count;
    _Atomic uint64_t p95_ns; /* 0: too few observations */
};

struct health {
    atomic_int breaker;
    atomic_int writes;     /* what the last put or probe said: 0, ERR_NOSPC, ERR_READONLY */
    atomic_bool troubled;  /* a success has something to change */
    atomic_int last_error; /* of the failure that came last */
    atomic_bool doubted;   /* what failed last is better judged by a probe */
    atomic_uint in_flight;
    atomic_uint puts;      /* of them */
    atomic_uint succeeded; /* in the window */
    atomic_uint lost;      /* hedged reads in a row that another backend won */
    atomic_int tokens;     /* of hedged reads */
    _Atomic int64_t suspect_until_ms, answered_ms, probed_ms, trial_ms;
    _Atomic int64_t stored_ms; /* a put ended, or the first of those under way began */
    _Atomic int64_t backoff_ms;
    struct latency latency[HEALTH_OPS];
    pthread_mutex_t lock; /* the rest; never held across a suspension */
    int64_t changed_ms;   /* the breaker; what began before tells nothing about the time since */
    int64_t window_ms;
    unsigned failed;      /* in the window */
    unsigned in_row;      /* failures */
    unsigned closing;     /* successes since half-open */
};

void health_init(struct health *health, int64_t now_ms); /* healthy */
void health_fini(struct health *health);

/* An operation may be tried now; it is under way from then on, until health_done. */
bool health_admit(struct health *health, enum health_op op, int64_t now_ms);
/* It ended with rc after `ns`. A removal that fails counts for nothing but a probe soon: there are stores that for ever
 * refuse to remove what they find damaged. */
enum health_event health_done(struct health *health, enum health_op op, int rc, uint64_t ns, int64_t now_ms);

/* It is time to probe. */
bool health_probe_due(const struct health *health, int64_t now_ms);
/* What the probe said: 0, ERR_READONLY (it answers, but takes no writes), any other: it failed. */
enum health_event health_probed(struct health *health, int rc, int64_t now_ms);

enum health_state health_state(const struct health *health, int64_t now_ms);
const char *health_state_name(enum health_state state);
/* Writes can be tried: 0, ERR_READONLY, ERR_UNAVAILABLE. A full backend can be tried: smaller ones may fit. */
int health_writable(const struct health *health);
/* For readers, the lower the better: 0 fine, 1 has failed lately, 2 down. */
unsigned health_rank(const struct health *health, int64_t now_ms);
/* When it is worth asking again: milliseconds from now until the next probe, 0 if it is not down. */
int64_t health_retry_ms(const struct health *health, int64_t now_ms);

/* 95 of 100 operations took no longer, of those in the near past; 0: not known yet. */
uint64_t health_p95_ns(const struct health *health, enum health_op op);
void latency_note(struct latency *latency, uint64_t ns);

/* --- hedged reads: one in twenty may have a second attempt --- */
void health_hedge_earn(struct health *health); /* a read that could be hedged begins */
bool health_hedge_take(struct health *health); /* false: the budget is spent */
/* Such a read is over; `lost`: another backend was faster. Several times in a row: it is suspect. */
void health_hedge_over(struct health *health, bool lost, int64_t now_ms);

#endif
