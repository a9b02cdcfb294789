/* What the index keeps for repair: who lacks a replica, whose replica is suspect, and when that is due. */
#include "index_kit.h"
#include "on_fiber.h"

#define KEY SPAN_LITERAL("some/key")

static int apply(struct kit *kit, const Arca__Mutation *mutation)
{
    return index_apply(kit->index, mutation);
}

static Arca__Blob *blob_now(struct kit *kit, ProtobufCBinaryData id)
{
    Arca__Blob *blob;
    int rc = index_blob_get(kit->index, span_of(id.data, id.len), kit->arena, &blob);
    assert_true(rc == 0 || rc == ERR_NOT_FOUND);
    return rc == 0 ? blob : NULL;
}

static Arca__Replica *replica_on(struct kit *kit, const char *backend, const char *locator, bool suspect)
{
    Arca__Replica *replica = KIT_NEW(kit, Arca__Replica, arca__replica);
    replica->backend = (char *)backend;
    replica->locator = kit_data(locator, strlen(locator));
    replica->state = suspect ? ARCA__REPLICA__STATE__SUSPECT : ARCA__REPLICA__STATE__GOOD;
    return replica;
}

static int add_replica(struct kit *kit, ProtobufCBinaryData id, uint32_t extent, Arca__Replica *replica,
                       Arca__Replica *instead)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_ADD_REPLICA);
    Arca__AddReplica *add = mutation->add_replica = KIT_NEW(kit, Arca__AddReplica, arca__add_replica);
    add->blob_id = id;
    add->extent = extent;
    add->replica = replica;
    add->instead = instead;
    return apply(kit, mutation);
}

static int mark_suspect(struct kit *kit, ProtobufCBinaryData id, uint32_t extent, const char *backend,
                        const char *locator)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_MARK_REPLICA);
    mutation->mark_replica = KIT_NEW(kit, Arca__MarkReplica, arca__mark_replica);
    mutation->mark_replica->blob_id = id;
    mutation->mark_replica->extent = extent;
    mutation->mark_replica->replica = replica_on(kit, backend, locator, true);
    return apply(kit, mutation);
}

static int repair_done(struct kit *kit, ProtobufCBinaryData id, uint32_t extent)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_REPAIR_DONE);
    mutation->repair_done = KIT_NEW(kit, Arca__RepairDone, arca__repair_done);
    mutation->repair_done->blob_id = id;
    mutation->repair_done->extent = extent;
    return apply(kit, mutation);
}

static int repair_failed(struct kit *kit, ProtobufCBinaryData id, uint32_t extent, int64_t next_ms)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_REPAIR_FAILED);
    mutation->repair_failed = KIT_NEW(kit, Arca__RepairFailed, arca__repair_failed);
    mutation->repair_failed->blob_id = id;
    mutation->repair_failed->extent = extent;
    mutation->repair_failed->next_ms = next_ms;
    return apply(kit, mutation);
}

static size_t repairs_now(struct kit *kit, int64_t until_ms, Arca__Repair ***rows)
{
    size_t count;
    assert_int_equal(index_repair_list(kit->index, until_ms, NULL, SIZE_MAX, kit->arena, rows, &count), 0);
    return count;
}

static void begin(struct kit *kit)
{
    kit_bucket(kit);
    kit_placement(kit, "all", (char *[]){"disk", "two", "three"}, 3);
}

static Arca__Mutation *put_short(struct kit *kit, struct span key, uint32_t extents, int64_t repair_ms)
{
    Arca__Mutation *put = kit_put(kit, key, "e");
    put->put_object->blob = kit_new_blob(kit, 10, extents);
    put->put_object->blob->blob->placement = "all";
    put->put_object->blob->repair_ms = repair_ms;
    put->put_object->object->blob_id = put->put_object->blob->blob->id;
    return put;
}

static void repaired(void *arg)
{
    struct kit *kit = arg;
    Arca__Repair **rows;
    begin(kit);
    Arca__Mutation *put = put_short(kit, KEY, 1, 7000);
    ProtobufCBinaryData id = put->put_object->object->blob_id;
    assert_int_equal(apply(kit, put), 0);
    assert_int_equal(repairs_now(kit, 6999, &rows), 0);
    assert_int_equal(repairs_now(kit, 7000, &rows), 1);
    assert_memory_equal(rows[0]->blob_id.data, id.data, 16);
    assert_int_equal(rows[0]->since_ms, put->time_ms);
    assert_int_equal(repair_failed(kit, id, 0, 9000), 0);
    assert_int_equal(repairs_now(kit, 8999, &rows), 0);
    assert_int_equal(repairs_now(kit, 9000, &rows), 1);
    assert_int_equal(rows[0]->attempts, 1);

    assert_int_equal(repair_done(kit, id, 0), ERR_CONFLICT);
    assert_int_equal(add_replica(kit, id, 0, replica_on(kit, "two", "2", false), NULL), 0);
    assert_int_equal(add_replica(kit, id, 0, replica_on(kit, "two", "22", false), NULL), ERR_EXISTS);
    assert_int_equal(add_replica(kit, id, 1, replica_on(kit, "three", "3", false), NULL), ERR_NOT_FOUND);
    assert_int_equal(repairs_now(kit, INT64_MAX, &rows), 1);
    assert_int_equal(add_replica(kit, id, 0, replica_on(kit, "three", "3", false), NULL), 0);
    assert_int_equal(repairs_now(kit, INT64_MAX, &rows), 0);
    assert_int_equal(blob_now(kit, id)->n_replicas, 3);
    assert_string_equal(blob_now(kit, id)->replicas[2]->backend, "three");
    assert_int_equal(repair_done(kit, id, 0), 0);
    assert_int_equal(repair_failed(kit, id, 0, 1), 0);
    assert_int_equal(repairs_now(kit, INT64_MAX, &rows), 0);
}

static void quarantined(void *arg)
{
    struct kit *kit = arg;
    Arca__Repair **rows;
    Arca__Extent **extents;
    uint64_t count;
    begin(kit);
    Arca__Mutation *put = put_short(kit, KEY, 2, 7000);
    ProtobufCBinaryData id = put->put_object->object->blob_id;
    assert_int_equal(apply(kit, put), 0);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(add_replica(kit, id, i, replica_on(kit, "two", "2", false), NULL), 0);
        assert_int_equal(add_replica(kit, id, i, replica_on(kit, "three", "3", false), NULL), 0);
    }
    assert_int_equal(repairs_now(kit, INT64_MAX, &rows), 0);

    assert_int_equal(mark_suspect(kit, id, 1, "two", "other"), 0);
    assert_int_equal(mark_suspect(kit, id, 1, "four", "2"), 0);
    assert_int_equal(repairs_now(kit, INT64_MAX, &rows), 0);
    assert_int_equal(mark_suspect(kit, id, 1, "two", "2"), 0);
    assert_int_equal(repairs_now(kit, INT64_MAX, &rows), 1);
    assert_int_equal(rows[0]->extent, 1);
    assert_int_equal(repair_failed(kit, id, 1, 99000), 0);
    assert_int_equal(mark_suspect(kit, id, 1, "two", "2"), 0); /* nothing new */
    assert_int_equal(repairs_now(kit, 98999, &rows), 0);
    assert_int_equal(mark_suspect(kit, id, 1, "three", "3"), 0);
    assert_int_equal(repairs_now(kit, 98999, &rows), 1); /* due at once */
    assert_int_equal(repair_done(kit, id, 1), ERR_CONFLICT);

    assert_int_equal(add_replica(kit, id, 1, replica_on(kit, "two", "new", false), NULL), ERR_EXISTS);
    assert_int_equal(
        add_replica(kit, id, 1, replica_on(kit, "two", "new", false), replica_on(kit, "two", "old", true)), ERR_EXISTS);
    assert_int_equal(
        add_replica(kit, id, 1, replica_on(kit, "two", "new", false), replica_on(kit, "two", "2", true)), 0);
    assert_int_equal(repairs_now(kit, INT64_MAX, &rows), 1);
    assert_int_equal(
        add_replica(kit, id, 1, replica_on(kit, "three", "3", false), replica_on(kit, "three", "3", true)), 0);
    assert_int_equal(repairs_now(kit, INT64_MAX, &rows), 0);
    assert_int_equal(index_extents_get(kit->index, span_of(id.data, 16), 1, 1, kit->arena, &extents), 0);
    assert_int_equal(extents[0]->n_replicas, 3);
    assert_int_equal(extents[0]->replicas[1]->locator.len, 3);

    /* What is still to be repaired is forgotten when nobody refers to it any more, all extents of it. */
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(mark_suspect(kit, id, i, "disk", "0123456789abcdef"), 0);
    assert_int_equal(apply(kit, put_short(kit, SPAN_LITERAL("other"), 1, 7000)), 0);
    assert_int_equal(index_repair_count(kit->index, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(apply(kit, kit_delete(kit, KEY)), 0);
    assert_int_equal(index_repair_count(kit->index, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(mark_suspect(kit, id, 0, "two", "2"), ERR_NOT_FOUND);
    assert_int_equal(add_replica(kit, id, 0, replica_on(kit, "four", "4", false), NULL), ERR_NOT_FOUND);
    Arca__Mutation *collected = kit_mutation(kit, ARCA__MUTATION__OP_COLLECTED);
    collected->collected = KIT_NEW(kit, Arca__Collected, arca__collected);
    collected->collected->n_blob_ids = 1;
    collected->collected->blob_ids = &id;
    assert_int_equal(apply(kit, collected), 0);
    assert_int_equal(index_repair_count(kit->index, &count), 0);
    assert_int_equal(count, 1);
}

/* Rows come in the order in which they are due, in pieces. */
static void repair_order(void *arg)
{
    struct kit *kit = arg;
    Arca__Repair **rows, *after = NULL;
    size_t count, all = 0;
    int64_t last = 0;
    begin(kit);
    for (int i = 0; i < 20; i++) {
        struct span key = span_str(arena_printf(kit->arena, "key-%d", i));
        assert_int_equal(apply(kit, put_short(kit, key, i % 2 == 0 ? 1 : 3, 5000 + i * 7 % 10)), 0);
    }
    do {
        assert_int_equal(index_repair_list(kit->index, 5006, after, 5, kit->arena, &rows, &count), 0);
        for (size_t i = 0; i < count; i++) {
            assert_true(rows[i]->next_ms >= last && rows[i]->next_ms <= 5006);
            last = rows[i]->next_ms;
        }
        all += count;
        after = count > 0 ? rows[count - 1] : NULL;
    } while (count == 5);
    size_t due = 0;
    for (int i = 0; i < 20; i++)
        due += i * 7 % 10 <= 6 ? (i % 2 == 0 ? 1 : 3) : 0;
    assert_int_equal(all, due);
    assert_int_equal(repairs_now(kit, INT64_MAX, &rows), 40);
}

#define SCENARIOS(X) X(repaired) X(quarantined) X(repair_order)

KIT_MAIN(SCENARIOS)
