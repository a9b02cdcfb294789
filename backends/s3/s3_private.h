/* What the files of the s3 driver share. */
#ifndef ARCA_BACKENDS_S3_S3_PRIVATE_H
#define ARCA_BACKENDS_S3_S3_PRIVATE_H

#include <stdatomic.h>
#include "backends/remote/blob_key.h"
#include "backends/remote/remote.h"
#include "keys.h"
#include "s3.h"

struct s3 {
    struct backend backend; /* first: the room's callers see this */
    struct remote *remote;
    struct s3_keys *keys;
    bool tls;
    bool virtual_host;
    char host[320]; /* of the Host header */
    char *root;     /* what all paths begin with: "/BASE/BUCKET" or "/BASE" */
    char *prefix;
    char *region;
    char *storage_class; /* NULL: the bucket's default */
    int64_t timeout_ms;
    atomic_bool wants_md5;   /* the store does not know x-amz-checksum-crc32c */
    _Atomic int64_t skew_ms; /* the store's clock less ours, once it has complained */
};

/* --- call.c --- */

#define CALL_FIELDS  2
#define CALL_HEADERS 12

/* One request to the store. */
struct call {
    struct s3 *s3;
    const char *what; /* "put", for the log */
    struct remote_request request;
    struct remote_field fields[CALL_FIELDS]; /* the last is the date */
    char *path;
    char *query; /* encoded, in order; "" for none */
    struct sign_header own[4];
    size_t own_count;
    struct sign_header headers[CALL_HEADERS];
    char timestamp[17];
    const struct s3_key *key;
    char code[64]; /* of the last error answer: "NoSuchKey" */
};

/* `path` follows the bucket. The arena holds both texts and is freed by call_end. ERR_NOMEM. */
int call_begin(struct s3 *s3, const char *what, const char *method, const char *path, struct call *call);
void call_header(struct call *call, const char *name, const char *value);
/* A header of the answer that is wanted: `call->fields[0]`. */
void call_wants(struct call *call, const char *name);
/* 0: a 2xx answer. Logs what went wrong unless nothing is there or the fiber was cancelled. */
int call_perform(struct call *call) SUSPENDS;
void call_end(struct call *call);

/* --- list.c --- */
int s3_list(struct backend *backend, struct blob_cursor *cursor, struct blob_batch *out) SUSPENDS;

#endif
