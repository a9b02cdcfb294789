/* SIGHUP: arcad follows its files, as far as that goes without a restart. */
#include <string.h>
#include "auth/auth.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon.h"
#include "net/tls.h"
#include "store/jobs/jobs.h"
#include "store/store.h"

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_list(char *const *a, size_t a_count, char *const *b, size_t b_count)
{
    bool all = a_count == b_count;
    for (size_t i = 0; all && i < a_count; i++)
        all = same(a[i], b[i]);
    return all;
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
    return same(a->admin_address, b->admin_address) && same(a->control_socket, b->control_socket);
}

static bool same_journal(const struct config *a, const struct config *b)
{
    return (a->journal.placement != NULL) == (b->journal.placement != NULL) &&
           (a->journal.placement == NULL || same(a->journal.placement->name, b->journal.placement->name)) &&
           a->journal.sync == b->journal.sync && a->journal.interval_ms == b->journal.interval_ms;
}

/* Says which changes of the file take effect only with a restart. */
static void tell_unapplied(const struct config *now, const struct config *new)
{
    const struct {
        const char *key;
        bool same;
    } keys[] = {
        {"listeners, admin, control", same_listeners(now, new)},
        {"region", same(now->region, new->region)},
        {"domains", same_list(now->domains, now->domain_count, new->domains, new->domain_count)},
        {"credentials (the path)", same(now->credentials_file, new->credentials_file)},
        {"keyring", same(now->keyring_file, new->keyring_file)},
        {"index", same(now->index_path, new->index_path)},
        {"loops", now->loops == new->loops},
        {"limits", memcmp(&now->limits, &new->limits, sizeof(now->limits)) == 0},
        {"encryption", same(now->suite, new->suite)},
        {"garbage", memcmp(&now->garbage, &new->garbage, sizeof(now->garbage)) == 0},
        {"repair", memcmp(&now->repair, &new->repair, sizeof(now->repair)) == 0},
        {"scrub", memcmp(&now->scrub, &new->scrub, sizeof(now->scrub)) == 0},
        {"journal", same_journal(now, new)},
        {"log format, access log", now->log.format == new->log.format && now->log.access == new->log.access},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (!keys[i].same)
            log_warn("reload", "%s: the change takes effect with a restart", keys[i].key);
    }
}

static int follow_next(struct daemon *daemon) SUSPENDS
{
    return jobs_follow(daemon->jobs, daemon->next, daemon->candidates, daemon->why, sizeof(daemon->why));
}

/* Backends and placements as another config has them; the whole of it, or nothing. */
static int follow_reloaded(struct daemon *daemon, const struct config *config)
{
    daemon->why[0] = '\0';
    daemon->next = config;
    int rc = store_candidates(daemon->store, config, &daemon->candidates);
    if (rc != 0)
        return rc;
    rc = daemon_on_first_loop(daemon, follow_next);
    store_candidates_free(daemon->candidates, config->backend_count);
    daemon->candidates = NULL;
    return rc;
}

void daemon_reload(struct daemon *daemon)
{
    char why[WHY_SIZE] = "";
    struct config *config;
    int rc = config_load(daemon->config_path, why, sizeof(why), &config);
    if (rc != 0) {
        log_error("reload", "nothing is changed: %s", why[0] != '\0' ? why : err_text(rc));
        return;
    }
    if ((rc = follow_reloaded(daemon, config)) != 0) {
        log_error("reload", "nothing is changed: %s", daemon->why[0] != '\0' ? daemon->why : err_text(rc));
        config_free(config);
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
        log_info("reload", "backends, placements, certificates, credentials and log level are those of the files again");
}
