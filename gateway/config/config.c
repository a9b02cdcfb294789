#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/err.h"
#include "config/work.h"

#define LOOPS_LIMIT 64 /* LOOPS_SERVING_MAX of base/loop.h */

/* The config with what holds it; the config comes first so that config_free finds the rest. */
struct loaded {
    struct config config;
    struct arena *arena;
};

/* --- sections --- */

static int take_listeners(struct work *w)
{
    const struct config_file *file = w->file;
    struct config *config = w->config;
    int rc = 0;

    config->listener_count = file->listeners_count;
    config->listeners = arena_zalloc(w->arena, file->listeners_count * sizeof(*config->listeners));
    if (config->listeners == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < file->listeners_count && rc == 0; i++) {
        config->listeners[i].port = file->listeners[i].port;
        rc = work_copy(w, file->listeners[i].address, &config->listeners[i].address);
        for (size_t j = 0; j < i && rc == 0; j++) {
            if (file->listeners[i].port != 0 && file->listeners[i].port == file->listeners[j].port &&
                strcmp(file->listeners[i].address, file->listeners[j].address) == 0)
                rc = document_refuse(w->document, work_key(w, "listeners[%zu].port", i),
                                     "is the same as listeners[%zu]'s; choose another", j);
        }
    }
    if (rc == 0 && file->admin != NULL) {
        config->admin_port = file->admin->port;
        rc = work_copy(w, file->admin->address, &config->admin_address);
    }
    return rc;
}

static int take_domains(struct work *w)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
    const struct config_file *file = w->file;
    struct config *config = w->config;
    int rc = 0;

    config->domain_count = file->domains_count;
    config->domains = arena_zalloc(w->arena, (file->domains_count + 1) * sizeof(*config->domains));
    if (config->domains == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < file->domains_count && rc == 0; i++) {
        const char *domain = file->domains[i];
        if (strspn(domain, allowed) != strlen(domain) || domain[0] == '.' || domain[0] == '-')
            return document_refuse(w->document, work_key(w, "domains[%zu]", i),
                                   "must be a lower-case host name such as s3.clinic.example, not '%s'", domain);
        rc = work_copy(w, domain, &config->domains[i]);
    }
    return rc;
}

static int take_region(struct work *w)
{
    const char *region = w->file->region != NULL ? w->file->region : "us-east-1";

    /* It is part of every signature's scope, between slashes. */
    if (strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(region))
        return document_refuse(w->document, "region", "may have a-z, 0-9 and '-' only, not '%s'", region);
    return work_copy(w, region, &w->config->region);
}

/* Writes "did you mean 'x'?" or what there is. */
static int refuse_backend(struct work *w, size_t placement, size_t i, const char *name)
{
    const char *names[64];

    for (size_t j = 0; j < w->config->backend_count; j++)
        names[j] = w->config->backends[j].name;
    const char *near = document_near(span_str(name), names, w->config->backend_count);
    work_key(w, "placements[%zu].backends[%zu]", placement, i);
    if (near != NULL)
        return document_refuse(w->document, w->key, "there is no backend '%s'; did you mean '%s'?", name, near);
    return document_refuse(w->document, w->key, "there is no backend '%s'; add it under backends", name);
}

static int take_placement(struct work *w, size_t at)
{
    const struct file_placement *from = &w->file->placements[at];
    struct config_placement *to = &w->config->placements[at];
    int rc = work_name(w, work_key(w, "placements[%zu].name", at), from->name, &to->name);

    to->backend_count = from->backends_count;
    to->write_quorum = from->write_quorum;
    to->backends = arena_zalloc(w->arena, from->backends_count * sizeof(*to->backends));
    if (rc != 0 || to->backends == NULL)
        return rc != 0 ? rc : ERR_NOMEM;
    for (size_t i = 0; i < from->backends_count && rc == 0; i++) {
        const struct backend_settings *backend = config_find_backend(w->config, from->backends[i]);
        if (backend == NULL)
            return refuse_backend(w, at, i, from->backends[i]);
        to->backends[i] = backend->name;
        for (size_t k = 0; k < i; k++) {
            if (to->backends[k] == to->backends[i])
                return document_refuse(w->document, work_key(w, "placements[%zu].backends[%zu]", at, i),
                                       "names '%s' twice; remove one", to->backends[i]);
        }
    }
    for (size_t i = 0; i < at; i++) {
        if (strcmp(w->config->placements[i].name, to->name) == 0)
            return document_refuse(w->document, work_key(w, "placements[%zu].name", at),
                                   "'%s' is taken by placements[%zu]; choose another", to->name, i);
    }
    if (to->write_quorum < 1 || to->write_quorum > to->backend_count)
        return document_refuse(w->document, work_key(w, "placements[%zu].write_quorum", at),
                               "must be from 1 to the number of its backends (%zu), not %u", to->backend_count,
                               to->write_quorum);
    return config_labels(w, at);
}

static int take_placements(struct work *w)
{
    const struct config_file *file = w->file;
    struct config *config = w->config;
    int rc = 0;

    config->placement_count = file->placements_count;
    config->placements = arena_zalloc(w->arena, file->placements_count * sizeof(*config->placements));
    if (config->placements == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < file->placements_count && rc == 0; i++)
        rc = take_placement(w, i);
    if (rc != 0)
        return rc;
    const char *wanted = file->default_placement;
    if (wanted == NULL)
        wanted = config->placement_count == 1 ? config->placements[0].name : "default";
    const struct config_placement *found = config_find_placement(config, wanted);
    config->default_placement = found != NULL ? found->name : NULL;
    if (found == NULL)
        rc = document_refuse(w->document, "default_placement",
                             file->default_placement != NULL ? "there is no placement '%s'; add it under placements"
                                                             : "is missing and no placement is named '%s'; add it",
                             wanted);
    return rc;
}

static int take_durations(struct work *w, const struct file_limits *from)
{
    struct config *to = w->config;
    const int64_t hour = 3600000;
    const struct {
        const char *key, *text;
        int64_t standard, min, max;
        int64_t *out;
    } rows[] = {
        {"limits.head_timeout", from->head_timeout, 10000, 100, hour, &to->limits.head_timeout_ms},
        {"limits.body_timeout", from->body_timeout, 60000, 100, hour, &to->limits.body_timeout_ms},
        {"limits.idle_timeout", from->idle_timeout, 120000, 100, 24 * hour, &to->limits.idle_timeout_ms},
        {"limits.drain_timeout", from->drain_timeout, 30000, 0, hour, &to->limits.drain_timeout_ms},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        *rows[i].out = rows[i].standard;
        int rc = work_duration(w, rows[i].key, rows[i].text, rows[i].min, rows[i].max, rows[i].out);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int take_limits(struct work *w)
{
    static const struct file_limits none;
    const struct file_limits *from = w->file->limits != NULL ? w->file->limits : &none;
    struct config *to = w->config;

    to->limits.body_memory = 256 * MIB;
    to->limits.extent_size = 8 * MIB;
    to->limits.connections = from->connections != NULL ? *from->connections : 4096;
    to->loops = w->file->loops != NULL ? *w->file->loops : 0;
    if (to->loops > LOOPS_LIMIT)
        return document_refuse(w->document, "loops", "must be from 0 (one per core) to %d, not %u", LOOPS_LIMIT,
                               to->loops);
    if (to->limits.connections < 1 || to->limits.connections > 1000000)
        return document_refuse(w->document, "limits.connections", "must be from 1 to 1000000, not %u",
                               to->limits.connections);
    int rc = work_size(w, "limits.body_memory", from->body_memory, 4 * MIB, 1ULL << 40, &to->limits.body_memory);
    if (rc == 0)
        rc = work_size(w, "limits.extent_size", from->extent_size, MIB, 64 * MIB, &to->limits.extent_size);
    if (rc == 0)
        rc = take_durations(w, from);
    if (rc != 0)
        return rc;
    if (to->limits.extent_size % (64 * KIB) != 0)
        return document_refuse(w->document, "limits.extent_size", "must be a multiple of 64KiB, not '%s'",
                               from->extent_size);
    if (to->limits.body_memory < 2 * to->limits.extent_size)
        return document_refuse(w->document, "limits.body_memory",
                               "must hold at least two extents of limits.extent_size");
    return 0;
}

static int take_repair(struct work *w)
{
    static const struct file_repair none;
    const struct file_repair *from = w->file->repair != NULL ? w->file->repair : &none;
    struct config *to = w->config;

    to->repair.rate = 50 * MIB;
    to->repair.operations = from->operations != NULL ? *from->operations : 500;
    if (to->repair.operations < 1 || to->repair.operations > 1000000)
        return document_refuse(w->document, "repair.operations", "must be from 1 to 1000000 a second, not %u",
                               to->repair.operations);
    return work_size(w, "repair.rate", from->rate, MIB, 1ULL << 40, &to->repair.rate);
}

static int take_garbage(struct work *w)
{
    static const struct file_garbage none;
    const struct file_garbage *from = w->file->garbage != NULL ? w->file->garbage : &none;
    struct config *to = w->config;

    to->garbage.grace_ms = 15 * 60000;
    to->garbage.operations = from->operations != NULL ? *from->operations : 10000;
    if (to->garbage.operations < 1 || to->garbage.operations > 1000000)
        return document_refuse(w->document, "garbage.operations", "must be from 1 to 1000000 a second, not %u",
                               to->garbage.operations);
    return work_duration(w, "garbage.grace", from->grace, 0, 30 * 24 * 3600000LL, &to->garbage.grace_ms);
}

static int take_scrub(struct work *w)
{
    static const struct file_scrub none;
    const struct file_scrub *from = w->file->scrub != NULL ? w->file->scrub : &none;
    struct config *to = w->config;
    int rc;

    to->scrub.rate = 5 * MIB;
    to->scrub.operations = from->operations != NULL ? *from->operations : 10;
    to->scrub.interval_ms = 24 * 3600000LL;
    to->scrub.headers_only = from->verify != NULL && *from->verify != 0;
    if (to->scrub.operations < 1 || to->scrub.operations > 1000000)
        return document_refuse(w->document, "scrub.operations", "must be from 1 to 1000000 a second, not %u",
                               to->scrub.operations);
    rc = work_size(w, "scrub.rate", from->rate, 0, UINT64_MAX, &to->scrub.rate);
    if (rc == 0 && to->scrub.rate != 0) /* 0 is none */
        rc = work_size(w, "scrub.rate", from->rate, MIB, 1ULL << 40, &to->scrub.rate);
    if (rc != 0)
        return rc;
    return work_duration(w, "scrub.interval", from->interval, 1000, 365 * 24 * 3600000LL, &to->scrub.interval_ms);
}

static int take_control(struct work *w)
{
    const struct file_control *from = w->file->control;
    struct config *to = w->config;

    if (from != NULL && from->socket != NULL)
        return work_path(w, from->socket, &to->control_socket);
    to->control_socket = arena_printf(w->arena, "%s/control.sock", to->index_path);
    return to->control_socket != NULL ? 0 : ERR_NOMEM;
}

static int take_others(struct work *w)
{
    const struct config_file *file = w->file;
    struct config *to = w->config;
    const int *suite = file->encryption != NULL ? file->encryption->suite : NULL;
    int rc;

    to->log.level = LOG_INFO;
    to->log.access = true;
    if (file->log != NULL) {
        to->log.level = file->log->level != NULL ? (enum log_level) * file->log->level : LOG_INFO;
        to->log.format = file->log->format != NULL ? (enum log_format) * file->log->format : LOG_TEXT;
        to->log.access = file->log->access == NULL || *file->log->access;
    }
    if ((rc = work_copy(w, config_suites[suite != NULL ? *suite : 0].str, &to->suite)) != 0 ||
        (rc = work_path(w, file->index.path, &to->index_path)) != 0 || (rc = take_control(w)) != 0 ||
        (rc = take_garbage(w)) != 0 || (rc = take_repair(w)) != 0)
        return rc;
    return take_scrub(w);
}

/* A credential is a file that systemd (LoadCredential=, LoadCredentialEncrypted=) puts where this variable says; a
 * check of the file outside of the service cannot see it. */
static int take_credential(struct work *w, const char *name)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    struct config *to = w->config;
    char *path;
    int rc = work_copy(w, name, &to->keyring_secret);

    if (rc != 0)
        return rc;
    if (strchr(name, '/') != NULL || name[0] == '.')
        return document_refuse(w->document, "keyring.unlock.credential",
                               "must be the name of a credential, not a path");
    if (folder == NULL || folder[0] != '/')
        return 0;
    path = arena_printf(w->arena, "%s/%s", folder, name);
    return path != NULL ? work_file(w, "keyring.unlock.credential", path, &path) : ERR_NOMEM;
}

static int take_keyring(struct work *w)
{
    const struct file_unlock *unlock = &w->file->keyring.unlock;
    struct config *to = w->config;
    int ways = (unlock->key_file != NULL) + (unlock->credential != NULL) + (unlock->passphrase_file != NULL);

    if (ways != 1)
        return document_refuse(w->document, "keyring.unlock",
                               "must have exactly one of key_file, credential and passphrase_file");
    if (unlock->credential != NULL) {
        to->keyring_unlock = CONFIG_UNLOCK_CREDENTIAL;
        return take_credential(w, unlock->credential);
    }
    if (unlock->key_file != NULL) {
        to->keyring_unlock = CONFIG_UNLOCK_KEY_FILE;
        return work_file(w, "keyring.unlock.key_file", unlock->key_file, &to->keyring_secret);
    }
    to->keyring_unlock = CONFIG_UNLOCK_PASSPHRASE_FILE;
    return work_file(w, "keyring.unlock.passphrase_file", unlock->passphrase_file, &to->keyring_secret);
}

/* Last, so that mistakes in the file itself are told first. */
static int take_files(struct work *w)
{
    const struct config_file *file = w->file;
    struct config *to = w->config;
    int rc = work_file(w, "credentials", file->credentials, &to->credentials_file);

    if (rc == 0)
        rc = work_file(w, "keyring.file", file->keyring.file, &to->keyring_file);
    if (rc == 0)
        rc = take_keyring(w);
    if (rc == 0)
        rc = config_backend_files(w);
    for (size_t i = 0; i < file->listeners_count && rc == 0; i++) {
        const struct file_tls *tls = file->listeners[i].tls;
        if (tls == NULL)
            continue;
        rc = work_file(w, work_key(w, "listeners[%zu].tls.certificate", i), tls->certificate,
                       &to->listeners[i].certificate);
        if (rc == 0)
            rc = work_file(w, work_key(w, "listeners[%zu].tls.key", i), tls->key, &to->listeners[i].key);
    }
    return rc;
}

/* --- loading --- */

static int take_all(struct work *w)
{
    static int (*const steps[])(struct work *) = {take_listeners,  take_region, take_domains, config_backends,
                                                  take_placements, take_limits, take_others, config_journal,
                                                  take_files};

    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        int rc = steps[i](w);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* The folder that relative paths start from: that of the file, absolute. */
static int find_folder(struct work *w, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct span folder = slash != NULL ? span_of(path, (size_t)(slash - path) + 1) : SPAN_NONE;
    char *joined, *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0);

    if (path[0] != '/' && cwd == NULL)
        return ERR_NOMEM;
    joined = arena_printf(w->arena, "%s%s%.*s", cwd != NULL ? cwd : "", cwd != NULL ? "/" : "", SPAN_FMT(folder));
    free(cwd);
    w->folder = span_str(joined);
    return joined != NULL ? 0 : ERR_NOMEM;
}

static int load(struct document *document, const char *path, struct config **out)
{
    struct arena *arena = arena_create(8 * MIB);
    struct loaded *loaded = arena != NULL ? arena_zalloc(arena, sizeof(*loaded)) : NULL;
    struct work w = {.document = document, .arena = arena};
    void *data = NULL;
    int rc = loaded != NULL ? 0 : ERR_NOMEM;

    if (rc == 0)
        rc = document_check(document, &config_file_schema);
    if (rc == 0)
        rc = document_fill(document, &config_file_schema, &data, NULL);
    if (rc == 0) {
        loaded->arena = arena;
        w.file = data;
        w.config = &loaded->config;
        rc = find_folder(&w, path);
    }
    if (rc == 0)
        rc = take_all(&w);
    if (data != NULL)
        document_fill_free(&config_file_schema, data, 0);
    if (rc != 0)
        arena_free(arena);
    else
        *out = &loaded->config;
    return rc;
}

static int load_and_free(struct document *document, const char *path, char *why, size_t why_size, struct config **out)
{
    int rc = load(document, path, out);

    document_free(document);
    if (rc == ERR_NOMEM)
        snprintf(why, why_size, "%s: out of memory", path);
    return rc;
}

int config_load(const char *path, char *why, size_t why_size, struct config **out)
{
    struct document *document;
    int rc = document_read(path, why, why_size, &document);

    return rc != 0 ? rc : load_and_free(document, path, why, why_size, out);
}

struct backend_settings *config_find_backend(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->backend_count; i++) {
        if (strcmp(config->backends[i].name, name) == 0)
            return &config->backends[i];
    }
    return NULL;
}

struct config_placement *config_find_placement(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->placement_count; i++) {
        if (strcmp(config->placements[i].name, name) == 0)
            return &config->placements[i];
    }
    return NULL;
}

int config_parse(const char *path, struct span text, char *why, size_t why_size, struct config **out)
{
    struct document *document;
    int rc = document_parse(path, text, why, why_size, &document);

    return rc != 0 ? rc : load_and_free(document, path, why, why_size, out);
}

void config_free(struct config *config)
{
    if (config != NULL)
        arena_free(((struct loaded *)(void *)config)->arena);
}
