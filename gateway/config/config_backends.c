/* The section `backends`. */
#include <stdio.h>
#include "base/err.h"
#include "config/work.h"

enum { DISK = 1, S3 = 2, AZURE = 4, REMOTE = S3 | AZURE }; /* bits by number in config_drivers */

/* Which drivers take a key, and which of them need it. */
static const struct row {
    const char *key;
    size_t member; /* a pointer: NULL when the key is absent */
    unsigned taken, needed;
} rows[] = {
#define ROW(member, taken, needed)                                    \
    {                                                                 \
#member, offsetof(struct file_backend, member), taken, needed \
    }
    ROW(path, DISK, DISK),
    ROW(segment_size, DISK, 0),
    ROW(endpoint, REMOTE, REMOTE),
    ROW(bucket, S3, S3),
    ROW(container, AZURE, AZURE),
    ROW(account, AZURE, AZURE),
    ROW(credentials, REMOTE, REMOTE),
    ROW(prefix, REMOTE, 0),
    ROW(region, S3, 0),
    ROW(addressing, S3, 0),
    ROW(signature, S3, 0),
    ROW(storage_class, S3, 0),
    ROW(ca_file, REMOTE, 0),
    ROW(proxy, REMOTE, 0),
    ROW(timeout, REMOTE, 0),
    ROW(connections, REMOTE, 0),
#undef ROW
};

static const char *key(struct work *w, size_t at, const char *name)
{
    return work_key(w, "backends[%zu].%s", at, name);
}

static int check_keys(struct work *w, size_t at)
{
    const struct file_backend *from = &w->file->backends[at];
    const char *driver = config_drivers[from->driver].str;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        unsigned bit = 1U << from->driver;
        const void *value;
        memcpy(&value, (const char *)from + rows[i].member, sizeof(value));
        if (value == NULL && (rows[i].needed & bit) != 0)
            return document_refuse(w->document, key(w, at, rows[i].key), "is missing; driver %s needs it", driver);
        if (value != NULL && (rows[i].taken & bit) == 0)
            return document_refuse(w->document, key(w, at, rows[i].key), "means nothing to driver %s; remove it",
                                   driver);
    }
    return 0;
}

/* --- values --- */

static int copy_if(struct work *w, const char *text, char **out)
{
    return text != NULL ? work_copy(w, text, out) : 0;
}

static int take_text(struct work *w, size_t at, const char *name, const char *text, const char *allowed, char **out)
{
    if (text != NULL && strspn(text, allowed) != strlen(text))
        return document_refuse(w->document, key(w, at, name), "may have %s only, not '%s'", allowed, text);
    return copy_if(w, text, out);
}

static int take_url(struct work *w, const char *name, const char *text, char **out)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/[]";
    const char *host = NULL;

    if (text == NULL)
        return 0;
    if (strncmp(text, "http://", 7) == 0)
        host = text + 7;
    else if (strncmp(text, "https://", 8) == 0)
        host = text + 8;
    if (host == NULL || host[0] == '\0' || host[0] == '/' || host[0] == ':' || strspn(text, allowed) != strlen(text))
        return document_refuse(w->document, name,
                               "must be a URL such as https://s3.eu-central-1.amazonaws.com, not '%s'", text);
    return work_copy(w, text, out);
}

static int take_credentials(struct work *w, size_t at, const struct file_backend_credentials *from,
                            struct backend_settings *to)
{
    if (from == NULL)
        return 0;
    if ((from->file != NULL) + (from->environment != NULL) + (from->metadata != NULL) != 1)
        return document_refuse(w->document, key(w, at, "credentials"),
                               "must have exactly one of file, environment and metadata");
    if (from->endpoint != NULL && from->metadata == NULL)
        return document_refuse(w->document, key(w, at, "credentials.endpoint"),
                               "is the address of a metadata service; remove it");
    if (from->metadata != NULL) {
        if (w->file->backends[at].driver != 1)
            return document_refuse(w->document, key(w, at, "credentials.metadata"), "is for driver s3 only");
        if (to->signature != 4)
            return document_refuse(w->document, key(w, at, "credentials.metadata"), "is for signature v4 only");
        to->credentials_from = (enum backend_credentials) * from->metadata;
        return take_url(w, key(w, at, "credentials.endpoint"), from->endpoint, &to->credentials);
    }
    if (from->environment != NULL) {
        to->credentials_from = BACKEND_CREDENTIALS_ENVIRONMENT;
        return take_text(w, at, "credentials.environment", from->environment, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_",
                         &to->credentials);
    }
    to->credentials_from = BACKEND_CREDENTIALS_FILE; /* config_backend_files looks for it */
    return 0;
}

/* What the library that speaks signature version 2 cannot do is refused rather than left undone. */
static int check_signature(struct work *w, size_t at, const struct file_backend *from)
{
    const char *unknown = from->ca_file != NULL         ? "ca_file"
                          : from->proxy != NULL         ? "proxy"
                          : from->storage_class != NULL ? "storage_class"
                                                        : NULL;
    if (unknown == NULL || from->signature == NULL || *from->signature == 4)
        return 0;
    return document_refuse(w->document, key(w, at, unknown), "means nothing to signature v2; remove it");
}

static int take_remote(struct work *w, size_t at, const struct file_backend *from, struct backend_settings *to)
{
    static const char names[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
    const char *bucket = from->bucket != NULL ? from->bucket : from->container;
    const char *bucket_key = from->bucket != NULL ? "bucket" : "container";
    int rc;

    to->timeout_ms = 60000;
    to->connections = from->connections != NULL ? *from->connections : 64;
    to->virtual_host = from->addressing != NULL && *from->addressing != 0;
    to->signature = from->signature != NULL ? *from->signature : 4;
    if (to->connections < 1 || to->connections > 4096)
        return document_refuse(w->document, key(w, at, "connections"), "must be from 1 to 4096, not %u",
                               to->connections);
    if ((rc = check_signature(w, at, from)) != 0 ||
        (rc = take_url(w, key(w, at, "endpoint"), from->endpoint, &to->endpoint)) != 0 ||
        (rc = take_text(w, at, bucket_key, bucket, names, &to->bucket)) != 0 ||
        (rc = take_text(w, at, "account", from->account, names, &to->account)) != 0 ||
        (rc = take_text(w, at, "region", from->region, "abcdefghijklmnopqrstuvwxyz0123456789-", &to->region)) != 0 ||
        (rc = take_text(w, at, "storage_class", from->storage_class, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-",
                        &to->storage_class)) != 0 ||
        (rc = copy_if(w, from->prefix, &to->prefix)) != 0 ||
        (rc = take_url(w, key(w, at, "proxy"), from->proxy, &to->proxy)) != 0 ||
        (rc = work_duration(w, key(w, at, "timeout"), from->timeout, 100, 3600000, &to->timeout_ms)) != 0)
        return rc;
    return take_credentials(w, at, from->credentials, to);
}

/* --- the section --- */

static int take_backend(struct work *w, size_t at)
{
    const struct file_backend *from = &w->file->backends[at];
    struct backend_settings *to = &w->config->backends[at];
    int rc;

    to->segment_size = 256 * MIB;
    to->cost = from->cost != NULL ? *from->cost : 0;
    if ((rc = work_name(w, key(w, at, "name"), from->name, &to->name)) != 0 ||
        (rc = work_copy(w, config_drivers[from->driver].str, &to->driver)) != 0 || (rc = check_keys(w, at)) != 0 ||
        (from->path != NULL && (rc = work_path(w, from->path, &to->path)) != 0) ||
        (rc = work_size(w, key(w, at, "segment_size"), from->segment_size, 16 * MIB, 4096 * MIB, &to->segment_size)) !=
            0 ||
        (from->driver != 0 && (rc = take_remote(w, at, from, to)) != 0) ||
        (rc = take_text(w, at, "jurisdiction", from->jurisdiction,
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", &to->jurisdiction)) != 0)
        return rc;
    if (to->cost > 9)
        return document_refuse(w->document, key(w, at, "cost"), "must be from 0 (cheap to read) to 9, not %u",
                               to->cost);
    return 0;
}

/* But for slashes that mean nothing. */
static bool same_path(const char *a, const char *b)
{
    for (;; a++, b++) {
        bool part_a = *a == '/', part_b = *b == '/';
        a += strspn(a, "/");
        b += strspn(b, "/");
        if (*a == '\0' && *b == '\0')
            return true;
        if (part_a != part_b || *a != *b)
            return false;
    }
}

/* The scheme and the host, without the scheme's own port. *path is what follows. */
static struct span take_host(const char *url, const char **path)
{
    bool tls = url[4] == 's'; /* see take_url */
    size_t scheme = tls ? 8 : 7;
    *path = url + scheme + strcspn(url + scheme, "/");
    struct span host = span_of(url, (size_t)(*path - url)), port = tls ? SPAN_LITERAL(":443") : SPAN_LITERAL(":80");
    if (host.len > port.len && span_eq(span_skip(host, host.len - port.len), port))
        host.len -= port.len;
    return host;
}

static bool same_endpoint(const char *a, const char *b)
{
    const char *path_a, *path_b;
    return span_ieq(take_host(a, &path_a), take_host(b, &path_b)) && same_path(path_a, path_b);
}

/* Two backends at one place would count as two copies. */
static bool same_place(const struct backend_settings *a, const struct backend_settings *b)
{
    if (a->path != NULL || b->path != NULL)
        return a->path != NULL && b->path != NULL && same_path(a->path, b->path);
    const char *prefix_a = a->prefix != NULL ? a->prefix : "", *prefix_b = b->prefix != NULL ? b->prefix : "";
    return strcmp(a->bucket, b->bucket) == 0 && strcmp(prefix_a, prefix_b) == 0 &&
           same_endpoint(a->endpoint, b->endpoint);
}

static int check_twins(struct work *w, size_t at)
{
    const struct backend_settings *backends = w->config->backends;

    for (size_t i = 0; i < at; i++) {
        if (strcmp(backends[at].name, backends[i].name) == 0)
            return document_refuse(w->document, key(w, at, "name"), "'%s' is taken by backends[%zu]; choose another",
                                   backends[at].name, i);
        if (same_place(&backends[at], &backends[i]))
            return document_refuse(w->document, key(w, at, backends[at].path != NULL ? "path" : "endpoint"),
                                   "is the same as backends[%zu]'s; choose another", i);
    }
    return 0;
}

int config_backends(struct work *w)
{
    const struct config_file *file = w->file;
    struct config *config = w->config;
    int rc = 0;

    config->backend_count = file->backends_count;
    config->backends = arena_zalloc(w->arena, file->backends_count * sizeof(*config->backends));
    if (config->backends == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < file->backends_count && rc == 0; i++) {
        rc = take_backend(w, i);
        if (rc == 0)
            rc = check_twins(w, i);
    }
    return rc;
}

int config_backend_files(struct work *w)
{
    const struct config_file *file = w->file;
    int rc = 0;

    for (size_t i = 0; i < file->backends_count && rc == 0; i++) {
        const struct file_backend *from = &file->backends[i];
        struct backend_settings *to = &w->config->backends[i];
        if (from->ca_file != NULL)
            rc = work_file(w, key(w, i, "ca_file"), from->ca_file, &to->ca_file);
        if (rc == 0 && to->credentials_from == BACKEND_CREDENTIALS_FILE)
            rc = work_file(w, key(w, i, "credentials.file"), from->credentials->file, &to->credentials);
    }
    return rc;
}
