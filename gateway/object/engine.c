#include "object/engine_private.h"

#include <stdlib.h>
#include <sys/random.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "store/store.h"

#define KEYS_FIRST   64
#define REWRAP_BATCH 100
#define ARENA_LIMIT  ((size_t)4 << 20)

int engine_apply(struct engine *engine, Arca__Mutation *mutation) SUSPENDS
{
    mutation->time_ms = clock_wall_ms();
    return index_apply(engine->options.index, mutation);
}

/* --- bucket keys --- */

static struct key_slot *slot_of(struct key_slot *keys, size_t size, uint64_t id)
{
    /* Key ids are random: their low bits are as good as any hash. */
    size_t i = (size_t)id & (size - 1);
    while (keys[i].key != NULL && keys[i].id != id)
        i = (i + 1) & (size - 1);
    return &keys[i];
}

static int keys_grow(struct engine *engine)
{
    size_t size = engine->keys_size == 0 ? KEYS_FIRST : engine->keys_size * 2;
    struct key_slot *keys = calloc(size, sizeof(*keys));
    if (keys == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < engine->keys_size; i++) {
        if (engine->keys[i].key != NULL)
            *slot_of(keys, size, engine->keys[i].id) = engine->keys[i];
    }
    free(engine->keys);
    engine->keys = keys;
    engine->keys_size = size;
    return 0;
}

static const struct bucket_key *keys_find(struct engine *engine, uint64_t id)
{
    const struct bucket_key *key = NULL;
    pthread_mutex_lock(&engine->keys_lock);
    if (engine->keys_size > 0)
        key = slot_of(engine->keys, engine->keys_size, id)->key;
    pthread_mutex_unlock(&engine->keys_lock);
    return key;
}

/* Takes the key over. Another loop may have opened the same one meanwhile: then that one stays. */
static int keys_add(struct engine *engine, uint64_t id, struct bucket_key *key, const struct bucket_key **out)
{
    int rc = 0;
    pthread_mutex_lock(&engine->keys_lock);
    if (engine->keys_used * 2 >= engine->keys_size)
        rc = keys_grow(engine);
    if (rc == 0) {
        struct key_slot *slot = slot_of(engine->keys, engine->keys_size, id);
        if (slot->key == NULL) {
            *slot = (struct key_slot){id, key};
            engine->keys_used++;
            key = NULL;
        }
        *out = slot->key;
    }
    pthread_mutex_unlock(&engine->keys_lock);
    bucket_key_free(key);
    return rc;
}

int engine_bucket_key(struct engine *engine, uint64_t key_id, struct arena *arena,
                      const struct bucket_key **out) SUSPENDS
{
    *out = keys_find(engine, key_id);
    if (*out != NULL)
        return 0;
    Arca__BucketKey *row;
    struct bucket_key *key;
    int rc = index_key_get(engine->options.index, key_id, arena, &row);
    if (rc == 0)
        rc = bucket_key_open(engine->options.keyring, key_id, row->root_generation, span_of_bytes(row->wrapped), &key);
    if (rc == 0)
        return keys_add(engine, key_id, key, out);
    if (rc != ERR_NOMEM && rc != ERR_CANCELED) {
        log_error("bucket_key", "bucket key %016llx does not open: %s", (unsigned long long)key_id, err_text(rc));
        rc = ERR_CORRUPT;
    }
    return rc;
}

/* --- start and stop --- */

static int bind_keyring(struct engine *engine, struct arena *arena) SUSPENDS
{
    Arca__Meta *meta;
    uint8_t id[KEYRING_ID_SIZE];
    int rc = index_meta_get(engine->options.index, arena, &meta);
    if (rc != 0)
        return rc;
    keyring_id(engine->options.keyring, id);
    if (meta->keyring_id.len > 0) {
        if (span_eq(span_of_bytes(meta->keyring_id), span_of(id, sizeof(id))))
            return 0;
        log_error("keyring", "this keyring does not belong to this index: its keys open nothing that is stored here");
        return ERR_WRONG_KEY;
    }
    Arca__SetKeyring set = ARCA__SET_KEYRING__INIT;
    set.keyring_id = bytes_of(id, sizeof(id));
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_SET_KEYRING;
    mutation.set_keyring = &set;
    return engine_apply(engine, &mutation);
}

static int rewrap(struct engine *engine, Arca__BucketKey **keys, size_t count,
                  uint8_t (*wrapped)[WRAPPED_KEY_SIZE]) SUSPENDS
{
    for (size_t i = 0; i < count; i++) {
        Arca__BucketKey *key = keys[i];
        int rc = keyring_rewrap(engine->options.keyring, key->id, key->root_generation, span_of_bytes(key->wrapped),
                                &key->root_generation, wrapped[i]);
        if (rc != 0) {
            log_error("keyring", "bucket key %016llx does not open: %s", (unsigned long long)key->id, err_text(rc));
            return rc;
        }
        key->wrapped = bytes_of(wrapped[i], WRAPPED_KEY_SIZE);
    }
    Arca__RewrapKeys rewrapped = ARCA__REWRAP_KEYS__INIT;
    rewrapped.keys = keys;
    rewrapped.n_keys = count;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_REWRAP_KEYS;
    mutation.rewrap_keys = &rewrapped;
    return engine_apply(engine, &mutation);
}

static int rewrap_keys(struct engine *engine, struct arena *arena) SUSPENDS
{
    uint32_t generation = keyring_generation(engine->options.keyring);
    size_t all = 0;
    for (;;) {
        Arca__BucketKey **keys;
        size_t count;
        arena_reset(arena);
        int rc = index_key_list_older(engine->options.index, generation, REWRAP_BATCH, arena, &keys, &count);
        if (rc != 0)
            return rc;
        if (count == 0)
            break;
        uint8_t(*wrapped)[WRAPPED_KEY_SIZE] = arena_alloc(arena, count * WRAPPED_KEY_SIZE);
        if (wrapped == NULL)
            return ERR_NOMEM;
        if ((rc = rewrap(engine, keys, count, wrapped)) != 0)
            return rc;
        all += count;
    }
    if (all > 0)
        log_info("keyring", "%zu bucket keys are wrapped by root key generation %u now", all, (unsigned)generation);
    return 0;
}

static int open_lease(struct engine *engine) SUSPENDS
{
    if (getentropy(engine->lease, sizeof(engine->lease)) != 0)
        return ERR_IO;
    Arca__Lease lease = ARCA__LEASE__INIT;
    lease.id = bytes_of(engine->lease, sizeof(engine->lease));
    lease.opened_ms = clock_wall_ms();
    Arca__OpenLease open = ARCA__OPEN_LEASE__INIT;
    open.lease = &lease;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_OPEN_LEASE;
    mutation.open_lease = &open;
    return engine_apply(engine, &mutation);
}

int engine_create(const struct engine_options *options, struct engine **out) SUSPENDS
{
    if (options->extent_size == 0 || options->extent_size % ENVELOPE_SEGMENT != 0)
        return ERR_INVALID;
    struct arena *arena = arena_create(ARENA_LIMIT);
    struct engine *engine = calloc(1, sizeof(*engine));
    int rc = ERR_NOMEM;
    if (arena == NULL || engine == NULL)
        goto err0;
    engine->options = *options;
    pthread_mutex_init(&engine->keys_lock, NULL);
    if ((rc = bind_keyring(engine, arena)) != 0 || (rc = rewrap_keys(engine, arena)) != 0 ||
        (rc = open_lease(engine)) != 0)
        goto err1;
    arena_free(arena);
    *out = engine;
    return 0;
err1:
    pthread_mutex_destroy(&engine->keys_lock);
err0:
    free(engine);
    if (arena != NULL)
        arena_free(arena);
    return rc;
}

int engine_quiesce(struct engine *engine) SUSPENDS
{
    if (atomic_load(&engine->unaccounted) || store_leftovers(engine->options.store)) {
        log_info("lease", "the lease of blob ids stays open: the next start looks for what failed writes left behind");
        return 0;
    }
    ProtobufCBinaryData id = bytes_of(engine->lease, sizeof(engine->lease));
    Arca__CloseLeases close = ARCA__CLOSE_LEASES__INIT;
    close.ids = &id;
    close.n_ids = 1;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_CLOSE_LEASES;
    mutation.close_leases = &close;
    return engine_apply(engine, &mutation);
}

void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    for (size_t i = 0; i < engine->keys_size; i++)
        bucket_key_free(engine->keys[i].key);
    free(engine->keys);
    pthread_mutex_destroy(&engine->keys_lock);
    free(engine);
}

struct index *engine_index(struct engine *engine)
{
    return engine->options.index;
}

void engine_lease(const struct engine *engine, uint8_t out[LEASE_ID_SIZE])
{
    memcpy(out, engine->lease, LEASE_ID_SIZE);
}

void engine_blob_id(struct engine *engine, uint8_t out[BLOB_ID_SIZE])
{
    uint64_t number = atomic_fetch_add_explicit(&engine->next_blob, 1, memory_order_relaxed);
    memcpy(out, engine->lease, LEASE_ID_SIZE);
    for (int i = 0; i < 8; i++)
        out[LEASE_ID_SIZE + i] = (uint8_t)(number >> (56 - 8 * i));
}
