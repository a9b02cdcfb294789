#include "base/err.h"
#include "index/apply.h"

#define PART_SIZE_MIN   (5ULL << 20) /* docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
#define UPLOADS_A_TIME  1000         /* what one mutation may forget or abort */

static int upload_row(struct apply *apply, const struct bucket_nodes *nodes, struct span key, struct span id,
                      struct span *value)
{
    if (tree_key_valid(key) != 0 || id.len != UPLOAD_ID_SIZE)
        return ERR_NO_SUCH_UPLOAD;
    int rc = tree_get(apply->txn, TABLE_UPLOADS, nodes->uploads, key, id, NULL, value);
    return rc == ERR_NOT_FOUND ? ERR_NO_SUCH_UPLOAD : rc;
}

int apply_create_upload(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__CreateUpload *create = mutation->create_upload;
    struct bucket_nodes nodes;
    struct span unused;
    uint8_t *value;
    if (create->upload == NULL || create->upload->id.len != UPLOAD_ID_SIZE)
        return ERR_INVALID;
    Arca__Upload row = *create->upload;
    struct span key = record_bytes(row.key), id = record_bytes(row.id);
    int rc = tree_key_valid(key);
    if (rc != 0 || (rc = apply_bucket(apply, create->bucket_id, &nodes)) != 0)
        return rc;
    rc = tree_get(apply->txn, TABLE_UPLOADS, nodes.uploads, key, id, NULL, &unused);
    if (rc == ERR_NOT_FOUND)
        rc = txn_get(apply->txn, TABLE_COMPLETED, id, &unused);
    if (rc == ERR_NOT_FOUND)
        rc = txn_get(apply->txn, TABLE_MANIFESTS, id, &unused);
    if (rc != ERR_NOT_FOUND)
        return rc == 0 ? ERR_EXISTS : rc;
    row.uploads_node = nodes.uploads;
    rc = tree_reserve(apply->txn, TABLE_UPLOADS, nodes.uploads, key, id, arca__upload__get_packed_size(&row),
                      &apply->meta->next_id, &value);
    if (rc == 0)
        arca__upload__pack(&row, value);
    return rc;
}

/* --- parts --- */

static int part_get(struct apply *apply, struct span id, uint32_t number, Arca__Part **out)
{
    struct record_key key = key_numbered(id.ptr, number);
    return record_get(apply->txn, TABLE_PARTS, record_key_span(&key), &arca__part__descriptor, apply->arena, out);
}

static int part_put(struct apply *apply, struct span id, const Arca__Part *part)
{
    struct record_key key = key_numbered(id.ptr, part->number);
    return record_put(apply->txn, TABLE_PARTS, record_key_span(&key), part);
}

int apply_put_part(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__PutPart *put = mutation->put_part;
    struct span id = record_bytes(put->upload_id), row;
    struct bucket_nodes nodes;
    Arca__Part *old = NULL;
    if (put->part == NULL || put->part->number < 1 || put->part->number > PART_NUMBER_MAX)
        return ERR_INVALID;
    int rc = apply_bucket(apply, put->bucket_id, &nodes);
    if (rc != 0 || (rc = upload_row(apply, &nodes, record_bytes(put->key), id, &row)) != 0)
        return rc;
    struct span blob_id = record_bytes(put->part->blob_id);
    if (put->blob != NULL) {
        if ((rc = blob_check_new(apply, put->blob)) != 0)
            return rc;
        if (!span_eq(blob_id, record_bytes(put->blob->blob->id)))
            return ERR_INVALID;
    } else if (blob_id.len != 0) {
        return ERR_INVALID;
    }
    rc = part_get(apply, id, put->part->number, &old);
    if (rc != 0 && rc != ERR_NOT_FOUND)
        return rc;
    if (put->blob != NULL && (rc = blob_insert(apply, put->blob, 1)) != 0)
        return rc;
    if ((rc = part_put(apply, id, put->part)) != 0 || old == NULL)
        return rc;
    return body_release(apply, record_bytes(old->blob_id), SPAN_NONE);
}

/* --- completion --- */

/* All parts of the upload, by number; those that the client listed are kept. */
struct completion_parts {
    Arca__Part **parts;
    bool *kept;
    size_t count;
};

static int parts_load(struct apply *apply, struct span id, struct completion_parts *out)
{
    struct record_key start = key_numbered(id.ptr, 0);
    struct span key = record_key_span(&start), value;
    memset(out, 0, sizeof(*out));
    out->parts = arena_alloc(apply->arena, PART_NUMBER_MAX * sizeof(*out->parts));
    out->kept = arena_zalloc(apply->arena, PART_NUMBER_MAX);
    if (out->parts == NULL || out->kept == NULL)
        return ERR_NOMEM;
    int rc = txn_seek(apply->txn, TABLE_PARTS, MDB_SET_RANGE, &key, &value);
    for (; rc == 0 && span_starts(key, id); rc = txn_seek(apply->txn, TABLE_PARTS, MDB_NEXT, &key, &value)) {
        if (out->count == PART_NUMBER_MAX)
            return ERR_CORRUPT;
        if ((rc = record_unpack(&arca__part__descriptor, apply->arena, value, &out->parts[out->count])) != 0)
            return rc;
        out->count++;
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* Marks the listed parts and adds their sizes up. */
static int parts_check(const Arca__CompleteUpload *complete, struct completion_parts *all, uint64_t *size)
{
    size_t at = 0;
    uint32_t last = 0;
    *size = 0;
    if (complete->n_parts == 0)
        return ERR_INVALID_PART;
    for (size_t i = 0; i < complete->n_parts; i++) {
        const Arca__CompletedPart *wanted = complete->parts[i];
        if (wanted->number <= last)
            return ERR_PART_ORDER;
        last = wanted->number;
        while (at < all->count && all->parts[at]->number < wanted->number)
            at++;
        if (at == all->count || all->parts[at]->number != wanted->number ||
            !span_eq(span_str(all->parts[at]->etag), span_str(wanted->etag)))
            return ERR_INVALID_PART;
        all->kept[at] = true;
        if (__builtin_add_overflow(*size, all->parts[at]->size, size))
            return ERR_TOO_LARGE;
    }
    return 0;
}

static int parts_check_sizes(const struct completion_parts *all, size_t count)
{
    size_t seen = 0;
    for (size_t i = 0; i < all->count; i++)
        if (all->kept[i] && ++seen < count && all->parts[i]->size < PART_SIZE_MIN)
            return ERR_PART_TOO_SMALL;
    return 0;
}

static int parts_finish(struct apply *apply, struct span id, const struct completion_parts *all)
{
    uint64_t offset = 0;
    int rc = 0;
    for (size_t i = 0; i < all->count && rc == 0; i++) {
        Arca__Part *part = all->parts[i];
        if (all->kept[i]) {
            part->offset = offset;
            offset += part->size;
            rc = part_put(apply, id, part);
            continue;
        }
        struct record_key key = key_numbered(id.ptr, part->number);
        if ((rc = txn_delete(apply->txn, TABLE_PARTS, record_key_span(&key))) == 0)
            rc = body_release(apply, record_bytes(part->blob_id), SPAN_NONE);
    }
    return rc;
}

/* Moves the upload's row to where repeated completions find it. */
static int upload_finish(struct apply *apply, const struct bucket_nodes *nodes, Arca__Upload *upload, const char *etag)
{
    struct span id = record_bytes(upload->id);
    struct record_key time = key_timed(apply->now_ms, id.ptr);
    int rc = tree_delete(apply->txn, TABLE_UPLOADS, nodes->uploads, record_bytes(upload->key), id);
    if (rc != 0)
        return rc;
    upload->completed_etag = (char *)etag;
    upload->completed_ms = apply->now_ms;
    if ((rc = record_put(apply->txn, TABLE_COMPLETED, id, upload)) != 0)
        return rc;
    return txn_put(apply->txn, TABLE_COMPLETED_TIMES, record_key_span(&time), SPAN_NONE);
}

/* 0 when this very upload was completed before to the same ETag, that is with the same parts; ERR_NO_SUCH_UPLOAD
 * otherwise. */
static int completed_before(struct apply *apply, const struct bucket_nodes *nodes,
                            const Arca__CompleteUpload *complete)
{
    struct span key = record_bytes(complete->key), id = record_bytes(complete->upload_id);
    Arca__Upload *upload;
    if (id.len != UPLOAD_ID_SIZE || complete->object == NULL)
        return ERR_NO_SUCH_UPLOAD;
    int rc = record_get(apply->txn, TABLE_COMPLETED, id, &arca__upload__descriptor, apply->arena, &upload);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? ERR_NO_SUCH_UPLOAD : rc;
    bool same = upload->uploads_node == nodes->uploads && span_eq(record_bytes(upload->key), key) &&
                strcmp(upload->completed_etag, complete->object->etag) == 0;
    return same ? 0 : ERR_NO_SUCH_UPLOAD;
}

static int complete_rows(struct apply *apply, const struct bucket_nodes *nodes, const Arca__CompleteUpload *complete,
                         Arca__Upload *upload, const struct completion_parts *parts)
{
    struct span key = record_bytes(complete->key), id = record_bytes(complete->upload_id);
    Arca__Object *old, object = *complete->object;
    Arca__Manifest manifest = ARCA__MANIFEST__INIT;
    uint8_t version[VERSION_SIZE];
    int rc = object_newest(apply, nodes->objects, key, &old, version);
    if (rc != 0 || (rc = index_precondition(complete->precondition, old)) != 0)
        return rc;
    if ((rc = parts_finish(apply, id, parts)) != 0)
        return rc;
    manifest.references = 1;
    manifest.part_count = (uint32_t)complete->n_parts;
    object.manifest_id = complete->upload_id;
    object.blob_id = (ProtobufCBinaryData){0, NULL};
    if ((rc = record_put(apply->txn, TABLE_MANIFESTS, id, &manifest)) != 0 ||
        (rc = upload_finish(apply, nodes, upload, object.etag)) != 0)
        return rc;
    return object_replace(apply, nodes->objects, key, &object, old, version);
}

int apply_complete_upload(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__CompleteUpload *complete = mutation->complete_upload;
    struct span key = record_bytes(complete->key), id = record_bytes(complete->upload_id), row;
    struct bucket_nodes nodes;
    struct completion_parts parts;
    Arca__Upload *upload;
    uint64_t size;
    int rc = apply_bucket(apply, complete->bucket_id, &nodes);
    if (rc != 0)
        return rc;
    if ((rc = upload_row(apply, &nodes, key, id, &row)) != 0)
        return rc == ERR_NO_SUCH_UPLOAD ? completed_before(apply, &nodes, complete) : rc;
    if (complete->object == NULL)
        return ERR_INVALID;
    if ((rc = record_unpack(&arca__upload__descriptor, apply->arena, row, &upload)) != 0 ||
        (rc = parts_load(apply, id, &parts)) != 0 || (rc = parts_check(complete, &parts, &size)) != 0 ||
        (rc = parts_check_sizes(&parts, complete->n_parts)) != 0)
        return rc;
    if (complete->object->size != size || complete->object->part_count != complete->n_parts)
        return ERR_INVALID;
    return complete_rows(apply, &nodes, complete, upload, &parts);
}

/* --- the end of uploads --- */

int apply_abort_upload(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__AbortUpload *abort = mutation->abort_upload;
    struct span key = record_bytes(abort->key), id = record_bytes(abort->upload_id), row;
    struct bucket_nodes nodes;
    int rc = apply_bucket(apply, abort->bucket_id, &nodes);
    if (rc != 0 || (rc = upload_row(apply, &nodes, key, id, &row)) != 0)
        return rc;
    if ((rc = parts_release(apply, id)) != 0)
        return rc;
    return tree_delete(apply->txn, TABLE_UPLOADS, nodes.uploads, key, id);
}

static int parts_count(struct apply *apply, struct span id, size_t limit, size_t *count)
{
    struct record_key start = key_numbered(id.ptr, 0);
    struct span key = record_key_span(&start), value;
    int rc = txn_seek(apply->txn, TABLE_PARTS, MDB_SET_RANGE, &key, &value);
    while (rc == 0 && span_starts(key, id) && ++*count <= limit)
        rc = txn_seek(apply->txn, TABLE_PARTS, MDB_NEXT, &key, &value);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int uploads_drop(struct apply *apply, uint64_t uploads_node)
{
    struct tree_cursor cursor;
    size_t count = 0;
    int rc;
    tree_cursor_init(&cursor, apply->txn, TABLE_UPLOADS, uploads_node);
    for (rc = tree_seek(&cursor, SPAN_NONE, TREE_AT); rc == 0; rc = tree_next(&cursor)) {
        int failed = parts_count(apply, cursor.suffix, UPLOADS_A_TIME, &count);
        if (failed != 0)
            return failed;
        if (++count > UPLOADS_A_TIME)
            return ERR_BUCKET_NOT_EMPTY;
    }
    while ((rc = tree_seek(&cursor, SPAN_NONE, TREE_AT)) == 0) {
        uint8_t id[UPLOAD_ID_SIZE];
        memcpy(id, cursor.suffix.ptr, UPLOAD_ID_SIZE);
        if ((rc = parts_release(apply, span_of(id, sizeof(id)))) != 0 ||
            (rc = tree_delete(apply->txn, TABLE_UPLOADS, uploads_node, tree_cursor_key(&cursor),
                              span_of(id, sizeof(id)))) != 0)
            return rc;
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int apply_forget_uploads(struct apply *apply, const Arca__Mutation *mutation)
{
    int64_t before_ms = mutation->forget_uploads->completed_before_ms;
    for (int i = 0; i < UPLOADS_A_TIME; i++) {
        struct span key = SPAN_NONE, value;
        int rc = txn_seek(apply->txn, TABLE_COMPLETED_TIMES, MDB_FIRST, &key, &value);
        if (rc != 0)
            return rc == ERR_NOT_FOUND ? 0 : rc;
        if (key.len != 24)
            return ERR_CORRUPT;
        if ((int64_t)be64_get(key.ptr) >= before_ms)
            return 0;
        uint8_t bytes[24];
        memcpy(bytes, key.ptr, sizeof(bytes));
        if ((rc = txn_delete(apply->txn, TABLE_COMPLETED, span_of(bytes + 8, 16))) != 0 && rc != ERR_NOT_FOUND)
            return rc;
        if ((rc = txn_delete(apply->txn, TABLE_COMPLETED_TIMES, span_of(bytes, sizeof(bytes)))) != 0)
            return rc;
    }
    return 0;
}
