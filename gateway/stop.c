/* The end of arcad: requests first, then the loops, then what they used. */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "auth/auth.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/worker.h"
#include "daemon.h"
#include "http/http.h"
#include "net/listener.h"
#include "net/tls.h"
#include "object/engine.h"
#include "s3/s3.h"
#include "store/jobs/jobs.h"
#include "store/ship/ship.h"
#include "store/store.h"

#define CANCEL_MS 10000 /* how long cancelled requests may take to end */
#define CLOSE_MS  5000  /* and what is open to be closed, after that */
#define POLL_MS   10

static unsigned fibers_left(const struct daemon *daemon)
{
    unsigned count = 0;
    for (unsigned i = 0; i < daemon->loops_started; i++)
        count += loop_fibers(daemon->loops[i]);
    return count;
}

static bool wait_for_fibers(const struct daemon *daemon, int64_t timeout_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    while (fibers_left(daemon) > 0) {
        if (clock_monotonic_ms() >= deadline_ms)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000}, NULL);
    }
    return true;
}

static void drain_listeners(struct daemon *daemon, size_t first, size_t end)
{
    for (size_t i = first; daemon->listeners != NULL && i < end; i++) {
        if (daemon->listeners[i] != NULL)
            listener_drain(daemon->listeners[i]);
    }
}

static int quiesce(struct daemon *daemon) SUSPENDS
{
    return engine_quiesce(daemon->engine);
}

/* Requests end, or are ended; the loops end. The admin listeners tell until then that the daemon is stopping. */
static void stop_loops(struct daemon *daemon)
{
    size_t listeners = daemon->config->listener_count;
    atomic_store(&daemon->stopping, true);
    drain_listeners(daemon, 0, listeners);
    if (daemon->jobs != NULL)
        jobs_stop(daemon->jobs);
    if (daemon->prober != NULL)
        prober_stop(daemon->prober);
    bool ended = wait_for_fibers(daemon, daemon->config->limits.drain_timeout_ms);
    drain_listeners(daemon, listeners, listeners + ADDED_LISTENERS);
    if (!ended) {
        log_warn("drain", "%u requests did not end in time and are cancelled", fibers_left(daemon));
        for (unsigned i = 0; i < daemon->loops_started; i++)
            loop_cancel_fibers(daemon->loops[i]);
        ended = wait_for_fibers(daemon, CANCEL_MS);
    }
    /* A write that is still under way keeps the lease open: the next start looks what became of it. */
    int rc = daemon->engine != NULL && ended ? daemon_on_first_loop(daemon, quiesce) : 0;
    if (rc != 0)
        log_warn("lease", "the lease of blob ids is not closed: %s", err_text(rc));
    for (unsigned i = 0; i < daemon->loops_started; i++)
        loop_stop(daemon->loops[i]);
    for (unsigned i = 0; i < daemon->loops_started; i++)
        loop_join(daemon->loops[i]);
}

/* In the reverse order of the start; what was not started is NULL. */
static void stop_all(struct daemon *daemon)
{
    stop_loops(daemon);
    ship_stop(daemon->ship);
    for (unsigned i = 0; i < daemon->loops_created; i++)
        loop_free(daemon->loops[i]);
    prober_free(daemon->prober);
    jobs_free(daemon->jobs);
    for (size_t i = 0; i < daemon->config->listener_count + ADDED_LISTENERS; i++) {
        if (daemon->listeners != NULL)
            listener_free(daemon->listeners[i]);
        if (daemon->tls != NULL)
            tls_free(daemon->tls[i]);
    }
    free(daemon->listeners);
    free(daemon->tls);
    http_server_free(daemon->control_server);
    http_server_free(daemon->admin_server);
    http_server_free(daemon->s3_server);
    s3_free(daemon->s3);
    auth_free(daemon->auth);
    engine_free(daemon->engine);
    store_close(daemon->store);
    budget_free(daemon->budget);
    index_close(daemon->index);
    keyring_free(daemon->keyring);
}

struct patience {
    sem_t stopped;
    int64_t until_ms;
};

/* A system call that hangs, on a disk that does not answer, can be neither cancelled nor joined. What was answered is on
 * stable storage then as ever, and the next start finds what a kill would have left. */
static void lose_patience(void *arg)
{
    struct patience *patience = arg;
    struct timespec until = {patience->until_ms / 1000, patience->until_ms % 1000 * 1000000};
    while (sem_clockwait(&patience->stopped, CLOCK_MONOTONIC, &until) != 0) {
        if (errno == EINTR)
            continue;
        log_error("stop", "a disk does not answer: the process ends without it; what clients were told is kept");
        _exit(EXIT_STUCK);
    }
}

void daemon_stop(struct daemon *daemon)
{
    int64_t patience_ms = daemon->config->limits.drain_timeout_ms + CANCEL_MS + CLOSE_MS;
    struct patience patience = {.until_ms = clock_monotonic_ms() + patience_ms};
    struct thread *thread = NULL;
    sem_init(&patience.stopped, 0, 0);
    if (thread_start("arca-stop", lose_patience, &patience, &thread) != 0)
        log_warn("stop", "nothing ends it if a disk does not answer");
    stop_all(daemon);
    sem_post(&patience.stopped);
    thread_join(thread);
    sem_destroy(&patience.stopped);
}
