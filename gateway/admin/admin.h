/* What an administrator asks a running daemon: health and metrics, background work, placements and backends; and, on
 * the control socket, what he changes of them. Everything but the metrics is JSON. README.md has the paths. */
#ifndef ARCA_ADMIN_ADMIN_H
#define ARCA_ADMIN_ADMIN_H

#include "http/http.h"
#include "store/health.h"
#include "store/jobs/jobs.h"

/* A backend as it is now. */
struct admin_backend {
    const struct backend_settings *settings; /* live as long as the store */
    enum health_state state;
    int writes;                      /* 0, ERR_READONLY, ERR_UNAVAILABLE, ERR_NOSPC */
    uint64_t put_p95_ns, get_p95_ns; /* 0: not known yet */
};
#define ADMIN_BACKENDS_MAX 64

/* What is asked of the rooms below, with the signatures that they have there. */
struct admin_ops {
    size_t (*jobs_view)(struct jobs *jobs, struct job_view *out, size_t max);
    int (*jobs_pause)(struct jobs *jobs, struct span name, bool paused) SUSPENDS;
    int (*jobs_change)(struct jobs *jobs, struct span placement, const struct span *backends, size_t count,
                       unsigned quorum, char *why, size_t why_size) SUSPENDS;
    int (*placement_list)(struct index *index, struct arena *arena, Arca__Placement ***out, size_t *count) SUSPENDS;
    int (*holding_list)(struct index *index, struct arena *arena, Arca__Holding ***out, size_t *count) SUSPENDS;
    size_t (*backends)(struct store *store, struct admin_backend *out, size_t max);
};
/* Those of a daemon. */
extern const struct admin_ops admin_ops;

struct admin {
    /* 0 while the daemon can serve, and in `why` what is to be looked at all the same; else the error, and `why` in
     * words. On a fiber. */
    int (*ready)(void *arg, char *why, size_t why_size) SUSPENDS;
    void *arg;
    const struct admin_ops *ops;
    struct store *store;
    struct index *index;
    _Atomic(struct jobs *) jobs; /* NULL until background work has begun */
};

/* http_handlers; arg is the struct admin. The first one only shows. */
void admin_handle(struct http_exchange *exchange, void *arg) SUSPENDS;
void admin_handle_control(struct http_exchange *exchange, void *arg) SUSPENDS;

#endif
