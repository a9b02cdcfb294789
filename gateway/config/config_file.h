/* arca.yaml as libcyaml loads it: what is written there, before defaults, units and paths are worked out. */
#ifndef ARCA_CONFIG_CONFIG_FILE_H
#define ARCA_CONFIG_CONFIG_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include "config/document.h"

/* Keys that may be absent are pointers: NULL. Sizes and durations are text, "256MiB", "10s". */
struct file_tls {
    char *certificate, *key;
};
struct file_listener {
    char *address;
    uint16_t port;
    struct file_tls *tls;
};
struct file_admin {
    char *address;
    uint16_t port;
};
struct file_control {
    char *socket;
};
struct file_unlock {
    char *key_file, *credential, *passphrase_file;
};
struct file_keyring {
    char *file;
    struct file_unlock unlock;
};
struct file_index {
    char *path;
};
struct file_backend_credentials {
    char *file, *environment, *endpoint;
    int *metadata;
};
struct file_backend {
    char *name, *path, *segment_size, *endpoint, *bucket, *container, *account, *prefix, *region, *storage_class,
        *ca_file, *proxy, *timeout, *jurisdiction;
    int driver, *addressing, *signature;
    uint32_t *connections, *cost;
    struct file_backend_credentials *credentials;
};
struct file_labels {
    char **jurisdiction;
    uint32_t jurisdiction_count;
};
struct file_placement {
    char *name;
    struct file_labels *required_labels;
    char **backends;
    uint32_t backends_count;
    uint32_t write_quorum;
};
struct file_limits {
    char *body_memory, *head_timeout, *body_timeout, *idle_timeout, *drain_timeout, *extent_size;
    uint32_t *connections;
};
struct file_encryption {
    int *suite;
};
struct file_garbage {
    char *grace;
    unsigned *operations;
};
struct file_repair {
    char *rate;
    uint32_t *operations;
};
struct file_scrub {
    char *rate;
    uint32_t *operations;
    char *interval;
    int *verify;
};
struct file_journal {
    char *placement, *interval;
    int *mode;
};
struct file_log {
    int *level, *format;
    bool *access;
};
struct config_file {
    struct file_listener *listeners;
    uint32_t listeners_count;
    struct file_admin *admin;
    struct file_control *control;
    char *region;
    char **domains;
    uint32_t domains_count;
    char *credentials;
    struct file_keyring keyring;
    struct file_index index;
    struct file_backend *backends;
    uint32_t backends_count;
    struct file_placement *placements;
    uint32_t placements_count;
    char *default_placement;
    uint32_t *loops;
    struct file_limits *limits;
    struct file_encryption *encryption;
    struct file_garbage *garbage;
    struct file_repair *repair;
    struct file_scrub *scrub;
    struct file_journal *journal;
    struct file_log *log;
};

extern const cyaml_schema_value_t config_file_schema;
/* The words of the enumerations, by number. */
extern const cyaml_strval_t config_drivers[];
extern const cyaml_strval_t config_suites[];

#endif
