#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/text.h"
#include "index/check.h"
#include "index/private.h"

#define ROW_LIMIT (16U << 20) /* bytes of one unpacked row */

void found(struct check *check, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    check->findings++;
    check->report(line, check->arg);
}

void found_id(struct check *check, const char *what, struct span id, const char *problem)
{
    char hex[2 * 24 + 1];
    text_hex(span_take(id, 24), hex);
    found(check, "%s %s: %s", what, hex, problem);
}

/* --- ids --- */

static int ids_add(struct ids *ids, const uint8_t *id)
{
    if (ids->count == ids->allocated) {
        size_t more = ids->allocated != 0 ? ids->allocated * 2 : 1024;
        uint8_t *bytes = reallocarray(ids->bytes, more, ids->width);
        if (bytes == NULL)
            return ERR_NOMEM;
        ids->bytes = bytes;
        ids->allocated = more;
    }
    memcpy(ids->bytes + ids->count++ * ids->width, id, ids->width);
    ids->sorted = false;
    return 0;
}

static int ids_add_u64(struct ids *ids, uint64_t id)
{
    uint8_t bytes[8];
    be64_put(bytes, id);
    return ids_add(ids, bytes);
}

static int compare_ids(const void *a, const void *b, void *width)
{
    return memcmp(a, b, *(const size_t *)width);
}

static size_t ids_count(struct ids *ids, const uint8_t *id)
{
    if (!ids->sorted && ids->count > 1)
        qsort_r(ids->bytes, ids->count, ids->width, compare_ids, &ids->width);
    ids->sorted = true;
    size_t low = 0, high = ids->count, count = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(ids->bytes + middle * ids->width, id, ids->width) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    while (low + count < ids->count && memcmp(ids->bytes + (low + count) * ids->width, id, ids->width) == 0)
        count++;
    return count;
}

static void ids_clear(struct ids *ids)
{
    free(ids->bytes);
    ids->bytes = NULL;
    ids->count = ids->allocated = 0;
}

/* --- tables --- */

int each(struct check *check, enum table table, int (*row)(struct check *check, struct span key, struct span value))
{
    struct span key = SPAN_NONE, value;
    int rc = txn_seek(check->txn, table, MDB_FIRST, &key, &value);
    while (rc == 0) {
        arena_reset(check->arena);
        rc = row(check, key, value);
        if (rc == ERR_CORRUPT) {
            found_id(check, table_name(table), key, "the row is damaged");
            rc = 0;
        }
        if (rc == 0)
            rc = txn_seek(check->txn, table, MDB_NEXT, &key, &value);
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int exists(struct check *check, enum table table, struct span key, bool *out)
{
    struct span unused;
    int rc = txn_get(check->txn, table, key, &unused);
    *out = rc == 0;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int check_bucket(struct check *check, struct span key, struct span value)
{
    Arca__Bucket *bucket;
    struct span row;
    bool there;
    int rc = record_unpack(&arca__bucket__descriptor, check->arena, value, &bucket);
    if (rc != 0)
        return rc;
    struct record_key id = key_u64(bucket->id), key_id = key_u64(bucket->key_id);
    rc = txn_get(check->txn, TABLE_BUCKET_IDS, record_key_span(&id), &row);
    if (rc != 0 && rc != ERR_NOT_FOUND)
        return rc;
    if (rc == ERR_NOT_FOUND || row.len < 8 || !span_eq(span_skip(row, 8), key) ||
        be64_get(row.ptr) != bucket->uploads_node)
        found(check, "bucket %s: its id's row is missing or names another", bucket->name);
    if ((rc = exists(check, TABLE_KEYS, record_key_span(&key_id), &there)) != 0)
        return rc;
    if (!there)
        found(check, "bucket %s: its key %" PRIu64 " is missing", bucket->name, bucket->key_id);
    const Arca__Placement *set;
    rc = tally_set(check->tally, check->txn, bucket->placement, &set);
    if (rc == 0 && set == NULL && bucket->placement[0] != '\0')
        found(check, "bucket %s: there is no placement %s", bucket->name, bucket->placement);
    return rc;
}

static int check_bucket_id(struct check *check, struct span key, struct span value)
{
    bool there;
    if (key.len != 8 || value.len < 8)
        return ERR_CORRUPT;
    int rc = exists(check, TABLE_BUCKETS, span_skip(value, 8), &there);
    if (rc == 0 && !there)
        found_id(check, "bucket id", key, "has no bucket");
    return rc;
}

/* --- trees --- */

static int add_object_root(struct check *check, struct span key, struct span value)
{
    (void)value;
    return key.len == 8 ? ids_add(&check->roots, key.ptr) : 0;
}

static int add_uploads_root(struct check *check, struct span key, struct span value)
{
    (void)key;
    return value.len >= 8 ? ids_add(&check->roots, value.ptr) : 0;
}

static int check_object(struct check *check, struct span value)
{
    Arca__Object *object;
    int rc = record_unpack(&arca__object__descriptor, check->arena, value, &object);
    if (rc != 0)
        return rc;
    if (object->blob_id.len == BLOB_ID_SIZE)
        return ids_add(&check->blob_references, object->blob_id.data);
    if (object->manifest_id.len == UPLOAD_ID_SIZE)
        return ids_add(&check->manifest_references, object->manifest_id.data);
    return object->blob_id.len != 0 || object->manifest_id.len != 0 || object->size != 0 ? ERR_CORRUPT : 0;
}

static int check_tree_row(struct check *check, struct span key, struct span value, size_t suffix_size,
                          int (*leaf)(struct check *check, struct span value))
{
    struct tree_row row;
    int rc = tree_row_decode(key, suffix_size, &row);
    if (rc != 0)
        return rc;
    size_t last = check->nodes.count;
    if ((last == 0 || be64_get(check->nodes.bytes + (last - 1) * 8) != row.node) &&
        (rc = ids_add_u64(&check->nodes, row.node)) != 0)
        return rc;
    if (row.child)
        return value.len == 8 ? ids_add(&check->children, value.ptr) : ERR_CORRUPT;
    return leaf(check, value);
}

static int check_object_row(struct check *check, struct span key, struct span value)
{
    return check_tree_row(check, key, value, VERSION_SIZE, check_object);
}

static int check_upload(struct check *check, struct span value)
{
    Arca__Upload *upload;
    return record_unpack(&arca__upload__descriptor, check->arena, value, &upload);
}

static int check_upload_row(struct check *check, struct span key, struct span value)
{
    struct tree_row row;
    bool both;
    int rc = check_tree_row(check, key, value, UPLOAD_ID_SIZE, check_upload);
    if (rc != 0 || (rc = tree_row_decode(key, UPLOAD_ID_SIZE, &row)) != 0 || row.child)
        return rc;
    rc = exists(check, TABLE_MANIFESTS, row.suffix, &both);
    if (rc == 0 && both)
        found_id(check, "upload", row.suffix, "is a manifest too");
    return rc;
}

/* Every node with rows is a root or some row's child, and every child has rows and one parent. */
static void check_nodes(struct check *check, const char *tree)
{
    for (size_t i = 0; i < check->nodes.count; i++) {
        const uint8_t *node = check->nodes.bytes + i * 8;
        if (ids_count(&check->roots, node) + ids_count(&check->children, node) != 1)
            found_id(check, tree, span_of(node, 8), "node without, or with more than one parent");
    }
    for (size_t i = 0; i < check->children.count; i++) {
        const uint8_t *child = check->children.bytes + i * 8;
        if (ids_count(&check->nodes, child) == 0)
            found_id(check, tree, span_of(child, 8), "empty node");
    }
    ids_clear(&check->roots);
    ids_clear(&check->children);
    ids_clear(&check->nodes);
}

/* --- parts and manifests --- */

static int add_upload_id(struct check *check, struct span key, struct span value)
{
    (void)value;
    struct tree_row row;
    int rc = tree_row_decode(key, UPLOAD_ID_SIZE, &row);
    return rc != 0 || row.child ? 0 : ids_add(&check->roots, row.suffix.ptr);
}

static void manifest_parts_end(struct check *check)
{
    if (check->parts.left != 0)
        found_id(check, "manifest", span_of(check->manifest, UPLOAD_ID_SIZE), "has fewer parts than it counts");
    check->parts.left = 0;
}

static int check_part(struct check *check, struct span key, struct span value)
{
    Arca__Part *part;
    Arca__Manifest *manifest = NULL;
    if (key.len != 20)
        return ERR_CORRUPT;
    struct span id = span_take(key, UPLOAD_ID_SIZE);
    int rc = record_unpack(&arca__part__descriptor, check->arena, value, &part);
    if (rc != 0)
        return rc;
    rc = record_get(check->txn, TABLE_MANIFESTS, id, &arca__manifest__descriptor, check->arena, &manifest);
    if (rc != 0 && rc != ERR_NOT_FOUND)
        return rc;
    if (manifest == NULL && ids_count(&check->roots, id.ptr) == 0)
        found_id(check, "part", key, "belongs to no upload and no manifest");
    if (manifest != NULL) {
        if (!span_eq(id, span_of(check->manifest, UPLOAD_ID_SIZE))) {
            manifest_parts_end(check);
            memcpy(check->manifest, id.ptr, UPLOAD_ID_SIZE);
            check->parts.next_offset = 0;
            check->parts.left = manifest->part_count;
        }
        if (part->offset != check->parts.next_offset || check->parts.left == 0)
            found_id(check, "part", key, "is not where its manifest continues");
        check->parts.next_offset = part->offset + part->size;
        check->parts.left -= check->parts.left != 0;
    }
    bool counts = manifest == NULL || manifest->references != 0;
    if (part->blob_id.len != 0 && part->blob_id.len != BLOB_ID_SIZE)
        return ERR_CORRUPT;
    return counts && part->blob_id.len != 0 ? ids_add(&check->blob_references, part->blob_id.data) : 0;
}

static int check_manifest(struct check *check, struct span key, struct span value)
{
    Arca__Manifest *manifest;
    struct span row = SPAN_NONE, unused;
    if (key.len != UPLOAD_ID_SIZE)
        return ERR_CORRUPT;
    int rc = record_unpack(&arca__manifest__descriptor, check->arena, value, &manifest);
    if (rc != 0)
        return rc;
    if (manifest->references != ids_count(&check->manifest_references, key.ptr))
        found_id(check, "manifest", key, "its reference count is wrong");
    struct record_key start = key_numbered(key.ptr, 0);
    row = record_key_span(&start);
    rc = txn_seek(check->txn, TABLE_PARTS, MDB_SET_RANGE, &row, &unused);
    if (rc == ERR_NOT_FOUND || (rc == 0 && !span_starts(row, key)))
        found_id(check, "manifest", key, "has no parts");
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* --- blobs --- */

static int count_extents(struct check *check, struct span id, uint32_t *count)
{
    struct record_key start = key_numbered(id.ptr, 0);
    struct span key = record_key_span(&start), value;
    *count = 0;
    int rc = txn_seek(check->txn, TABLE_REPLICAS, MDB_SET_RANGE, &key, &value);
    for (; rc == 0 && span_starts(key, id); rc = txn_seek(check->txn, TABLE_REPLICAS, MDB_NEXT, &key, &value))
        ++*count;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int check_blob(struct check *check, struct span key, struct span value)
{
    Arca__Blob *blob;
    uint32_t extents;
    bool garbage;
    if (key.len != BLOB_ID_SIZE)
        return ERR_CORRUPT;
    int rc = record_unpack(&arca__blob__descriptor, check->arena, value, &blob);
    if (rc != 0)
        return rc;
    if (!span_eq(record_bytes(blob->id), key))
        return ERR_CORRUPT;
    if (blob->references != ids_count(&check->blob_references, key.ptr))
        found_id(check, "blob", key, "its reference count is wrong");
    struct record_key timed = key_timed(blob->garbage_ms, key.ptr);
    if ((rc = exists(check, TABLE_GARBAGE, record_key_span(&timed), &garbage)) != 0 ||
        (rc = count_extents(check, key, &extents)) != 0)
        return rc;
    if (garbage != (blob->references == 0))
        found_id(check, "blob", key, garbage ? "is garbage and referred to" : "is not referred to and not garbage");
    if (extents != (blob->extent_count > 1 ? blob->extent_count : 0))
        found_id(check, "blob", key, "has another number of extents than it counts");
    return blob->extent_count == 1 ? check_extent(check, blob, 0, blob->replicas, blob->n_replicas) : 0;
}

static int check_garbage(struct check *check, struct span key, struct span value)
{
    (void)value;
    bool there;
    if (key.len != 24)
        return ERR_CORRUPT;
    int rc = exists(check, TABLE_BLOBS, span_skip(key, 8), &there);
    if (rc == 0 && !there)
        found_id(check, "garbage", key, "has no blob");
    return rc;
}

static int check_replica(struct check *check, struct span key, struct span value)
{
    Arca__Extent *extent;
    Arca__Blob *blob;
    if (key.len != 20)
        return ERR_CORRUPT;
    int rc = record_unpack(&arca__extent__descriptor, check->arena, value, &extent);
    if (rc != 0)
        return rc;
    rc = record_get(check->txn, TABLE_BLOBS, span_take(key, BLOB_ID_SIZE), &arca__blob__descriptor, check->arena,
                    &blob);
    if (rc == ERR_NOT_FOUND) {
        found_id(check, "extent", key, "has no blob");
        return 0;
    }
    if (rc != 0)
        return rc;
    return check_extent(check, blob, be32_get(key.ptr + BLOB_ID_SIZE), extent->replicas, extent->n_replicas);
}

static int check_repair(struct check *check, struct span key, struct span value)
{
    Arca__Repair *repair;
    Arca__Blob *blob;
    bool timed;
    if (key.len != 20)
        return ERR_CORRUPT;
    int rc = record_unpack(&arca__repair__descriptor, check->arena, value, &repair);
    if (rc != 0)
        return rc;
    struct record_key due = key_due(repair->next_ms, key.ptr, be32_get(key.ptr + BLOB_ID_SIZE));
    if ((rc = exists(check, TABLE_REPAIR_TIMES, record_key_span(&due), &timed)) != 0)
        return rc;
    if (!timed)
        found_id(check, "repair", key, "will never be due");
    rc = record_get(check->txn, TABLE_BLOBS, span_take(key, BLOB_ID_SIZE), &arca__blob__descriptor, check->arena,
                    &blob);
    if (rc == ERR_NOT_FOUND || (rc == 0 && be32_get(key.ptr + BLOB_ID_SIZE) >= blob->extent_count))
        found_id(check, "repair", key, "has no extent");
    else if (rc == 0 && blob->references == 0)
        found_id(check, "repair", key, "is of a blob that is garbage");
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static bool has_row(struct check *check, enum table table, const uint8_t *id)
{
    bool there = false;
    return exists(check, table, span_of(id, 16), &there) == 0 && there;
}

/* What is referred to and not there: blobs and manifests, each once. */
static void check_dangling(struct check *check, struct ids *references, enum table table)
{
    const uint8_t *before = NULL;
    for (size_t i = 0; i < references->count; i++) {
        const uint8_t *id = references->bytes + i * references->width;
        if ((before == NULL || memcmp(before, id, references->width) != 0) && !has_row(check, table, id))
            found_id(check, table_name(table), span_of(id, references->width), "is referred to and missing");
        before = id;
    }
}

static int check_view(struct check *check)
{
    int rc;
    check->roots.width = check->children.width = check->nodes.width = 8;
    if ((rc = each(check, TABLE_BUCKETS, check_bucket)) != 0 ||
        (rc = each(check, TABLE_BUCKET_IDS, check_bucket_id)) != 0 ||
        (rc = each(check, TABLE_BUCKET_IDS, add_object_root)) != 0 ||
        (rc = each(check, TABLE_OBJECTS, check_object_row)) != 0)
        return rc;
    check_nodes(check, "objects");
    if ((rc = each(check, TABLE_BUCKET_IDS, add_uploads_root)) != 0 ||
        (rc = each(check, TABLE_UPLOADS, check_upload_row)) != 0)
        return rc;
    check_nodes(check, "uploads");
    check->roots.width = UPLOAD_ID_SIZE;
    if ((rc = each(check, TABLE_UPLOADS, add_upload_id)) != 0 || (rc = each(check, TABLE_PARTS, check_part)) != 0)
        return rc;
    manifest_parts_end(check);
    if ((rc = each(check, TABLE_MANIFESTS, check_manifest)) != 0 || (rc = each(check, TABLE_BLOBS, check_blob)) != 0 ||
        (rc = each(check, TABLE_GARBAGE, check_garbage)) != 0 ||
        (rc = each(check, TABLE_REPLICAS, check_replica)) != 0 ||
        (rc = each(check, TABLE_REPAIRS, check_repair)) != 0 || (rc = check_placements(check)) != 0)
        return rc;
    check_dangling(check, &check->blob_references, TABLE_BLOBS);
    check_dangling(check, &check->manifest_references, TABLE_MANIFESTS);
    if (txn_count(check->txn, TABLE_COMPLETED) != txn_count(check->txn, TABLE_COMPLETED_TIMES))
        found(check, "completed uploads and their times differ in number");
    if (txn_count(check->txn, TABLE_REPAIRS) != txn_count(check->txn, TABLE_REPAIR_TIMES))
        found(check, "repairs and their times differ in number");
    return 0;
}

/* --- the journal --- */

struct journal_end {
    uint64_t sequence;
};

static int note_sequence(const struct journal_record *record, void *arg)
{
    ((struct journal_end *)arg)->sequence = record->sequence;
    return 0;
}

static int check_journal(struct check *check, const char *path)
{
    struct journal_end end = {0};
    struct meta meta;
    uint64_t torn;
    int rc = index_journal_dump(path, note_sequence, &end, &torn);
    if (rc == ERR_CORRUPT) {
        found(check, "the journal is damaged: the log says where");
        return 0;
    }
    if (rc != 0 || (rc = meta_get(check->txn, &meta)) != 0)
        return rc;
    if (end.sequence != 0 && end.sequence != meta.sequence)
        found(check, "the view stands at mutation %" PRIu64 ", the journal at %" PRIu64, meta.sequence, end.sequence);
    return 0;
}

int index_check(const char *path, void (*report)(const char *line, void *arg), void *arg, uint64_t *findings)
{
    struct check check = {.report = report, .arg = arg};
    struct index_options options = {.path = path};
    struct index *index;
    check.blob_references.width = BLOB_ID_SIZE;
    check.manifest_references.width = UPLOAD_ID_SIZE;
    int rc = index_open(&options, &index);
    if (rc != 0)
        return rc;
    check.arena = arena_create(ROW_LIMIT);
    check.tally = tally_create();
    if (check.arena == NULL || check.tally == NULL) {
        rc = ERR_NOMEM;
        goto err0;
    }
    if ((rc = view_read(index_view(index), &check.txn)) != 0)
        goto err0;
    if ((rc = check_view(&check)) == 0)
        rc = check_journal(&check, path);
    *findings = check.findings;
    view_read_end(check.txn);
    ids_clear(&check.blob_references);
    ids_clear(&check.manifest_references);
    ids_clear(&check.roots);
    ids_clear(&check.children);
    ids_clear(&check.nodes);
err0:
    arena_free(check.arena);
    tally_free(check.tally);
    index_close(index);
    return rc;
}
