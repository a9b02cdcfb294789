/* What backends hold: counted by placement, walked blob by blob, and whose leases it is under. */
#include "placement.h"

/* --- counting --- */

static void counted(void *arg)
{
    struct kit *kit = arg;
    kit_bucket(kit);
    set(kit, "main", "a:M b:M", ARCA__JOB__STEP__NONE);
    /* An extent of 100 bytes is stored as header, segment and a tag of 32; one of 1 MiB in 16 segments. */
    ProtobufCBinaryData one = put(kit, KEY, "main", 1, "a b");
    assert_string_equal(holdings(kit), "main/a 1 324, main/b 1 324");
    ProtobufCBinaryData three = put(kit, SPAN_LITERAL("three"), "main", 3, "b");
    assert_string_equal(holdings(kit), "main/a 1 324, main/b 4 2099208");
    put(kit, SPAN_LITERAL("none"), "", 1, "a");
    assert_string_equal(holdings(kit), "/a 1 324, main/a 1 324, main/b 4 2099208");
    assert_int_equal(add(kit, three, 1, "a", false), 0);
    assert_int_equal(add(kit, three, 1, "a", false), ERR_EXISTS);
    assert_string_equal(holdings(kit), "/a 1 324, main/a 2 1049604, main/b 4 2099208");

    /* One in the place of another, and one that is suspect, are one still. */
    assert_int_equal(mark(kit, three, 1, "a?"), 0);
    assert_int_equal(add(kit, three, 1, "a", true), 0);
    assert_string_equal(holdings(kit), "/a 1 324, main/a 2 1049604, main/b 4 2099208");

    /* Garbage is held until it is collected. */
    put(kit, KEY, "main", 1, "a b");
    assert_string_equal(holdings(kit), "/a 1 324, main/a 3 1049928, main/b 5 2099532");
    assert_int_equal(collect(kit, one), 0);
    assert_int_equal(collect(kit, one), 0);
    assert_int_equal(apply(kit, kit_delete(kit, SPAN_LITERAL("three"))), 0);
    assert_int_equal(apply(kit, kit_delete(kit, SPAN_LITERAL("none"))), 0);
    assert_string_equal(holdings(kit), "/a 1 324, main/a 2 1049604, main/b 4 2099208");
    assert_int_equal(collect(kit, three), 0);
    assert_string_equal(holdings(kit), "/a 1 324, main/a 1 324, main/b 1 324");

    set(kit, "main", "a:M b:D", ARCA__JOB__STEP__DRAIN);
    Arca__Object *object;
    assert_int_equal(index_object_get(kit->index, kit->bucket, KEY, kit->arena, &object, NULL), 0);
    assert_int_equal(take(kit, object->blob_id, 0, "b"), 0);
    assert_string_equal(holdings(kit), "/a 1 324, main/a 1 324");
}

/* What comes and goes within one transaction, and what is refused within it. */
static void counted_together(void *arg)
{
    struct kit *kit = arg;
    const Arca__Mutation *mutations[5];
    int results[5];
    kit_bucket(kit);
    Arca__NewBlob *new = new_blob(kit, "main", 2, "a b");
    mutations[0] = put_mutation(kit, KEY, new);
    mutations[1] = kit_delete(kit, KEY);
    mutations[2] = put_mutation(kit, KEY, new);
    Arca__Mutation *collected = kit_mutation(kit, ARCA__MUTATION__OP_COLLECTED);
    collected->collected = KIT_NEW(kit, Arca__Collected, arca__collected);
    collected->collected->n_blob_ids = 1;
    collected->collected->blob_ids = &new->blob->id;
    mutations[3] = collected;
    mutations[4] = put_mutation(kit, KEY, new_blob(kit, "main", 1, "c"));
    index_apply_all(kit->index, mutations, 5, results);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(results[i], i == 2 ? ERR_EXISTS : 0);
    assert_string_equal(holdings(kit), "main/c 1 324");
}

/* --- walking --- */

static void blobs(void *arg)
{
    struct kit *kit = arg;
    Arca__Blob **all;
    uint8_t after[16] = {0};
    size_t count, seen = 0;
    uint64_t total;
    kit_bucket(kit);
    for (int i = 0; i < 25; i++)
        put(kit, span_str(arena_printf(kit->arena, "%d", i)), "main", i % 2 == 0 ? 1 : 2, "a");
    assert_int_equal(apply(kit, kit_delete(kit, SPAN_LITERAL("3"))), 0);
    assert_int_equal(index_blob_count(kit->index, &total), 0);
    assert_int_equal(total, 25);
    do {
        struct span from = seen > 0 ? span_of(after, 16) : SPAN_NONE;
        assert_int_equal(index_blob_list(kit->index, from, 7, kit->arena, &all, &count), 0);
        for (size_t i = 0; i < count; i++, seen++) {
            assert_true(memcmp(all[i]->id.data, after, 16) > 0);
            memcpy(after, all[i]->id.data, 16);
        }
    } while (count == 7);
    assert_int_equal(seen, 25);
}

static void rebuilt(void *arg)
{
    struct kit *kit = arg;
    Arca__Lease **leases;
    size_t count;
    Arca__Mutation *forget = kit_mutation(kit, ARCA__MUTATION__OP_REBUILT);
    forget->rebuilt = KIT_NEW(kit, Arca__Rebuilt, arca__rebuilt);
    assert_int_equal(apply(kit, forget), 0);
    for (int i = 0; i < 5; i++) {
        Arca__Mutation *open = kit_mutation(kit, ARCA__MUTATION__OP_OPEN_LEASE);
        open->open_lease = KIT_NEW(kit, Arca__OpenLease, arca__open_lease);
        open->open_lease->lease = KIT_NEW(kit, Arca__Lease, arca__lease);
        open->open_lease->lease->id = kit_data(arena_printf(kit->arena, "lease-%02d", i), 8);
        assert_int_equal(apply(kit, open), 0);
    }
    assert_int_equal(apply(kit, forget), 0);
    assert_int_equal(index_lease_list(kit->index, kit->arena, &leases, &count), 0);
    assert_int_equal(count, 0);
}

/* --- everything at random: the check counts again, and the replay compares --- */

struct dice {
    struct kit *kit;
    uint64_t seed;
    ProtobufCBinaryData ids[300];
    size_t count;
};

static unsigned roll(struct dice *dice, unsigned n)
{
    dice->seed = dice->seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(dice->seed >> 33) % n;
}

static const char *some_backends(struct dice *dice)
{
    const char *text = "";
    for (char backend = 'a'; backend <= 'e'; backend++)
        if (roll(dice, 2) == 0)
            text = arena_printf(dice->kit->arena, "%s%s%c%s", text, *text != '\0' ? " " : "", backend,
                                roll(dice, 8) == 0 ? "?" : "");
    return text;
}

static void random_set(struct dice *dice)
{
    const char *text = "a:J";
    for (char backend = 'b'; backend <= 'e'; backend++)
        if (roll(dice, 4) != 0)
            text = arena_printf(dice->kit->arena, "%s %c:%c", text, backend, "MJLD"[roll(dice, 4)]);
    set(dice->kit, roll(dice, 2) == 0 ? "main" : "other", text, ARCA__JOB__STEP__BACKFILL);
}

static void random_step(struct dice *dice)
{
    struct kit *kit = dice->kit;
    struct span key = span_str(arena_printf(kit->arena, "key-%u", roll(dice, 40)));
    const char *backend = arena_printf(kit->arena, "%c", 'a' + (int)roll(dice, 5));
    ProtobufCBinaryData id = dice->ids[roll(dice, (unsigned)dice->count)];
    uint32_t extent = roll(dice, 3);
    switch (roll(dice, 8)) {
    case 0:
        if (dice->count < 300)
            dice->ids[dice->count++] =
                put(kit, key, roll(dice, 2) == 0 ? "main" : "other", 1 + roll(dice, 3), some_backends(dice));
        break;
    case 1:
        apply(kit, kit_delete(kit, key));
        break;
    case 2:
        mark(kit, id, extent, arena_printf(kit->arena, "%s%s", backend, roll(dice, 2) == 0 ? "?" : ""));
        break;
    case 3:
    case 4:
        add(kit, id, extent, backend, true);
        break;
    case 5:
        take(kit, id, extent, backend);
        break;
    case 6:
        if (roll(dice, 4) == 0)
            random_set(dice);
        else
            done(kit, id, extent);
        break;
    default:
        collect(kit, id);
    }
}

static void at_random(void *arg)
{
    struct kit *kit = arg;
    struct dice dice = {.kit = kit, .seed = 20261124};
    kit_bucket(kit);
    random_set(&dice);
    dice.ids[dice.count++] = put(kit, KEY, "main", 2, "a b");
    for (int i = 0; i < 3000; i++)
        random_step(&dice);
    assert_int_equal(dice.count, 300);
    assert_string_not_equal(holdings(kit), "");
}

#define SCENARIOS(X) X(counted) X(counted_together) X(blobs) X(rebuilt) X(at_random)

KIT_MAIN(SCENARIOS)
