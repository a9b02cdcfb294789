/* The names that blobs have in a bucket or container: PREFIX/xx/NAME, NAME being the blob's name in 40 hex digits and xx the
 * lowest byte of its counter, so that the blobs of one lease do not all lie in one of the store's key ranges. */
#ifndef ARCA_BACKENDS_REMOTE_BLOB_KEY_H
#define ARCA_BACKENDS_REMOTE_BLOB_KEY_H

#include "backends/backend.h"

#define BLOB_KEY_PREFIX_MAX 64
#define BLOB_KEY_SIZE       (BLOB_KEY_PREFIX_MAX + 1 + 3 + 2 * BLOB_NAME_SIZE + 1) /* with the NUL */

/* A prefix that needs no escaping anywhere: at most BLOB_KEY_PREFIX_MAX of A-Z a-z 0-9 - _ . and single slashes between
 * them; may be empty. */
bool blob_key_prefix_valid(const char *prefix);

/* `prefix` is valid; without one there is no leading slash. */
void blob_key(const char *prefix, const struct blob_name *name, char out[BLOB_KEY_SIZE]);

/* What a read asks of a blob that its name alone finds, so that its locator is empty. ERR_NOT_FOUND: the locator is
 * another driver's; ERR_CORRUPT: no blob reaches as far. */
int blob_key_range(const struct locator *locator, uint64_t offset, uint64_t length);

/* Whether the key is one that blob_key made. */
bool blob_key_parse(const char *prefix, struct span key, struct blob_name *out);

#endif
