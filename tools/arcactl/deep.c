#include "deep.h"

#include <stdlib.h>
#include <string.h>
#include "arcactl.h"
#include "base/byteorder.h"
#include "base/err.h"

#define KEYS_KEPT 64

struct deep {
    struct index *index;
    struct keyring *keyring;
    struct arena *arena;
    uint8_t *extent; /* as it is stored */
    uint64_t extent_allocated;
    uint8_t scratch[EXTENT_SCRATCH];
    struct {
        uint64_t id;
        struct bucket_key *key;
    } keys[KEYS_KEPT]; /* by id modulo KEYS_KEPT */
};

struct deep *deep_open(const struct config *config, struct index *index)
{
    struct deep *deep = calloc(1, sizeof(*deep));

    if (deep == NULL) {
        trouble("%s", err_text(ERR_NOMEM));
        return NULL;
    }
    deep->index = index;
    deep->arena = arena_create(16U << 20);
    deep->keyring = config_keyring(config);
    if (deep->arena != NULL && deep->keyring != NULL)
        return deep;
    deep_close(deep);
    return NULL;
}

void deep_close(struct deep *deep)
{
    if (deep == NULL)
        return;
    for (size_t i = 0; i < KEYS_KEPT; i++)
        bucket_key_free(deep->keys[i].key);
    keyring_free(deep->keyring);
    arena_free(deep->arena);
    free(deep->extent);
    free(deep);
}

static int find_bucket_key(struct deep *deep, uint64_t id, struct bucket_key **out) SUSPENDS
{
    size_t at = (size_t)(id % KEYS_KEPT);
    Arca__BucketKey *row;

    if (deep->keys[at].key == NULL || deep->keys[at].id != id) {
        int rc = index_key_get(deep->index, id, deep->arena, &row);
        if (rc != 0)
            return rc;
        bucket_key_free(deep->keys[at].key);
        deep->keys[at].key = NULL;
        rc = bucket_key_open(deep->keyring, id, row->root_generation, span_of(row->wrapped.data, row->wrapped.len),
                             &deep->keys[at].key);
        if (rc != 0)
            return rc;
        deep->keys[at].id = id;
    }
    *out = deep->keys[at].key;
    return 0;
}

static int read_extent(struct deep *deep, struct backend *backend, const struct blob_name *name,
                       const struct locator *locator, uint64_t size) SUSPENDS
{
    if (size > deep->extent_allocated) {
        uint8_t *larger = realloc(deep->extent, size);
        if (larger == NULL)
            return ERR_NOMEM;
        deep->extent = larger;
        deep->extent_allocated = size;
    }
    return backend->ops->get(backend, name, locator, 0, size, deep->extent);
}

static int open_extent(struct deep *deep, const struct blob_name *name, const struct data_key *key, uint64_t size,
                       const char **why)
{
    uint32_t number = be32_get(name->bytes + BLOB_ID_SIZE);
    struct extent_opener opener;
    int rc = extent_open_begin(&opener, key, number, size);

    if (rc != 0)
        return rc;
    *why = "its header is not the one that it was written with";
    rc = extent_check_header(&opener, span_of(deep->extent, ENVELOPE_HEADER_SIZE));
    if (rc == 0) {
        *why = "its tags do not verify";
        rc = extent_verify(&opener, span_of(deep->extent, size), 0, opener.segments, deep->scratch);
    }
    extent_open_end(&opener);
    return rc;
}

static bool is_damage(int rc)
{
    return rc == ERR_CORRUPT || rc == ERR_WRONG_KEY || rc == ERR_NOT_FOUND || rc == ERR_FORMAT || rc == ERR_IO;
}

int deep_verify(struct deep *deep, struct backend *backend, const struct blob_name *name, const struct locator *locator,
                uint64_t size, const char **why) SUSPENDS
{
    struct bucket_key *bucket_key;
    struct data_key *key = NULL;
    Arca__Blob *blob;
    int rc;

    arena_reset(deep->arena);
    *why = "it cannot be read";
    rc = read_extent(deep, backend, name, locator, size);
    if (rc == 0) {
        *why = "its row in the index is gone";
        rc = index_blob_get(deep->index, span_of(name->bytes, BLOB_ID_SIZE), deep->arena, &blob);
    }
    if (rc == 0) {
        *why = "its bucket key does not open with this keyring";
        rc = find_bucket_key(deep, blob->key_id, &bucket_key);
    }
    if (rc == 0) {
        *why = "its data key does not open";
        rc = data_key_open(bucket_key, (enum envelope_suite)blob->suite, name->bytes,
                           span_of(blob->wrapped_key.data, blob->wrapped_key.len), &key);
    }
    if (rc == 0)
        rc = open_extent(deep, name, key, size, why);
    data_key_free(key);
    return is_damage(rc) ? ERR_CORRUPT : rc;
}
