/* What arcad consists of while it runs: start.c opens it, stop.c ends it, reload.c lets it follow its files, and main.c is
 * the process around. All of them run on the main thread. */
#ifndef ARCA_GATEWAY_DAEMON_H
#define ARCA_GATEWAY_DAEMON_H

#include <stdatomic.h>
#include "admin/admin.h"
#include "base/fiber.h"
#include "base/loop.h"
#include "config/config.h"

#define EXIT_START 1 /* something refused to start */
#define EXIT_USAGE 2 /* wrong flags or a wrong configuration */
#define EXIT_STUCK 3 /* it stopped, and something did not end */
#define WHY_SIZE   1024
#define LOST_MAX   64

enum { ADDED_ADMIN, ADDED_CONTROL, ADDED_LISTENERS };

struct daemon {
    const char *config_path;
    const char *lost[LOST_MAX]; /* backends of which what only they had is given up */
    size_t lost_count;
    struct config *config;
    struct budget *budget;
    struct keyring *keyring;
    struct index *index;
    struct store *store;
    struct loop *loops[LOOPS_SERVING_MAX];
    unsigned loops_created, loops_started;
    struct engine *engine;
    struct auth *auth;
    struct s3 *s3;
    struct http_server *s3_server, *admin_server, *control_server;
    struct admin admin;
    struct tls **tls;            /* of each listener; NULL: plain */
    struct listener **listeners; /* the config's, then those of ADDED_LISTENERS */
    struct jobs *jobs;
    struct ship *ship;
    struct prober *prober;
    atomic_bool stopping;
    char why[WHY_SIZE];           /* placements cannot follow the config */
    const struct config *next;    /* that is being followed while it serves, */
    struct candidate *candidates; /* and its backends */
};

/* Opens everything, in order. What refuses has logged why; what was opened is daemon_stop's to close. */
int daemon_start(struct daemon *daemon);
/* Ends requests, loops and all that was opened: within drain_timeout and 15 s, or the process ends without (EXIT_STUCK). */
void daemon_stop(struct daemon *daemon);
/* Reads the configuration and the files that it names again. Logs what has changed, and what has not and why. */
void daemon_reload(struct daemon *daemon);

/* Runs fn on a fiber of the first loop and waits for its result. */
int daemon_on_first_loop(struct daemon *daemon, int (*fn)(struct daemon *daemon));
/* Logs that the start fails, and returns rc. */
int daemon_fail(const char *what, int rc);

#endif
