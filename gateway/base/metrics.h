/* Counters, gauges and histograms of the whole daemon, in one table (metrics.def); admin/ renders them in Prometheus'
 * text format. Each thread counts in memory of its own, so that counting costs no lock and no shared cache line. */
#ifndef ARCA_BASE_METRICS_H
#define ARCA_BASE_METRICS_H

#include <stdint.h>
#include "base/buf.h"

/* Rows of metrics.def:
 *   COUNTER(id, "name", "help")
 *   GAUGE(id, "name", "help")
 *   HISTOGRAM(id, "name", "help")   observed in nanoseconds, rendered in seconds; buckets 100 us .. 100 s */
enum metric {
#define COUNTER(id, name, help)         METRIC_##id,
#define GAUGE(id, name, help)           METRIC_##id,
#define HISTOGRAM(id, name, help)       METRIC_##id,
#include "base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
    METRIC_COUNT
};

void metrics_add(enum metric metric, int64_t n);        /* counters; gauges go up and down by it */
void metrics_observe(enum metric metric, uint64_t ns);  /* histograms */

/* Requests are counted by operation and status and timed by operation; the operations are named once at start.
 * `names` must outlive the process. At most 96. */
void metrics_operations(const char *const *names, unsigned count);
void metrics_request(unsigned operation, int status, uint64_t ns);

/* Operations of storage backends, counted by backend, operation and outcome, and timed by backend and operation. Backends
 * are named once at start; the same name gets the same number. At most 64: what is counted for more is dropped. */
enum metrics_backend_op { METRICS_PUT, METRICS_GET, METRICS_REMOVE, METRICS_LIST, METRICS_BACKEND_OPS };
enum metrics_backend_event {
    METRICS_REFUSED, /* an operation that was not tried, because the backend is down */
    METRICS_BREAKER_OPENS,
    METRICS_HEDGES,     /* reads of it that another backend was asked for, too */
    METRICS_HEDGES_WON, /* by the other */
    METRICS_BACKEND_EVENTS
};
unsigned metrics_backend(const char *name);
void metrics_backend_done(unsigned backend, enum metrics_backend_op op, int rc, uint64_t ns);
void metrics_backend_count(unsigned backend, enum metrics_backend_event event);
void metrics_backend_state(unsigned backend, int state); /* 0 healthy, 1 degraded, 2 down */

/* Background work, by the name of the job: the same name gets the same number. At most 64: what is told of more is dropped. */
unsigned metrics_job(const char *name);
/* `state`: 0 running, 1 waiting, 2 paused, 3 idle. `total` 0: not known. */
void metrics_job_state(unsigned job, int state, uint64_t done, uint64_t total);
void metrics_job_bytes(unsigned job, uint64_t bytes);

/* Appends all of them in Prometheus' text exposition format 0.0.4. */
void metrics_render(struct buf *out);

#endif
