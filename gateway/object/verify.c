#include "object/engine_private.h"

#include <stdlib.h>
#include "base/err.h"

#define ARENA_LIMIT ((size_t)1 << 20) /* a bucket key's row */
#define TURN        16                /* segments, before other fibers of the loop have their turn */

/* Damage of a key or a row is none of the stored bytes: ERR_WRONG_KEY. */
static int begin(struct engine *engine, const Arca__Blob *blob, uint32_t extent, uint64_t size,
                 struct extent_opener *opener) SUSPENDS
{
    const struct bucket_key *bucket_key;
    struct data_key *key;
    struct arena *arena = arena_create(ARENA_LIMIT);
    if (arena == NULL)
        return ERR_NOMEM;
    int rc = blob->id.len == BLOB_ID_SIZE ? engine_bucket_key(engine, blob->key_id, arena, &bucket_key) : ERR_WRONG_KEY;
    arena_free(arena);
    if (rc == 0)
        rc = data_key_open(bucket_key, (enum envelope_suite)blob->suite, blob->id.data,
                           span_of_bytes(blob->wrapped_key), &key);
    if (rc != 0)
        return rc == ERR_NOMEM || rc == ERR_CANCELED ? rc : ERR_WRONG_KEY;
    rc = extent_open_begin(opener, key, extent, size);
    data_key_free(key);
    return rc;
}

int engine_verify(struct engine *engine, const Arca__Blob *blob, uint32_t extent, struct span stored) SUSPENDS
{
    struct extent_opener opener;
    int rc = begin(engine, blob, extent, stored.len, &opener);
    if (rc != 0)
        return rc;
    uint8_t *scratch = malloc(EXTENT_SCRATCH);
    rc = scratch == NULL ? ERR_NOMEM : extent_check_header(&opener, span_take(stored, ENVELOPE_HEADER_SIZE));
    for (uint64_t i = 0; rc == 0 && i < opener.segments; i += TURN) {
        rc = extent_verify(&opener, stored, i, TURN, scratch);
        fiber_yield();
    }
    free(scratch);
    extent_open_end(&opener);
    return rc;
}
