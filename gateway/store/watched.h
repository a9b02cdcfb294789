/* A backend whose operations are observed: each outcome goes into its health and the metrics, and while its breaker is
 * open none is tried. It is a backend itself, so that whoever calls one need not know. */
#ifndef ARCA_STORE_WATCHED_H
#define ARCA_STORE_WATCHED_H

#include "backends/backend.h"
#include "base/metrics.h"
#include "store/health.h"

/* Takes `inner` over; closing the one closes the other. Operations give ERR_DOWN at once while it is down.
 * ERR_NOMEM: `inner` is still the caller's. */
int watched_create(struct backend *inner, struct backend **out);

/* Of one that watched_create made. */
struct health *watched_health(struct backend *backend);
/* Reads of it are worth hedging: it is remote, or a local one that has shown to be slow. */
bool watched_hedged(struct backend *backend);
void watched_count(struct backend *backend, enum metrics_backend_event event);

/* Probes it and lets its health know. */
void watched_probe(struct backend *backend) SUSPENDS;
/* A probe has not ended in time. */
void watched_probe_hangs(struct backend *backend);
/* For the metrics, from time to time: a state changes by the mere passing of time, too. */
void watched_tell_state(struct backend *backend);

#endif
