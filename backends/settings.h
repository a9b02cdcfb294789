/* What a backend is opened with: plain data, as the configuration fills it. Each driver reads its own part; what is
 * absent is NULL or 0. */
#ifndef ARCA_BACKENDS_SETTINGS_H
#define ARCA_BACKENDS_SETTINGS_H

#include <stdint.h>

/* Where a remote store's credentials come from. */
enum backend_credentials {
    BACKEND_CREDENTIALS_NONE,
    BACKEND_CREDENTIALS_FILE,        /* lines `key: value` */
    BACKEND_CREDENTIALS_ENVIRONMENT, /* variables whose names begin with `credentials` and '_' */
    BACKEND_CREDENTIALS_EC2,         /* the metadata service of EC2 (IMDSv2), */
    BACKEND_CREDENTIALS_ECS,         /* or of ECS; `credentials` is its address, or NULL for the usual */
};

struct backend_settings {
    char *name;   /* [a-z0-9-]{1,32} */
    char *driver; /* "disk", "s3", "azure" */

    /* disk */
    char *path;            /* its folder */
    uint64_t segment_size; /* bytes, 0: the default */

    /* remote stores */
    char *endpoint; /* "https://s3.eu-central-1.amazonaws.com" */
    char *bucket;   /* or container */
    char *prefix;   /* of all names in it; several gateways may share a bucket */
    enum backend_credentials credentials_from;
    char *credentials;    /* the file, the prefix of variables, or the address of the metadata service */
    char *ca_file;        /* PEM; NULL: the system's */
    char *proxy;          /* "http://HOST:PORT" */
    int64_t timeout_ms;   /* of one operation with all its attempts; 0: 60 s */
    unsigned connections; /* a loop; 0: 64 */

    /* s3 */
    char *region; /* NULL: us-east-1 */
    int virtual_host;
    int signature; /* 2 or 4; 0: 4 */
    char *storage_class;

    /* azure */
    char *account;

    /* what placements look at */
    char *jurisdiction; /* "eu", or NULL */
    unsigned cost;      /* class, 0 (cheap to read) .. 9 */
};

#endif
