/* arcad: opens everything, runs the loops, and ends in order. Signals are blocked in every thread and taken one by one
 * by the main thread, which does nothing else while the daemon serves. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <sodium.h>
#include "admin/admin.h"
#include "auth/auth.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "config/config.h"
#include "http/http.h"
#include "net/listener.h"
#include "net/tls.h"
#include "object/engine.h"
#include "s3/s3.h"
#include "store/store.h"

#define EXIT_START  1 /* something refused to start */
#define EXIT_USAGE  2 /* wrong flags or a wrong configuration */
#define WHY_SIZE    1024
#define ARENA_LIMIT ((size_t)32 << 20) /* of a request: a listing of 1000 long keys with its XML */
#define CANCEL_MS   10000              /* how long cancelled requests may take to end */
#define POLL_MS     10
/* Connections that only the admin listener takes: who watches the daemon gets in when clients, and those that are being
 * refused, have taken all. */
#define ADMIN_RESERVE 128

struct daemon {
    const char *config_path;
    struct config *config;
    struct budget *budget;
    struct keyring *keyring;
    struct index *index;
    struct store *store;
    struct loop *loops[LOOPS_MAX];
    unsigned loops_created, loops_started;
    struct engine *engine;
    struct auth *auth;
    struct s3 *s3;
    struct http_server *s3_server, *admin_server;
    struct admin admin;
    struct tls **tls;            /* of each listener; NULL: plain */
    struct listener **listeners; /* the config's, then the admin listener */
    struct garbage *garbage;
    struct repair *repair;
    struct prober *prober;
    atomic_bool stopping;
};

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

/* Runs fn on a fiber of the first loop and waits for its result. */
static int on_first_loop(struct daemon *daemon, int (*fn)(struct daemon *daemon))
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

static int fail(const char *what, int rc)
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
        return fail("keyring", ERR_NOMEM);
    int rc = config_keyring_secret(config, secret, &length, why, sizeof(why));
    if (rc != 0) {
        log_error("start", "keyring: %s", why);
    } else {
        rc = keyring_open(config->keyring_file, how, span_of(secret, length), &daemon->keyring);
        if (rc == ERR_WRONG_KEY)
            log_error("start", "keyring %s: its secret does not open it", config->keyring_file);
        else if (rc != 0)
            fail(config->keyring_file, rc);
    }
    sodium_free(secret); /* wipes */
    return rc;
}

static int open_index(struct daemon *daemon)
{
    struct index_options options = {.path = daemon->config->index_path};
    int rc = index_open(&options, &daemon->index);
    return rc != 0 ? fail(options.path, rc) : 0;
}

static int open_store(struct daemon *daemon)
{
    daemon->budget = budget_create(daemon->config->limits.body_memory);
    if (daemon->budget == NULL)
        return fail("body memory", ERR_NOMEM);
    int rc = store_open(daemon->config, &daemon->store);
    return rc != 0 ? fail("backends", rc) : 0;
}

static unsigned usable_cores(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : count > LOOPS_MAX ? LOOPS_MAX : (unsigned)count;
}

/* A request has a second fiber at most, to store or to read ahead; each of the two has one for every backend when it stores
 * on several. */
static unsigned fibers_max(const struct config *config)
{
    size_t backends = 0;
    for (size_t i = 0; i < config->placement_count; i++) {
        if (config->placements[i].backend_count > 1 && config->placements[i].backend_count > backends)
            backends = config->placements[i].backend_count;
    }
    return (unsigned)(2 + 2 * backends) * config->limits.connections + 64;
}

static int start_loops(struct daemon *daemon)
{
    unsigned count = daemon->config->loops > 0 ? daemon->config->loops : usable_cores();
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < count && i < LOOPS_MAX; i++) {
        struct loop_options options = {.number = i, .fibers_max = fibers_max(daemon->config)};
        rc = loop_create(&options, &daemon->loops[i]);
        daemon->loops_created += rc == 0;
    }
    for (unsigned i = 0; rc == 0 && i < daemon->loops_created; i++) {
        rc = loop_start(daemon->loops[i]);
        daemon->loops_started += rc == 0;
    }
    return rc != 0 ? fail("loops", rc) : 0;
}

static int create_engine(struct daemon *daemon) SUSPENDS
{
    struct engine_options options = {
        .index = daemon->index,
        .store = daemon->store,
        .keyring = daemon->keyring,
        .budget = daemon->budget,
        .extent_size = daemon->config->limits.extent_size,
        .default_placement = daemon->config->default_placement,
    };
    int rc = envelope_suite_by_name(daemon->config->suite, &options.suite);
    return rc != 0 ? rc : engine_create(&options, &daemon->engine);
}

static int start_engine(struct daemon *daemon)
{
    int rc = on_first_loop(daemon, create_engine);
    if (rc == ERR_UNSUPPORTED)
        log_error("start", "encryption suite %s: this machine or its libsodium lacks it", daemon->config->suite);
    else if (rc != 0 && rc != ERR_WRONG_KEY) /* which the engine explains */
        fail("engine", rc);
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
    return store_ready(daemon->store, why, why_size);
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
    daemon->admin = (struct admin){is_ready, daemon};
    rc = s3_create(&s3_options, &daemon->s3);
    if (rc == 0)
        rc = create_server(daemon, s3_handle, daemon->s3, &daemon->s3_server);
    if (rc == 0)
        rc = create_server(daemon, admin_handle, &daemon->admin, &daemon->admin_server);
    return rc != 0 ? fail("services", rc) : 0;
}

static int load_certificates(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    daemon->tls = calloc(config->listener_count + 1, sizeof(struct tls *));
    daemon->listeners = calloc(config->listener_count + 1, sizeof(struct listener *));
    if (daemon->tls == NULL || daemon->listeners == NULL)
        return fail("listeners", ERR_NOMEM);
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];
        int rc = listener->certificate != NULL ? tls_create(listener->certificate, listener->key, &daemon->tls[i]) : 0;
        if (rc != 0)
            return fail(listener->certificate, rc);
    }
    return 0;
}

static int open_listener(struct daemon *daemon, size_t i, const char *address, uint16_t port,
                         struct http_server *server)
{
    const struct config *config = daemon->config;
    struct listener_options options = {
        .address = address,
        .port = port,
        .tls = daemon->tls[i],
        .service = http_server_service(server),
        .loops = daemon->loops,
        .loop_count = daemon->loops_started,
        .connections_max = (int)config->limits.connections + (server == daemon->admin_server ? ADMIN_RESERVE : 0),
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
        rc = open_listener(daemon, i, config->admin_address, config->admin_port, daemon->admin_server);
    return rc;
}

static int start_listeners(struct daemon *daemon)
{
    return on_first_loop(daemon, open_listeners); /* what fails is logged there */
}

static int start_garbage(struct daemon *daemon)
{
    uint8_t lease[LEASE_SIZE];
    engine_lease(daemon->engine, lease);
    int rc = garbage_start(daemon->store, daemon->index, daemon->loops[0], lease, daemon->config->garbage_grace_ms,
                           &daemon->garbage);
    return rc != 0 ? fail("garbage collection", rc) : 0;
}

static int start_repair(struct daemon *daemon)
{
    struct repair_options options = {
        .store = daemon->store,
        .index = daemon->index,
        .loop = daemon->loops[0], /* garbage collection's, whose progress it looks at */
        .budget = daemon->budget,
        .garbage = daemon->garbage,
        .rate = daemon->config->repair.rate,
        .operations = daemon->config->repair.operations,
    };
    int rc = repair_start(&options, &daemon->repair);
    return rc != 0 ? fail("repair", rc) : 0;
}

static int start_prober(struct daemon *daemon)
{
    int rc = prober_start(daemon->store, daemon->loops[0], &daemon->prober);
    return rc != 0 ? fail("probes of backends", rc) : 0;
}

static int start(struct daemon *daemon)
{
    static int (*const steps[])(struct daemon *) = {
        open_keyring,    open_index,        open_store,      start_loops,   start_engine,
        create_services, load_certificates, start_listeners, start_garbage, start_prober,
        start_repair,
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
        rc = steps[i](daemon);
    return rc;
}

/* --- the end --- */

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

/* Requests end, or are ended; the loops end. The admin listener tells until then that the daemon is stopping. */
static void stop_loops(struct daemon *daemon)
{
    size_t listeners = daemon->config->listener_count;
    atomic_store(&daemon->stopping, true);
    drain_listeners(daemon, 0, listeners);
    if (daemon->garbage != NULL)
        garbage_stop(daemon->garbage);
    if (daemon->repair != NULL)
        repair_stop(daemon->repair);
    if (daemon->prober != NULL)
        prober_stop(daemon->prober);
    bool ended = wait_for_fibers(daemon, daemon->config->limits.drain_timeout_ms);
    drain_listeners(daemon, listeners, listeners + 1);
    if (!ended) {
        log_warn("drain", "%u requests did not end in time and are cancelled", fibers_left(daemon));
        for (unsigned i = 0; i < daemon->loops_started; i++)
            loop_cancel_fibers(daemon->loops[i]);
        ended = wait_for_fibers(daemon, CANCEL_MS);
    }
    /* A write that is still under way keeps the lease open: the next start looks what became of it. */
    int rc = daemon->engine != NULL && ended ? on_first_loop(daemon, quiesce) : 0;
    if (rc != 0)
        log_warn("lease", "the lease of blob ids is not closed: %s", err_text(rc));
    for (unsigned i = 0; i < daemon->loops_started; i++)
        loop_stop(daemon->loops[i]);
    for (unsigned i = 0; i < daemon->loops_started; i++)
        loop_join(daemon->loops[i]);
}

/* In the reverse order of the start; what was not started is NULL. */
static void stop(struct daemon *daemon)
{
    stop_loops(daemon);
    for (unsigned i = 0; i < daemon->loops_created; i++)
        loop_free(daemon->loops[i]);
    prober_free(daemon->prober);
    repair_free(daemon->repair);
    garbage_free(daemon->garbage);
    for (size_t i = 0; i <= daemon->config->listener_count; i++) {
        if (daemon->listeners != NULL)
            listener_free(daemon->listeners[i]);
        if (daemon->tls != NULL)
            tls_free(daemon->tls[i]);
    }
    free(daemon->listeners);
    free(daemon->tls);
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

/* --- what is told to the outside --- */

static void announce_one(const char *purpose, const char *address, const struct listener *listener, bool tls)
{
    char text[128];
    snprintf(text, sizeof(text), strchr(address, ':') != NULL ? "[%s]:%u" : "%s:%u", address, listener_port(listener));
    struct log_field fields[] = {
        {.name = "purpose", .text = span_str(purpose)},
        {.name = "address", .text = span_str(text)},
        {.name = "tls", .text = span_str(tls ? "yes" : "no")},
    };
    log_fields(LOG_INFO, "listening", fields, sizeof(fields) / sizeof(fields[0]));
}

static void announce(const struct daemon *daemon)
{
    const struct config *config = daemon->config;
    size_t i;
    for (i = 0; i < config->listener_count; i++)
        announce_one("s3", config->listeners[i].address, daemon->listeners[i], daemon->tls[i] != NULL);
    if (daemon->listeners[i] != NULL)
        announce_one("admin", config->admin_address, daemon->listeners[i], false);
}

/* The service manager's protocol: sd_notify(3). */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
        return;
    size_t length = strlen(path);
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') /* Linux's abstract namespace */
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
        log_warn("notify", "the service manager cannot be told: %s", strerror(errno));
    close(fd);
}

/* --- reload --- */

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_listeners(const struct config *a, const struct config *b)
{
    if (a->listener_count != b->listener_count || a->admin_port != b->admin_port)
        return false;
    for (size_t i = 0; i < a->listener_count; i++) {
        const struct config_listener *x = &a->listeners[i], *y = &b->listeners[i];
        if (!same(x->address, y->address) || x->port != y->port || !same(x->certificate, y->certificate) ||
            !same(x->key, y->key))
            return false;
    }
    return same(a->admin_address, b->admin_address);
}

static bool same_placements(const struct config *a, const struct config *b)
{
    return a->backend_count == b->backend_count && a->placement_count == b->placement_count &&
           same(a->default_placement, b->default_placement);
}

/* Says which changes of the file take effect only with a restart. */
static void tell_unapplied(const struct config *now, const struct config *new)
{
    const struct {
        const char *key;
        bool same;
    } keys[] = {
        {"listeners, admin", same_listeners(now, new)},
        {"region", same(now->region, new->region)},
        {"domains", now->domain_count == new->domain_count},
        {"credentials (the path)", same(now->credentials_file, new->credentials_file)},
        {"keyring", same(now->keyring_file, new->keyring_file)},
        {"index", same(now->index_path, new->index_path)},
        {"backends, placements", same_placements(now, new)},
        {"loops", now->loops == new->loops},
        {"limits", memcmp(&now->limits, &new->limits, sizeof(now->limits)) == 0},
        {"encryption", same(now->suite, new->suite)},
        {"garbage", now->garbage_grace_ms == new->garbage_grace_ms},
        {"repair", memcmp(&now->repair, &new->repair, sizeof(now->repair)) == 0},
        {"log format, access log", now->log.format == new->log.format && now->log.access == new->log.access},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (!keys[i].same)
            log_warn("reload", "%s: the change takes effect with a restart", keys[i].key);
    }
}

static void reload(struct daemon *daemon)
{
    char why[WHY_SIZE] = "";
    struct config *config;
    int rc = config_load(daemon->config_path, why, sizeof(why), &config);
    if (rc != 0) {
        log_error("reload", "nothing is changed: %s", why[0] != '\0' ? why : err_text(rc));
        return;
    }
    tell_unapplied(daemon->config, config);
    log_set_level(config->log.level);
    config_free(config);
    if ((rc = auth_reload(daemon->auth, why, sizeof(why))) != 0)
        log_error("reload", "the old credentials stay: %s", why[0] != '\0' ? why : err_text(rc));
    for (size_t i = 0; i < daemon->config->listener_count; i++) {
        int failed = daemon->tls[i] != NULL ? tls_reload(daemon->tls[i]) : 0;
        if (failed != 0)
            log_error("reload", "the old certificate stays: %s", daemon->config->listeners[i].certificate);
        rc = failed != 0 ? failed : rc;
    }
    if (rc == 0)
        log_info("reload", "certificates, credentials and log level are those of the files again");
}

/* --- the process --- */

static void harden_process(void)
{
    struct rlimit files;
    umask(S_IRWXG | S_IRWXO);
    signal(SIGPIPE, SIG_IGN);
    /* Keys must not get into core dumps or other processes' hands. */
    prctl(PR_SET_DUMPABLE, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* Serves until SIGTERM or SIGINT. A second one ends the process at once. */
static void serve(struct daemon *daemon, const sigset_t *signals)
{
    int number = 0;
    for (;;) {
        if (sigwait(signals, &number) != 0)
            continue;
        if (number != SIGHUP)
            break;
        reload(daemon);
    }
    sigset_t fatal;
    sigemptyset(&fatal);
    sigaddset(&fatal, SIGTERM);
    sigaddset(&fatal, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &fatal, NULL);
    notify("STOPPING=1");
    log_info("stopping", "%s: requests under way have %lld s to end", strsignal(number),
             (long long)daemon->config->limits.drain_timeout_ms / 1000);
}

static int run(struct daemon *daemon)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before any thread: they inherit it */
    harden_process();
    log_setup(daemon->config->log.level, daemon->config->log.format);
    int rc = crypto_init();
    if (rc != 0) {
        fail("libsodium", rc);
        return EXIT_START;
    }
    if ((rc = start(daemon)) == 0) {
        announce(daemon);
        notify("READY=1");
        serve(daemon, &signals);
    }
    stop(daemon);
    if (rc == 0)
        log_info("stopped", "everything is written and closed");
    return rc != 0 ? EXIT_START : 0;
}

static int usage(FILE *out, int status)
{
    fprintf(out, "Usage: arcad --config FILE [--check-config]\n"
                 "       arcad --version\n"
                 "An S3 server that encrypts what it stores.\n\n"
                 "  -c, --config FILE   the configuration, a YAML file\n"
                 "      --check-config  check the configuration and exit: 0 if it is fine, 2 if not\n"
                 "      --version       print the version\n"
                 "      --help          print this\n\n"
                 "SIGHUP reloads certificates, credentials and the log level. SIGTERM and SIGINT end it when the\n"
                 "requests under way are done; a second one ends it at once.\n");
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check-config", no_argument, NULL, 'k'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct daemon daemon = {0};
    char why[WHY_SIZE] = "";
    bool check = false;
    int option;
    while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            daemon.config_path = optarg;
            break;
        case 'k':
            check = true;
            break;
        case 'v':
            puts("arcad " ARCA_VERSION);
            return 0;
        case 'h':
            return usage(stdout, 0);
        default:
            return usage(stderr, EXIT_USAGE);
        }
    }
    if (daemon.config_path == NULL || optind != argc)
        return usage(stderr, EXIT_USAGE);
    int rc = config_load(daemon.config_path, why, sizeof(why), &daemon.config);
    if (rc != 0) {
        fprintf(stderr, "arcad: %s\n", why[0] != '\0' ? why : err_text(rc));
        return EXIT_USAGE;
    }
    int status = 0;
    if (check)
        printf("%s: fine\n", daemon.config_path);
    else
        status = run(&daemon);
    config_free(daemon.config);
    return status;
}
