#include "store/watched.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"

#define LOCAL_SLOW_NS 20000000ULL /* 95 of 100 reads of a local disk are faster, unless something is wrong with it */

struct watched {
    struct backend backend; /* first */
    struct backend *inner;
    unsigned metric;
    struct health health;
};

static struct watched *watched_of(struct backend *backend)
{
    return (struct watched *)(void *)backend;
}

/* --- what happened --- */

static void tell_event(struct watched *watched, enum health_event event)
{
    const char *name = watched->backend.name;
    const char *why = err_text(watched->health.last_error);
    if (event == HEALTH_SAME)
        return;
    if (event == HEALTH_OPENED) {
        metrics_backend_count(watched->metric, METRICS_BREAKER_OPENS);
        log_error("backend_down", "backend %s is down: %s", name, why);
    } else if (event == HEALTH_HALF_OPENED) {
        log_info("backend_trial", "backend %s answers; it is tried again", name);
    } else {
        log_info("backend_up", "backend %s works again", name);
    }
    watched_tell_state(&watched->backend);
}

static const enum metrics_backend_op METRIC_OPS[HEALTH_OPS] = {
    [HEALTH_PUT] = METRICS_PUT,
    [HEALTH_GET] = METRICS_GET,
    [HEALTH_REMOVE] = METRICS_REMOVE,
    [HEALTH_LIST] = METRICS_LIST,
};

static bool begin(struct watched *watched, enum health_op op, uint64_t *began_ns)
{
    if (!health_admit(&watched->health, op, loop_now_ms())) {
        metrics_backend_count(watched->metric, METRICS_REFUSED);
        return false;
    }
    *began_ns = clock_monotonic_ns();
    return true;
}

static int end(struct watched *watched, enum health_op op, int rc, uint64_t began_ns)
{
    uint64_t ns = clock_monotonic_ns() - began_ns;
    metrics_backend_done(watched->metric, METRIC_OPS[op], rc, ns);
    tell_event(watched, health_done(&watched->health, op, rc, ns, loop_now_ms()));
    return rc;
}

/* --- the operations --- */

static int watched_put(struct backend *backend, const struct blob_name *name, struct block *data,
                       struct locator *out) SUSPENDS
{
    struct watched *watched = watched_of(backend);
    uint64_t began_ns;
    if (!begin(watched, HEALTH_PUT, &began_ns))
        return ERR_DOWN;
    int rc = watched->inner->ops->put(watched->inner, name, data, out);
    return end(watched, HEALTH_PUT, rc, began_ns);
}

static int watched_get(struct backend *backend, const struct blob_name *name, const struct locator *locator,
                       uint64_t offset, uint64_t length, uint8_t *dst) SUSPENDS
{
    struct watched *watched = watched_of(backend);
    uint64_t began_ns;
    if (!begin(watched, HEALTH_GET, &began_ns))
        return ERR_DOWN;
    int rc = watched->inner->ops->get(watched->inner, name, locator, offset, length, dst);
    return end(watched, HEALTH_GET, rc, began_ns);
}

static int watched_remove(struct backend *backend, const struct blob_name *name,
                          const struct locator *locator) SUSPENDS
{
    struct watched *watched = watched_of(backend);
    uint64_t began_ns;
    if (!begin(watched, HEALTH_REMOVE, &began_ns))
        return ERR_DOWN;
    int rc = watched->inner->ops->remove(watched->inner, name, locator);
    return end(watched, HEALTH_REMOVE, rc, began_ns);
}

static int watched_list(struct backend *backend, struct blob_cursor *cursor, struct blob_batch *out) SUSPENDS
{
    struct watched *watched = watched_of(backend);
    uint64_t began_ns;
    if (!begin(watched, HEALTH_LIST, &began_ns))
        return ERR_DOWN;
    int rc = watched->inner->ops->list(watched->inner, cursor, out);
    return end(watched, HEALTH_LIST, rc, began_ns);
}

static int watched_ask(struct backend *backend, struct backend_health *out) SUSPENDS
{
    struct watched *watched = watched_of(backend);
    return watched->inner->ops->probe(watched->inner, out);
}

static void watched_close(struct backend *backend)
{
    struct watched *watched = watched_of(backend);
    watched->inner->ops->close(watched->inner);
    health_fini(&watched->health);
    free(watched);
}

static const struct backend_ops WATCHED_OPS = {
    .driver = "watched",
    .put = watched_put,
    .get = watched_get,
    .remove = watched_remove,
    .list = watched_list,
    .probe = watched_ask,
    .close = watched_close,
};

int watched_create(struct backend *inner, struct backend **out)
{
    struct watched *watched = calloc(1, sizeof(*watched));
    if (watched == NULL)
        return ERR_NOMEM;
    watched->backend.ops = &WATCHED_OPS;
    snprintf(watched->backend.name, sizeof(watched->backend.name), "%s", inner->name);
    watched->inner = inner;
    watched->metric = metrics_backend(inner->name);
    health_init(&watched->health, loop_now_ms());
    *out = &watched->backend;
    return 0;
}

/* --- what the store asks --- */

struct health *watched_health(struct backend *backend)
{
    return &watched_of(backend)->health;
}

bool watched_hedged(struct backend *backend)
{
    struct watched *watched = watched_of(backend);
    return !watched->inner->ops->local || health_p95_ns(&watched->health, HEALTH_GET) > LOCAL_SLOW_NS;
}

void watched_count(struct backend *backend, enum metrics_backend_event event)
{
    metrics_backend_count(watched_of(backend)->metric, event);
}

/* --- probes --- */

void watched_probe(struct backend *backend) SUSPENDS
{
    struct watched *watched = watched_of(backend);
    struct backend_health answer;
    int rc = watched->inner->ops->probe(watched->inner, &answer);
    if (rc == 0 && answer.state != BACKEND_HEALTHY) {
        rc = answer.state == BACKEND_READONLY ? ERR_READONLY : ERR_UNAVAILABLE;
        if (health_state(&watched->health, loop_now_ms()) == HEALTH_HEALTHY)
            log_warn("backend_probe", "backend %s: %s", backend->name, answer.why);
    }
    tell_event(watched, health_probed(&watched->health, rc, loop_now_ms()));
}

void watched_probe_hangs(struct backend *backend)
{
    struct watched *watched = watched_of(backend);
    tell_event(watched, health_probed(&watched->health, ERR_TIMEOUT, loop_now_ms()));
}

void watched_tell_state(struct backend *backend)
{
    struct watched *watched = watched_of(backend);
    metrics_backend_state(watched->metric, (int)health_state(&watched->health, loop_now_ms()));
}
