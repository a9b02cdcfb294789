/* The journal and snapshots as bytes, an index made from them, and changes that wait until they are shipped. */
#include "index_kit.h"
#include "base/clock.h"
#include "base/log.h"

#define ROOM (5U << 20)

static void put_many(struct kit *kit, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "key-%u", i);
        assert_int_equal(index_apply(kit->index, kit_put(kit, span_str(key), "etag")), 0);
    }
}

static void make(void *arg)
{
    struct kit *kit = arg;
    kit_bucket(kit);
    put_many(kit, 0, 3000);
}

static void make_more(void *arg)
{
    put_many(arg, 3000, 500);
}

/* Copies all that lies behind `at`, in stretches of at most `room` bytes. */
static void copy_journal(struct kit *kit, const char *to, struct index_position *at, size_t room)
{
    struct index_mark mark;
    struct index_position from;
    size_t length;
    uint8_t *bytes = malloc(room);
    assert_non_null(bytes);
    index_mark(kit->index, &mark);
    while (at->sequence < mark.sequence) {
        uint64_t before = at->sequence;
        assert_int_equal(index_journal_read(kit->index, &mark, at, bytes, room, &from, &length), 0);
        assert_true(length > 0 && length <= room && at->sequence > before);
        assert_int_equal(from.sequence, before);
        assert_int_equal(from.offset + length, at->offset);
        assert_int_equal(index_copy_segment(to, at->segment, from.offset, span_of(bytes, length)), 0);
    }
    assert_int_equal(index_journal_read(kit->index, &mark, at, bytes, room, &from, &length), 0);
    assert_int_equal(length, 0);
    free(bytes);
}

struct heard {
    uint64_t count, last;
};

static int hear(uint64_t sequence, const uint8_t hash[INDEX_HASH_SIZE], void *arg)
{
    struct heard *heard = arg;
    (void)hash;
    heard->count++;
    heard->last = sequence;
    return 0;
}

static void assert_same_index(struct kit *kit, const char *copy)
{
    struct kit other = *kit;
    struct buf mine = {0}, its = {0};
    other.options.path = copy;
    other.index = NULL;
    kit_open(&other);
    kit_dump(kit->index, &mine);
    kit_dump(other.index, &its);
    kit_assert_same(&mine, &its);
    buf_free(&mine);
    buf_free(&its);
    kit_close(&other);
}

static void a_copy_of_the_journal_is_the_index(void **state)
{
    struct kit kit;
    struct index_position at;
    struct heard heard = {0};
    char copy[300];
    (void)state;
    kit_init(&kit);
    kit_open(&kit);
    on_fiber(make, &kit);
    snprintf(copy, sizeof(copy), "%s.copy", kit.folder);
    assert_int_equal(index_copy_begin(copy), 0);
    assert_int_equal(index_journal_seek(kit.index, 1, &at), 0);
    assert_int_equal(at.sequence, 0);
    copy_journal(&kit, copy, &at, ROOM);
    on_fiber(make_more, &kit); /* it goes on where it was */
    copy_journal(&kit, copy, &at, ROOM);
    assert_int_equal(index_copy_end(copy, at.sequence, at.hash, hear, &heard), 0);
    assert_int_equal(heard.count, at.sequence);
    assert_int_equal(heard.last, at.sequence);
    assert_same_index(&kit, copy);
    assert_int_equal(index_copy_begin(copy), ERR_EXISTS);
    assert_int_equal(index_copy_discard(copy), 0);
    assert_int_not_equal(access(copy, F_OK), 0);
    kit_free(&kit);
}

static void wait_for_snapshot(struct kit *kit, struct index_snapshot *out)
{
    int rc = ERR_NOT_FOUND;
    for (int i = 0; i < 10000 && rc == ERR_NOT_FOUND; i++) {
        if ((rc = index_snapshot_open(kit->index, out)) == ERR_NOT_FOUND)
            usleep(1000);
    }
    assert_int_equal(rc, 0);
}

static void copy_snapshot(const struct index_snapshot *snapshot, const char *to, unsigned flip)
{
    uint8_t bytes[4096];
    for (uint64_t offset = 0; offset < snapshot->size;) {
        ssize_t n = pread(snapshot->fd, bytes, sizeof(bytes), (off_t)offset);
        assert_true(n > 0);
        bytes[7] ^= offset == 0 ? (uint8_t)flip : 0;
        assert_int_equal(index_copy_snapshot(to, snapshot->sequence, offset, span_of(bytes, (size_t)n)), 0);
        offset += (uint64_t)n;
    }
}

static void a_snapshot_and_what_follows_are_the_index(void **state)
{
    struct kit kit;
    struct index_position at, start;
    struct index_snapshot snapshot;
    uint8_t hash[INDEX_HASH_SIZE];
    char copy[300];
    (void)state;
    kit_init(&kit);
    kit.options.segment_size = 64 << 10;
    kit.options.snapshot_min = 256 << 10;
    kit_open(&kit);
    on_fiber(make, &kit);
    wait_for_snapshot(&kit, &snapshot);
    close(snapshot.fd);
    kit_close(&kit); /* no more of them, and the journal before the last one is gone */
    kit.options.snapshot_min = 1ULL << 40;
    kit_open(&kit);
    on_fiber(make_more, &kit);
    assert_int_equal(index_journal_seek(kit.index, 1, &start), ERR_NOT_FOUND);
    wait_for_snapshot(&kit, &snapshot);
    assert_int_equal(index_journal_seek(kit.index, snapshot.sequence + 1, &at), 0);
    assert_true(at.sequence <= snapshot.sequence && at.offset == 0);
    snprintf(copy, sizeof(copy), "%s.copy", kit.folder);

    assert_int_equal(index_copy_begin(copy), 0);
    copy_snapshot(&snapshot, copy, 1);
    assert_int_equal(index_copy_snapshot_end(copy, snapshot.sequence, snapshot.sum, hash), ERR_CORRUPT);
    assert_int_equal(index_copy_discard(copy), 0);

    assert_int_equal(index_copy_begin(copy), 0);
    copy_snapshot(&snapshot, copy, 0);
    assert_int_equal(index_copy_snapshot_end(copy, snapshot.sequence, snapshot.sum, hash), 0);
    copy_journal(&kit, copy, &at, ROOM);
    at.hash[0] ^= 1;
    assert_int_equal(index_copy_end(copy, at.sequence, at.hash, NULL, NULL), ERR_CORRUPT);
    at.hash[0] ^= 1;
    assert_int_equal(index_copy_end(copy, at.sequence, at.hash, NULL, NULL), 0);
    assert_same_index(&kit, copy);
    assert_int_equal(index_copy_discard(copy), 0);
    close(snapshot.fd);
    kit_free(&kit);
}

/* A place that is not in this journal: another history's, or one whose segment a snapshot took the place of. */
static void a_foreign_place_is_refused(void **state)
{
    struct kit kit;
    struct index_position at, from;
    struct index_mark mark;
    size_t length;
    uint8_t *bytes = malloc(ROOM);
    (void)state;
    kit_init(&kit);
    kit_open(&kit);
    on_fiber(make, &kit);
    index_mark(kit.index, &mark);
    assert_int_equal(index_journal_seek(kit.index, 1, &at), 0);
    at.hash[5] ^= 1;
    assert_int_equal(index_journal_read(kit.index, &mark, &at, bytes, ROOM, &from, &length), ERR_CORRUPT);
    at.hash[5] ^= 1;
    at.segment = 12345;
    assert_int_equal(index_journal_read(kit.index, &mark, &at, bytes, ROOM, &from, &length), ERR_NOT_FOUND);
    free(bytes);
    kit_free(&kit);
}

/* --- waiting for the shipment --- */

struct wait {
    struct kit *kit;
    struct fiber *fiber;
    bool done;
    int rc;
    unsigned key;
};

static void put_one(void *arg)
{
    struct wait *wait = arg;
    char key[32];
    snprintf(key, sizeof(key), "waited-%u", wait->key);
    wait->rc = index_apply(wait->kit->index, kit_put(wait->kit, span_str(key), "etag"));
    wait->done = true;
}

static bool is_there(struct kit *kit, const char *key)
{
    Arca__Object *object;
    return index_object_get(kit->index, kit->bucket, span_str(key), kit->arena, &object, NULL) == 0;
}

static void spawn(struct wait *wait, struct kit *kit, unsigned key)
{
    *wait = (struct wait){.kit = kit, .key = key};
    assert_int_equal(fiber_spawn(fiber_loop(fiber_self()), put_one, wait, &wait->fiber), 0);
}

static void until(const bool *done)
{
    while (!*done)
        (void)fiber_wait(loop_now_ms() + 1);
}

static void wait_for_key(struct kit *kit, const char *key)
{
    while (!is_there(kit, key))
        (void)fiber_wait(loop_now_ms() + 1);
}

static Arca__Mutation *a_lease(struct kit *kit)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_OPEN_LEASE);
    mutation->open_lease = KIT_NEW(kit, Arca__OpenLease, arca__open_lease);
    mutation->open_lease->lease = KIT_NEW(kit, Arca__Lease, arca__lease);
    mutation->open_lease->lease->id = kit_data("lease-77", 8);
    return mutation;
}

static void work_in_sync(void *arg)
{
    struct kit *kit = arg;
    struct wait first, second, third;
    struct index_mark mark;
    kit_bucket(kit);
    assert_true(index_safe_ms(kit->index) == INT64_MAX);
    index_shipping_begin(kit->index, &(struct index_shipping){.sync = true, .patience_ms = 3600 * 1000});
    assert_int_equal(index_safe_ms(kit->index), 0);
    spawn(&first, kit, 1);
    wait_for_key(kit, "waited-1"); /* applied, and not answered */
    assert_false(first.done);
    assert_int_equal(index_apply(kit->index, a_lease(kit)), 0); /* what no client asked for does not wait */
    index_mark(kit->index, &mark);
    index_shipped(kit->index, mark.sequence - 2, 5, false);
    fiber_yield();
    assert_false(first.done);
    spawn(&second, kit, 2);
    wait_for_key(kit, "waited-2");
    index_shipped(kit->index, mark.sequence, 7, false);
    assert_int_equal(index_safe_ms(kit->index), 7);
    until(&first.done);
    assert_int_equal(first.rc, 0);
    assert_false(second.done);
    index_shipped(kit->index, mark.sequence, 7, true); /* stalled: the next is refused, and does nothing */
    spawn(&third, kit, 3);
    until(&third.done);
    assert_int_equal(third.rc, ERR_UNAVAILABLE);
    assert_false(is_there(kit, "waited-3"));
    assert_false(second.done);
    index_shipping_end(kit->index); /* nobody confirms it any more */
    until(&second.done);
    assert_int_equal(second.rc, ERR_UNSHIPPED);
    assert_true(is_there(kit, "waited-2"));
    assert_int_equal(index_apply(kit->index, kit_put(kit, SPAN_LITERAL("after"), "etag")), 0);
}

static void work_impatiently(void *arg)
{
    struct kit *kit = arg;
    struct wait first;
    kit_bucket(kit);
    index_shipping_begin(kit->index, &(struct index_shipping){.sync = true, .patience_ms = 20});
    spawn(&first, kit, 1);
    while (!first.done) {
        index_shipped(kit->index, 0, 0, false);
        (void)fiber_wait(loop_now_ms() + 1);
    }
    assert_int_equal(first.rc, ERR_UNSHIPPED);
    assert_true(is_there(kit, "waited-1"));
    index_shipping_end(kit->index);
}

static void changes_wait_until_they_are_shipped(void **state)
{
    struct kit kit;
    (void)state;
    kit_init(&kit);
    kit_open(&kit);
    on_fiber(work_in_sync, &kit);
    on_fiber(work_impatiently, &kit);
    kit_free(&kit);
}

/* What was made up to `safe_ms` is part of the mark, whatever is on its way. */
static void safe_times_do_not_run_ahead(void **state)
{
    struct kit kit;
    struct index_mark mark;
    (void)state;
    kit_init(&kit);
    kit_open(&kit);
    index_mark(kit.index, &mark);
    assert_true(mark.safe_ms <= clock_wall_ms() - 1000);
    assert_true(mark.safe_ms > clock_wall_ms() - 60000);
    kit_free(&kit);
}

int main(void)
{
    log_setup(LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_of_the_journal_is_the_index),
        cmocka_unit_test(a_snapshot_and_what_follows_are_the_index),
        cmocka_unit_test(a_foreign_place_is_refused),
        cmocka_unit_test(changes_wait_until_they_are_shipped),
        cmocka_unit_test(safe_times_do_not_run_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
