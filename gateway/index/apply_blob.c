#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "crypto/envelope.h"
#include "index/apply.h"

bool blob_id_valid(struct span id)
{
    return id.len == BLOB_ID_SIZE;
}

static int blob_get(struct apply *apply, struct span id, Arca__Blob **out)
{
    return record_get(apply->txn, TABLE_BLOBS, id, &arca__blob__descriptor, apply->arena, out);
}

static int manifest_get(struct apply *apply, struct span id, Arca__Manifest **out)
{
    return record_get(apply->txn, TABLE_MANIFESTS, id, &arca__manifest__descriptor, apply->arena, out);
}

/* A row that others name and that is not there. The change goes on without it: an object must stay deletable. */
static int dangling(const char *what, struct span id)
{
    char hex[2 * BLOB_ID_SIZE + 1];
    text_hex(span_take(id, BLOB_ID_SIZE), hex);
    log_error("index_dangling", "%s %s is referred to and not in the index", what, hex);
    return 0;
}

/* --- blobs --- */

bool replica_valid(const Arca__Replica *replica)
{
    size_t len = strnlen(replica->backend, NAME_LENGTH_MAX + 1);
    return len > 0 && len <= NAME_LENGTH_MAX &&
           (replica->state == ARCA__REPLICA__STATE__GOOD || replica->state == ARCA__REPLICA__STATE__SUSPECT);
}

static bool replicas_valid(Arca__Replica *const *replicas, size_t count)
{
    if (count > MEMBERS_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!replica_valid(replicas[i]))
            return false;
        for (size_t j = 0; j < i; j++)
            if (strcmp(replicas[i]->backend, replicas[j]->backend) == 0)
                return false;
    }
    return true;
}

/* The replicas stand in the blob if it has one extent, else in rows of as many extents as it counts. */
static bool new_blob_valid(const Arca__NewBlob *new)
{
    const Arca__Blob *blob = new->blob;
    if (blob == NULL || !blob_id_valid(record_bytes(blob->id)) || blob->size == 0 || blob->extent_count == 0 ||
        strnlen(blob->placement, NAME_LENGTH_MAX + 1) > NAME_LENGTH_MAX)
        return false;
    if (blob->extent_count == 1)
        return new->n_extents == 0 && replicas_valid(blob->replicas, blob->n_replicas);
    bool valid = new->n_extents == blob->extent_count && blob->n_replicas == 0;
    for (size_t i = 0; i < new->n_extents && valid; i++)
        valid = new->extents[i]->number == i && replicas_valid(new->extents[i]->replicas, new->extents[i]->n_replicas);
    return valid;
}

int blob_check_new(struct apply *apply, const Arca__NewBlob *blob)
{
    struct span unused;
    if (!new_blob_valid(blob))
        return ERR_INVALID;
    int rc = txn_get(apply->txn, TABLE_BLOBS, record_bytes(blob->blob->id), &unused);
    return rc == 0 ? ERR_EXISTS : rc == ERR_NOT_FOUND ? 0 : rc;
}

int holdings_change(struct apply *apply, const Arca__Blob *blob, uint32_t extent, Arca__Replica *const *replicas,
                    size_t count, int sign)
{
    uint64_t size = envelope_blob_extent_size((enum envelope_suite)blob->suite, blob->size, blob->extent_size,
                                              blob->extent_count, extent);
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = tally_add(apply->tally, apply->txn, blob->placement, replicas[i]->backend, sign, size);
    return rc;
}

static int garbage_put(struct apply *apply, struct span id, int64_t since_ms)
{
    Arca__Garbage row = ARCA__GARBAGE__INIT;
    struct record_key key = key_timed(since_ms, id.ptr);
    row.blob_id = (ProtobufCBinaryData){id.len, (uint8_t *)id.ptr};
    row.since_ms = since_ms;
    return record_put(apply->txn, TABLE_GARBAGE, record_key_span(&key), &row);
}

int blob_insert(struct apply *apply, const Arca__NewBlob *blob, uint32_t references)
{
    Arca__Blob row = *blob->blob;
    struct span id = record_bytes(row.id);
    row.references = references;
    row.garbage_ms = references == 0 ? apply->now_ms : 0;
    row.manifest_id = (ProtobufCBinaryData){0, NULL};
    int rc = record_put(apply->txn, TABLE_BLOBS, id, &row);
    if (rc == 0)
        rc = holdings_change(apply, &row, 0, row.replicas, row.n_replicas, 1);
    for (size_t i = 0; i < blob->n_extents && rc == 0; i++) {
        const Arca__Extent *extent = blob->extents[i];
        struct record_key key = key_numbered(id.ptr, extent->number);
        rc = record_put(apply->txn, TABLE_REPLICAS, record_key_span(&key), extent);
        if (rc == 0)
            rc = holdings_change(apply, &row, extent->number, extent->replicas, extent->n_replicas, 1);
    }
    if (rc == 0 && references != 0)
        return repairs_add(apply, blob);
    return rc == 0 ? garbage_put(apply, id, apply->now_ms) : rc;
}

/* `manifest_id`: of the part that it was the body of, if its rows stay. */
static int blob_release(struct apply *apply, struct span id, struct span manifest_id)
{
    Arca__Blob *blob;
    int rc = blob_get(apply, id, &blob);
    if (rc == ERR_NOT_FOUND || (rc == 0 && blob->references == 0))
        return dangling("blob", id);
    if (rc != 0)
        return rc;
    if (--blob->references == 0) {
        blob->garbage_ms = apply->now_ms;
        blob->manifest_id = (ProtobufCBinaryData){manifest_id.len, (uint8_t *)manifest_id.ptr};
        if ((rc = garbage_put(apply, id, apply->now_ms)) != 0 || (rc = repairs_forget(apply, id)) != 0)
            return rc;
    }
    return record_put(apply->txn, TABLE_BLOBS, id, blob);
}

/* --- parts --- */

enum part_rows { PARTS_STAY, PARTS_GO };

/* The blobs of all parts of an upload or manifest. `*bodies` counts them. */
static int parts_walk(struct apply *apply, struct span id, enum part_rows rows, bool release, size_t *bodies)
{
    struct record_key start = key_numbered(id.ptr, 0);
    struct span key = record_key_span(&start), value;
    uint8_t bytes[24];
    int rc;
    *bodies = 0;
    /* Copies of the key, since the row that it points to changes; sought again each time for the same reason. */
    while ((rc = txn_seek(apply->txn, TABLE_PARTS, MDB_SET_RANGE, &key, &value)) == 0 && span_starts(key, id)) {
        Arca__Part *part;
        size_t len = key.len;
        if (len != 20)
            return ERR_CORRUPT;
        memcpy(bytes, key.ptr, len);
        if ((rc = record_unpack(&arca__part__descriptor, apply->arena, value, &part)) != 0)
            return rc;
        if (part->blob_id.len != 0) {
            ++*bodies;
            if (release &&
                (rc = blob_release(apply, record_bytes(part->blob_id), rows == PARTS_STAY ? id : SPAN_NONE)) != 0)
                return rc;
        }
        if (rows == PARTS_GO && (rc = txn_delete(apply->txn, TABLE_PARTS, span_of(bytes, len))) != 0)
            return rc;
        bytes[len] = 0;
        key = span_of(bytes, len + 1);
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int parts_release(struct apply *apply, struct span upload_id)
{
    size_t bodies;
    return parts_walk(apply, upload_id, PARTS_GO, true, &bodies);
}

static int manifest_forget(struct apply *apply, struct span id)
{
    size_t bodies;
    int rc = parts_walk(apply, id, PARTS_GO, false, &bodies);
    if (rc != 0)
        return rc;
    rc = txn_delete(apply->txn, TABLE_MANIFESTS, id);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* A manifest and its part rows outlive its last reference as long as its blobs do: until they are collected, a reader
 * that began before goes on from part to part. */
static int manifest_release(struct apply *apply, struct span id)
{
    Arca__Manifest *manifest;
    size_t bodies;
    int rc = manifest_get(apply, id, &manifest);
    if (rc == ERR_NOT_FOUND || (rc == 0 && manifest->references == 0))
        return dangling("manifest", id);
    if (rc != 0)
        return rc;
    manifest->references--;
    if ((rc = record_put(apply->txn, TABLE_MANIFESTS, id, manifest)) != 0 || manifest->references != 0)
        return rc;
    if ((rc = parts_walk(apply, id, PARTS_STAY, true, &bodies)) != 0)
        return rc;
    return bodies == 0 ? manifest_forget(apply, id) : 0;
}

/* --- bodies: what an object refers to --- */

int body_check(struct apply *apply, struct span blob_id, struct span manifest_id)
{
    Arca__Blob *blob;
    Arca__Manifest *manifest;
    int rc = 0;
    if (blob_id.len != 0) {
        if (!blob_id_valid(blob_id) || manifest_id.len != 0)
            return ERR_INVALID;
        if ((rc = blob_get(apply, blob_id, &blob)) == 0)
            rc = blob->references == 0 ? ERR_NOT_FOUND : blob->references == UINT32_MAX ? ERR_TOO_LARGE : 0;
    } else if (manifest_id.len != 0) {
        if (manifest_id.len != UPLOAD_ID_SIZE)
            return ERR_INVALID;
        if ((rc = manifest_get(apply, manifest_id, &manifest)) == 0)
            rc = manifest->references == 0 ? ERR_NOT_FOUND : manifest->references == UINT32_MAX ? ERR_TOO_LARGE : 0;
    }
    return rc;
}

int body_reference(struct apply *apply, struct span blob_id, struct span manifest_id)
{
    Arca__Blob *blob;
    Arca__Manifest *manifest;
    int rc = 0;
    if (blob_id.len != 0) {
        if ((rc = blob_get(apply, blob_id, &blob)) != 0)
            return rc;
        blob->references++;
        rc = record_put(apply->txn, TABLE_BLOBS, blob_id, blob);
    } else if (manifest_id.len != 0) {
        if ((rc = manifest_get(apply, manifest_id, &manifest)) != 0)
            return rc;
        manifest->references++;
        rc = record_put(apply->txn, TABLE_MANIFESTS, manifest_id, manifest);
    }
    return rc;
}

int body_release(struct apply *apply, struct span blob_id, struct span manifest_id)
{
    if (blob_id.len != 0)
        return blob_release(apply, blob_id, SPAN_NONE);
    return manifest_id.len != 0 ? manifest_release(apply, manifest_id) : 0;
}

/* --- garbage --- */

int apply_add_garbage(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__NewBlob *blob = mutation->add_garbage->blob;
    if (blob == NULL)
        return ERR_INVALID;
    int rc = blob_check_new(apply, blob);
    return rc != 0 ? rc : blob_insert(apply, blob, 0);
}

/* An extent of several, with its row. */
static int extent_forget(struct apply *apply, const Arca__Blob *blob, uint32_t number)
{
    Arca__Extent *extent;
    struct record_key key = key_numbered(blob->id.data, number);
    int rc = record_get(apply->txn, TABLE_REPLICAS, record_key_span(&key), &arca__extent__descriptor, apply->arena,
                        &extent);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc != 0 || (rc = holdings_change(apply, blob, number, extent->replicas, extent->n_replicas, -1)) != 0)
        return rc;
    return txn_delete(apply->txn, TABLE_REPLICAS, record_key_span(&key));
}

static int blob_forget(struct apply *apply, struct span id)
{
    Arca__Blob *blob;
    int rc = blob_get(apply, id, &blob);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    struct record_key key = key_timed(blob->garbage_ms, id.ptr);
    if ((rc = txn_delete(apply->txn, TABLE_GARBAGE, record_key_span(&key))) != 0 && rc != ERR_NOT_FOUND)
        return rc;
    if (blob->extent_count == 1 && (rc = holdings_change(apply, blob, 0, blob->replicas, blob->n_replicas, -1)) != 0)
        return rc;
    for (uint32_t i = 0; blob->extent_count > 1 && i < blob->extent_count; i++) {
        if ((rc = extent_forget(apply, blob, i)) != 0)
            return rc;
    }
    if (blob->manifest_id.len == UPLOAD_ID_SIZE && (rc = manifest_forget(apply, record_bytes(blob->manifest_id))) != 0)
        return rc;
    return txn_delete(apply->txn, TABLE_BLOBS, id);
}

int apply_collected(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__Collected *collected = mutation->collected;
    for (size_t i = 0; i < collected->n_blob_ids; i++) {
        Arca__Blob *blob;
        struct span id = record_bytes(collected->blob_ids[i]);
        int rc = blob_id_valid(id) ? blob_get(apply, id, &blob) : ERR_INVALID;
        if (rc == 0 && blob->references != 0)
            rc = ERR_INVALID;
        if (rc != 0 && rc != ERR_NOT_FOUND)
            return rc;
    }
    for (size_t i = 0; i < collected->n_blob_ids; i++) {
        int rc = blob_forget(apply, record_bytes(collected->blob_ids[i]));
        if (rc != 0)
            return rc;
    }
    return 0;
}
