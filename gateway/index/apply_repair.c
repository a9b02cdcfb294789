/* The replicas of an extent after its blob came into the index: what is added, taken away, found to be damaged, and the
 * rows that tell repair what to do. An extent with a suspect replica always has one. Which backends are to have it is
 * the placement's row's to say, as it is when the mutation is applied. */
#include "base/err.h"
#include "index/apply.h"

/* Where an extent's replicas stand: in its own row, or in the blob's when it is the only one. */
struct place {
    Arca__Blob *blob;
    Arca__Extent *row; /* NULL: the blob's */
    Arca__Replica ***replicas;
    size_t *count;
    const Arca__Placement *set; /* NULL: the placement has no row */
};

static int place_find(struct apply *apply, struct span blob_id, uint32_t extent, struct place *out)
{
    if (!blob_id_valid(blob_id))
        return ERR_INVALID;
    *out = (struct place){0};
    int rc = record_get(apply->txn, TABLE_BLOBS, blob_id, &arca__blob__descriptor, apply->arena, &out->blob);
    if (rc != 0 || (rc = tally_set(apply->tally, apply->txn, out->blob->placement, &out->set)) != 0)
        return rc;
    if (out->blob->references == 0 || extent >= out->blob->extent_count)
        return ERR_NOT_FOUND;
    if (out->blob->extent_count == 1) {
        out->replicas = &out->blob->replicas;
        out->count = &out->blob->n_replicas;
        return 0;
    }
    struct record_key key = key_numbered(blob_id.ptr, extent);
    rc = record_get(apply->txn, TABLE_REPLICAS, record_key_span(&key), &arca__extent__descriptor, apply->arena,
                    &out->row);
    if (rc != 0)
        return rc;
    out->replicas = &out->row->replicas;
    out->count = &out->row->n_replicas;
    return 0;
}

static int place_put(struct apply *apply, const struct place *place)
{
    struct span id = record_bytes(place->blob->id);
    if (place->row == NULL)
        return record_put(apply->txn, TABLE_BLOBS, id, place->blob);
    struct record_key key = key_numbered(id.ptr, place->row->number);
    return record_put(apply->txn, TABLE_REPLICAS, record_key_span(&key), place->row);
}

/* --- wanted --- */

bool member_wanted(const Arca__Member *member)
{
    return member->role == ARCA__MEMBER__ROLE__MEMBER || member->role == ARCA__MEMBER__ROLE__JOINING;
}

static bool set_wants(const Arca__Placement *set, const char *backend)
{
    for (size_t i = 0; i < set->n_members; i++)
        if (strcmp(set->members[i]->backend, backend) == 0)
            return member_wanted(set->members[i]);
    return false;
}

static bool good_on(Arca__Replica *const *replicas, size_t count, const char *backend)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(replicas[i]->backend, backend) == 0)
            return replicas[i]->state == ARCA__REPLICA__STATE__GOOD;
    return false;
}

bool replicas_meet(const Arca__Placement *set, Arca__Replica *const *replicas, size_t count)
{
    for (size_t i = 0; set != NULL && i < set->n_members; i++)
        if (member_wanted(set->members[i]) && !good_on(replicas, count, set->members[i]->backend))
            return false;
    return true;
}

bool replicas_whole(const Arca__Placement *set, Arca__Replica *const *replicas, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (replicas[i]->state != ARCA__REPLICA__STATE__GOOD)
            return false;
    return replicas_meet(set, replicas, count);
}

static bool is_whole(const struct place *place)
{
    return replicas_whole(place->set, *place->replicas, *place->count);
}

static Arca__Replica **find_backend(const struct place *place, const char *backend)
{
    for (size_t i = 0; i < *place->count; i++) {
        if (strcmp((*place->replicas)[i]->backend, backend) == 0)
            return &(*place->replicas)[i];
    }
    return NULL;
}

/* --- repair rows --- */

static int repair_get(struct apply *apply, struct span blob_id, uint32_t extent, Arca__Repair **out)
{
    struct record_key key = key_numbered(blob_id.ptr, extent);
    return record_get(apply->txn, TABLE_REPAIRS, record_key_span(&key), &arca__repair__descriptor, apply->arena, out);
}

static int repair_put(struct apply *apply, const Arca__Repair *row)
{
    struct span id = record_bytes(row->blob_id);
    struct record_key key = key_numbered(id.ptr, row->extent), due = key_due(row->next_ms, id.ptr, row->extent);
    int rc = record_put(apply->txn, TABLE_REPAIRS, record_key_span(&key), row);
    return rc != 0 ? rc : txn_put(apply->txn, TABLE_REPAIR_TIMES, record_key_span(&due), SPAN_NONE);
}

static int repair_add(struct apply *apply, struct span blob_id, uint32_t extent, int64_t next_ms)
{
    Arca__Repair row = ARCA__REPAIR__INIT;
    row.blob_id = (ProtobufCBinaryData){blob_id.len, (uint8_t *)blob_id.ptr};
    row.extent = extent;
    row.since_ms = apply->now_ms;
    row.next_ms = next_ms;
    return repair_put(apply, &row);
}

static int repair_move(struct apply *apply, Arca__Repair *row, int64_t next_ms)
{
    struct record_key due = key_due(row->next_ms, row->blob_id.data, row->extent);
    int rc = txn_delete(apply->txn, TABLE_REPAIR_TIMES, record_key_span(&due));
    if (rc != 0 && rc != ERR_NOT_FOUND)
        return rc;
    row->next_ms = next_ms;
    return repair_put(apply, row);
}

static int repair_forget(struct apply *apply, struct span blob_id, uint32_t extent)
{
    Arca__Repair *row;
    int rc = repair_get(apply, blob_id, extent, &row);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    struct record_key key = key_numbered(blob_id.ptr, extent), due = key_due(row->next_ms, blob_id.ptr, extent);
    if ((rc = txn_delete(apply->txn, TABLE_REPAIR_TIMES, record_key_span(&due))) != 0 && rc != ERR_NOT_FOUND)
        return rc;
    return txn_delete(apply->txn, TABLE_REPAIRS, record_key_span(&key));
}

int repairs_forget(struct apply *apply, struct span blob_id)
{
    struct span key = blob_id, unused;
    int rc;
    while ((rc = txn_seek(apply->txn, TABLE_REPAIRS, MDB_SET_RANGE, &key, &unused)) == 0 && span_starts(key, blob_id)) {
        if (key.len != BLOB_ID_SIZE + 4)
            return ERR_CORRUPT;
        if ((rc = repair_forget(apply, blob_id, be32_get(key.ptr + BLOB_ID_SIZE))) != 0)
            return rc;
        key = blob_id;
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int repairs_add(struct apply *apply, const Arca__NewBlob *blob)
{
    struct span id = record_bytes(blob->blob->id);
    struct place place = {.replicas = &blob->blob->replicas, .count = &blob->blob->n_replicas};
    int rc = tally_set(apply->tally, apply->txn, blob->blob->placement, &place.set);
    if (rc == 0 && blob->blob->extent_count == 1 && !is_whole(&place))
        rc = repair_add(apply, id, 0, blob->repair_ms);
    for (size_t i = 0; rc == 0 && i < blob->n_extents; i++) {
        place.replicas = &blob->extents[i]->replicas;
        place.count = &blob->extents[i]->n_replicas;
        if (!is_whole(&place))
            rc = repair_add(apply, id, blob->extents[i]->number, blob->repair_ms);
    }
    return rc;
}

/* --- the operations --- */

/* Another pointer at the end of the array. */
static int append(struct apply *apply, const struct place *place, Arca__Replica *replica)
{
    Arca__Replica **replicas = arena_alloc(apply->arena, (*place->count + 1) * sizeof(*replicas));
    if (replicas == NULL)
        return ERR_NOMEM;
    if (*place->count > 0)
        memcpy(replicas, *place->replicas, *place->count * sizeof(*replicas));
    replicas[(*place->count)++] = replica;
    *place->replicas = replicas;
    return 0;
}

int apply_add_replica(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__AddReplica *add = mutation->add_replica;
    struct span id = record_bytes(add->blob_id);
    struct place place;
    if (add->replica == NULL || !replica_valid(add->replica) || add->replica->state != ARCA__REPLICA__STATE__GOOD)
        return ERR_INVALID;
    int rc = place_find(apply, id, add->extent, &place);
    if (rc != 0)
        return rc;
    Arca__Replica **present = find_backend(&place, add->replica->backend);
    if (present == NULL) {
        if ((rc = append(apply, &place, add->replica)) == 0)
            rc = holdings_change(apply, place.blob, add->extent, &add->replica, 1, 1);
    } else if ((*present)->state != ARCA__REPLICA__STATE__SUSPECT || add->instead == NULL ||
               !span_eq(record_bytes((*present)->locator), record_bytes(add->instead->locator))) {
        rc = ERR_EXISTS;
    } else {
        *present = add->replica;
    }
    if (rc == 0)
        rc = place_put(apply, &place);
    return rc == 0 && is_whole(&place) ? repair_forget(apply, id, add->extent) : rc;
}

int apply_remove_replica(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__RemoveReplica *remove = mutation->remove_replica;
    struct span id = record_bytes(remove->blob_id);
    struct place place;
    if (remove->replica == NULL)
        return ERR_INVALID;
    int rc = place_find(apply, id, remove->extent, &place);
    if (rc != 0)
        return rc;
    Arca__Replica **present = find_backend(&place, remove->replica->backend);
    if (present == NULL || !span_eq(record_bytes((*present)->locator), record_bytes(remove->replica->locator)))
        return ERR_NOT_FOUND;
    if (place.set == NULL || set_wants(place.set, remove->replica->backend) ||
        !replicas_meet(place.set, *place.replicas, *place.count))
        return ERR_CONFLICT;
    rc = holdings_change(apply, place.blob, remove->extent, present, 1, -1);
    Arca__Replica **end = *place.replicas + --*place.count;
    memmove(present, present + 1, (size_t)(end - present) * sizeof(*present));
    if (rc != 0 || (rc = place_put(apply, &place)) != 0)
        return rc;
    return is_whole(&place) ? repair_forget(apply, id, remove->extent) : 0;
}

int apply_mark_replica(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__MarkReplica *mark = mutation->mark_replica;
    struct span id = record_bytes(mark->blob_id);
    struct place place;
    Arca__Repair *repair;
    if (mark->replica == NULL || !replica_valid(mark->replica))
        return ERR_INVALID;
    int rc = place_find(apply, id, mark->extent, &place);
    if (rc != 0)
        return rc;
    Arca__Replica **present = find_backend(&place, mark->replica->backend);
    if (present == NULL || !span_eq(record_bytes((*present)->locator), record_bytes(mark->replica->locator)) ||
        (*present)->state == mark->replica->state)
        return 0;
    if ((rc = repair_get(apply, id, mark->extent, &repair)) != 0 && rc != ERR_NOT_FOUND)
        return rc;
    bool listed = rc == 0;
    (*present)->state = mark->replica->state;
    if ((rc = place_put(apply, &place)) != 0)
        return rc;
    if (is_whole(&place))
        return repair_forget(apply, id, mark->extent);
    return listed ? repair_move(apply, repair, apply->now_ms) : repair_add(apply, id, mark->extent, apply->now_ms);
}

int apply_repair_done(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__RepairDone *done = mutation->repair_done;
    struct place place;
    int rc = place_find(apply, record_bytes(done->blob_id), done->extent, &place);
    if (rc != 0)
        return rc;
    return is_whole(&place) ? repair_forget(apply, record_bytes(done->blob_id), done->extent) : ERR_CONFLICT;
}

int apply_repair_failed(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__RepairFailed *failed = mutation->repair_failed;
    struct span id = record_bytes(failed->blob_id);
    Arca__Repair *row;
    if (!blob_id_valid(id))
        return ERR_INVALID;
    int rc = repair_get(apply, id, failed->extent, &row);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    row->attempts += row->attempts != UINT32_MAX;
    return repair_move(apply, row, failed->next_ms);
}
