/* The start of arcad, step by step. */
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>
#include "auth/auth.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon.h"
#include "http/http.h"
#include "net/listener.h"
#include "net/tls.h"
#include "object/engine.h"
#include "s3/s3.h"
#include "store/fanout.h"
#include "store/jobs/jobs.h"
#include "store/placements.h"
#include "store/places.h"
#include "store/ship/ship.h"
#include "store/store.h"

#define ARENA_LIMIT ((size_t)32 << 20) /* of a request: a listing of 1000 long keys with its XML */
/* Connections that only the admin listener takes: who watches the daemon gets in when clients, and those that are being
 * refused, have taken all. */
#define ADMIN_RESERVE   128
#define CONTROL_RESERVE 160 /* and the control socket, when those who watch have taken theirs */

/* --- work on a loop's fiber --- */

struct task {
    int (*fn)(struct daemon *daemon);
    struct daemon *daemon;
    struct loop *loop;
    sem_t done;
    int rc;
};

static void run_task(void *arg) SUSPENDS
{
    struct task *task = arg;
    task->rc = task->fn(task->daemon);
    sem_post(&task->done);
}

static void begin_task(void *arg)
{
    struct task *task = arg;
    int rc = fiber_spawn(task->loop, run_task, task, NULL);
    if (rc != 0) {
        task->rc = rc;
        sem_post(&task->done);
    }
}

int daemon_on_first_loop(struct daemon *daemon, int (*fn)(struct daemon *daemon))
{
    struct task task = {.fn = fn, .daemon = daemon, .loop = daemon->loops[0]};
    if (sem_init(&task.done, 0, 0) != 0)
        return ERR_BUG;
    int rc = loop_post(task.loop, begin_task, &task);
    while (rc == 0 && sem_wait(&task.done) != 0)
        continue;
    sem_destroy(&task.done);
    return rc != 0 ? rc : task.rc;
}

/* --- the steps of the start, in order; each logs why it fails --- */

int daemon_fail(const char *what, int rc)
{
    log_error("start", "%s: %s", what, err_text(rc));
    return rc;
}

static int open_keyring(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    enum keyring_unlock how =
        config->keyring_unlock == CONFIG_UNLOCK_PASSPHRASE_FILE ? KEYRING_PASSPHRASE : KEYRING_KEY_FILE;
    char why[WHY_SIZE];
    size_t length = 0;
    uint8_t *secret = sodium_malloc(CONFIG_SECRET_MAX);
    if (secret == NULL)
        return daemon_fail("keyring", ERR_NOMEM);
    int rc = config_keyring_secret(config, secret, &length, why, sizeof(why));
    if (rc != 0) {
        log_error("start", "keyring: %s", why);
    } else {
        rc = keyring_open(config->keyring_file, how, span_of(secret, length), &daemon->keyring);
        if (rc == ERR_WRONG_KEY)
            log_error("start", "keyring %s: its secret does not open it", config->keyring_file);
        else if (rc != 0)
            daemon_fail(config->keyring_file, rc);
    }
    sodium_free(secret); /* wipes */
    return rc;
}

static int open_index(struct daemon *daemon)
{
    struct index_options options = {.path = daemon->config->index_path};
    int rc = index_open(&options, &daemon->index);
    return rc != 0 ? daemon_fail(options.path, rc) : 0;
}

static int open_store(struct daemon *daemon)
{
    daemon->budget = budget_create(daemon->config->limits.body_memory);
    if (daemon->budget == NULL)
        return daemon_fail("body memory", ERR_NOMEM);
    int rc = store_open(daemon->config, &daemon->store);
    return rc != 0 ? daemon_fail("backends", rc) : 0;
}

static unsigned usable_cores(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : count > LOOPS_SERVING_MAX ? LOOPS_SERVING_MAX : (unsigned)count;
}

/* A request has a second fiber at most, to store or to read ahead; each of the two has one for every backend when it stores
 * on several, which may come to be as many as a placement can have. */
static unsigned fibers_max(const struct config *config)
{
    return (2 + 2 * PLACEMENT_MAX) * config->limits.connections + 64;
}

static int start_loops(struct daemon *daemon)
{
    unsigned count = daemon->config->loops > 0 ? daemon->config->loops : usable_cores();
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < count && i < LOOPS_SERVING_MAX; i++) {
        struct loop_options options = {.number = i, .fibers_max = fibers_max(daemon->config)};
        rc = loop_create(&options, &daemon->loops[i]);
        daemon->loops_created += rc == 0;
    }
    for (unsigned i = 0; rc == 0 && i < daemon->loops_created; i++) {
        rc = loop_start(daemon->loops[i]);
        daemon->loops_started += rc == 0;
    }
    return rc != 0 ? daemon_fail("loops", rc) : 0;
}

static int look_at_places(struct daemon *daemon) SUSPENDS
{
    return places_check(daemon->store, daemon->index, daemon->config, daemon->lost, daemon->lost_count, daemon->why,
                        sizeof(daemon->why));
}

/* For what tells in daemon->why what it refuses. */
static int check(struct daemon *daemon, const char *what, int (*fn)(struct daemon *daemon))
{
    int rc = daemon_on_first_loop(daemon, fn);
    if (rc != 0)
        log_error("start", "%s: %s", what, daemon->why[0] != '\0' ? daemon->why : err_text(rc));
    return rc;
}

static int check_places(struct daemon *daemon)
{
    return check(daemon, "backends", look_at_places);
}

static int follow_config(struct daemon *daemon) SUSPENDS
{
    return placements_follow(daemon->store, daemon->index, daemon->config, NULL, daemon->why, sizeof(daemon->why));
}

static int follow_placements(struct daemon *daemon)
{
    return check(daemon, "placements", follow_config);
}

static int create_engine(struct daemon *daemon) SUSPENDS
{
    struct engine_options options = {
        .index = daemon->index,
        .store = daemon->store,
        .keyring = daemon->keyring,
        .budget = daemon->budget,
        .extent_size = daemon->config->limits.extent_size,
    };
    int rc = envelope_suite_by_name(daemon->config->suite, &options.suite);
    return rc != 0 ? rc : engine_create(&options, &daemon->engine);
}

static int start_engine(struct daemon *daemon)
{
    int rc = daemon_on_first_loop(daemon, create_engine);
    if (rc == ERR_UNSUPPORTED)
        log_error("start", "encryption suite %s: this machine or its libsodium lacks it", daemon->config->suite);
    else if (rc != 0 && rc != ERR_WRONG_KEY) /* which the engine explains */
        daemon_fail("engine", rc);
    return rc;
}

static int is_ready(void *arg, char *why, size_t why_size) SUSPENDS
{
    struct daemon *daemon = arg;
    if (atomic_load(&daemon->stopping)) {
        snprintf(why, why_size, "stopping");
        return ERR_UNAVAILABLE;
    }
    int rc = index_ready(daemon->index);
    if (rc != 0) {
        snprintf(why, why_size, "index: %s", err_text(rc));
        return rc;
    }
    rc = store_ready(daemon->store, why, why_size);
    if (rc == 0)
        (void)ship_behind(daemon->ship, why, why_size); /* clients are served all the same */
    return rc;
}

static int create_server(struct daemon *daemon, http_handler *handler, void *arg, struct http_server **out)
{
    struct http_server_options options = {
        .handler = handler,
        .arg = arg,
        .head_timeout_ms = daemon->config->limits.head_timeout_ms,
        .body_timeout_ms = daemon->config->limits.body_timeout_ms,
        .server_name = "Arca",
        .arena_limit = ARENA_LIMIT,
    };
    return http_server_create(&options, out);
}

static int create_services(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    char why[WHY_SIZE] = "";
    struct auth_options auth_options = {config->credentials_file, config->region};
    int rc = auth_create(&auth_options, why, sizeof(why), &daemon->auth);
    if (rc != 0) {
        log_error("start", "credentials: %s", why[0] != '\0' ? why : err_text(rc));
        return rc;
    }
    struct s3_options s3_options = {
        .auth = daemon->auth,
        .engine = daemon->engine,
        .region = config->region,
        .domains = config->domains,
        .domain_count = config->domain_count,
        .access_log = config->log.access,
    };
    daemon->admin = (struct admin){
        .ready = is_ready,
        .arg = daemon,
        .ops = &admin_ops,
        .store = daemon->store,
        .index = daemon->index,
    };
    rc = s3_create(&s3_options, &daemon->s3);
    if (rc == 0)
        rc = create_server(daemon, s3_handle, daemon->s3, &daemon->s3_server);
    if (rc == 0)
        rc = create_server(daemon, admin_handle, &daemon->admin, &daemon->admin_server);
    if (rc == 0)
        rc = create_server(daemon, admin_handle_control, &daemon->admin, &daemon->control_server);
    return rc != 0 ? daemon_fail("services", rc) : 0;
}

static int load_certificates(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    daemon->tls = calloc(config->listener_count + ADDED_LISTENERS, sizeof(struct tls *));
    daemon->listeners = calloc(config->listener_count + ADDED_LISTENERS, sizeof(struct listener *));
    if (daemon->tls == NULL || daemon->listeners == NULL)
        return daemon_fail("listeners", ERR_NOMEM);
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];
        int rc = listener->certificate != NULL ? tls_create(listener->certificate, listener->key, &daemon->tls[i]) : 0;
        if (rc != 0)
            return daemon_fail(listener->certificate, rc);
    }
    return 0;
}

/* `address` is that of a host, with a port, or a path. */
static int open_listener(struct daemon *daemon, size_t i, const char *address, uint16_t port,
                         struct http_server *server)
{
    const struct config *config = daemon->config;
    int reserve = server == daemon->admin_server ? ADMIN_RESERVE : server == daemon->control_server ? CONTROL_RESERVE : 0;
    struct listener_options options = {
        .address = address,
        .port = port,
        .unix_path = server == daemon->control_server ? address : NULL,
        .tls = daemon->tls[i],
        .service = http_server_service(server),
        .loops = daemon->loops,
        .loop_count = daemon->loops_started,
        .connections_max = (int)config->limits.connections + reserve,
        .idle_timeout_ms = config->limits.idle_timeout_ms,
        .head_timeout_ms = config->limits.head_timeout_ms,
    };
    return listener_open(&options, &daemon->listeners[i]);
}

/* On the first loop, which accepts. */
static int open_listeners(struct daemon *daemon) SUSPENDS
{
    const struct config *config = daemon->config;
    int rc = 0;
    size_t i;
    for (i = 0; rc == 0 && i < config->listener_count; i++)
        rc = open_listener(daemon, i, config->listeners[i].address, config->listeners[i].port, daemon->s3_server);
    if (rc == 0 && config->admin_address != NULL)
        rc = open_listener(daemon, i + ADDED_ADMIN, config->admin_address, config->admin_port, daemon->admin_server);
    if (rc == 0)
        rc = open_listener(daemon, i + ADDED_CONTROL, config->control_socket, 0, daemon->control_server);
    return rc;
}

static int start_listeners(struct daemon *daemon)
{
    return daemon_on_first_loop(daemon, open_listeners); /* what fails is logged there */
}

static int verify(void *arg, const Arca__Blob *blob, uint32_t extent, struct span stored) SUSPENDS
{
    struct daemon *daemon = arg;
    return engine_verify(daemon->engine, blob, extent, stored);
}

static int start_jobs(struct daemon *daemon)
{
    struct jobs_options options = {
        .store = daemon->store,
        .index = daemon->index,
        .loop = daemon->loops[0],
        .budget = daemon->budget,
        .grace_ms = daemon->config->garbage.grace_ms,
        .garbage = {.operations = daemon->config->garbage.operations},
        .repair = {daemon->config->repair.rate, daemon->config->repair.operations},
        .scrub = {daemon->config->scrub.rate, daemon->config->scrub.operations},
        .scrub_headers_only = daemon->config->scrub.headers_only,
        .scrub_interval_ms = daemon->config->scrub.interval_ms,
        .verify = verify,
        .verify_arg = daemon,
    };
    engine_lease(daemon->engine, options.own_lease);
    int rc = jobs_start(&options, &daemon->jobs);
    if (rc == 0)
        atomic_store(&daemon->admin.jobs, daemon->jobs);
    return rc != 0 ? daemon_fail("background work", rc) : 0;
}

/* Before clients are served, so that no change of theirs is answered unshipped when that is not wanted. */
static int start_ship(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    const struct config_placement *placement = config->journal.placement;
    if (placement == NULL)
        return 0;
    struct ship_options options = {
        .index = daemon->index,
        .store = daemon->store,
        .keyring = daemon->keyring,
        .budget = daemon->budget,
        .folder = config->index_path,
        .placement = placement->name,
        .backends = placement->backends,
        .backend_count = placement->backend_count,
        .quorum = placement->write_quorum,
        .sync = config->journal.sync,
        .interval_ms = config->journal.interval_ms,
        .rate = {config->repair.rate, config->repair.operations},
        .loop_number = LOOPS_MAX - 1,
    };
    int rc = envelope_suite_by_name(config->suite, &options.suite);
    engine_lease(daemon->engine, options.epoch);
    if (rc == 0)
        rc = ship_start(&options, &daemon->ship);
    return rc != 0 ? daemon_fail("journal", rc) : 0;
}

static int start_prober(struct daemon *daemon)
{
    int rc = prober_start(daemon->store, daemon->loops[0], &daemon->prober);
    return rc != 0 ? daemon_fail("probes of backends", rc) : 0;
}

int daemon_start(struct daemon *daemon)
{
    static int (*const steps[])(struct daemon *) = {
        open_keyring, open_index, open_store,      start_loops,       check_places,    follow_placements,
        start_engine, start_ship, create_services, load_certificates, start_listeners, start_prober,
        start_jobs,
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
        rc = steps[i](daemon);
    return rc;
}
