/* Placements: what a blob is to have by the row of its placement, and the jobs that change it. */
#include "placement.h"

static int set_job(struct kit *kit, Arca__Job *row)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_SET_JOB);
    mutation->set_job = KIT_NEW(kit, Arca__SetJob, arca__set_job);
    mutation->set_job->job = row;
    return apply(kit, mutation);
}

static int remove_job(struct kit *kit, const char *name)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_REMOVE_JOB);
    mutation->remove_job = KIT_NEW(kit, Arca__RemoveJob, arca__remove_job);
    mutation->remove_job->name = (char *)name;
    return apply(kit, mutation);
}

static uint64_t repairs(struct kit *kit)
{
    uint64_t count;
    assert_int_equal(index_repair_count(kit->index, &count), 0);
    return count;
}

/* --- the rows --- */

static void rows(void *arg)
{
    struct kit *kit = arg;
    Arca__Placement *row, **all;
    Arca__Job *work, **jobs;
    size_t count;
    assert_int_equal(index_placement_get(kit->index, SPAN_LITERAL("main"), kit->arena, &row), ERR_NOT_FOUND);
    assert_int_equal(index_placement_get(kit->index, SPAN_NONE, kit->arena, &row), ERR_NOT_FOUND);
    set(kit, "main", "b:M a:M", ARCA__JOB__STEP__NONE);
    set(kit, "archive", "c:M", ARCA__JOB__STEP__NONE);
    assert_int_equal(index_placement_list(kit->index, kit->arena, &all, &count), 0);
    assert_int_equal(count, 2);
    assert_string_equal(all[0]->name, "archive");
    assert_string_equal(all[1]->members[0]->backend, "b");
    assert_int_equal(index_job_list(kit->index, kit->arena, &jobs, &count), 0);
    assert_int_equal(count, 0);

    /* A change comes with its job, which stays as long as it is under way. */
    assert_int_equal(set_placement(kit, placement(kit, "main", "b:L a:M c:J"), NULL), ERR_INVALID);
    set(kit, "main", "b:L a:M c:J", ARCA__JOB__STEP__BACKFILL);
    assert_int_equal(index_job_get(kit->index, SPAN_LITERAL("placement main"), kit->arena, &work), 0);
    assert_int_equal(work->step, ARCA__JOB__STEP__BACKFILL);
    work->after = kit_blob_id(kit, 99);
    work->paused = true;
    assert_int_equal(set_job(kit, work), 0);
    assert_int_equal(set_job(kit, job(kit, "scrub", ARCA__JOB__STEP__NONE)), 0);
    assert_int_equal(index_job_list(kit->index, kit->arena, &jobs, &count), 0);
    assert_int_equal(count, 2);
    assert_true(jobs[0]->paused);
    assert_int_equal(jobs[0]->after.len, 16);
    assert_int_equal(remove_job(kit, "placement main"), ERR_CONFLICT);
    set(kit, "main", "a:M c:M", ARCA__JOB__STEP__DONE);
    assert_int_equal(remove_job(kit, "placement main"), 0);
    assert_int_equal(remove_job(kit, "placement main"), 0);
    assert_int_equal(remove_job(kit, "placement nowhere"), 0);
    assert_int_equal(set_job(kit, job(kit, "placement main", ARCA__JOB__STEP__DONE)), 0);
    set(kit, "main", "a:M", ARCA__JOB__STEP__NONE); /* takes it away */
    assert_int_equal(index_job_get(kit->index, SPAN_LITERAL("placement main"), kit->arena, &work), ERR_NOT_FOUND);
    assert_int_equal(index_job_get(kit->index, SPAN_NONE, kit->arena, &work), ERR_NOT_FOUND);
    assert_int_equal(remove_job(kit, "scrub"), 0);
}

static int make_bucket(struct kit *kit, const char *name, const char *placement)
{
    Arca__Mutation *mutation = kit_create_bucket(kit, name, "owner", 20 + kit->blobs);
    mutation->create_bucket->bucket->placement = (char *)placement;
    return apply(kit, mutation);
}

/* As the config has it: a backend, or none for one that it has no more. */
static void set_configured(struct kit *kit, const char *name, char *backend)
{
    Arca__Placement *row = placement(kit, name, "a:M");
    row->n_configured = row->configured_quorum = backend != NULL;
    row->configured = &backend;
    assert_int_equal(set_placement(kit, row, NULL), 0);
}

/* Under what the config has, and under nothing that it has not or has no more. */
static void buckets(void *arg)
{
    struct kit *kit = arg;
    assert_int_equal(make_bucket(kit, "first", "main"), ERR_NOT_FOUND);
    assert_int_equal(make_bucket(kit, "first", arena_printf(kit->arena, "%065d", 0)), ERR_NOT_FOUND);
    set_configured(kit, "main", "a");
    assert_int_equal(make_bucket(kit, "first", "main"), 0);
    assert_int_equal(make_bucket(kit, "second", "mains"), ERR_NOT_FOUND);
    assert_int_equal(make_bucket(kit, "first", "mains"), ERR_BUCKET_OWNED);
    assert_int_equal(make_bucket(kit, "none", ""), 0);
    set_configured(kit, "main", NULL);
    assert_int_equal(make_bucket(kit, "second", "main"), ERR_NOT_FOUND);
    set_configured(kit, "main", "a");
    assert_int_equal(make_bucket(kit, "second", "main"), 0);
}

static void nonsense(void *arg)
{
    struct kit *kit = arg;
    const char *long_name = arena_printf(kit->arena, "%065d", 0), *long_job = arena_printf(kit->arena, "%080d", 0);
    static const char many[] = "a:M b:M c:M d:M e:M f:M g:M h:M i:M j:M k:M l:M m:M n:M o:M p:M q:M";
    struct {
        const char *name, *members;
        unsigned quorum;
    } bad[] = {{"main", "", 1},    {"main", "a:L b:D", 1},  {"main", "a:M b:M a:M", 1},    {"main", "a:M", 0},
               {"main", "a:M", 2}, {"main", "a:M b:D", 2},  {"main", many, 1},             {"", "a:M", 1},
               {long_name, "a:M", 1}, {"main", arena_printf(kit->arena, "%s:M", long_name), 1}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        Arca__Placement *row = placement(kit, bad[i].name, bad[i].members);
        char *work = arena_printf(kit->arena, "placement %s", bad[i].name);
        row->write_quorum = bad[i].quorum;
        assert_int_equal(set_placement(kit, row, job(kit, work, ARCA__JOB__STEP__BACKFILL)), ERR_INVALID);
    }
    Arca__Placement *row = placement(kit, "main", "a:M");
    row->members[0]->role = (Arca__Member__Role)4;
    assert_int_equal(set_placement(kit, row, NULL), ERR_INVALID);
    row->members[0]->role = (Arca__Member__Role)-1;
    assert_int_equal(set_placement(kit, row, NULL), ERR_INVALID);
    assert_int_equal(set_placement(kit, NULL, NULL), ERR_INVALID);
    row = placement(kit, "main", "a:M");
    row->n_configured = 1;
    row->configured = &(char *){""};
    assert_int_equal(set_placement(kit, row, NULL), ERR_INVALID);
    row->n_configured = 0;
    assert_int_equal(set_placement(kit, row, job(kit, "placement other", ARCA__JOB__STEP__DRAIN)), ERR_INVALID);
    assert_int_equal(set_placement(kit, row, job(kit, "placement main", (Arca__Job__Step)7)), ERR_INVALID);

    assert_int_equal(set_job(kit, NULL), ERR_INVALID);
    assert_int_equal(set_job(kit, job(kit, "", ARCA__JOB__STEP__NONE)), ERR_INVALID);
    assert_int_equal(set_job(kit, job(kit, long_job, ARCA__JOB__STEP__NONE)), ERR_INVALID);
    assert_int_equal(set_job(kit, job(kit, "scrub", (Arca__Job__Step)-1)), ERR_INVALID);
    assert_int_equal(set_job(kit, job(kit, "placement ", ARCA__JOB__STEP__NONE)), ERR_INVALID);
    assert_int_equal(set_job(kit, job(kit, "placement nowhere", ARCA__JOB__STEP__NONE)), ERR_NOT_FOUND);
    Arca__Job *work = job(kit, "scrub", ARCA__JOB__STEP__NONE);
    work->after = kit_data("short", 5);
    assert_int_equal(set_job(kit, work), ERR_INVALID);
    assert_int_equal(remove_job(kit, ""), ERR_INVALID);
    assert_int_equal(remove_job(kit, long_job), ERR_INVALID);
    assert_string_equal(holdings(kit), "");
}

/* Blobs whose rows would contradict each other. */
static void nonsense_blobs(void *arg)
{
    struct kit *kit = arg;
    const char *long_name = arena_printf(kit->arena, "%065d", 0);
    kit_bucket(kit);
    static const char many[] = "a b c d e f g h i j k l m n o p q";
    const char *backends[] = {"a a", many, long_name};
    for (size_t i = 0; i < 3; i++)
        for (uint32_t extents = 1; extents < 3; extents++)
            assert_int_equal(apply(kit, put_mutation(kit, KEY, new_blob(kit, "main", extents, backends[i]))),
                             ERR_INVALID);
    assert_int_equal(apply(kit, put_mutation(kit, KEY, new_blob(kit, long_name, 1, "a"))), ERR_INVALID);
    for (int i = 0; i < 6; i++) {
        Arca__NewBlob *new = new_blob(kit, "main", i == 0 ? 1 : 3, "a");
        if (i == 0)
            new->blob->replicas[0]->state = (Arca__Replica__State)2;
        else if (i == 1)
            new->blob->extent_count = 4;
        else if (i == 2)
            new->blob->extent_count = 1;
        else if (i == 3)
            new->extents[1]->number = 2;
        else if (i == 4)
            new->blob->n_replicas = replicas(kit, "a", &new->blob->replicas);
        else
            new->blob->extent_count = 0;
        assert_int_equal(apply(kit, put_mutation(kit, KEY, new)), ERR_INVALID);
    }
    ProtobufCBinaryData id = put(kit, KEY, "main", 1, "a");
    assert_int_equal(add(kit, id, 0, "b?", false), ERR_INVALID);
    assert_int_equal(add(kit, id, 0, long_name, false), ERR_INVALID);
    assert_int_equal(take(kit, kit_data("short", 5), 0, "a"), ERR_INVALID);
    assert_string_equal(holdings(kit), "main/a 1 324");
}

/* --- wanted --- */

static void wanted(void *arg)
{
    struct kit *kit = arg;
    kit_bucket(kit);
    set(kit, "main", "a:M b:M", ARCA__JOB__STEP__NONE);
    put(kit, SPAN_LITERAL("1"), "main", 1, "a b");
    put(kit, SPAN_LITERAL("2"), "main", 2, "b a c");
    put(kit, SPAN_LITERAL("3"), "other", 1, "a");
    assert_int_equal(repairs(kit), 0);
    ProtobufCBinaryData id = put(kit, SPAN_LITERAL("4"), "main", 3, "b");
    assert_int_equal(repairs(kit), 3);
    put(kit, SPAN_LITERAL("5"), "other", 1, "a b?");
    assert_int_equal(repairs(kit), 4);
    assert_int_equal(add(kit, id, 0, "c", false), 0);
    assert_int_equal(done(kit, id, 0), ERR_CONFLICT);
    assert_int_equal(repairs(kit), 4);
    assert_int_equal(add(kit, id, 0, "a", false), 0);
    assert_int_equal(repairs(kit), 3);

    /* A write that began under the old set lacks what the new one wants; what it has on a leaving backend does not
     * count. */
    set(kit, "main", "a:L b:M c:J d:D", ARCA__JOB__STEP__BACKFILL);
    id = put(kit, SPAN_LITERAL("6"), "main", 1, "a b");
    assert_int_equal(repairs(kit), 4);
    put(kit, SPAN_LITERAL("7"), "main", 1, "b c");
    assert_int_equal(repairs(kit), 4);
    assert_int_equal(add(kit, id, 0, "c", false), 0);
    assert_int_equal(repairs(kit), 3);

    /* Suspect ones are up for repair wherever they are. */
    assert_int_equal(mark(kit, id, 0, "a?"), 0);
    assert_int_equal(repairs(kit), 4);
    assert_int_equal(done(kit, id, 0), ERR_CONFLICT);
    assert_int_equal(mark(kit, id, 0, "a"), 0);
    assert_int_equal(repairs(kit), 3);
    assert_int_equal(done(kit, id, 0), 0);
}

/* Until a joining backend is filled, what it lacks has no rows; garbage never has. */
static void filling(void *arg)
{
    struct kit *kit = arg;
    kit_bucket(kit);
    set(kit, "main", "a:M", ARCA__JOB__STEP__NONE);
    ProtobufCBinaryData id = put(kit, SPAN_LITERAL("1"), "main", 1, "a");
    set(kit, "main", "a:L b:J", ARCA__JOB__STEP__BACKFILL);
    assert_int_equal(repairs(kit), 0);
    assert_int_equal(done(kit, id, 0), ERR_CONFLICT);
    assert_int_equal(take(kit, id, 0, "a"), ERR_CONFLICT);
    Arca__Mutation *garbage = kit_mutation(kit, ARCA__MUTATION__OP_ADD_GARBAGE);
    garbage->add_garbage = KIT_NEW(kit, Arca__AddGarbage, arca__add_garbage);
    garbage->add_garbage->blob = new_blob(kit, "main", 2, "a?");
    assert_int_equal(apply(kit, garbage), 0);
    assert_int_equal(repairs(kit), 0);
}

static void removal(void *arg)
{
    struct kit *kit = arg;
    Arca__Extent **extents;
    kit_bucket(kit);
    set(kit, "main", "b:M c:M a:D", ARCA__JOB__STEP__DRAIN);
    ProtobufCBinaryData id = put(kit, KEY, "main", 2, "a b");
    ProtobufCBinaryData alone = put(kit, SPAN_LITERAL("alone"), "without row", 1, "a b");
    assert_int_equal(take(kit, alone, 0, "a"), ERR_CONFLICT);
    assert_int_equal(take(kit, id, 1, "c"), ERR_NOT_FOUND);
    assert_int_equal(take(kit, id, 2, "a"), ERR_NOT_FOUND);
    assert_int_equal(take(kit, id, 1, "b"), ERR_CONFLICT);
    assert_int_equal(take(kit, id, 1, "a"), ERR_CONFLICT); /* c lacks it */
    assert_int_equal(add(kit, id, 1, "c", false), 0);
    assert_int_equal(repairs(kit), 1);
    assert_int_equal(mark(kit, id, 1, "b?"), 0);
    assert_int_equal(take(kit, id, 1, "a"), ERR_CONFLICT); /* b's is suspect */
    assert_int_equal(add(kit, id, 1, "b", true), 0);

    /* With a suspect one goes what it was up for repair for. */
    assert_int_equal(mark(kit, id, 1, "a?"), 0);
    assert_int_equal(repairs(kit), 2);
    assert_int_equal(take(kit, id, 1, "a"), 0);
    assert_int_equal(take(kit, id, 1, "a"), ERR_NOT_FOUND);
    assert_int_equal(repairs(kit), 1);
    assert_int_equal(index_extents_get(kit->index, span_of(id.data, 16), 1, 1, kit->arena, &extents), 0);
    assert_int_equal(extents[0]->n_replicas, 2);
    assert_string_equal(extents[0]->replicas[0]->backend, "b");
    assert_string_equal(extents[0]->replicas[1]->backend, "c");

    /* One that is in no set can go, too. */
    assert_int_equal(add(kit, id, 1, "z", false), 0);
    Arca__Mutation *other = kit_mutation(kit, ARCA__MUTATION__OP_REMOVE_REPLICA);
    other->remove_replica = KIT_NEW(kit, Arca__RemoveReplica, arca__remove_replica);
    other->remove_replica->blob_id = id;
    other->remove_replica->extent = 1;
    assert_int_equal(apply(kit, other), ERR_INVALID);
    other->remove_replica->replica = replica(kit, "z");
    other->remove_replica->replica->locator = kit_data("another", 7);
    assert_int_equal(apply(kit, other), ERR_NOT_FOUND);
    assert_int_equal(take(kit, id, 1, "z"), 0);
    assert_int_equal(apply(kit, kit_delete(kit, KEY)), 0);
    assert_int_equal(take(kit, id, 0, "a"), ERR_NOT_FOUND); /* garbage */
}

/* --- what the check finds --- */

static void lose_rows(void *arg)
{
    struct kit *kit = arg;
    kit_bucket(kit);
    set(kit, "main", "a:M b:J", ARCA__JOB__STEP__BACKFILL);
    set_configured(kit, "other", "a");
    assert_int_equal(make_bucket(kit, "second", "other"), 0);
    put(kit, KEY, "main", 1, "a b");
    put(kit, SPAN_LITERAL("short"), "main", 1, "a");
}

/* Whether one of the lines says it. */
struct expected {
    const char *says;
    bool said;
};

static void look_for(const char *line, void *arg)
{
    struct expected *expected = arg;
    expected->said = expected->said || strstr(line, expected->says) != NULL;
}

static void test_findings(void **state)
{
    (void)state;
    static const struct {
        enum table table;
        struct span key;
        const char *says;
    } cases[] = {
        {TABLE_HOLDINGS, {(const uint8_t *)"main\0a", 6}, "placement main on a: -2 replicas and -648 bytes more"},
        {TABLE_JOBS, {(const uint8_t *)"placement main", 14}, "placement main: its members change, and no job does it"},
        {TABLE_PLACEMENTS, {(const uint8_t *)"main", 4}, "job placement main: there is no such placement"},
        {TABLE_PLACEMENTS, {(const uint8_t *)"other", 5}, "bucket second: there is no placement other"},
        {TABLE_REPAIRS, {NULL, 0}, "lacks good replicas and is not up for repair"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kit kit;
        struct txn txn;
        struct expected expected = {.says = cases[i].says};
        uint64_t findings;
        struct span key = cases[i].key, unused;
        kit_init(&kit);
        kit_open(&kit);
        on_fiber(lose_rows, &kit);
        assert_int_equal(view_write(index_view(kit.index), &txn), 0);
        if (key.len == 0) { /* and the job's excuse is gone */
            assert_int_equal(txn_seek(&txn, TABLE_REPAIRS, MDB_FIRST, &key, &unused), 0);
            assert_int_equal(txn_delete(&txn, TABLE_JOBS, SPAN_LITERAL("placement main")), 0);
        }
        assert_int_equal(txn_delete(&txn, cases[i].table, key), 0);
        assert_int_equal(txn_commit(&txn), 0);
        kit_close(&kit);
        assert_int_equal(index_check(kit.folder, look_for, &expected, &findings), 0);
        assert_true(findings > 0);
        assert_true(expected.said);
        kit_free(&kit);
    }
}

#define SCENARIOS(X) X(rows) X(buckets) X(nonsense) X(nonsense_blobs) X(wanted) X(filling) X(removal)

KIT_MAIN(SCENARIOS, cmocka_unit_test(test_findings))
