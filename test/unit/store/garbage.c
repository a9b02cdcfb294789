/* Garbage collection over a disk backend and an index that the test plays. */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include "await.h"
#include "base/clock.h"
#include "base/log.h"
#include "blobs.h"
#include "on_fiber.h"
#include "store/jobs/garbage.h"
#include "store/store.h"
#include "store/watched.h"

#define GRACE_MS 60000

static const uint8_t OWN[8] = "own-one";
static const uint8_t LEFT[8] = "left-op";
static const uint8_t CLOSED[8] = "closed.";   /* long ago */
static const uint8_t FOREIGN[8] = "foreign"; /* not this index's */

static char *folder, *second_folder;
static struct store *store;
static struct garbage *garbage;
static int64_t grace_ms;
static unsigned operations; /* a second; 0: no limit */

/* --- the index, as the test plays it: only what garbage.c calls, so that the linker takes no other --- */

struct row {
    uint8_t id[16];
    uint32_t extents; /* 0: no such row */
    bool garbage;
    const char *backend; /* NULL: backend_name */
    struct locator at[4];
};

static struct row rows[8];
static atomic_size_t collected;
static bool leases_open;
static bool fail_apply;
static const char *backend_name; /* of replicas of rows that name none */
static size_t stuck_blobs;
static atomic_size_t stuck_listed, from_the_head; /* rows, calls */
static atomic_bool tried_thrice; /* stuck blobs were, after the first time */
static int64_t reader_age_ms; /* of the oldest reader */
static atomic_bool cycled; /* the last step of a cycle was done, or one failed */

static struct row *find_row(struct span id)
{
    for (size_t i = 0; i < 8; i++) {
        if (rows[i].extents > 0 && span_eq(id, span_of(rows[i].id, 16)))
            return &rows[i];
    }
    return NULL;
}

static Arca__Replica **replica_of(struct arena *arena, const char *backend, const struct locator *at)
{
    Arca__Replica **list = arena_alloc(arena, sizeof(*list));
    list[0] = arena_alloc(arena, sizeof(**list));
    arca__replica__init(list[0]);
    list[0]->backend = (char *)(uintptr_t)(backend != NULL ? backend : backend_name);
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
        blob->replicas = replica_of(arena, row->backend, &row->at[0]);
    }
    return blob;
}

/* Older than all rows, and on a backend that does not let it go. */
static Arca__Blob *stuck_blob(struct arena *arena, size_t number)
{
    static const struct locator nowhere;
    static uint8_t too_long[LOCATOR_MAX + 1];
    Arca__Blob *blob = arena_alloc(arena, sizeof(*blob));
    arca__blob__init(blob);
    blob->id = (ProtobufCBinaryData){16, arena_zalloc(arena, 16)};
    memcpy(blob->id.data + 8, &number, sizeof(number));
    blob->garbage_ms = (int64_t)number + 1;
    blob->extent_count = 1;
    blob->n_replicas = 1;
    blob->replicas = replica_of(arena, NULL, &nowhere);
    blob->replicas[0]->locator = (ProtobufCBinaryData){sizeof(too_long), too_long};
    return blob;
}

int64_t index_safe_ms(struct index *index)
{
    (void)index;
    return INT64_MAX;
}

/* Stuck blobs are of the time of their number, the others are younger. */
int index_garbage_list(struct index *index, int64_t until_ms, const Arca__Blob *after, size_t max, struct arena *arena,
                       Arca__Blob ***out, size_t *count)
{
    (void)index;
    bool again = until_ms < 1000000; /* the oldest ones alone */
    /* A reader grows older while cases run, and no two are of ages so close to each other. */
    if (!again)
        assert_in_range(clock_wall_ms() - until_ms, grace_ms + reader_age_ms, grace_ms + reader_age_ms + 9000);
    assert_true(max >= 8);
    *out = arena_alloc(arena, max * sizeof(Arca__Blob *));
    *count = 0;
    if (after == NULL && ++from_the_head == 4)
        tried_thrice = true;
    size_t first = after == NULL ? 0 : (size_t)after->garbage_ms;
    for (size_t i = first; i < stuck_blobs && *count < max; i++, stuck_listed++)
        (*out)[(*count)++] = stuck_blob(arena, i);
    for (size_t i = first > stuck_blobs ? first - stuck_blobs : 0; i < 8 && *count < max; i++) {
        if (rows[i].extents == 0 || !rows[i].garbage || (again && (int64_t)(stuck_blobs + i + 1) > until_ms))
            continue;
        Arca__Blob *blob = (*out)[(*count)++] = blob_of(arena, &rows[i]);
        blob->garbage_ms = (int64_t)(stuck_blobs + i + 1);
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
    (*out)[0]->replicas = replica_of(arena, row->backend, &row->at[first]);
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

static void store_blob_on(size_t backend, const uint8_t id[16], uint32_t extent, struct locator *at)
{
    static uint8_t data[3000];
    struct block block = {.references = 1, .length = sizeof(data), .capacity = sizeof(data), .data = data};
    struct blob_op op = {.backend = store_backend(store, backend), .name = name_of(id, extent), .data = &block,
                         .locator = at};
    on_fiber(blob_run_put, &op);
    assert_int_equal(op.rc, 0);
}

static void store_blob(const uint8_t id[16], uint32_t extent, struct locator *at)
{
    store_blob_on(0, id, extent, at);
}

/* Of a copy of the index: in no table, and no orphan. */
static struct blob_op store_piece(const uint8_t lease[8], struct locator *at)
{
    static uint8_t data[3000];
    static struct block block = {.references = 1, .length = sizeof(data), .capacity = sizeof(data), .data = data};
    struct blob_op op = {.backend = store_backend(store, 0), .data = &block, .locator = at};
    memcpy(op.name.bytes, lease, 8);
    op.name.bytes[16] = 0x80;
    on_fiber(blob_run_put, &op);
    assert_int_equal(op.rc, 0);
    return op;
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
    second_folder = folder_make();
    struct backend_settings disks[] = {{.name = "one", .driver = "disk", .path = folder},
                                       {.name = "two", .driver = "disk", .path = second_folder}};
    struct config config = {.backends = disks, .backend_count = 2};
    assert_int_equal(store_open(&config, &store), 0);
    memset(rows, 0, sizeof(rows));
    collected = 0;
    leases_open = fail_apply = false;
    backend_name = "one";
    stuck_blobs = 0;
    stuck_listed = 0;
    from_the_head = 0;
    tried_thrice = false;
    reader_age_ms = 0;
    grace_ms = GRACE_MS;
    operations = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(store);
    folder_remove(folder);
    folder_remove(second_folder);
    return 0;
}

static bool was_swept;

/* Runs the collector until the flag is set. */
static void run_until(atomic_bool *flag)
{
    struct loop *loop;
    *flag = false;
    assert_int_equal(loop_create(&(struct loop_options){.number = 0}, &loop), 0);
    struct jobs_options options = {.store = store, .loop = loop, .grace_ms = grace_ms, .garbage = {.operations = operations}};
    memcpy(options.own_lease, OWN, sizeof(options.own_lease));
    assert_int_equal(garbage_start(&options, &garbage), 0);
    assert_int_equal(loop_start(loop), 0);
    assert_true(AWAIT(*flag));
    garbage_stop(garbage);
    loop_stop(loop);
    loop_join(loop);
    loop_free(loop);
    was_swept = garbage_swept(garbage, store_backend(store, 0));
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

/* Of eight removals at ten a second the first needs not wait, and each may be early by as much as the loop's clock was
 * behind when its wait began. */
#define SHARE_MS (7 * 100 - 100)

static void keeps_to_its_share(void **state)
{
    (void)state;
    make_row(0, OWN, 4, true);
    make_row(1, OWN, 4, true);
    operations = 10;
    int64_t began_ms = clock_monotonic_ms();
    run_once();
    assert_int_equal(collected, 2);
    assert_true(clock_monotonic_ms() - began_ms >= SHARE_MS);
}

static void removes_orphans(void **state)
{
    (void)state;
    uint8_t lost[16], mine[16], undone[16], foreign[16];
    struct locator lost_at, mine_at, undone_at, foreign_at, twice_at, cut_at, piece_at;
    uint8_t byte;
    leases_open = true;
    struct blob_op piece = store_piece(LEFT, &piece_at);
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
    piece.length = 1;
    piece.dst = &byte;
    on_fiber(blob_run_get, &piece);
    assert_int_equal(piece.rc, 0);
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

static void orphans_keep_to_the_share(void **state)
{
    (void)state;
    uint8_t lost[16];
    struct locator at;
    leases_open = true;
    for (uint8_t i = 0; i < 8; i++) {
        make_id(lost, LEFT, i);
        store_blob(lost, 0, &at);
    }
    operations = 10;
    int64_t began_ms = clock_monotonic_ms();
    run_once();
    assert_false(leases_open);
    assert_false(there(lost, 0, &at));
    assert_true(clock_monotonic_ms() - began_ms >= SHARE_MS);
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

/* Garbage on a backend that the config has no more stays there, and is forgotten. */
static void backend_gone(void **state)
{
    (void)state;
    make_row(0, OWN, 1, true);
    backend_name = "gone";
    run_once(); /* until uploads were forgotten */
    assert_int_equal(collected, 1);
    assert_true(store_leftovers(store));
}

static struct store_reader readers[3];

static void enter_readers(void *arg)
{
    (void)arg;
    int64_t now_ms = clock_wall_ms();
    for (int i = 0; i < 3; i++) {
        readers[i].since_ms = now_ms - 50000 + 20000 * i;
        store_reader_enter(store, &readers[i]);
    }
}

static void enter_old_reader(void *arg)
{
    store_reader_enter(store, arg);
}

static void leave_reader(void *arg)
{
    store_reader_leave(store, arg);
}

/* The grace begins with the oldest reader: what it may want is kept. A day is enough. */
static void readers_are_waited_for(void **state)
{
    (void)state;
    on_fiber(enter_readers, NULL);
    reader_age_ms = 50000;
    run_once();
    on_fiber(leave_reader, &readers[1]);
    run_once();
    on_fiber(leave_reader, &readers[0]);
    reader_age_ms = 10000;
    run_once();
    on_fiber(leave_reader, &readers[2]);
    reader_age_ms = 0;
    run_once();
    readers[2].since_ms -= 30 * 24 * 3600000LL;
    on_fiber(enter_old_reader, &readers[2]);
    reader_age_ms = 24 * 3600000LL;
    run_once();
}

/* A heap of what is not let go does not keep younger garbage from being collected, and is not gone through again with
 * what is new, but later, and later. */
static void behind_a_heap(void **state)
{
    (void)state;
    stuck_blobs = 20000;
    grace_ms = 200; /* then a cycle begins each 100 ms */
    make_row(0, OWN, 1, true);
    int64_t began_ms = clock_monotonic_ms();
    run_until(&tried_thrice);
    assert_int_equal(collected, 1);
    assert_true(clock_monotonic_ms() - began_ms >= 100 + 200 + 400);
    assert_in_range(stuck_listed, 3 * stuck_blobs, 4 * stuck_blobs);
}

static void hang(void *arg)
{
    struct health *health = watched_health(arg);
    (void)health_probed(health, ERR_TIMEOUT, loop_now_ms());
    (void)health_probed(health, ERR_TIMEOUT, loop_now_ms());
    assert_int_equal(health_state(health, loop_now_ms()), HEALTH_DOWN);
}

static atomic_bool is_collected;

static void answer(void *arg)
{
    (void)health_probed(watched_health(arg), 0, loop_now_ms());
}

static void *answer_after_a_while(void *arg)
{
    while (from_the_head < 3)
        usleep(1000);
    on_fiber(answer, arg);
    while (collected == 0)
        usleep(1000);
    is_collected = true;
    return NULL;
}

/* What is on a backend that is down goes when it is there again. */
static void backend_comes_back(void **state)
{
    (void)state;
    pthread_t thread;
    grace_ms = 200;
    make_row(0, OWN, 3, true);
    on_fiber(hang, store_backend(store, 0));
    assert_int_equal(pthread_create(&thread, NULL, answer_after_a_while, store_backend(store, 0)), 0);
    run_until(&is_collected);
    pthread_join(thread, NULL);
}

static int remove_nothing(struct backend *backend, const struct blob_name *name, const struct locator *locator)
{
    (void)backend, (void)name, (void)locator;
    return ERR_UNAVAILABLE;
}

/* A search for orphans ends, although one is not let go; the next process searches again. */
static void orphan_stays(void **state)
{
    (void)state;
    uint8_t lost[16];
    struct locator at;
    struct backend *backend = store_backend(store, 0);
    const struct backend_ops *ops = backend->ops;
    struct backend_ops refusing = *ops;
    leases_open = true;
    make_id(lost, LEFT, 100);
    store_blob(lost, 0, &at);
    refusing.remove = remove_nothing;
    backend->ops = &refusing;
    run_once();
    assert_true(was_swept);
    assert_true(leases_open);
    backend->ops = ops;
    run_once();
    assert_false(leases_open);
    assert_false(there(lost, 0, &at));
}

static struct {
    const struct backend_ops *ops; /* what it does when it is let go on */
    atomic_bool go_on;
    atomic_int asked;
    atomic_bool done;
} stuck;

static int remove_when_let(struct backend *backend, const struct blob_name *name, const struct locator *locator)
{
    int rc = ERR_TIMEOUT;
    stuck.asked++;
    while (rc == ERR_TIMEOUT && !stuck.go_on)
        rc = fiber_wait(loop_now_ms() + 5);
    return rc == ERR_CANCELED ? rc : stuck.ops->remove(backend, name, locator);
}

/* Removals of the first backend hang while the collector runs and `look_on` does, until it says that it is done. */
static void run_hanging(void *(*look_on)(void *arg))
{
    pthread_t thread;
    struct backend *backend = store_backend(store, 0);
    struct backend_ops hanging = *(stuck.ops = backend->ops);
    hanging.remove = remove_when_let;
    stuck.asked = 0;
    stuck.go_on = false;
    backend->ops = &hanging;
    assert_int_equal(pthread_create(&thread, NULL, look_on, NULL), 0);
    run_until(&stuck.done);
    pthread_join(thread, NULL);
    backend->ops = stuck.ops;
}

static void *let_it_go_on(void *arg)
{
    (void)arg;
    while (collected < 2)
        usleep(1000);
    assert_int_equal(stuck.asked, 1); /* what is on it besides waits for the first */
    assert_true(rows[0].extents > 0 && rows[1].extents > 0);
    stuck.go_on = true;
    while (collected < 4)
        usleep(1000);
    stuck.done = true;
    return NULL;
}

/* A removal that hangs holds up what is on its backend, and nothing else. */
static void removal_hangs(void **state)
{
    (void)state;
    grace_ms = 200;
    for (size_t i = 0; i < 4; i++) {
        make_row(i, OWN, 1, true);
        if (i < 2)
            continue;
        rows[i].backend = "two";
        store_blob_on(1, rows[i].id, 0, &rows[i].at[0]);
    }
    run_hanging(let_it_go_on);
    assert_false(there(rows[0].id, 0, &rows[0].at[0]));
    assert_false(there(rows[1].id, 0, &rows[1].at[0]));
}

static void *wait_for_the_other(void *arg)
{
    (void)arg;
    while (collected < 1)
        usleep(1000);
    stuck.done = true;
    return NULL;
}

/* The end does not wait for it. */
static void ends_while_a_removal_hangs(void **state)
{
    (void)state;
    make_row(0, OWN, 1, true);
    make_row(1, OWN, 1, true);
    rows[1].backend = "gone";
    run_hanging(wait_for_the_other);
    assert_int_equal(collected, 1);
    assert_true(there(rows[0].id, 0, &rows[0].at[0]));
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
        cmocka_unit_test_setup_teardown(keeps_to_its_share, setup, teardown),
        cmocka_unit_test_setup_teardown(removes_orphans, setup, teardown),
        cmocka_unit_test_setup_teardown(orphans_keep_to_the_share, setup, teardown),
        cmocka_unit_test_setup_teardown(index_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(backend_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(behind_a_heap, setup, teardown),
        cmocka_unit_test_setup_teardown(backend_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(orphan_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_are_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(scan_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(removal_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_while_a_removal_hangs, setup, teardown),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
