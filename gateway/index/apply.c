#include "index/apply.h"

#include "base/err.h"

/* --- buckets --- */

int bucket_nodes_decode(uint64_t bucket_id, struct span row, struct bucket_nodes *out)
{
    if (row.len < 8)
        return ERR_CORRUPT;
    *out = (struct bucket_nodes){.objects = bucket_id, .uploads = be64_get(row.ptr)};
    return 0;
}

int apply_bucket(struct apply *apply, uint64_t bucket_id, struct bucket_nodes *out)
{
    struct span row;
    struct record_key key = key_u64(bucket_id);
    int rc = txn_get(apply->txn, TABLE_BUCKET_IDS, record_key_span(&key), &row);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? ERR_NO_SUCH_BUCKET : rc;
    return bucket_nodes_decode(bucket_id, row, out);
}

static int bucket_ids_put(struct apply *apply, const Arca__Bucket *bucket)
{
    uint8_t *value;
    struct record_key key = key_u64(bucket->id);
    size_t len = strlen(bucket->name);
    int rc = txn_reserve(apply->txn, TABLE_BUCKET_IDS, record_key_span(&key), 8 + len, &value);
    if (rc != 0)
        return rc;
    be64_put(value, bucket->uploads_node);
    memcpy(value + 8, bucket->name, len);
    return 0;
}

#define BUCKET_NAME_MAX 63 /* docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */

static int apply_create_bucket(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__CreateBucket *create = mutation->create_bucket;
    if (create->bucket == NULL || create->key == NULL)
        return ERR_INVALID;
    struct span name = span_str(create->bucket->name), unused;
    struct record_key key = key_u64(create->key->id);
    Arca__Bucket *present;
    if (name.len == 0 || name.len > BUCKET_NAME_MAX)
        return ERR_INVALID;
    int rc = record_get(apply->txn, TABLE_BUCKETS, name, &arca__bucket__descriptor, apply->arena, &present);
    if (rc == 0)
        return span_eq(span_str(present->owner_id), span_str(create->bucket->owner_id)) ? ERR_BUCKET_OWNED
                                                                                      : ERR_BUCKET_EXISTS;
    if (rc != ERR_NOT_FOUND)
        return rc;
    if ((rc = placement_takes_bucket(apply, create->bucket->placement)) != 0)
        return rc;
    if ((rc = txn_get(apply->txn, TABLE_KEYS, record_key_span(&key), &unused)) != ERR_NOT_FOUND)
        return rc == 0 ? ERR_EXISTS : rc;

    Arca__Bucket row = *create->bucket;
    row.id = apply->meta->next_id++;
    row.uploads_node = apply->meta->next_id++;
    row.key_id = create->key->id;
    if ((rc = record_put(apply->txn, TABLE_BUCKETS, name, &row)) != 0 || (rc = bucket_ids_put(apply, &row)) != 0)
        return rc;
    return record_put(apply->txn, TABLE_KEYS, record_key_span(&key), create->key);
}

static int apply_delete_bucket(struct apply *apply, const Arca__Mutation *mutation)
{
    struct span name = span_str(mutation->delete_bucket->name);
    Arca__Bucket *bucket;
    bool empty;
    int rc = name.len == 0 || name.len > BUCKET_NAME_MAX
                 ? ERR_NOT_FOUND
                 : record_get(apply->txn, TABLE_BUCKETS, name, &arca__bucket__descriptor, apply->arena, &bucket);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? ERR_NO_SUCH_BUCKET : rc;
    if ((rc = tree_empty(apply->txn, TABLE_OBJECTS, bucket->id, &empty)) != 0)
        return rc;
    if (!empty)
        return ERR_BUCKET_NOT_EMPTY;
    if ((rc = uploads_drop(apply, bucket->uploads_node)) != 0)
        return rc;
    struct record_key key = key_u64(bucket->id);
    if ((rc = txn_delete(apply->txn, TABLE_BUCKET_IDS, record_key_span(&key))) != 0)
        return rc;
    return txn_delete(apply->txn, TABLE_BUCKETS, name);
}

/* --- leases, keys --- */

static int apply_open_lease(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__Lease *lease = mutation->open_lease->lease;
    struct span unused;
    if (lease == NULL || lease->id.len != LEASE_ID_SIZE)
        return ERR_INVALID;
    int rc = txn_get(apply->txn, TABLE_LEASES, record_bytes(lease->id), &unused);
    if (rc != ERR_NOT_FOUND)
        return rc == 0 ? ERR_EXISTS : rc;
    return record_put(apply->txn, TABLE_LEASES, record_bytes(lease->id), lease);
}

static int apply_close_leases(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__CloseLeases *close = mutation->close_leases;
    for (size_t i = 0; i < close->n_ids; i++)
        if (close->ids[i].len != LEASE_ID_SIZE)
            return ERR_INVALID;
    for (size_t i = 0; i < close->n_ids; i++) {
        struct span id = record_bytes(close->ids[i]);
        Arca__Lease *lease;
        int rc = record_get(apply->txn, TABLE_LEASES, id, &arca__lease__descriptor, apply->arena, &lease);
        if (rc == ERR_NOT_FOUND)
            continue;
        if (rc != 0)
            return rc;
        lease->closed_ms = mutation->time_ms;
        if ((rc = record_put(apply->txn, TABLE_LEASES, id, lease)) != 0)
            return rc;
    }
    return 0;
}

static int apply_rebuilt(struct apply *apply, const Arca__Mutation *mutation)
{
    (void)mutation;
    int rc;
    do {
        struct span key = SPAN_NONE, unused;
        uint8_t id[LEASE_ID_SIZE];
        if ((rc = txn_seek(apply->txn, TABLE_LEASES, MDB_FIRST, &key, &unused)) != 0)
            break;
        if (key.len != sizeof(id))
            return ERR_CORRUPT;
        memcpy(id, key.ptr, sizeof(id)); /* the key that a deletion is given must not change with it */
        rc = txn_delete(apply->txn, TABLE_LEASES, span_of(id, sizeof(id)));
    } while (rc == 0);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int apply_rewrap_keys(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__RewrapKeys *rewrap = mutation->rewrap_keys;
    for (size_t i = 0; i < rewrap->n_keys; i++) {
        struct span unused;
        struct record_key key = key_u64(rewrap->keys[i]->id);
        int rc = txn_get(apply->txn, TABLE_KEYS, record_key_span(&key), &unused);
        if (rc != 0)
            return rc;
    }
    for (size_t i = 0; i < rewrap->n_keys; i++) {
        struct record_key key = key_u64(rewrap->keys[i]->id);
        int rc = record_put(apply->txn, TABLE_KEYS, record_key_span(&key), rewrap->keys[i]);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int apply_set_keyring(struct apply *apply, const Arca__Mutation *mutation)
{
    struct span id = record_bytes(mutation->set_keyring->keyring_id);
    struct meta *meta = apply->meta;
    if (id.len == 0 || id.len > sizeof(meta->keyring_id))
        return ERR_INVALID;
    if (meta->keyring_id_len != 0)
        return span_eq(id, span_of(meta->keyring_id, meta->keyring_id_len)) ? 0 : ERR_WRONG_KEY;
    memcpy(meta->keyring_id, id.ptr, id.len);
    meta->keyring_id_len = id.len;
    apply->txn->touched = true;
    return 0;
}

/* --- the table --- */

static int (*const operations[])(struct apply *apply, const Arca__Mutation *mutation) = {
    [ARCA__MUTATION__OP_CREATE_BUCKET] = apply_create_bucket,
    [ARCA__MUTATION__OP_DELETE_BUCKET] = apply_delete_bucket,
    [ARCA__MUTATION__OP_PUT_OBJECT] = apply_put_object,
    [ARCA__MUTATION__OP_DELETE_OBJECT] = apply_delete_object,
    [ARCA__MUTATION__OP_CREATE_UPLOAD] = apply_create_upload,
    [ARCA__MUTATION__OP_PUT_PART] = apply_put_part,
    [ARCA__MUTATION__OP_COMPLETE_UPLOAD] = apply_complete_upload,
    [ARCA__MUTATION__OP_ABORT_UPLOAD] = apply_abort_upload,
    [ARCA__MUTATION__OP_FORGET_UPLOADS] = apply_forget_uploads,
    [ARCA__MUTATION__OP_OPEN_LEASE] = apply_open_lease,
    [ARCA__MUTATION__OP_CLOSE_LEASES] = apply_close_leases,
    [ARCA__MUTATION__OP_ADD_GARBAGE] = apply_add_garbage,
    [ARCA__MUTATION__OP_COLLECTED] = apply_collected,
    [ARCA__MUTATION__OP_REWRAP_KEYS] = apply_rewrap_keys,
    [ARCA__MUTATION__OP_SET_KEYRING] = apply_set_keyring,
    [ARCA__MUTATION__OP_ADD_REPLICA] = apply_add_replica,
    [ARCA__MUTATION__OP_MARK_REPLICA] = apply_mark_replica,
    [ARCA__MUTATION__OP_REPAIR_DONE] = apply_repair_done,
    [ARCA__MUTATION__OP_REPAIR_FAILED] = apply_repair_failed,
    [ARCA__MUTATION__OP_REMOVE_REPLICA] = apply_remove_replica,
    [ARCA__MUTATION__OP_SET_PLACEMENT] = apply_set_placement,
    [ARCA__MUTATION__OP_SET_JOB] = apply_set_job,
    [ARCA__MUTATION__OP_REMOVE_JOB] = apply_remove_job,
    [ARCA__MUTATION__OP_REBUILT] = apply_rebuilt,
};

int apply_mutation(struct apply *apply, const Arca__Mutation *mutation)
{
    unsigned op = (unsigned)mutation->op_case;
    if (op >= sizeof(operations) / sizeof(operations[0]) || operations[op] == NULL)
        return ERR_UNSUPPORTED;
    /* All members of the union are pointers. */
    if (mutation->create_bucket == NULL)
        return ERR_INVALID;
    apply->now_ms = mutation->time_ms;
    apply->sequence = apply->meta->sequence + 1;
    return operations[op](apply, mutation);
}
