/* Short ways to change placements and what blobs have of them. */
#ifndef ARCA_TEST_UNIT_INDEX_PLACEMENT_H
#define ARCA_TEST_UNIT_INDEX_PLACEMENT_H

#include "crypto/envelope.h"
#include "index_kit.h"

#define KEY    SPAN_LITERAL("some/key")
#define EXTENT ((uint64_t)1 << 20)

static inline int apply(struct kit *kit, const Arca__Mutation *mutation)
{
    return index_apply(kit->index, mutation);
}

/* --- a set is written as "a:M b:J", a replica set as "a b?" (? is suspect) --- */

static inline Arca__Member__Role role_of(char letter)
{
    static const char letters[] = "MJLD";
    const char *at = strchr(letters, letter);
    assert_non_null(at);
    return (Arca__Member__Role)(at - letters);
}

static inline Arca__Placement *placement(struct kit *kit, const char *name, const char *members)
{
    Arca__Placement *row = KIT_NEW(kit, Arca__Placement, arca__placement);
    row->name = (char *)name;
    row->write_quorum = 1;
    row->members = arena_alloc(kit->arena, (strlen(members) + 1) * sizeof(*row->members));
    struct span rest = span_str(members), word;
    while (rest.len > 0) {
        rest = span_split(rest, ' ', &word);
        Arca__Member *member = row->members[row->n_members++] = KIT_NEW(kit, Arca__Member, arca__member);
        member->role = role_of((char)word.ptr[word.len - 1]);
        member->backend = arena_strdup(kit->arena, span_take(word, word.len - 2));
    }
    return row;
}

static inline Arca__Job *job(struct kit *kit, const char *name, Arca__Job__Step step)
{
    Arca__Job *row = KIT_NEW(kit, Arca__Job, arca__job);
    row->name = (char *)name;
    row->step = step;
    return row;
}

static inline int set_placement(struct kit *kit, Arca__Placement *row, Arca__Job *work)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_SET_PLACEMENT);
    mutation->set_placement = KIT_NEW(kit, Arca__SetPlacement, arca__set_placement);
    mutation->set_placement->placement = row;
    mutation->set_placement->job = work;
    return apply(kit, mutation);
}

/* With a job in that step, unless it needs none. */
static inline void set(struct kit *kit, const char *name, const char *members, Arca__Job__Step step)
{
    char *job_name = arena_printf(kit->arena, "placement %s", name);
    Arca__Job *work = step != ARCA__JOB__STEP__NONE ? job(kit, job_name, step) : NULL;
    assert_int_equal(set_placement(kit, placement(kit, name, members), work), 0);
}

static inline Arca__Replica *replica(struct kit *kit, const char *backend)
{
    struct span name = span_str(backend);
    Arca__Replica *row = KIT_NEW(kit, Arca__Replica, arca__replica);
    if (name.ptr[name.len - 1] == '?') {
        row->state = ARCA__REPLICA__STATE__SUSPECT;
        name.len--;
    }
    row->backend = arena_strdup(kit->arena, name);
    row->locator = kit_data("locator", 7);
    return row;
}

static inline size_t replicas(struct kit *kit, const char *backends, Arca__Replica ***out)
{
    size_t count = 0;
    struct span rest = span_str(backends), word;
    *out = arena_alloc(kit->arena, (rest.len + 1) * sizeof(**out));
    while (rest.len > 0) {
        rest = span_split(rest, ' ', &word);
        (*out)[count++] = replica(kit, arena_strdup(kit->arena, word));
    }
    return count;
}

static inline Arca__NewBlob *new_blob(struct kit *kit, const char *name, uint32_t extents, const char *backends)
{
    Arca__NewBlob *new = kit_new_blob(kit, (extents - 1) * EXTENT + 100, extents);
    new->blob->suite = SUITE_AEGIS_256;
    new->blob->extent_size = EXTENT;
    new->blob->placement = (char *)name;
    new->repair_ms = 7000;
    if (extents == 1)
        new->blob->n_replicas = replicas(kit, backends, &new->blob->replicas);
    for (uint32_t i = 0; i < new->n_extents; i++)
        new->extents[i]->n_replicas = replicas(kit, backends, &new->extents[i]->replicas);
    return new;
}

static inline Arca__Mutation *put_mutation(struct kit *kit, struct span key, Arca__NewBlob *new)
{
    Arca__Mutation *put = kit_put(kit, key, "e");
    put->put_object->blob = new;
    put->put_object->object->blob_id = new->blob->id;
    put->put_object->object->size = new->blob->size;
    return put;
}

static inline ProtobufCBinaryData put(struct kit *kit, struct span key, const char *name, uint32_t extents,
                                      const char *backends)
{
    Arca__NewBlob *new = new_blob(kit, name, extents, backends);
    assert_int_equal(apply(kit, put_mutation(kit, key, new)), 0);
    return new->blob->id;
}

static inline int add(struct kit *kit, ProtobufCBinaryData id, uint32_t extent, const char *backend, bool instead)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_ADD_REPLICA);
    mutation->add_replica = KIT_NEW(kit, Arca__AddReplica, arca__add_replica);
    mutation->add_replica->blob_id = id;
    mutation->add_replica->extent = extent;
    mutation->add_replica->replica = replica(kit, backend);
    mutation->add_replica->instead = instead ? replica(kit, backend) : NULL;
    return apply(kit, mutation);
}

static inline int mark(struct kit *kit, ProtobufCBinaryData id, uint32_t extent, const char *backend)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_MARK_REPLICA);
    mutation->mark_replica = KIT_NEW(kit, Arca__MarkReplica, arca__mark_replica);
    mutation->mark_replica->blob_id = id;
    mutation->mark_replica->extent = extent;
    mutation->mark_replica->replica = replica(kit, backend);
    return apply(kit, mutation);
}

static inline int take(struct kit *kit, ProtobufCBinaryData id, uint32_t extent, const char *backend)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_REMOVE_REPLICA);
    mutation->remove_replica = KIT_NEW(kit, Arca__RemoveReplica, arca__remove_replica);
    mutation->remove_replica->blob_id = id;
    mutation->remove_replica->extent = extent;
    mutation->remove_replica->replica = replica(kit, backend);
    return apply(kit, mutation);
}

static inline int done(struct kit *kit, ProtobufCBinaryData id, uint32_t extent)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_REPAIR_DONE);
    mutation->repair_done = KIT_NEW(kit, Arca__RepairDone, arca__repair_done);
    mutation->repair_done->blob_id = id;
    mutation->repair_done->extent = extent;
    return apply(kit, mutation);
}

static inline int collect(struct kit *kit, ProtobufCBinaryData id)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_COLLECTED);
    mutation->collected = KIT_NEW(kit, Arca__Collected, arca__collected);
    mutation->collected->n_blob_ids = 1;
    mutation->collected->blob_ids = arena_alloc(kit->arena, sizeof(id));
    mutation->collected->blob_ids[0] = id;
    return apply(kit, mutation);
}

/* "main/a 2 584, main/b ..." */
static inline const char *holdings(struct kit *kit)
{
    Arca__Holding **rows;
    size_t count;
    const char *text = "";
    assert_int_equal(index_holding_list(kit->index, kit->arena, &rows, &count), 0);
    for (size_t i = 0; i < count; i++)
        text = arena_printf(kit->arena, "%s%s%s/%s %d %d", text, i > 0 ? ", " : "", rows[i]->placement,
                            rows[i]->backend, (int)rows[i]->replicas, (int)rows[i]->bytes);
    return text;
}

#endif
