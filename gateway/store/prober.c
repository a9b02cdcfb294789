/* The fiber that looks after the backends when nothing else tells how they are. */
#include <stdatomic.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "store/private.h"
#include "store/watched.h"

#define TICK_MS     500
#define PATIENCE_MS 3000 /* a probe that takes longer has failed, even if nothing can end it */

/* Belongs to the loop. A probe runs on a fiber of its own: one that hangs holds up no other. */
struct probe {
    struct backend *backend;
    struct fiber *fiber; /* NULL: none is under way */
    int64_t since_ms;
};

struct prober {
    struct store *store;
    struct loop *loop;
    struct fiber *fiber;
    atomic_bool stop;
    struct probe probes[STORE_BACKENDS_MAX]; /* by the backends' numbers */
};

static void run_probe(void *arg) SUSPENDS
{
    struct probe *probe = arg;
    watched_probe(probe->backend);
    probe->fiber = NULL;
}

/* The newest of its name; one that it has replaced may still be being probed. */
static void look_after(struct prober *prober, struct probe *probe, struct backend *backend)
{
    int64_t now_ms = loop_now_ms();
    if (probe->fiber != NULL) {
        if (now_ms - probe->since_ms >= PATIENCE_MS) {
            watched_probe_hangs(probe->backend);
            probe->since_ms = now_ms;
        }
    } else if (health_probe_due(watched_health(backend), now_ms)) {
        probe->backend = backend;
        probe->since_ms = now_ms;
        if (fiber_spawn(prober->loop, run_probe, probe, &probe->fiber) != 0)
            probe->fiber = NULL;
    }
    watched_tell_state(backend);
}

static void run(void *arg) SUSPENDS
{
    struct prober *prober = arg;
    int rc = 0;
    while (rc == 0 && !atomic_load(&prober->stop)) {
        struct backend *backend;
        for (size_t i = 0; (backend = store_backend(prober->store, i)) != NULL; i++) {
            if (store_backend_used(prober->store, backend->name))
                look_after(prober, &prober->probes[i], backend);
        }
        rc = fiber_wait(loop_now_ms() + TICK_MS);
        if (rc == ERR_TIMEOUT)
            rc = 0;
    }
    prober->fiber = NULL;
}

static void begin(void *arg)
{
    struct prober *prober = arg;
    if (atomic_load(&prober->stop))
        return;
    int rc = fiber_spawn(prober->loop, run, prober, &prober->fiber);
    if (rc != 0)
        log_error("prober", "backends are not probed: %s", err_text(rc));
}

int prober_start(struct store *store, struct loop *loop, struct prober **out)
{
    struct prober *prober = calloc(1, sizeof(*prober));
    if (prober == NULL)
        return ERR_NOMEM;
    prober->store = store;
    prober->loop = loop;
    if (loop_post(loop, begin, prober) != 0) {
        free(prober);
        return ERR_NOMEM;
    }
    *out = prober;
    return 0;
}

static void cancel(void *arg)
{
    struct prober *prober = arg;
    if (prober->fiber != NULL)
        fiber_cancel(prober->fiber);
    for (size_t i = 0; i < STORE_BACKENDS_MAX; i++) {
        if (prober->probes[i].fiber != NULL)
            fiber_cancel(prober->probes[i].fiber);
    }
}

void prober_stop(struct prober *prober)
{
    atomic_store(&prober->stop, true);
    (void)loop_post(prober->loop, cancel, prober); /* without memory for it, the fiber ends at its next tick */
}

void prober_free(struct prober *prober)
{
    free(prober);
}
