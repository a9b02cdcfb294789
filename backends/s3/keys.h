/* The access keys that requests to an S3 store are signed with, and where they come from: a file, the environment, or
 * the metadata service of EC2 or ECS, which gives them for some hours. */
#ifndef ARCA_BACKENDS_S3_KEYS_H
#define ARCA_BACKENDS_S3_KEYS_H

#include <stdint.h>
#include "backends/remote/remote.h"
#include "backends/settings.h"

/* One set; a reference keeps it. The texts are in locked memory. */
struct s3_key {
    const char *access_key, *secret_key;
    const char *session_token; /* "" : none */
};

struct s3_keys;

/* Reads file or environment; the metadata service is asked at the first use. ERR_INVALID, ERR_NOT_FOUND, ERR_IO,
 * ERR_NOMEM; logged. */
int s3_keys_create(const struct backend_settings *settings, struct s3_keys **out);
void s3_keys_free(struct s3_keys *keys); /* NULL is fine */

/* The set to sign with now, with a reference. Keys of a metadata service are renewed some minutes before they expire,
 * by one request while others go on with the old. ERR_UNAVAILABLE (the service gives none; logged), ERR_TIMEOUT,
 * ERR_CANCELED, ERR_NOMEM. */
int s3_keys_get(struct s3_keys *keys, int64_t deadline_ms, const struct s3_key **out) SUSPENDS;
void s3_keys_put(const struct s3_key *key); /* NULL is fine */

/* The store says that they have expired: the next get renews them, or reads the file again. */
void s3_keys_expired(struct s3_keys *keys, const struct s3_key *key);

#endif
