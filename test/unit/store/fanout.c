/* Quorum writes over backends that answer when the test says so. */
#include "unit.h"

#include "base/block.h"
#include "base/err.h"
#include "base/log.h"
#include "on_fiber.h"
#include "store/fanout.h"

#define BACKENDS 3

/* A put waits until it is released, and then answers `rc`. */
struct fake {
    struct backend backend;
    struct fiber *waiting;
    bool released;
    int rc;
    bool give_up; /* when it is cancelled; else it takes no notice */
    unsigned stored;
    unsigned removed;
};

static struct fake fakes[BACKENDS];
static struct fanout_set set;
static atomic_size_t writes;

static int fake_put(struct backend *backend, const struct blob_name *name, struct block *data, struct locator *out)
{
    struct fake *fake = (struct fake *)backend;
    fake->waiting = fiber_self();
    while (!fake->released) {
        int rc = fiber_wait(DEADLINE_NONE);
        assert_true(rc == 0 || (rc == ERR_CANCELED && fake->give_up));
        if (rc != 0)
            return rc;
    }
    fake->waiting = NULL;
    assert_int_equal(name->bytes[0], 'n');
    assert_int_equal(data->data[0], 'd');
    *out = (struct locator){.length = 1, .bytes = {backend->name[0]}};
    if (fake->rc == 0)
        fake->stored++;
    return fake->rc;
}

static int fake_remove(struct backend *backend, const struct blob_name *name, const struct locator *locator)
{
    struct fake *fake = (struct fake *)backend;
    assert_int_equal(name->bytes[0], 'n');
    assert_int_equal(locator->bytes[0], backend->name[0]);
    fake->removed++;
    return 0;
}

/* --- the index, as the test plays it --- */

static struct {
    int rc;          /* of AddReplica */
    unsigned added;  /* replicas */
    unsigned hurried; /* repairs */
    char named[4];   /* backends whose replica the blob's row has */
} rows;

int index_apply(struct index *index, const Arca__Mutation *mutation)
{
    assert_ptr_equal(index, &rows);
    if (mutation->op_case == ARCA__MUTATION__OP_REPAIR_FAILED) {
        assert_true(mutation->repair_failed->next_ms > mutation->time_ms);
        rows.hurried++;
        return 0;
    }
    assert_int_equal(mutation->op_case, ARCA__MUTATION__OP_ADD_REPLICA);
    const Arca__AddReplica *add = mutation->add_replica;
    assert_int_equal(add->blob_id.data[0], 'n');
    assert_int_equal(add->replica->locator.data[0], add->replica->backend[0]);
    rows.added += rows.rc == 0;
    return rows.rc;
}

int index_blob_get(struct index *index, struct span blob_id, struct arena *arena, Arca__Blob **out)
{
    (void)index;
    (void)blob_id;
    *out = arena_alloc(arena, sizeof(**out));
    arca__blob__init(*out);
    (*out)->extent_count = 1;
    (*out)->replicas = arena_alloc(arena, 4 * sizeof(Arca__Replica *));
    for (const char *name = rows.named; *name != '\0'; name++) {
        Arca__Replica *replica = arena_alloc(arena, sizeof(*replica));
        char *backend = arena_zalloc(arena, 2);
        arca__replica__init(replica);
        backend[0] = *name;
        replica->backend = backend;
        replica->locator = (ProtobufCBinaryData){1, (uint8_t *)backend};
        (*out)->replicas[(*out)->n_replicas++] = replica;
    }
    return 0;
}

int index_extents_get(struct index *index, struct span blob_id, uint32_t first, uint32_t count, struct arena *arena,
                      Arca__Extent ***out)
{
    (void)index;
    (void)blob_id;
    (void)first;
    (void)count;
    (void)arena;
    (void)out;
    return ERR_NOT_FOUND;
}

static const struct backend_ops FAKE_OPS = {.driver = "fake", .put = fake_put, .remove = fake_remove};

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < BACKENDS; i++) {
        fakes[i] = (struct fake){.backend = {.ops = &FAKE_OPS, .name = {(char)('a' + i)}}};
        set.backends[i] = &fakes[i].backend;
    }
    return 0;
}

static void release(int i, int rc)
{
    fakes[i].rc = rc;
    fakes[i].released = true;
    if (fakes[i].waiting != NULL)
        fiber_wake(fakes[i].waiting);
}

/* --- one put, beside the test's own fiber --- */

static struct {
    struct budget *budget;
    struct block *block;
    struct fiber *fiber;
    bool returned;
    int rc;
    unsigned quorum;
    struct fanout_result results[BACKENDS];
    struct fanout *open;
    Arca__Replica replicas[BACKENDS], *pointers[BACKENDS];
    size_t count;
} call;
static struct fanout_shared shared;

static void putter(void *arg)
{
    (void)arg;
    struct blob_name name = {{'n'}};
    set.count = BACKENDS;
    set.quorum = call.quorum;
    call.rc = fanout_put(&shared, &set, &writes, &name, call.block, call.results, &call.open);
    if (call.open != NULL)
        fanout_expose(call.open, call.pointers, &call.count, NULL);
    call.returned = true;
}

/* Starts a put and lets it come as far as it gets. */
static void begin(unsigned quorum)
{
    memset(&call, 0, sizeof(call));
    memset(&rows, 0, sizeof(rows));
    shared = (struct fanout_shared){0};
    for (int i = 0; i < BACKENDS; i++)
        call.pointers[i] = &call.replicas[i];
    call.quorum = quorum;
    call.budget = budget_create(1 << 20);
    assert_int_equal(block_create(call.budget, 4096, DEADLINE_NONE, &call.block), 0);
    call.block->data[0] = 'd';
    call.block->length = 1;
    assert_int_equal(fiber_spawn(fiber_loop(fiber_self()), putter, NULL, &call.fiber), 0);
    for (int i = 0; i < 4; i++)
        fiber_yield();
    assert_false(call.returned);
}

static void settle(void)
{
    for (int i = 0; i < 6; i++)
        fiber_yield();
}

/* Nothing refers to the block any more but the test. */
static void finish(void)
{
    settle();
    assert_true(call.returned);
    assert_int_equal(atomic_load(&call.block->references), 1);
    assert_int_equal(atomic_load(&writes), 0);
    block_unref(call.block);
}

/* A put that two of three have answered. */
static void begin_straggling(void)
{
    begin(2);
    release(2, 0);
    settle();
    assert_false(call.returned);
    release(0, 0);
    settle();
    assert_true(call.returned);
    assert_int_equal(call.rc, 0);
    assert_int_equal(call.results[0].rc, 0);
    assert_int_equal(call.results[1].rc, ERR_BUSY);
    assert_int_equal(call.results[2].locator.bytes[0], 'c');
    assert_int_equal(atomic_load(&call.block->references), 2); /* the straggler's */
    assert_in_range(shared.straggling, call.block->capacity, (1 << 20) / 4);
    assert_int_equal(fakes[1].backend.straggling, shared.straggling);
    assert_non_null(call.open);
    assert_int_equal(atomic_load(&writes), 1);
}

static struct index *index_of_test(void)
{
    return (struct index *)(void *)&rows;
}

static void straggler_is_adopted(void *arg)
{
    (void)arg;
    begin_straggling();
    assert_true(fanout_gather(call.open));
    fanout_settle(call.open, index_of_test(), false);
    settle();
    assert_int_equal(rows.added, 0);
    release(1, 0);
    finish();
    assert_int_equal(rows.added, 1);
    assert_int_equal(fakes[0].removed + fakes[1].removed + fakes[2].removed, 0);
    assert_int_equal(shared.straggling, 0);
    assert_false(shared.leftovers);
}

/* It ends before the index is told: one mutation is enough. */
static void straggler_is_gathered(void *arg)
{
    (void)arg;
    begin_straggling();
    release(1, 0);
    settle();
    assert_int_equal(fakes[1].stored, 1);
    assert_false(fanout_gather(call.open));
    assert_int_equal(call.count, 1);
    assert_string_equal(call.replicas[0].backend, "b");
    fanout_settle(call.open, index_of_test(), false);
    finish();
    assert_int_equal(rows.added, 0);
    assert_int_equal(fakes[1].removed, 0);
}

/* It ends while the index is being told. */
static void straggler_is_adopted_late(void *arg)
{
    (void)arg;
    begin_straggling();
    assert_true(fanout_gather(call.open));
    release(1, 0);
    settle();
    fanout_settle(call.open, index_of_test(), false);
    finish();
    assert_int_equal(rows.added, 1);
    assert_int_equal(fakes[1].removed, 0);
}

static void straggler_of_a_lost_blob(void *arg)
{
    (void)arg;
    begin_straggling();
    fanout_settle(call.open, NULL, false);
    settle();
    assert_int_equal(fakes[0].removed + fakes[2].removed, 0); /* the caller's, who notes them as garbage */
    release(1, 0);
    finish();
    assert_int_equal(rows.added, 0);
    assert_int_equal(fakes[1].removed, 1);
}

static void straggler_of_a_deleted_blob(void *arg)
{
    (void)arg;
    begin_straggling();
    rows.rc = ERR_NOT_FOUND;
    fanout_settle(call.open, index_of_test(), false);
    release(1, 0);
    finish();
    assert_int_equal(fakes[1].removed, 1);
    assert_false(shared.leftovers);
}

/* Repair was quicker, and its locator is the same: that replica must not be lost. */
static void straggler_after_its_repair(void *arg)
{
    (void)arg;
    begin_straggling();
    rows.rc = ERR_EXISTS;
    rows.named[0] = 'b';
    fanout_settle(call.open, index_of_test(), false);
    release(1, 0);
    finish();
    assert_int_equal(fakes[1].removed, 0);
}

static void straggler_and_a_full_index(void *arg)
{
    (void)arg;
    begin_straggling();
    rows.rc = ERR_NOSPC;
    fanout_settle(call.open, index_of_test(), false);
    release(1, 0);
    finish();
    assert_int_equal(fakes[1].removed, 1);
    assert_false(shared.leftovers);
}

static void straggler_and_a_broken_index(void *arg)
{
    (void)arg;
    begin_straggling();
    rows.rc = ERR_READONLY;
    fanout_settle(call.open, index_of_test(), false);
    release(1, 0);
    finish();
    assert_int_equal(fakes[1].removed, 0); /* the journal may name it */
    assert_true(shared.leftovers);
}

static void straggler_fails(void *arg)
{
    (void)arg;
    begin_straggling();
    fanout_settle(call.open, index_of_test(), false);
    release(1, ERR_TIMEOUT);
    finish();
    assert_int_equal(rows.added, 0);
    assert_int_equal(rows.hurried, 1);
    assert_true(shared.leftovers); /* it may have been stored all the same */
}

/* Beyond their part of the budget, stragglers end at once. */
static void stragglers_are_limited(void *arg)
{
    (void)arg;
    begin(2);
    shared.straggling = (1 << 20) / 4 - call.block->capacity + 1;
    fakes[1].give_up = true;
    release(0, 0);
    release(2, 0);
    settle();
    fanout_settle(call.open, index_of_test(), false);
    finish();
    assert_int_equal(rows.hurried, 1);
}

/* It cannot be ended, and must not take more and more memory. */
static void hanging_backend_is_passed_over(void *arg)
{
    (void)arg;
    size_t part = (1 << 20) / 2;
    begin_straggling();
    struct fanout *first = call.open;
    fakes[1].backend.straggling += part; /* other puts before this */
    call.returned = false;
    assert_int_equal(fiber_spawn(fiber_loop(fiber_self()), putter, NULL, &call.fiber), 0);
    settle();
    assert_true(call.returned);
    assert_int_equal(call.rc, 0);
    assert_int_equal(call.results[1].rc, ERR_BUSY);
    assert_int_equal(atomic_load(&call.block->references), 2); /* the first put's straggler */
    assert_false(fanout_gather(call.open));
    fanout_settle(call.open, index_of_test(), false);
    fanout_settle(first, index_of_test(), false);
    release(1, 0);
    finish();
    assert_int_equal(fakes[1].stored, 1);
    assert_int_equal(rows.added, 1);
    assert_int_equal(rows.hurried, 0);
    assert_int_equal(fakes[1].backend.straggling, part);
    assert_int_equal(shared.straggling, 0);
}

static void with_a_failure(bool hurry)
{
    begin(2);
    release(0, ERR_IO);
    release(1, 0);
    release(2, 0);
    settle();
    assert_int_equal(call.rc, 0);
    assert_int_equal(call.results[0].rc, ERR_IO);
    assert_false(fanout_gather(call.open));
    fanout_settle(call.open, index_of_test(), hurry);
    finish();
    assert_int_equal(fakes[1].removed + fakes[2].removed, 0);
    assert_int_equal(rows.hurried, hurry);
}

static void quorum_despite_a_failure(void *arg)
{
    (void)arg;
    with_a_failure(false);
    budget_free(call.budget);
    setup(NULL);
    with_a_failure(true); /* another extent's stragglers keep the row waiting */
}

static void quorum_missed(void *arg)
{
    (void)arg;
    begin(2);
    release(0, 0);
    release(1, ERR_TIMEOUT);
    settle();
    assert_false(call.returned);
    release(2, ERR_IO);
    finish();
    assert_int_equal(call.rc, ERR_UNAVAILABLE);
    assert_int_equal(fakes[0].removed, 1);
}

static void full_is_told(void *arg)
{
    (void)arg;
    begin(3);
    release(1, ERR_NOSPC);
    settle();
    assert_true(call.returned); /* all three can no longer be had */
    assert_int_equal(call.rc, ERR_NOSPC);
    release(0, 0);
    release(2, ERR_IO);
    finish();
    assert_int_equal(fakes[0].removed, 1);
}

static void caller_is_canceled(void *arg)
{
    (void)arg;
    begin(2);
    release(0, 0);
    settle();
    fiber_cancel(call.fiber);
    settle();
    assert_true(call.returned);
    assert_int_equal(call.rc, ERR_CANCELED);
    release(1, ERR_IO);
    release(2, 0);
    finish();
    assert_int_equal(fakes[0].removed, 1);
    assert_int_equal(fakes[2].removed, 1);
}

#define ON_FIBER(name)                                                                                                \
    static void name##_test(void **state)                                                                             \
    {                                                                                                                 \
        (void)state;                                                                                                  \
        on_fiber(name, NULL);                                                                                         \
        budget_free(call.budget);                                                                                     \
    }
ON_FIBER(straggler_is_adopted)
ON_FIBER(straggler_is_gathered)
ON_FIBER(straggler_is_adopted_late)
ON_FIBER(straggler_of_a_lost_blob)
ON_FIBER(straggler_of_a_deleted_blob)
ON_FIBER(straggler_after_its_repair)
ON_FIBER(straggler_and_a_full_index)
ON_FIBER(straggler_and_a_broken_index)
ON_FIBER(straggler_fails)
ON_FIBER(stragglers_are_limited)
ON_FIBER(hanging_backend_is_passed_over)
ON_FIBER(quorum_despite_a_failure)
ON_FIBER(quorum_missed)
ON_FIBER(full_is_told)
ON_FIBER(caller_is_canceled)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(straggler_is_adopted_test, setup),
        cmocka_unit_test_setup(straggler_is_gathered_test, setup),
        cmocka_unit_test_setup(straggler_is_adopted_late_test, setup),
        cmocka_unit_test_setup(straggler_of_a_lost_blob_test, setup),
        cmocka_unit_test_setup(straggler_of_a_deleted_blob_test, setup),
        cmocka_unit_test_setup(straggler_after_its_repair_test, setup),
        cmocka_unit_test_setup(straggler_and_a_full_index_test, setup),
        cmocka_unit_test_setup(straggler_and_a_broken_index_test, setup),
        cmocka_unit_test_setup(straggler_fails_test, setup),
        cmocka_unit_test_setup(stragglers_are_limited_test, setup),
        cmocka_unit_test_setup(hanging_backend_is_passed_over_test, setup),
        cmocka_unit_test_setup(quorum_despite_a_failure_test, setup),
        cmocka_unit_test_setup(quorum_missed_test, setup),
        cmocka_unit_test_setup(full_is_told_test, setup),
        cmocka_unit_test_setup(caller_is_canceled_test, setup),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
