/* arca.yaml as a struct: defaults filled in, paths absolute (relative ones are taken from the file's folder). */
#ifndef ARCA_CONFIG_CONFIG_H
#define ARCA_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "backends/settings.h"
#include "base/log.h"
#include "base/span.h"

struct config_listener {
    char *address;
    uint16_t port;     /* 0: any free one */
    char *certificate; /* both NULL: plain */
    char *key;
};

struct config_placement {
    char *name;
    char **backends; /* names */
    size_t backend_count;
    unsigned write_quorum;
    char **jurisdictions; /* each backend's must be one of them; none: any will do */
    size_t jurisdiction_count;
};

enum config_unlock { CONFIG_UNLOCK_KEY_FILE, CONFIG_UNLOCK_CREDENTIAL, CONFIG_UNLOCK_PASSPHRASE_FILE };

#define CONFIG_PLACEMENTS_MAX 64

struct config {
    struct config_listener *listeners;
    size_t listener_count;
    char *admin_address; /* NULL: no admin listener */
    uint16_t admin_port;
    char *control_socket; /* default "control.sock" in index_path */
    char *region;   /* default "us-east-1" */
    char **domains; /* for virtual-host addressing */
    size_t domain_count;
    char *credentials_file;
    char *keyring_file;
    enum config_unlock keyring_unlock;
    char *keyring_secret; /* a path, or the credential's name; config_keyring_secret reads it */
    char *index_path;
    struct backend_settings *backends; /* defaults filled in, paths absolute */
    size_t backend_count;
    struct config_placement *placements;
    size_t placement_count; /* at most CONFIG_PLACEMENTS_MAX */
    char *default_placement; /* of new buckets; when absent: the only one, or the one named "default" */
    unsigned loops;          /* 0 in the file: one per core */
    struct {
        uint64_t body_memory;     /* bytes, default 256 MiB */
        unsigned connections;     /* default 4096 */
        int64_t head_timeout_ms;  /* default 10 s */
        int64_t body_timeout_ms;  /* default 60 s without progress; net/conn.h: conn_patience */
        int64_t idle_timeout_ms;  /* default 120 s */
        int64_t drain_timeout_ms; /* default 30 s */
        uint64_t extent_size;     /* default 8 MiB */
    } limits;
    char *suite;              /* "aes-256-gcm" (default), "xchacha20-poly1305", "aegis-256" */
    struct {
        int64_t grace_ms;    /* default 15 min: how long what nobody refers to is kept for readers */
        unsigned operations; /* removals a second, default 10,000 */
    } garbage;
    struct {
        uint64_t rate;       /* bytes a second, default 50 MiB */
        unsigned operations; /* a second, default 500 */
    } repair;
    struct {
        uint64_t rate;        /* bytes a second, default 5 MiB; 0: no scrub */
        unsigned operations;  /* a second, default 10 */
        int64_t interval_ms;  /* from the beginning of a round to that of the next, at least; default 1 day */
        bool headers_only;    /* verify: header; else all tags */
    } scrub;
    struct {
        const struct config_placement *placement; /* NULL: the index is not shipped */
        bool sync;           /* a change is answered when it is shipped; default: not */
        int64_t interval_ms; /* not sync: how far behind it may be; default 30 s */
    } journal;
    struct {
        enum log_level level;
        enum log_format format;
        bool access;
    } log;
};

/* Reads and checks the whole file. On failure `why` has "FILE:LINE: KEY: what is wrong and what to do".
 * ERR_NOT_FOUND, ERR_INVALID, ERR_NOMEM. */
int config_load(const char *path, char *why, size_t why_size, struct config **out);
void config_free(struct config *config); /* NULL is fine */

/* The same from memory. Paths that do not start with '/' are relative to the folder of `path`. */
int config_parse(const char *path, struct span text, char *why, size_t why_size, struct config **out);

/* By name. NULL: there is none. */
struct backend_settings *config_find_backend(const struct config *config, const char *name);
struct config_placement *config_find_placement(const struct config *config, const char *name);

/* The first backend of the placement that lacks a label which the placement demands, or NULL. A config that was loaded
 * has none; who opens a placement asks again and refuses: data must not go where it may not be. */
const char *config_unmet(const struct config *config, const struct config_placement *placement);

/* Reads what unlocks a keyring: the content of the key file or credential ($CREDENTIALS_DIRECTORY/NAME), or the
 * passphrase without the newline that ends it. `out` has CONFIG_SECRET_MAX bytes; the caller wipes it. ERR_NOT_FOUND,
 * ERR_IO, ERR_INVALID (empty, or too long); `why` says which file and what. */
#define CONFIG_SECRET_MAX 4096
int config_keyring_secret(const struct config *config, uint8_t *out, size_t *length, char *why, size_t why_size);
/* The same for a file that no config names: tools. */
int config_secret_read(const char *path, enum config_unlock how, uint8_t *out, size_t *length, char *why,
                       size_t why_size);

#endif
