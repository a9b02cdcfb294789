#include <string.h>
#include "base/err.h"
#include "index/apply.h"
#include "index/index.h"
#include "index/lmdb/list.h"
#include "index/private.h"

/* --- reads: each within one transaction --- */

static int get(struct index *index, enum table table, struct span key, const ProtobufCMessageDescriptor *descriptor,
               struct arena *arena, void *out)
{
    struct txn *txn;
    int rc = view_read(index_view(index), &txn);
    if (rc != 0)
        return rc;
    rc = record_get(txn, table, key, descriptor, arena, out);
    view_read_end(txn);
    return rc;
}

/* Rows in key order from `key` on, unpacked into an array that grows in the arena. */
struct rows {
    struct txn *txn;
    enum table table;
    const ProtobufCMessageDescriptor *descriptor;
    struct arena *arena;
    size_t max;
    void **all;
    size_t count, allocated;
};

static int rows_add(struct rows *rows, struct span value)
{
    if (rows->count == rows->allocated) {
        size_t more = rows->allocated != 0 ? rows->allocated * 4 : 16;
        void **all = arena_alloc(rows->arena, more * sizeof(*all));
        if (all == NULL)
            return ERR_NOMEM;
        if (rows->count != 0)
            memcpy(all, rows->all, rows->count * sizeof(*all));
        rows->all = all;
        rows->allocated = more;
    }
    int rc = record_unpack(rows->descriptor, rows->arena, value, &rows->all[rows->count]);
    rows->count += rc == 0;
    return rc;
}

/* All that start with `prefix`; `keep` (may be NULL) chooses among them. */
static int rows_read(struct rows *rows, struct span from, struct span prefix, bool (*keep)(const void *row, void *arg),
                     void *arg)
{
    struct span key = from, value;
    MDB_cursor_op op = from.len != 0 ? MDB_SET_RANGE : MDB_FIRST;
    while (rows->count < rows->max) {
        int rc = txn_seek(rows->txn, rows->table, op, &key, &value);
        if (rc != 0 || !span_starts(key, prefix))
            return rc == ERR_NOT_FOUND ? 0 : rc;
        if ((rc = rows_add(rows, value)) != 0)
            return rc;
        if (keep != NULL && !keep(rows->all[rows->count - 1], arg))
            rows->count--;
        op = MDB_NEXT;
    }
    return 0;
}

static int rows_get(struct index *index, struct rows *rows, struct span from, struct span prefix,
                    bool (*keep)(const void *row, void *arg), void *arg)
{
    int rc = view_read(index_view(index), &rows->txn);
    if (rc != 0)
        return rc;
    rc = rows_read(rows, from, prefix, keep, arg);
    view_read_end(rows->txn);
    return rc;
}

int index_bucket_get(struct index *index, struct span name, struct arena *arena, Arca__Bucket **out)
{
    int rc = name.len == 0 || name.len > TREE_ROW_MAX
                 ? ERR_NOT_FOUND
                 : get(index, TABLE_BUCKETS, name, &arca__bucket__descriptor, arena, out);
    return rc == ERR_NOT_FOUND ? ERR_NO_SUCH_BUCKET : rc;
}

/* Those whose keys are greater than `after`; empty: all. */
static int rows_get_after(struct index *index, struct rows *rows, struct span after)
{
    uint8_t from[TREE_ROW_MAX];
    size_t len = after.len < sizeof(from) ? after.len : sizeof(from) - 1;
    if (len != 0) {
        memcpy(from, after.ptr, len);
        from[len++] = 0;
    }
    return rows_get(index, rows, span_of(from, len), SPAN_NONE, NULL, NULL);
}

int index_bucket_list(struct index *index, struct span start_after, size_t max, struct arena *arena,
                      Arca__Bucket ***out, size_t *count)
{
    struct rows rows = {
        .table = TABLE_BUCKETS, .descriptor = &arca__bucket__descriptor, .arena = arena, .max = max};
    int rc = rows_get_after(index, &rows, start_after);
    *out = (Arca__Bucket **)rows.all;
    *count = rows.count;
    return rc;
}

int index_key_get(struct index *index, uint64_t key_id, struct arena *arena, Arca__BucketKey **out)
{
    struct record_key key = key_u64(key_id);
    return get(index, TABLE_KEYS, record_key_span(&key), &arca__bucket_key__descriptor, arena, out);
}

static bool older(const void *row, void *arg)
{
    return ((const Arca__BucketKey *)row)->root_generation != *(const uint32_t *)arg;
}

int index_key_list_older(struct index *index, uint32_t generation, size_t max, struct arena *arena,
                         Arca__BucketKey ***out, size_t *count)
{
    struct rows rows = {
        .table = TABLE_KEYS, .descriptor = &arca__bucket_key__descriptor, .arena = arena, .max = max};
    int rc = rows_get(index, &rows, SPAN_NONE, SPAN_NONE, older, &generation);
    *out = (Arca__BucketKey **)rows.all;
    *count = rows.count;
    return rc;
}

/* --- objects --- */

static int object_get(struct txn *txn, uint64_t bucket_id, struct span key, struct arena *arena, Arca__Object **out,
                      Arca__Blob **blob)
{
    struct span suffix, value;
    int rc = tree_key_valid(key) != 0
                 ? ERR_NOT_FOUND
                 : tree_get(txn, TABLE_OBJECTS, bucket_id, key, SPAN_NONE, &suffix, &value);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? ERR_NO_SUCH_KEY : rc;
    if ((rc = record_unpack(&arca__object__descriptor, arena, value, out)) != 0 || blob == NULL)
        return rc;
    *blob = NULL;
    if ((*out)->blob_id.len == 0)
        return 0;
    rc = record_get(txn, TABLE_BLOBS, record_bytes((*out)->blob_id), &arca__blob__descriptor, arena, blob);
    return rc == ERR_NOT_FOUND ? ERR_CORRUPT : rc;
}

int index_object_get(struct index *index, uint64_t bucket_id, struct span key, struct arena *arena, Arca__Object **out,
                     Arca__Blob **blob)
{
    struct txn *txn;
    int rc = view_read(index_view(index), &txn);
    if (rc != 0)
        return rc;
    rc = object_get(txn, bucket_id, key, arena, out, blob);
    view_read_end(txn);
    return rc;
}

int index_list(struct index *index, const struct index_list_query *query, struct arena *arena,
               struct index_listing *out)
{
    struct txn *txn;
    struct span row;
    struct record_key key = key_u64(query->node);
    int rc = view_read(index_view(index), &txn);
    if (rc != 0)
        return rc;
    rc = txn_get(txn, TABLE_BUCKET_IDS, record_key_span(&key), &row);
    if (rc == 0)
        rc = list_objects(txn, query, arena, out);
    else if (rc == ERR_NOT_FOUND)
        rc = list_uploads(txn, query, arena, out);
    view_read_end(txn);
    return rc;
}

/* --- blobs --- */

int index_blob_get(struct index *index, struct span blob_id, struct arena *arena, Arca__Blob **out)
{
    return blob_id_valid(blob_id) ? get(index, TABLE_BLOBS, blob_id, &arca__blob__descriptor, arena, out)
                                  : ERR_NOT_FOUND;
}

int index_extents_get(struct index *index, struct span blob_id, uint32_t first, uint32_t count, struct arena *arena,
                      Arca__Extent ***out)
{
    struct rows rows = {
        .table = TABLE_REPLICAS, .descriptor = &arca__extent__descriptor, .arena = arena, .max = count};
    if (!blob_id_valid(blob_id))
        return ERR_NOT_FOUND;
    struct record_key key = key_numbered(blob_id.ptr, first);
    int rc = rows_get(index, &rows, record_key_span(&key), blob_id, NULL, NULL);
    if (rc != 0)
        return rc;
    *out = (Arca__Extent **)rows.all;
    for (uint32_t i = 0; i < count; i++)
        if (i >= rows.count || (*out)[i]->number != first + i)
            return ERR_NOT_FOUND;
    return 0;
}

/* --- uploads and parts --- */

int index_upload_get(struct index *index, uint64_t uploads_node, struct span key, struct span upload_id,
                     struct arena *arena, Arca__Upload **out)
{
    struct txn *txn;
    struct span value;
    if (tree_key_valid(key) != 0 || upload_id.len != UPLOAD_ID_SIZE)
        return ERR_NO_SUCH_UPLOAD;
    int rc = view_read(index_view(index), &txn);
    if (rc != 0)
        return rc;
    rc = tree_get(txn, TABLE_UPLOADS, uploads_node, key, upload_id, NULL, &value);
    if (rc == 0) {
        rc = record_unpack(&arca__upload__descriptor, arena, value, out);
    } else if (rc == ERR_NOT_FOUND) {
        rc = record_get(txn, TABLE_COMPLETED, upload_id, &arca__upload__descriptor, arena, out);
        if (rc == 0 && ((*out)->uploads_node != uploads_node || !span_eq(record_bytes((*out)->key), key)))
            rc = ERR_NOT_FOUND;
    }
    view_read_end(txn);
    return rc == ERR_NOT_FOUND ? ERR_NO_SUCH_UPLOAD : rc;
}

int index_part_list(struct index *index, struct span id, uint32_t after, size_t max, struct arena *arena,
                    Arca__Part ***out, size_t *count)
{
    struct rows rows = {.table = TABLE_PARTS, .descriptor = &arca__part__descriptor, .arena = arena, .max = max};
    int rc = 0;
    if (id.len == UPLOAD_ID_SIZE && after != UINT32_MAX) {
        struct record_key key = key_numbered(id.ptr, after + 1);
        rc = rows_get(index, &rows, record_key_span(&key), id, NULL, NULL);
    }
    *out = (Arca__Part **)rows.all;
    *count = rows.count;
    return rc;
}

int index_part_get(struct index *index, struct span id, uint32_t number, struct arena *arena, Arca__Part **out)
{
    if (id.len != UPLOAD_ID_SIZE)
        return ERR_INVALID_PART;
    struct record_key key = key_numbered(id.ptr, number);
    int rc = get(index, TABLE_PARTS, record_key_span(&key), &arca__part__descriptor, arena, out);
    return rc == ERR_NOT_FOUND ? ERR_INVALID_PART : rc;
}

/* The last part whose offset is at most `offset`: halves the range of numbers, of which some may be unused. */
static int part_at(struct txn *txn, struct span id, uint64_t offset, struct arena *arena, Arca__Part **out)
{
    uint32_t low = 1, high = PART_NUMBER_MAX;
    Arca__Part *best = NULL, *part;
    while (low <= high) {
        uint32_t middle = low + (high - low) / 2;
        struct record_key key = key_numbered(id.ptr, middle);
        struct span row = record_key_span(&key), value;
        int rc = txn_seek(txn, TABLE_PARTS, MDB_SET_RANGE, &row, &value);
        if (rc == ERR_NOT_FOUND || (rc == 0 && !span_starts(row, id))) {
            high = middle - 1;
            continue;
        }
        if (rc != 0 || (rc = record_unpack(&arca__part__descriptor, arena, value, &part)) != 0)
            return rc;
        if (part->offset > offset) {
            high = middle - 1;
        } else {
            best = part;
            if (part->number < middle || part->number == UINT32_MAX)
                return ERR_CORRUPT;
            low = part->number + 1;
        }
    }
    if (best == NULL || offset - best->offset >= best->size)
        return ERR_RANGE;
    *out = best;
    return 0;
}

int index_part_at(struct index *index, struct span id, uint64_t offset, struct arena *arena, Arca__Part **out)
{
    struct txn *txn;
    if (id.len != UPLOAD_ID_SIZE)
        return ERR_RANGE;
    int rc = view_read(index_view(index), &txn);
    if (rc != 0)
        return rc;
    rc = part_at(txn, id, offset, arena, out);
    view_read_end(txn);
    return rc;
}

/* --- garbage, leases, meta --- */

int index_garbage_list(struct index *index, int64_t until_ms, const Arca__Blob *after, size_t max, struct arena *arena,
                       Arca__Blob ***out, size_t *count)
{
    struct rows rows = {.table = TABLE_GARBAGE, .descriptor = &arca__blob__descriptor, .arena = arena, .max = max};
    struct record_key start = {.len = 1};
    struct span unused, value;
    if (after != NULL && !blob_id_valid(record_bytes(after->id)))
        return ERR_CORRUPT;
    if (after != NULL)
        start = key_timed(after->garbage_ms, after->id.data);
    struct span key = record_key_span(&start);
    int rc = view_read(index_view(index), &rows.txn);
    if (rc != 0)
        return rc;
    rc = txn_seek(rows.txn, TABLE_GARBAGE, MDB_SET_RANGE, &key, &unused);
    if (rc == 0 && after != NULL && span_eq(key, record_key_span(&start)))
        rc = txn_seek(rows.txn, TABLE_GARBAGE, MDB_NEXT, &key, &unused);
    while (rc == 0 && rows.count < max && key.len == 24 && (int64_t)be64_get(key.ptr) <= until_ms) {
        rc = txn_get(rows.txn, TABLE_BLOBS, span_skip(key, 8), &value);
        if (rc == 0)
            rc = rows_add(&rows, value);
        if (rc == 0 || rc == ERR_NOT_FOUND)
            rc = txn_seek(rows.txn, TABLE_GARBAGE, MDB_NEXT, &key, &unused);
    }
    view_read_end(rows.txn);
    *out = (Arca__Blob **)rows.all;
    *count = rows.count;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int index_repair_list(struct index *index, int64_t until_ms, const Arca__Repair *after, size_t max, struct arena *arena,
                      Arca__Repair ***out, size_t *count)
{
    struct rows rows = {.table = TABLE_REPAIRS, .descriptor = &arca__repair__descriptor, .arena = arena, .max = max};
    struct record_key start = {.len = 1};
    struct span unused, value;
    if (after != NULL && !blob_id_valid(record_bytes(after->blob_id)))
        return ERR_CORRUPT;
    if (after != NULL)
        start = key_due(after->next_ms, after->blob_id.data, after->extent);
    struct span key = record_key_span(&start);
    int rc = view_read(index_view(index), &rows.txn);
    if (rc != 0)
        return rc;
    rc = txn_seek(rows.txn, TABLE_REPAIR_TIMES, MDB_SET_RANGE, &key, &unused);
    if (rc == 0 && after != NULL && span_eq(key, record_key_span(&start)))
        rc = txn_seek(rows.txn, TABLE_REPAIR_TIMES, MDB_NEXT, &key, &unused);
    while (rc == 0 && rows.count < max && key.len == 28 && (int64_t)be64_get(key.ptr) <= until_ms) {
        rc = txn_get(rows.txn, TABLE_REPAIRS, span_skip(key, 8), &value);
        if (rc == 0)
            rc = rows_add(&rows, value);
        if (rc == 0 || rc == ERR_NOT_FOUND)
            rc = txn_seek(rows.txn, TABLE_REPAIR_TIMES, MDB_NEXT, &key, &unused);
    }
    view_read_end(rows.txn);
    *out = (Arca__Repair **)rows.all;
    *count = rows.count;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int count_rows(struct index *index, enum table table, uint64_t *count)
{
    struct txn *txn;
    int rc = view_read(index_view(index), &txn);
    if (rc != 0)
        return rc;
    *count = txn_count(txn, table);
    view_read_end(txn);
    return 0;
}

int index_repair_count(struct index *index, uint64_t *count)
{
    return count_rows(index, TABLE_REPAIRS, count);
}

int index_blob_list(struct index *index, struct span after, size_t max, struct arena *arena, Arca__Blob ***out,
                    size_t *count)
{
    struct rows rows = {.table = TABLE_BLOBS, .descriptor = &arca__blob__descriptor, .arena = arena, .max = max};
    int rc = rows_get_after(index, &rows, after);
    *out = (Arca__Blob **)rows.all;
    *count = rows.count;
    return rc;
}

int index_blob_count(struct index *index, uint64_t *count)
{
    return count_rows(index, TABLE_BLOBS, count);
}

int index_lease_list(struct index *index, struct arena *arena, Arca__Lease ***out, size_t *count)
{
    struct rows rows = {
        .table = TABLE_LEASES, .descriptor = &arca__lease__descriptor, .arena = arena, .max = SIZE_MAX};
    int rc = rows_get_after(index, &rows, SPAN_NONE);
    *out = (Arca__Lease **)rows.all;
    *count = rows.count;
    return rc;
}

int index_meta_get(struct index *index, struct arena *arena, Arca__Meta **out)
{
    struct txn *txn;
    struct meta meta;
    int rc = view_read(index_view(index), &txn);
    if (rc != 0)
        return rc;
    rc = meta_get(txn, &meta);
    view_read_end(txn);
    if (rc != 0)
        return rc;
    Arca__Meta *row = arena_alloc(arena, sizeof(*row));
    struct span keyring = arena_dup(arena, span_of(meta.keyring_id, meta.keyring_id_len));
    struct span hash = arena_dup(arena, span_of(meta.last_hash, META_HASH_SIZE));
    if (row == NULL || keyring.ptr == NULL || hash.ptr == NULL)
        return ERR_NOMEM;
    arca__meta__init(row);
    row->format = VIEW_FORMAT;
    row->sequence = meta.sequence;
    row->next_id = meta.next_id;
    row->keyring_id = (ProtobufCBinaryData){keyring.len, (uint8_t *)keyring.ptr};
    row->last_hash = (ProtobufCBinaryData){hash.len, (uint8_t *)hash.ptr};
    *out = row;
    return 0;
}

/* --- placements and jobs --- */

int index_placement_list(struct index *index, struct arena *arena, Arca__Placement ***out, size_t *count)
{
    struct rows rows = {
        .table = TABLE_PLACEMENTS, .descriptor = &arca__placement__descriptor, .arena = arena, .max = SIZE_MAX};
    int rc = rows_get_after(index, &rows, SPAN_NONE);
    *out = (Arca__Placement **)rows.all;
    *count = rows.count;
    return rc;
}

int index_placement_get(struct index *index, struct span name, struct arena *arena, Arca__Placement **out)
{
    return name.len == 0 || name.len > NAME_LENGTH_MAX
               ? ERR_NOT_FOUND
               : get(index, TABLE_PLACEMENTS, name, &arca__placement__descriptor, arena, out);
}

int index_holding_list(struct index *index, struct arena *arena, Arca__Holding ***out, size_t *count)
{
    struct rows rows = {
        .table = TABLE_HOLDINGS, .descriptor = &arca__holding__descriptor, .arena = arena, .max = SIZE_MAX};
    int rc = rows_get_after(index, &rows, SPAN_NONE);
    *out = (Arca__Holding **)rows.all;
    *count = rows.count;
    return rc;
}

int index_job_list(struct index *index, struct arena *arena, Arca__Job ***out, size_t *count)
{
    struct rows rows = {.table = TABLE_JOBS, .descriptor = &arca__job__descriptor, .arena = arena, .max = SIZE_MAX};
    int rc = rows_get_after(index, &rows, SPAN_NONE);
    *out = (Arca__Job **)rows.all;
    *count = rows.count;
    return rc;
}

int index_job_get(struct index *index, struct span name, struct arena *arena, Arca__Job **out)
{
    return name.len == 0 || name.len > JOB_NAME_MAX ? ERR_NOT_FOUND
                                                    : get(index, TABLE_JOBS, name, &arca__job__descriptor, arena, out);
}
