#include "keys.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "metadata.h"

#define RENEW_MS   300000 /* before the end: AWS has new ones from 5 minutes before on */
#define WAIT_MS    20     /* between looks at whether another's request has ended */
#define RENEWED_MS 10000  /* after an answer, before the service is asked again; */
#define FAILED_MS  1000   /* after none */
#define TIMEOUT_MS 10000  /* of the metadata service */

struct key_set {
    struct s3_key key;
    atomic_uint references;
    int64_t expires_ms; /* wall */
    struct secrets *secrets;
};

struct s3_keys {
    enum backend_credentials from;
    char *name;            /* of the backend */
    char *source;          /* see struct backend_settings */
    struct remote *remote; /* to the metadata service, or NULL */
    pthread_mutex_t lock;
    struct key_set *set; /* under the lock; NULL before the first answer */
    atomic_bool renewing;
    _Atomic int64_t again_ms; /* no renewal before: wall */
};

static void put_set(struct key_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
        return;
    secrets_free(set->secrets);
    free(set);
}

void s3_keys_put(const struct s3_key *key)
{
    if (key != NULL)
        put_set(LIST_ENTRY((uintptr_t)key, struct key_set, key));
}

/* Takes over the secrets, when it succeeds. */
static struct key_set *new_set(struct secrets *secrets, int64_t expires_ms)
{
    struct key_set *set = calloc(1, sizeof(*set));
    if (set == NULL)
        return NULL;
    atomic_init(&set->references, 1);
    set->expires_ms = expires_ms;
    set->secrets = secrets;
    set->key = (struct s3_key){secrets->values[SECRET_ACCESS_KEY_ID], secrets->values[SECRET_SECRET_ACCESS_KEY],
                               secrets->values[SECRET_SESSION_TOKEN]};
    return set;
}

static void install(struct s3_keys *keys, struct key_set *set)
{
    pthread_mutex_lock(&keys->lock);
    struct key_set *old = keys->set;
    keys->set = set;
    pthread_mutex_unlock(&keys->lock);
    put_set(old);
}

static struct key_set *current(struct s3_keys *keys)
{
    pthread_mutex_lock(&keys->lock);
    struct key_set *set = keys->set;
    if (set != NULL)
        atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&keys->lock);
    return set;
}

/* --- sources --- */

static int load(struct s3_keys *keys)
{
    static const char *const names[S3_SECRETS] = {"access_key_id", "secret_access_key", "session_token"};
    struct backend_settings settings = {.credentials_from = keys->from, .credentials = keys->source};
    struct secrets *secrets;
    int rc = secrets_load(&settings, names, S3_SECRETS, &secrets);
    if (rc != 0)
        return rc;
    if (secrets->values[SECRET_ACCESS_KEY_ID][0] == '\0' || secrets->values[SECRET_SECRET_ACCESS_KEY][0] == '\0') {
        log_error("credentials", "backend %s: access_key_id and secret_access_key are needed; %s does not have both",
                  keys->name, keys->source);
        secrets_free(secrets);
        return ERR_INVALID;
    }
    struct key_set *set = new_set(secrets, INT64_MAX);
    if (set == NULL) {
        secrets_free(secrets);
        return ERR_NOMEM;
    }
    install(keys, set);
    return 0;
}

static int fetch(struct s3_keys *keys, int64_t deadline_ms) SUSPENDS
{
    char why[128] = "";
    int64_t expires_ms;
    struct secrets *secrets = secrets_create();
    if (secrets == NULL)
        return ERR_NOMEM;
    int64_t own_deadline_ms = loop_now_ms() + TIMEOUT_MS;
    int rc = (keys->from == BACKEND_CREDENTIALS_EC2 ? metadata_ec2 : metadata_ecs)(
        keys->remote, keys->source, own_deadline_ms < deadline_ms ? own_deadline_ms : deadline_ms, secrets, &expires_ms,
        why, sizeof(why));
    if (rc == 0 && expires_ms <= clock_wall_ms()) {
        snprintf(why, sizeof(why), "they have expired");
        rc = ERR_EXPIRED;
    }
    struct key_set *set = rc == 0 ? new_set(secrets, expires_ms) : NULL;
    if (set == NULL) {
        secrets_free(secrets);
        if (rc == 0 || rc == ERR_CANCELED)
            return rc == 0 ? ERR_NOMEM : rc;
        log_warn("credentials", "backend %s: no keys from the metadata service: %s: %s", keys->name, err_text(rc), why);
        return ERR_UNAVAILABLE;
    }
    install(keys, set);
    return 0;
}

/* --- the set of now --- */

static bool metadata_source(const struct s3_keys *keys)
{
    return keys->remote != NULL;
}

/* One at a time, and not again at once whatever the service said; one who gave up has not heard it. */
static int renew(struct s3_keys *keys, int64_t deadline_ms) SUSPENDS
{
    int rc = fetch(keys, deadline_ms);
    if (rc != ERR_CANCELED)
        atomic_store(&keys->again_ms, clock_wall_ms() + (rc == 0 ? RENEWED_MS : FAILED_MS));
    atomic_store(&keys->renewing, false);
    return rc;
}

int s3_keys_get(struct s3_keys *keys, int64_t deadline_ms, const struct s3_key **out)
{
    for (;;) {
        struct key_set *set = current(keys);
        int64_t now_ms = clock_wall_ms();
        bool usable = set != NULL && set->expires_ms > now_ms;
        bool due = metadata_source(keys) && (set == NULL || set->expires_ms - RENEW_MS <= now_ms);
        if (due && atomic_load(&keys->again_ms) <= now_ms && !atomic_exchange(&keys->renewing, true)) {
            int rc = renew(keys, deadline_ms);
            if (rc == 0 || !usable)
                put_set(set);
            if (rc == 0)
                continue;
            if (!usable)
                return rc;
        }
        if (usable) {
            *out = &set->key;
            return 0;
        }
        put_set(set);
        if (!atomic_load(&keys->renewing) && atomic_load(&keys->again_ms) > clock_wall_ms())
            return ERR_UNAVAILABLE;
        int64_t look_ms = loop_now_ms() + WAIT_MS;
        int rc = fiber_wait(look_ms < deadline_ms ? look_ms : deadline_ms);
        if (rc == ERR_CANCELED || loop_now_ms() >= deadline_ms)
            return rc == ERR_CANCELED ? rc : ERR_TIMEOUT;
    }
}

void s3_keys_expired(struct s3_keys *keys, const struct s3_key *key)
{
    struct key_set *set = current(keys);
    bool same = set != NULL && &set->key == key;
    put_set(set);
    if (!same) /* renewed meanwhile */
        return;
    if (!metadata_source(keys)) {
        if (keys->from == BACKEND_CREDENTIALS_FILE)
            load(keys);
        return;
    }
    install(keys, NULL);
}

/* --- life --- */

int s3_keys_create(const struct backend_settings *settings, struct s3_keys **out)
{
    struct s3_keys *keys = calloc(1, sizeof(*keys));
    if (keys == NULL)
        return ERR_NOMEM;
    pthread_mutex_init(&keys->lock, NULL);
    keys->from = settings->credentials_from;
    keys->name = strdup(settings->name);
    keys->source = settings->credentials != NULL ? strdup(settings->credentials) : NULL;
    int rc = keys->name == NULL || (settings->credentials != NULL && keys->source == NULL) ? ERR_NOMEM : 0;
    if (rc == 0) {
        const struct remote_options options = {
            .name = keys->name, .attempts = 3, .connect_timeout_ms = 2000, .stall_timeout_ms = 3000, .connections = 2};
        bool metadata = keys->from == BACKEND_CREDENTIALS_EC2 || keys->from == BACKEND_CREDENTIALS_ECS;
        rc = metadata ? remote_create(&options, &keys->remote) : load(keys);
    }
    if (rc != 0) {
        s3_keys_free(keys);
        return rc;
    }
    *out = keys;
    return 0;
}

void s3_keys_free(struct s3_keys *keys)
{
    if (keys == NULL)
        return;
    put_set(keys->set);
    remote_free(keys->remote);
    pthread_mutex_destroy(&keys->lock);
    free(keys->source);
    free(keys->name);
    free(keys);
}
