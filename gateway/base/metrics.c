#include "base/metrics.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"

#define OPERATIONS_MAX 96
#define BACKENDS_MAX   64
#define JOBS_MAX       64

/* Upper bounds in nanoseconds: 100 us to 100 s. One more bucket has what is above. */
static const uint64_t bounds[] = {
    100000,     250000,      500000,      1000000,     2500000,      5000000,    10000000,
    25000000,   50000000,    100000000,   250000000,   500000000,    1000000000, 2500000000,
    5000000000, 10000000000, 25000000000, 50000000000, 100000000000,
};
static const char *const bound_texts[] = {
    "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
    "0.25",   "0.5",     "1",      "2.5",   "5",      "10",    "25",   "50",    "100",
};
#define BUCKETS (sizeof(bounds) / sizeof(bounds[0]) + 1)

/* The statuses that are counted by themselves; the last stands for all others. */
static const int statuses[] = {200, 204, 206, 304, 400, 403, 404, 405, 409, 411,
                               412, 413, 416, 499, 500, 501, 503, 507, 0};
#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))

/* The outcomes of a backend's operations that are counted by themselves; the last stands for all others. */
static const int outcomes[] = {0,           ERR_NOT_FOUND, ERR_CORRUPT,     ERR_TIMEOUT, ERR_CANCELED,
                               ERR_NOSPC,   ERR_READONLY,  ERR_UNAVAILABLE, ERR_DENIED,  1};
#define OUTCOMES (sizeof(outcomes) / sizeof(outcomes[0]))

typedef _Atomic uint64_t counter;

struct histogram {
    counter buckets[BUCKETS];
    counter sum_ns;
};

struct backend_counts {
    counter outcomes[METRICS_BACKEND_OPS][OUTCOMES];
    struct histogram seconds[METRICS_BACKEND_OPS];
    counter events[METRICS_BACKEND_EVENTS];
};

/* A shard has one writer, its thread; readers add up the shards. */
struct shard {
    struct shard *next;
    bool used; /* by a living thread; counts outlive it and go on with the next */
    counter values[METRIC_COUNT];
    struct histogram histograms[METRIC_COUNT];
    counter requests[OPERATIONS_MAX][STATUSES];
    struct histogram seconds[OPERATIONS_MAX];
    struct backend_counts backends[BACKENDS_MAX];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct shard *shards;
static struct shard overflow; /* of threads that got no memory for theirs: may lose counts */
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static __thread struct shard *own;

static const char *const *operation_names;
static unsigned operation_count;

static struct {
    char name[33];
    atomic_int state;
} backends[BACKENDS_MAX];
static atomic_uint backend_count;

static struct job_values {
    char name[80];
    atomic_int state;
    counter done, total, bytes;
} jobs[JOBS_MAX];
static atomic_uint job_count;

static void release(void *arg)
{
    struct shard *shard = arg;
    pthread_mutex_lock(&mutex);
    shard->used = false;
    pthread_mutex_unlock(&mutex);
    own = NULL;
}

static void make_key(void)
{
    pthread_key_create(&key, release);
}

static struct shard *claim(void)
{
    pthread_once(&once, make_key);
    pthread_mutex_lock(&mutex);
    struct shard *shard = shards;
    while (shard != NULL && shard->used)
        shard = shard->next;
    if (shard == NULL) {
        shard = calloc(1, sizeof(*shard));
        if (shard != NULL) {
            shard->next = shards;
            shards = shard;
        }
    }
    if (shard != NULL)
        shard->used = true;
    pthread_mutex_unlock(&mutex);
    if (shard == NULL)
        return &overflow;
    pthread_setspecific(key, shard);
    own = shard;
    return shard;
}

static struct shard *mine(void)
{
    return own != NULL ? own : claim();
}

static uint64_t get(const counter *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void bump(counter *value, uint64_t n)
{
    atomic_store_explicit(value, get(value) + n, memory_order_relaxed);
}

static void observe(struct histogram *histogram, uint64_t ns)
{
    size_t bucket = 0;
    while (bucket < BUCKETS - 1 && ns > bounds[bucket])
        bucket++;
    bump(&histogram->buckets[bucket], 1);
    bump(&histogram->sum_ns, ns);
}

void metrics_add(enum metric metric, int64_t n)
{
    bump(&mine()->values[metric], (uint64_t)n);
}

void metrics_observe(enum metric metric, uint64_t ns)
{
    observe(&mine()->histograms[metric], ns);
}

void metrics_operations(const char *const *names, unsigned count)
{
    operation_names = names;
    operation_count = count < OPERATIONS_MAX ? count : OPERATIONS_MAX;
}

void metrics_request(unsigned operation, int status, uint64_t ns)
{
    if (operation >= operation_count)
        return;
    size_t slot = 0;
    while (slot < STATUSES - 1 && statuses[slot] != status)
        slot++;
    struct shard *shard = mine();
    bump(&shard->requests[operation][slot], 1);
    observe(&shard->seconds[operation], ns);
}

/* --- backends --- */

unsigned metrics_backend(const char *name)
{
    unsigned i = 0;
    pthread_mutex_lock(&mutex);
    while (i < backend_count && strcmp(backends[i].name, name) != 0)
        i++;
    if (i == backend_count && i < BACKENDS_MAX) {
        snprintf(backends[i].name, sizeof(backends[i].name), "%s", name);
        backend_count++;
    }
    pthread_mutex_unlock(&mutex);
    return i;
}

void metrics_backend_done(unsigned backend, enum metrics_backend_op op, int rc, uint64_t ns)
{
    if (backend >= BACKENDS_MAX)
        return;
    size_t slot = 0;
    while (slot < OUTCOMES - 1 && outcomes[slot] != rc)
        slot++;
    struct backend_counts *counts = &mine()->backends[backend];
    bump(&counts->outcomes[op][slot], 1);
    observe(&counts->seconds[op], ns);
}

void metrics_backend_count(unsigned backend, enum metrics_backend_event event)
{
    if (backend < BACKENDS_MAX)
        bump(&mine()->backends[backend].events[event], 1);
}

void metrics_backend_state(unsigned backend, int state)
{
    if (backend < BACKENDS_MAX)
        atomic_store_explicit(&backends[backend].state, state, memory_order_relaxed);
}

/* --- jobs --- */

unsigned metrics_job(const char *name)
{
    unsigned i = 0;
    pthread_mutex_lock(&mutex);
    while (i < job_count && strcmp(jobs[i].name, name) != 0)
        i++;
    if (i == job_count && i < JOBS_MAX) {
        snprintf(jobs[i].name, sizeof(jobs[i].name), "%s", name);
        job_count++;
    }
    pthread_mutex_unlock(&mutex);
    return i;
}

void metrics_job_state(unsigned job, int state, uint64_t done, uint64_t of_all)
{
    if (job >= JOBS_MAX)
        return;
    atomic_store_explicit(&jobs[job].state, state, memory_order_relaxed);
    atomic_store_explicit(&jobs[job].done, done, memory_order_relaxed);
    atomic_store_explicit(&jobs[job].total, of_all, memory_order_relaxed);
}

void metrics_job_bytes(unsigned job, uint64_t bytes)
{
    if (job < JOBS_MAX)
        atomic_fetch_add_explicit(&jobs[job].bytes, bytes, memory_order_relaxed);
}

/* --- rendering, under the mutex --- */

/* The sum over all shards of the counter at a place in struct shard. */
static uint64_t total(size_t offset)
{
    uint64_t sum = get((const counter *)(const void *)((const char *)&overflow + offset));
    for (const struct shard *shard = shards; shard != NULL; shard = shard->next)
        sum += get((const counter *)(const void *)((const char *)shard + offset));
    return sum;
}

static void head(struct buf *out, const char *name, const char *help, const char *type)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* `label` is empty or ends with a comma. */
static void render_histogram(struct buf *out, const char *name, const char *label, size_t offset)
{
    uint64_t count = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        count += total(offset + offsetof(struct histogram, buckets) + i * sizeof(counter));
        buf_printf(out, "%s_bucket{%sle=\"%s\"} %llu\n", name, label, i < BUCKETS - 1 ? bound_texts[i] : "+Inf",
                   (unsigned long long)count);
    }
    uint64_t ns = total(offset + offsetof(struct histogram, sum_ns));
    size_t length = strlen(label);
    const char *open = length > 0 ? "{" : "", *close = length > 0 ? "}" : "";
    int bare = length > 0 ? (int)length - 1 : 0;
    buf_printf(out, "%s_sum%s%.*s%s %llu.%09llu\n", name, open, bare, label, close,
               (unsigned long long)(ns / 1000000000), (unsigned long long)(ns % 1000000000));
    buf_printf(out, "%s_count%s%.*s%s %llu\n", name, open, bare, label, close, (unsigned long long)count);
}

static uint64_t operation_total(unsigned operation)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < STATUSES; i++)
        sum += total(offsetof(struct shard, requests) + (operation * STATUSES + i) * sizeof(counter));
    return sum;
}

static void render_requests(struct buf *out)
{
    head(out, "arca_requests_total", "Requests by operation and status", "counter");
    for (unsigned i = 0; i < operation_count; i++) {
        for (size_t j = 0; j < STATUSES; j++) {
            uint64_t n = total(offsetof(struct shard, requests) + (i * STATUSES + j) * sizeof(counter));
            if (n == 0)
                continue;
            buf_printf(out, "arca_requests_total{operation=\"%s\",status=\"", operation_names[i]);
            if (statuses[j] != 0)
                buf_append_u64(out, (uint64_t)statuses[j]);
            else
                buf_append_str(out, "other");
            buf_printf(out, "\"} %llu\n", (unsigned long long)n);
        }
    }
    head(out, "arca_request_seconds", "Time from a request's head to the end of its answer", "histogram");
    for (unsigned i = 0; i < operation_count; i++) {
        char label[128];
        if (operation_total(i) == 0)
            continue;
        snprintf(label, sizeof(label), "operation=\"%s\",", operation_names[i]);
        render_histogram(out, "arca_request_seconds", label,
                         offsetof(struct shard, seconds) + i * sizeof(struct histogram));
    }
}

static const char *const backend_ops[METRICS_BACKEND_OPS] = {"put", "get", "remove", "list"};
static const struct {
    const char *name, *help;
} backend_events[METRICS_BACKEND_EVENTS] = {
    [METRICS_REFUSED] = {"arca_backend_refused_total", "Operations that were not tried because the backend is down"},
    [METRICS_BREAKER_OPENS] = {"arca_backend_breaker_opens_total", "Times that a backend was found to be down"},
    [METRICS_HEDGES] = {"arca_backend_hedges_total", "Slow reads of it that another backend was asked for, too"},
    [METRICS_HEDGES_WON] = {"arca_backend_hedges_won_total", "Those that the other backend answered first"},
};

static uint64_t outcome_total(unsigned backend, size_t op, size_t outcome)
{
    return total(offsetof(struct shard, backends) + backend * sizeof(struct backend_counts) +
                 offsetof(struct backend_counts, outcomes) + (op * OUTCOMES + outcome) * sizeof(counter));
}

static void render_outcomes(struct buf *out, unsigned backend)
{
    for (size_t op = 0; op < METRICS_BACKEND_OPS; op++) {
        for (size_t i = 0; i < OUTCOMES; i++) {
            uint64_t n = outcome_total(backend, op, i);
            if (n == 0)
                continue;
            const char *outcome = i == OUTCOMES - 1 ? "other" : outcomes[i] == 0 ? "ok" : err_name(outcomes[i]);
            buf_printf(out, "arca_backend_operations_total{backend=\"%s\",operation=\"%s\",outcome=\"%s\"} %llu\n",
                       backends[backend].name, backend_ops[op], outcome, (unsigned long long)n);
        }
    }
}

static void render_backend_seconds(struct buf *out, unsigned backend)
{
    size_t base = offsetof(struct shard, backends) + backend * sizeof(struct backend_counts);
    for (size_t op = 0; op < METRICS_BACKEND_OPS; op++) {
        char label[128];
        uint64_t n = 0;
        for (size_t i = 0; i < OUTCOMES; i++)
            n += outcome_total(backend, op, i);
        if (n == 0)
            continue;
        snprintf(label, sizeof(label), "backend=\"%s\",operation=\"%s\",", backends[backend].name, backend_ops[op]);
        render_histogram(out, "arca_backend_seconds", label,
                         base + offsetof(struct backend_counts, seconds) + op * sizeof(struct histogram));
    }
}

static void render_backends(struct buf *out)
{
    if (backend_count == 0)
        return;
    head(out, "arca_backend_state", "State of a backend: 0 healthy, 1 degraded, 2 down", "gauge");
    for (unsigned i = 0; i < backend_count; i++)
        buf_printf(out, "arca_backend_state{backend=\"%s\"} %d\n", backends[i].name,
                   atomic_load_explicit(&backends[i].state, memory_order_relaxed));
    head(out, "arca_backend_operations_total", "Operations of a backend by outcome", "counter");
    for (unsigned i = 0; i < backend_count; i++)
        render_outcomes(out, i);
    head(out, "arca_backend_seconds", "Time of a backend's operations", "histogram");
    for (unsigned i = 0; i < backend_count; i++)
        render_backend_seconds(out, i);
    for (size_t event = 0; event < METRICS_BACKEND_EVENTS; event++) {
        head(out, backend_events[event].name, backend_events[event].help, "counter");
        for (unsigned i = 0; i < backend_count; i++)
            buf_printf(out, "%s{backend=\"%s\"} %llu\n", backend_events[event].name, backends[i].name,
                       (unsigned long long)total(offsetof(struct shard, backends) + i * sizeof(struct backend_counts) +
                                                 offsetof(struct backend_counts, events) + event * sizeof(counter)));
    }
}

static void render_jobs(struct buf *out)
{
    static const struct {
        const char *name, *help, *type;
        size_t offset;
    } values[] = {
        {"arca_job_done", "Blobs or rows that a job is done with, of its present step or round", "gauge",
         offsetof(struct job_values, done)},
        {"arca_job_total", "All blobs or rows of it; 0: not known", "gauge", offsetof(struct job_values, total)},
        {"arca_job_bytes_total", "Bytes that a job has read or moved", "counter", offsetof(struct job_values, bytes)},
    };
    if (job_count == 0)
        return;
    head(out, "arca_job_state", "State of a job: 0 running, 1 waiting, 2 paused, 3 idle", "gauge");
    for (unsigned i = 0; i < job_count; i++)
        buf_printf(out, "arca_job_state{job=\"%s\"} %d\n", jobs[i].name,
                   atomic_load_explicit(&jobs[i].state, memory_order_relaxed));
    for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
        head(out, values[v].name, values[v].help, values[v].type);
        for (unsigned i = 0; i < job_count; i++) {
            const counter *value = (const counter *)((const char *)&jobs[i] + values[v].offset);
            buf_printf(out, "%s{job=\"%s\"} %llu\n", values[v].name, jobs[i].name,
                       (unsigned long long)atomic_load_explicit(value, memory_order_relaxed));
        }
    }
}

static void render_value(struct buf *out, enum metric metric, const char *name, const char *help, const char *type)
{
    head(out, name, help, type);
    buf_printf(out, "%s %lld\n", name, (long long)total(offsetof(struct shard, values) + metric * sizeof(counter)));
}

void metrics_render(struct buf *out)
{
    pthread_mutex_lock(&mutex);
#define COUNTER(id, name, help) render_value(out, METRIC_##id, name, help, "counter");
#define GAUGE(id, name, help)   render_value(out, METRIC_##id, name, help, "gauge");
#define HISTOGRAM(id, name, help)       \
    head(out, name, help, "histogram"); \
    render_histogram(out, name, "", offsetof(struct shard, histograms) + METRIC_##id * sizeof(struct histogram));
#include "base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
    render_requests(out);
    render_backends(out);
    render_jobs(out);
    pthread_mutex_unlock(&mutex);
}
