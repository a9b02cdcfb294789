/* arcad, the process: flags, signals, and what the outside is told. Signals are blocked in every thread and taken one by
 * one by the main thread, which does nothing else while the daemon serves. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "base/span.h"
#include "crypto/envelope.h"
#include "daemon.h"
#include "net/listener.h"

/* --- what is told to the outside --- */

static void announce_one(const char *purpose, const char *address, const struct listener *listener, bool tls)
{
    char text[4096];
    if (address[0] == '/')
        snprintf(text, sizeof(text), "%s", address);
    else
        snprintf(text, sizeof(text), strchr(address, ':') != NULL ? "[%s]:%u" : "%s:%u", address,
                 listener_port(listener));
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
    if (daemon->listeners[i + ADDED_ADMIN] != NULL)
        announce_one("admin", config->admin_address, daemon->listeners[i + ADDED_ADMIN], false);
    announce_one("control", config->control_socket, daemon->listeners[i + ADDED_CONTROL], false);
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
        daemon_reload(daemon);
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
        daemon_fail("libsodium", rc);
        return EXIT_START;
    }
    if ((rc = daemon_start(daemon)) == 0) {
        announce(daemon);
        notify("READY=1");
        serve(daemon, &signals);
    }
    daemon_stop(daemon);
    if (rc == 0)
        log_info("stopped", "everything is written and closed");
    return rc != 0 ? EXIT_START : 0;
}

static int usage(FILE *out, int status)
{
    fprintf(out, "Usage: arcad --config FILE [--accept-lost BACKEND]...\n"
                 "       arcad --config FILE --check-config\n"
                 "       arcad --version\n"
                 "An S3 server that encrypts what it stores.\n\n"
                 "  -c, --config FILE   the configuration, a YAML file\n"
                 "      --check-config  check the configuration and exit: 0 if it is fine, 2 if not\n"
                 "      --accept-lost BACKEND\n"
                 "                      start although a backend was emptied: what it alone had is given up\n"
                 "      --version       print the version\n"
                 "      --help          print this\n\n"
                 "SIGHUP reloads backends, placements, certificates, credentials and the log level. SIGTERM and SIGINT\n"
                 "end it when the requests under way are done; a second one ends it at once.\n");
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check-config", no_argument, NULL, 'k'},
        {"accept-lost", required_argument, NULL, 'l'},
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
        case 'l':
            if (daemon.lost_count == LOST_MAX)
                return usage(stderr, EXIT_USAGE);
            daemon.lost[daemon.lost_count++] = optarg;
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
