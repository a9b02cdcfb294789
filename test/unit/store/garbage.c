/* Garbage collection over a disk backend and an index that the test plays. */
#include "unit.h"

#include <stdatomic.h>
#include "base/clock.h"
#include "base/log.h"
#include "blobs.h"
#include "store/store.h"

#define GRACE_MS 60000

static const uint8_t OWN[8] = "own-one";
static const uint8_t LEFT[8] = "left-op";
static const uint8_t CLOSED[8] = "closed.";   /* long ago */
static const uint8_t FOREIGN[8] = "foreign"; /* not this index's */

static char *folder;
static struct store *store;
static struct garbage *garbage;
static int64_t grace_ms;

/* --- the index, as the test plays it: only what garbage.c calls, so that the linker takes no other --- */

struct row {
    uint8_t id[16];
    uint32_t extents; /* 0: no such row */
    bool garbage;
    struct locator at[4];
};

static struct row rows[8];
static size_t collected;
static bool leases_open;
static bool fail_apply;
static const char *backend_name; /* of all replicas */
static size_t stuck_blobs;
static atomic_bool cycled; /* the last step of a cycle was done, or one failed */

static struct row *find_row(struct span id)
{
    for (size_t i = 0; i < 8; i++) {
        if (rows[i].extents > 0 && span_eq(id, span_of(rows[i].id, 16)))
            return &rows[i];
    }
    return NULL;
}

static Arca__Replica **replica_of(struct arena *arena, const struct locator *at)
{
    Arca__Replica **list = arena_alloc(arena, sizeof(*list));
    list[0] = arena_alloc(arena, sizeof(**list));
    arca__replica__init(list[0]);
    list[0]->backend = (char *)(uintptr_t)backend_name;
    list[0]->locator.data = (uint8_t *)(uintptr_t)at->bytes;
    list[0]->locator.len = at->length;
    return list;
}

static Arca__Blob *blob_of(struct arena *arena, struct row *row)
{
    Arca__Blob *blob = arena_alloc(arena, sizeof(*blob));
    arca__blob__init(blob);
    blob->id = (ProtobufCBinaryData){16, row->id};
    blob->extent_count = row->extents;
    if (row->extents == 1) {
        blob->n_replicas = 1;
        blob->replicas = replica_of(arena, &row->at[0]);
    }
    return blob;
}

/* Older than all rows, and on a backend that is gone. */
static Arca__Blob *stuck_blob(struct arena *arena, size_t number)
{
    static const struct locator nowhere;
    Arca__Blob *blob = arena_alloc(arena, sizeof(*blob));
    arca__blob__init(blob);
    blob->id = (ProtobufCBinaryData){16, arena_zalloc(arena, 16)};
    memcpy(blob->id.data + 8, &number, sizeof(number));
    blob->extent_count = 1;
    blob->n_replicas = 1;
    blob->replicas = replica_of(arena, &nowhere);
    blob->replicas[0]->backend = "gone";
    return blob;
}

int index_garbage_list(struct index *index, int64_t until_ms, size_t max, struct arena *arena, Arca__Blob ***out,
                       size_t *count)
{
    (void)index;
    assert_in_range(clock_wall_ms() - until_ms, grace_ms, grace_ms + 1000);
    assert_true(max >= 8);
    *out = arena_alloc(arena, max * sizeof(Arca__Blob *));
    *count = 0;
    for (size_t i = 0; i < stuck_blobs && *count < max; i++)
        (*out)[(*count)++] = stuck_blob(arena, i);
    for (size_t i = 0; i < 8 && *count < max; i++) {
        if (rows[i].extents > 0 && rows[i].garbage)
            (*out)[(*count)++] = blob_of(arena, &rows[i]);
    }
    return 0;
}

int index_extents_get(struct index *index, struct span id, uint32_t first, uint32_t count, struct arena *arena,
                      Arca__Extent ***out)
{
    (void)index;
    struct row *row = find_row(id);
    assert_non_null(row);
    assert_int_equal(count, 1);
    if (first >= row->extents)
        return ERR_NOT_FOUND;
    *out = arena_alloc(arena, sizeof(**out));
    (*out)[0] = arena_alloc(arena, sizeof(***out));
    arca__extent__init((*out)[0]);
    (*out)[0]->number = first;
    (*out)[0]->n_replicas = 1;
    (*out)[0]->replicas = replica_of(arena, &row->at[first]);
    return 0;
}

int index_blob_get(struct index *index, struct span id, struct arena *arena, Arca__Blob **out)
{
    (void)index;
    struct row *row = find_row(id);
    if (row == NULL)
        return ERR_NOT_FOUND;
    *out = blob_of(arena, row);
    return 0;
}

int index_lease_list(struct index *index, struct arena *arena, Arca__Lease ***out, size_t *count)
{
    (void)index;
    static const uint8_t *const ids[] = {CLOSED, LEFT, OWN};
    *count = 3;
    *out = arena_alloc(arena, *count * sizeof(**out));
    for (size_t i = 0; i < *count; i++) {
        (*out)[i] = arena_alloc(arena, sizeof(Arca__Lease));
        arca__lease__init((*out)[i]);
        (*out)[i]->id = (ProtobufCBinaryData){8, (uint8_t *)(uintptr_t)ids[i]};
        (*out)[i]->closed_ms = ids[i] == CLOSED || (ids[i] == LEFT && !leases_open) ? 1 : 0;
    }
    return 0;
}

int index_apply(struct index *index, const Arca__Mutation *mutation)
{
    (void)index;
    assert_true(mutation->time_ms > 0);
    if (fail_apply) {
        cycled = true;
        return ERR_NOSPC;
    }
    if (mutation->op_case == ARCA__MUTATION__OP_COLLECTED) {
        for (size_t i = 0; i < mutation->collected->n_blob_ids; i++) {
            struct row *row = find_row(span_of(mutation->collected->blob_ids[i].data, 16));
            assert_true(row != NULL && row->garbage);
            row->extents = 0;
            collected++;
        }
    } else if (mutation->op_case == ARCA__MUTATION__OP_CLOSE_LEASES) {
        assert_int_equal(mutation->close_leases->n_ids, 1);
        assert_memory_equal(mutation->close_leases->ids[0].data, LEFT, 8);
        leases_open = false;
    } else {
        assert_int_equal(mutation->op_case, ARCA__MUTATION__OP_FORGET_UPLOADS);
        assert_true(mutation->forget_uploads->completed_before_ms < clock_wall_ms() - 3600 * 1000);
        cycled = true;
    }
    return 0;
}

/* --- blobs --- */

static struct blob_name name_of(const uint8_t id[16], uint32_t extent)
{
    struct blob_name name;
    memcpy(name.bytes, id, 16);
    memset(name.bytes + 16, 0, 3);
    name.bytes[19] = (uint8_t)extent;
    return name;
}

static void store_blob(const uint8_t id[16], uint32_t extent, struct locator *at)
{
    static uint8_t data[3000];
    struct block block = {.references = 1, .length = sizeof(data), .capacity = sizeof(data), .data = data};
    struct blob_op op = {.backend = store_backend(store, 0), .name = name_of(id, extent), .data = &block,
                         .locator = at};
    on_fiber(blob_run_put, &op);
    assert_int_equal(op.rc, 0);
}

static bool there(const uint8_t id[16], uint32_t extent, struct locator *at)
{
    uint8_t byte;
    struct blob_op op = {.backend = store_backend(store, 0), .name = name_of(id, extent), .locator = at, .length = 1,
                         .dst = &byte};
    on_fiber(blob_run_get, &op);
    assert_true(op.rc == 0 || op.rc == ERR_NOT_FOUND);
    return op.rc == 0;
}

static void make_id(uint8_t id[16], const uint8_t lease[8], uint8_t number)
{
    memset(id, 0, 16);
    memcpy(id, lease, 8);
    id[15] = number;
}

static void make_row(size_t i, const uint8_t lease[8], uint32_t extents, bool is_garbage)
{
    rows[i] = (struct row){.extents = extents, .garbage = is_garbage};
    make_id(rows[i].id, lease, (uint8_t)i);
    for (uint32_t k = 0; k < extents; k++)
        store_blob(rows[i].id, k, &rows[i].at[k]);
}

static int setup(void **state)
{
    (void)state;
    folder = folder_make();
    struct backend_settings disk = {.name = "one", .driver = "disk", .path = folder};
    struct config config = {.backends = &disk, .backend_count = 1};
    assert_int_equal(store_open(&config, &store), 0);
    memset(rows, 0, sizeof(rows));
    collected = 0;
    leases_open = fail_apply = false;
    backend_name = "one";
    stuck_blobs = 0;
    grace_ms = GRACE_MS;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(store);
    folder_remove(folder);
    return 0;
}

/* Runs the collector until the flag is set. */
static void run_until(atomic_bool *flag)
{
    struct loop *loop;
    *flag = false;
    assert_int_equal(loop_create(&(struct loop_options){.number = 0}, &loop), 0);
    assert_int_equal(garbage_start(store, NULL, loop, OWN, grace_ms, &garbage), 0);
    assert_int_equal(loop_start(loop), 0);
    for (int i = 0; i < 20000 && !*flag; i++)
        usleep(1000);
    assert_true(*flag);
    garbage_stop(garbage);
    loop_stop(loop);
    loop_join(loop);
    loop_free(loop);
    garbage_free(garbage);
}

static void run_once(void)
{
    run_until(&cycled);
}

static void collects_garbage(void **state)
{
    (void)state;
    make_row(0, OWN, 1, true);
    make_row(1, OWN, 3, true);
    make_row(2, OWN, 1, false);
    make_row(3, OWN, 2, false);
    struct row before[4];
    memcpy(before, rows, sizeof(before));
    run_once();
    assert_int_equal(collected, 2);
    assert_false(there(before[0].id, 0, &before[0].at[0]));
    for (uint32_t i = 0; i < 3; i++)
        assert_false(there(before[1].id, i, &before[1].at[i]));
    assert_true(there(before[2].id, 0, &before[2].at[0]));
    assert_true(there(before[3].id, 1, &before[3].at[1]));
}

static void removes_orphans(void **state)
{
    (void)state;
    uint8_t lost[16], mine[16], undone[16], foreign[16];
    struct locator lost_at, mine_at, undone_at, foreign_at, twice_at, cut_at;
    leases_open = true;
    make_row(0, LEFT, 1, false);
    make_row(1, LEFT, 2, false);
    make_id(lost, LEFT, 100);
    make_id(mine, OWN, 100);
    make_id(undone, CLOSED, 100);
    make_id(foreign, FOREIGN, 100);
    store_blob(lost, 0, &lost_at);
    store_blob(undone, 0, &undone_at);          /* its removal was undone by a power loss */
    store_blob(foreign, 0, &foreign_at);
    store_blob(mine, 0, &mine_at);              /* on its way into the index */
    store_blob(rows[0].id, 0, &twice_at);       /* of a retry: the row names the other copy */
    store_blob(rows[1].id, 2, &cut_at);         /* an extent that the row does not have */
    run_once();
    assert_false(leases_open);
    assert_false(there(lost, 0, &lost_at));
    assert_false(there(undone, 0, &undone_at));
    assert_false(there(rows[0].id, 0, &twice_at));
    assert_false(there(rows[1].id, 2, &cut_at));
    assert_true(there(foreign, 0, &foreign_at));
    assert_true(there(mine, 0, &mine_at));
    assert_true(there(rows[0].id, 0, &rows[0].at[0]));
    assert_true(there(rows[1].id, 0, &rows[1].at[0]));
    assert_true(there(rows[1].id, 1, &rows[1].at[1]));
    assert_int_equal(collected, 0);
}

/* What the index cannot note is done again: the rows stay. */
static void index_refuses(void **state)
{
    (void)state;
    leases_open = true;
    fail_apply = true;
    make_row(0, OWN, 1, true);
    run_once();
    assert_true(leases_open);
    assert_int_equal(rows[0].extents, 1);
    fail_apply = false;
    run_once();
    assert_false(leases_open);
    assert_int_equal(collected, 1);
}

/* Garbage on a backend that is gone stays, and keeps nothing else from being done. */
static void backend_gone(void **state)
{
    (void)state;
    make_row(0, OWN, 1, true);
    backend_name = "gone";
    run_once(); /* until uploads were forgotten */
    assert_int_equal(collected, 0);
    assert_int_equal(rows[0].extents, 1);
}

/* Nor does a heap of it keep younger garbage from being collected. */
static void behind_a_heap(void **state)
{
    (void)state;
    stuck_blobs = 1100;
    make_row(0, OWN, 1, true);
    run_once();
    assert_int_equal(collected, 1);
}

static struct {
    int count;
    int64_t began_ms[2], ended_ms[2];
    atomic_bool twice;
} lists;

static int list_for_nothing(struct backend *backend, struct blob_cursor *cursor, struct blob_batch *out)
{
    (void)backend, (void)cursor, (void)out;
    int n = lists.count < 2 ? lists.count++ : 1;
    lists.began_ms[n] = loop_now_ms();
    int64_t until_ms = loop_now_ms() + 30;
    int rc = 0;
    while (rc == 0)
        rc = fiber_wait(until_ms);
    lists.ended_ms[n] = loop_now_ms();
    lists.twice = n == 1;
    return ERR_IO;
}

/* Listings cost money: a scan that fails takes a small part of the time only. */
static void scan_fails(void **state)
{
    (void)state;
    struct backend *backend = store_backend(store, 0);
    const struct backend_ops *ops = backend->ops;
    struct backend_ops failing = *ops;
    failing.list = list_for_nothing;
    backend->ops = &failing;
    leases_open = true;
    grace_ms = 200; /* then a cycle begins each 100 ms */
    lists.count = 0;
    run_until(&lists.twice);
    backend->ops = ops;
    assert_true(leases_open);
    assert_true(lists.began_ms[1] - lists.ended_ms[0] >= 10 * (lists.ended_ms[0] - lists.began_ms[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(collects_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(removes_orphans, setup, teardown),
        cmocka_unit_test_setup_teardown(index_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(backend_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(behind_a_heap, setup, teardown),
        cmocka_unit_test_setup_teardown(scan_fails, setup, teardown),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
