#include <sys/random.h>
#include "base/clock.h"
#include "base/err.h"
#include "object/engine_private.h"
#include "store/store.h"

/* A new key for the bucket, wrapped by the newest root key. */
static int make_key(struct engine *engine, Arca__BucketKey *key, uint8_t wrapped[WRAPPED_KEY_SIZE])
{
    if (getentropy(&key->id, sizeof(key->id)) != 0)
        return ERR_IO;
    int rc = bucket_key_create(engine->options.keyring, key->id, &key->root_generation, wrapped);
    key->wrapped = bytes_of(wrapped, WRAPPED_KEY_SIZE);
    return rc;
}

int bucket_create(struct engine *engine, struct arena *arena, struct span name, struct span placement,
                  struct span owner_id, struct span owner_name) SUSPENDS
{
    uint8_t wrapped[WRAPPED_KEY_SIZE];
    Arca__BucketKey key = ARCA__BUCKET_KEY__INIT;
    Arca__Bucket bucket = ARCA__BUCKET__INIT;
    if (placement.len == 0)
        placement = span_str(store_default_placement(engine->options.store));
    if (!store_has_placement(engine->options.store, placement))
        return ERR_NOT_FOUND;
    bucket.name = arena_strdup(arena, name);
    bucket.placement = arena_strdup(arena, placement);
    bucket.owner_id = arena_strdup(arena, owner_id);
    bucket.owner_name = arena_strdup(arena, owner_name);
    if (bucket.name == NULL || bucket.placement == NULL || bucket.owner_id == NULL || bucket.owner_name == NULL)
        return ERR_NOMEM;
    int rc = make_key(engine, &key, wrapped);
    if (rc != 0)
        return rc;
    bucket.key_id = key.id;
    bucket.created_ms = clock_wall_ms();
    Arca__CreateBucket create = ARCA__CREATE_BUCKET__INIT;
    create.bucket = &bucket;
    create.key = &key;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_CREATE_BUCKET;
    mutation.create_bucket = &create;
    return engine_apply(engine, &mutation);
}

int bucket_delete(struct engine *engine, struct arena *arena, struct span name) SUSPENDS
{
    Arca__DeleteBucket delete = ARCA__DELETE_BUCKET__INIT;
    delete.name = arena_strdup(arena, name);
    if (delete.name == NULL)
        return ERR_NOMEM;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_DELETE_BUCKET;
    mutation.delete_bucket = &delete;
    return engine_apply(engine, &mutation);
}
