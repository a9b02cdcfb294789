#include "base/err.h"
#include "index/apply.h"

/* --- preconditions --- */

static bool listed(char *const *etags, size_t count, const char *etag)
{
    for (size_t i = 0; i < count; i++)
        if (span_eq(span_str(etags[i]), span_str(etag)))
            return true;
    return false;
}

int index_precondition(const Arca__Precondition *precondition, const Arca__Object *present)
{
    if (precondition == NULL)
        return 0;
    const Arca__Precondition *p = precondition;
    if (present == NULL)
        return p->must_exist || p->n_if_match != 0 || p->has_size || p->has_modified_exact ? ERR_NO_SUCH_KEY : 0;
    int64_t modified = present->modified_ms / 1000;
    bool holds = !p->must_not_exist && (p->n_if_match == 0 || listed(p->if_match, p->n_if_match, present->etag)) &&
                 !listed(p->if_none_match, p->n_if_none_match, present->etag) &&
                 (!p->has_unmodified_since || modified <= p->unmodified_since) &&
                 (!p->has_modified_since || modified > p->modified_since) &&
                 (!p->has_size || present->size == p->size) &&
                 (!p->has_modified_exact || modified == p->modified_exact);
    return holds ? 0 : ERR_PRECONDITION;
}

/* --- rows --- */

int object_newest(struct apply *apply, uint64_t node, struct span key, Arca__Object **out,
                  uint8_t version[VERSION_SIZE])
{
    struct span suffix, value;
    int rc = tree_get(apply->txn, TABLE_OBJECTS, node, key, SPAN_NONE, &suffix, &value);
    *out = NULL;
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    memcpy(version, suffix.ptr, VERSION_SIZE);
    return record_unpack(&arca__object__descriptor, apply->arena, value, out);
}

int object_replace(struct apply *apply, uint64_t node, struct span key, const Arca__Object *object,
                   const Arca__Object *old, const uint8_t old_version[VERSION_SIZE])
{
    Arca__Object row = *object;
    uint8_t version[VERSION_SIZE], *value;
    row.version = apply->sequence;
    tree_version(row.version, version);
    int rc = tree_reserve(apply->txn, TABLE_OBJECTS, node, key, span_of(version, VERSION_SIZE),
                          arca__object__get_packed_size(&row), &apply->meta->next_id, &value);
    if (rc != 0)
        return rc;
    arca__object__pack(&row, value);
    if (old == NULL)
        return 0;
    if ((rc = tree_delete(apply->txn, TABLE_OBJECTS, node, key, span_of(old_version, VERSION_SIZE))) != 0)
        return rc;
    return body_release(apply, record_bytes(old->blob_id), record_bytes(old->manifest_id));
}

/* --- operations --- */

int apply_put_object(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__PutObject *put = mutation->put_object;
    struct span key = record_bytes(put->key);
    struct bucket_nodes nodes;
    Arca__Object *old;
    uint8_t version[VERSION_SIZE];
    int rc = tree_key_valid(key);
    if (rc != 0 || (rc = apply_bucket(apply, put->bucket_id, &nodes)) != 0)
        return rc;
    if (put->object == NULL)
        return ERR_INVALID;
    struct span blob_id = record_bytes(put->object->blob_id), manifest_id = record_bytes(put->object->manifest_id);
    if ((rc = object_newest(apply, nodes.objects, key, &old, version)) != 0 ||
        (rc = index_precondition(put->precondition, old)) != 0)
        return rc;
    if (put->blob == NULL) {
        if ((rc = body_check(apply, blob_id, manifest_id)) == 0)
            rc = body_reference(apply, blob_id, manifest_id);
    } else {
        if ((rc = blob_check_new(apply, put->blob)) != 0)
            return rc;
        if (!span_eq(blob_id, record_bytes(put->blob->blob->id)) || manifest_id.len != 0)
            return ERR_INVALID;
        rc = blob_insert(apply, put->blob, 1);
    }
    return rc != 0 ? rc : object_replace(apply, nodes.objects, key, put->object, old, version);
}

int apply_delete_object(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__DeleteObject *del = mutation->delete_object;
    struct span key = record_bytes(del->key);
    struct bucket_nodes nodes;
    Arca__Object *old = NULL;
    uint8_t version[VERSION_SIZE];
    int rc = apply_bucket(apply, del->bucket_id, &nodes);
    if (rc != 0)
        return rc;
    if (tree_key_valid(key) == 0 && (rc = object_newest(apply, nodes.objects, key, &old, version)) != 0)
        return rc;
    if ((rc = index_precondition(del->precondition, old)) != 0 || old == NULL)
        return rc;
    if ((rc = tree_delete(apply->txn, TABLE_OBJECTS, nodes.objects, key, span_of(version, VERSION_SIZE))) != 0)
        return rc;
    return body_release(apply, record_bytes(old->blob_id), record_bytes(old->manifest_id));
}
