/* Rows as protobuf messages, and the keys of the tables that are not trees. */
#ifndef ARCA_INDEX_LMDB_RECORDS_H
#define ARCA_INDEX_LMDB_RECORDS_H

#include <stdint.h>
#include <string.h>
#include "base/arena.h"
#include "base/byteorder.h"
#include "index/ids.h"
#include "index/lmdb/view.h"
#include "records.pb-c.h"

static inline struct span record_bytes(ProtobufCBinaryData data)
{
    return span_of(data.data, data.len);
}

/* A table key of fixed parts, made on the stack. */
struct record_key {
    uint8_t bytes[28];
    size_t len;
};
static inline struct span record_key_span(const struct record_key *key)
{
    return span_of(key->bytes, key->len);
}
struct record_key key_u64(uint64_t id);                              /* keys, bucket_ids */
struct record_key key_numbered(const uint8_t id[16], uint32_t number); /* parts, replicas, repairs: id, number (BE) */
struct record_key key_timed(int64_t time_ms, const uint8_t id[16]);  /* garbage, completed_times: time (BE), id */
struct record_key key_due(int64_t time_ms, const uint8_t id[16], uint32_t number); /* repair_times: time, id, number */

/* Unpacks into the arena. ERR_CORRUPT, ERR_NOMEM. */
int record_unpack(const ProtobufCMessageDescriptor *descriptor, struct arena *arena, struct span bytes, void *out);
/* The record at a key. ERR_NOT_FOUND. */
int record_get(struct txn *txn, enum table table, struct span key, const ProtobufCMessageDescriptor *descriptor,
               struct arena *arena, void *out);
int record_put(struct txn *txn, enum table table, struct span key, const void *message);

/* What a listing shows of an object, or an upload: of its headers only the storage class, and no body ids. Faster than
 * a whole unpack, and small whatever a client has put into the headers. */
int record_unpack_listed(struct arena *arena, struct span bytes, Arca__Object **out);
int record_unpack_listed_upload(struct arena *arena, struct span bytes, Arca__Upload **out);

/* The index's one row of meta; all zero with the present format when there is none yet. */
#define META_HASH_SIZE 32
struct meta {
    uint64_t sequence;
    uint64_t next_id;
    uint8_t last_hash[META_HASH_SIZE];
    uint8_t keyring_id[64];
    size_t keyring_id_len;
};
int meta_get(struct txn *txn, struct meta *out); /* ERR_FORMAT, ERR_CORRUPT */
int meta_put(struct txn *txn, const struct meta *meta);

#endif
