/* What the files of this folder share. */
#ifndef ARCA_BACKENDS_AZURE_PRIVATE_H
#define ARCA_BACKENDS_AZURE_PRIVATE_H

#include "azure.h"
#include "backends/remote/blob_key.h"
#include "backends/remote/remote.h"
#include "base/clock.h"
#include "crypto/sign_azure.h"

/* Either an account's key or a shared access signature. */
struct azure_secret {
    uint8_t *bytes; /* sodium_malloc'd: the key, decoded, or the signature, encoded as it goes into a query */
    size_t length;
    bool is_key;
};

/* *out is zero-initialised. What is wrong is logged. ERR_INVALID, ERR_NOT_FOUND, ERR_IO, ERR_NOMEM. */
int azure_secret_load(const struct backend_settings *settings, struct azure_secret *out);
void azure_secret_free(struct azure_secret *secret);

struct azure {
    struct backend backend;
    struct remote *remote;
    struct remote_endpoint endpoint;
    struct azure_secret secret;
    char account[25];
    char container[64];
    char prefix[BLOB_KEY_PREFIX_MAX + 1];
    int64_t timeout_ms;
};

/* One call: what to ask, and everything that lives as long as the asking. */
#define AZURE_HEADERS 8
enum { AZURE_FIELD_ERROR, AZURE_FIELD_RANGE, AZURE_FIELDS };

struct azure_call {
    struct azure *azure;
    struct remote_request request;
    const char *key;   /* the blob's, or "" for the container itself */
    const char *query; /* encoded, without '?' */
    struct sign_header headers[AZURE_HEADERS]; /* the caller's, then those that azure_perform adds */
    size_t header_count;                       /* the caller's */
    struct remote_field fields[AZURE_FIELDS];
    char date[CLOCK_HTTP_SIZE];
};

/* 0, or ERR_NOMEM. Always followed by azure_call_end. */
int azure_call_begin(struct azure_call *call, struct azure *azure, const char *method, const char *key,
                     const char *query);
void azure_call_header(struct azure_call *call, const char *name, struct span value);
/* Signs and asks. What it returns is what a backend's operation may return: a container that is not there is not a blob
 * that is not there. Failures are logged but for ERR_NOT_FOUND, ERR_CANCELED and ERR_RANGE. */
int azure_perform(struct azure_call *call) SUSPENDS;
void azure_call_end(struct azure_call *call);

/* --- list.c --- */
int azure_list(struct backend *backend, struct blob_cursor *cursor, struct blob_batch *out) SUSPENDS;
/* One page of a listing into the batch; the cursor moves on or ends. ERR_IO for what is not one, or has no end. */
int azure_list_parse(struct span body, const char *prefix, struct blob_cursor *cursor, struct blob_batch *out);

#endif
