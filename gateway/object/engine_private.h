/* What the files of this room share. */
#ifndef ARCA_OBJECT_ENGINE_PRIVATE_H
#define ARCA_OBJECT_ENGINE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include "object/engine.h"

struct key_slot {
    uint64_t id;
    struct bucket_key *key; /* NULL: the slot is free */
};

struct engine {
    struct engine_options options;
    uint8_t lease[LEASE_ID_SIZE];
    _Atomic uint64_t next_blob;
    atomic_bool unaccounted; /* a backend may hold what neither the index nor its garbage names */
    pthread_mutex_t keys_lock;
    struct key_slot *keys; /* open addressing; grows with the buckets in use, nothing is evicted */
    size_t keys_size;      /* a power of two */
    size_t keys_used;
};

/* The opened bucket key, from the cache. It lives as long as the engine. ERR_CORRUPT (logged), ERR_NOMEM. */
int engine_bucket_key(struct engine *engine, uint64_t key_id, struct arena *arena,
                      const struct bucket_key **out) SUSPENDS;

/* A fresh blob id: lease, counter. Any loop. */
void engine_blob_id(struct engine *engine, uint8_t out[BLOB_ID_SIZE]);

/* index_apply at the present time. */
int engine_apply(struct engine *engine, Arca__Mutation *mutation) SUSPENDS;

static inline ProtobufCBinaryData bytes_of(const void *data, size_t len)
{
    return (ProtobufCBinaryData){len, (uint8_t *)data};
}

static inline struct span span_of_bytes(ProtobufCBinaryData bytes)
{
    return (struct span){bytes.data, bytes.len};
}

#endif
