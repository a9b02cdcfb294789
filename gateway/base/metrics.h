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

/* Appends all of them in Prometheus' text exposition format 0.0.4. */
void metrics_render(struct buf *out);

#endif
