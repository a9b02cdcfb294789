/* Bodies in and out: sizes and ranges at every boundary, and what becomes of writes that fail. */
#include "fixture.h"

/* --- what goes in comes out --- */

static const uint64_t SIZES[] = {
    0,          1,      100,        SEGMENT - 1,    SEGMENT,         SEGMENT + 1, 8 * SEGMENT, 8 * SEGMENT + 1,
    EXTENT - 1, EXTENT, EXTENT + 1, 2 * EXTENT - 1, 3 * EXTENT + 77, 20 * EXTENT,
};

static void sizes(void *arg)
{
    (void)arg;
    make_all();
    for (uint32_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        for (int known = 0; known < 2; known++) {
            struct test_source source = body_of(i, SIZES[i], known);
            assert_int_equal(put_source(fx.bucket, "key", &source, NULL), 0);
            assert_int_equal(check_whole("key", i, SIZES[i]), 0);
        }
    }
    assert_int_equal(budget_used(fx.budget), 0);
    assert_int_equal(check_whole("other", 0, 0), ERR_NO_SUCH_KEY);
}

static void ranges(void *arg)
{
    const uint64_t size = 3 * EXTENT + 5 * SEGMENT + 77;
    const uint64_t edges[] = {
        0, SEGMENT, 8 * SEGMENT, 9 * SEGMENT, EXTENT, 2 * EXTENT, 2 * EXTENT + SEGMENT, 3 * EXTENT + 5 * SEGMENT, size};
    const uint64_t lengths[] = {1, 2, SEGMENT, SEGMENT + 2, 8 * SEGMENT, EXTENT, EXTENT + 2, size};
    (void)arg;
    make_all();
    assert_int_equal(put_pattern("key", 7, size), 0);
    for (size_t e = 0; e < sizeof(edges) / sizeof(edges[0]); e++) {
        for (int64_t shift = -1; shift <= 1; shift++) {
            uint64_t offset = edges[e] + (uint64_t)shift;
            if (offset >= size)
                continue;
            for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
                uint64_t length = lengths[l] < size - offset ? lengths[l] : size - offset;
                assert_int_equal(check_range("key", 7, offset, length), 0);
            }
        }
    }
}

static void as_source(void *arg)
{
    const uint64_t size = 2 * EXTENT + 3 * SEGMENT + 9, offset = SEGMENT - 3;
    static uint8_t piece[100000];
    Arca__Object *object;
    struct object_reader *reader;
    size_t got;
    uint64_t at = offset;
    (void)arg;
    make_all();
    assert_int_equal(put_pattern("key", 3, size), 0);
    assert_int_equal(object_open(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("key"), &object, &reader), 0);
    object_reader_range(reader, offset, size - offset - 2);
    struct source *source = object_reader_source(reader, fx.arena);
    assert_int_equal(source->length, size - offset - 2);
    do {
        assert_int_equal(source_read(source, piece, sizeof(piece), &got), 0);
        for (size_t i = 0; i < got; i++, at++)
            assert_int_equal(piece[i], pattern(3, at));
    } while (got == sizeof(piece));
    assert_int_equal(at, size - 2);
    assert_int_equal(source_read(source, piece, 1, &got), 0);
    assert_int_equal(got, 0);
    assert_int_equal(budget_used(fx.budget), 0);
    object_reader_close(reader);
}

/* A reader that stops early gives everything back, also what is being read ahead. */
static void closed_early(void *arg)
{
    Arca__Object *object;
    struct object_reader *reader;
    struct span spans[SPANS];
    size_t count;
    (void)arg;
    make_all();
    assert_int_equal(put_pattern("key", 3, 5 * EXTENT), 0);
    for (int reads = 0; reads < 4; reads++) {
        assert_int_equal(object_open(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("key"), &object, &reader), 0);
        for (int i = 0; i < reads; i++)
            assert_int_equal(object_read(reader, spans, SPANS, &count, DEADLINE_NONE), 0);
        object_reader_close(reader);
        assert_int_equal(budget_used(fx.budget), 0);
    }
    object_reader_close(NULL);
}

/* --- replacing, deleting, copying --- */

static void replaced(void *arg)
{
    size_t extents;
    const struct span keys[] = {SPAN_LITERAL("x"), SPAN_LITERAL("none"), SPAN_LITERAL("y")};
    int results[3] = {1, 1, 1};
    (void)arg;
    make_all();
    assert_int_equal(put_pattern("key", 1, EXTENT + 1), 0);
    assert_int_equal(garbage_count(NULL), 0);
    assert_int_equal(put_pattern("key", 2, 10), 0);
    assert_int_equal(check_whole("key", 2, 10), 0);
    assert_int_equal(garbage_count(&extents), 1);
    assert_int_equal(extents, 2);
    assert_int_equal(object_delete(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("key"), NULL), 0);
    assert_int_equal(object_delete(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("key"), NULL), 0);
    assert_int_equal(check_whole("key", 2, 10), ERR_NO_SUCH_KEY);
    assert_int_equal(garbage_count(NULL), 2);
    assert_int_equal(put_pattern("x", 1, 1), 0);
    assert_int_equal(put_pattern("y", 1, 1), 0);
    object_delete_all(fx.engine, fx.arena, fx.bucket, keys, NULL, 3, results);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], 0);
    assert_int_equal(garbage_count(NULL), 4);
}

static void copied(void *arg)
{
    Arca__Object *object;
    (void)arg;
    make_all();
    assert_int_equal(put_pattern("key", 1, 2 * EXTENT + 1), 0);
    size_t before = stored_extents(0);
    assert_int_equal(index_object_get(fx.index, fx.bucket->id, SPAN_LITERAL("key"), fx.arena, &object, NULL), 0);
    assert_int_equal(object_copy(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("copy"), object, NULL), 0);
    assert_int_equal(stored_extents(0), before);
    assert_int_equal(object_delete(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("key"), NULL), 0);
    assert_int_equal(garbage_count(NULL), 0);
    assert_int_equal(check_whole("copy", 1, 2 * EXTENT + 1), 0);
    assert_int_equal(object_delete(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("copy"), NULL), 0);
    assert_int_equal(garbage_count(NULL), 1);
    /* Nothing refers to it any more: it cannot be copied. */
    object->blob_id.data[15] ^= 1;
    assert_int_equal(object_copy(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("copy"), object, NULL), ERR_CONFLICT);
}

/* --- writes that fail --- */

/* Nothing is left but what is noted. */
static void assert_all_noted(void)
{
    size_t extents;
    garbage_count(&extents);
    assert_int_equal(stored_extents(0), extents);
    assert_int_equal(budget_used(fx.budget), 0);
    assert_int_equal(check_whole("key", 0, 0), ERR_NO_SUCH_KEY);
}

static void source_fails(void *arg)
{
    const uint64_t size = 4 * EXTENT + 9;
    const uint64_t at[] = {0, 1, SEGMENT + 1, EXTENT - 1, EXTENT + 1, 2 * EXTENT + 5, 4 * EXTENT + 1, size};
    (void)arg;
    make_all();
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        for (int known = 0; known < 2; known++) {
            struct test_source source = body_of(1, size, known);
            source.fail_at = at[i];
            source.error = ERR_BAD_DIGEST;
            assert_int_equal(put_source(fx.bucket, "key", &source, NULL), ERR_BAD_DIGEST);
            assert_all_noted();
        }
    }
    /* A body of one extent that fails at its very end was never stored. */
    size_t before = stored_extents(0);
    struct test_source source = body_of(1, 100, true);
    source.fail_at = 100;
    source.error = ERR_BAD_SHA256;
    assert_int_equal(put_source(fx.bucket, "key", &source, NULL), ERR_BAD_SHA256);
    assert_int_equal(stored_extents(0), before);
}

static void source_lies(void *arg)
{
    (void)arg;
    make_all();
    struct test_source source = body_of(1, EXTENT, true);
    source.source.length = (int64_t)EXTENT + 1;
    assert_int_equal(put_source(fx.bucket, "key", &source, NULL), ERR_INCOMPLETE_BODY);
    source = body_of(1, EXTENT, true);
    source.source.length = (int64_t)EXTENT - 1;
    assert_int_equal(put_source(fx.bucket, "key", &source, NULL), ERR_TOO_LARGE);
    for (int known = 0; known < 2; known++) {
        source = body_of(1, 100 * EXTENT + 1, known);
        assert_int_equal(put_source(fx.bucket, "key", &source, NULL), ERR_TOO_LARGE);
    }
    assert_all_noted();
}

static int refuse(void *arg, char **etag, Arca__Checksum ***checksums, size_t *count)
{
    (void)arg;
    (void)etag;
    (void)checksums;
    (void)count;
    return ERR_BAD_CHECKSUM;
}

static void seal_refuses(void *arg)
{
    (void)arg;
    make_all();
    for (uint64_t size = 0; size <= 2 * EXTENT; size += EXTENT) {
        struct test_source source = body_of(1, size, true);
        Arca__Object object = ARCA__OBJECT__INIT;
        struct object_put put = {.bucket = fx.bucket,
                                 .key = SPAN_LITERAL("key"),
                                 .object = &object,
                                 .body = &source.source,
                                 .seal = {refuse, NULL},
                                 .size_max = 100 * EXTENT,
                                 .deadline_ms = DEADLINE_NONE};
        assert_int_equal(object_put(fx.engine, fx.arena, &put), ERR_BAD_CHECKSUM);
        assert_all_noted();
    }
}

/* Another client puts the same key while this body is on its way. */
static void put_meanwhile(struct test_source *source)
{
    source->hook = NULL;
    assert_int_equal(put_pattern("key", 5, 50), 0);
}

static void preconditions(void *arg)
{
    Arca__Precondition absent = ARCA__PRECONDITION__INIT, present = ARCA__PRECONDITION__INIT;
    size_t extents;
    (void)arg;
    make_all();
    absent.must_not_exist = true;
    present.must_exist = true;
    struct test_source source = body_of(1, 10, true);
    assert_int_equal(put_source(fx.bucket, "key", &source, &present), ERR_NO_SUCH_KEY);
    assert_int_equal(source.reads, 0);
    source = body_of(1, 2 * EXTENT, true);
    source.hook = put_meanwhile;
    assert_int_equal(put_source(fx.bucket, "key", &source, &absent), ERR_PRECONDITION);
    assert_int_equal(garbage_count(&extents), 1);
    assert_int_equal(extents, 2);
    assert_int_equal(check_whole("key", 5, 50), 0);
    source = body_of(1, 10, true);
    assert_int_equal(put_source(fx.bucket, "key", &source, &absent), ERR_PRECONDITION);
    assert_int_equal(source.reads, 0);
    assert_int_equal(put_source(fx.bucket, "key", &source, &present), 0);
}

static unsigned running;
static struct fiber *waiter;

static void ended(void)
{
    running--;
    fiber_wake(waiter);
}

static void wait_for_all(void)
{
    int64_t deadline_ms = IN_MS(120000);
    while (running > 0)
        assert_int_equal(fiber_wait(deadline_ms), 0);
}

/* The client goes away in the middle of its body. */
static void cancel_self(struct test_source *source)
{
    if (source->at >= 3 * EXTENT) {
        fiber_cancel(fiber_self());
        source->fail_at = 0;
        source->error = fiber_wait(DEADLINE_NONE);
    }
}

static void put_canceled(void *arg)
{
    (void)arg;
    struct test_source source = body_of(1, 5 * EXTENT, true);
    source.hook = cancel_self;
    assert_int_equal(put_source(fx.bucket, "key", &source, NULL), ERR_CANCELED);
    ended();
}

static void canceled(void *arg)
{
    size_t extents;
    (void)arg;
    make_all();
    waiter = fiber_self();
    running = 1;
    assert_int_equal(fiber_spawn(loop_self(), put_canceled, NULL, NULL), 0);
    wait_for_all();
    assert_int_equal(garbage_count(&extents), 1);
    assert_int_equal(extents, 3);
    assert_all_noted();
}

/* --- many at once with little memory --- */

#define WRITERS 6

static void write_and_read(void *arg)
{
    const char *key = arg;
    uint32_t seed = (uint32_t)key[0];
    assert_int_equal(put_pattern(key, seed, 4 * EXTENT + 1), 0);
    assert_int_equal(check_whole(key, seed, 4 * EXTENT + 1), 0);
    ended();
}

static void scarce(void *arg)
{
    static const char *const keys[WRITERS] = {"a", "b", "c", "d", "e", "f"};
    (void)arg;
    make_all();
    waiter = fiber_self();
    running = WRITERS;
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(fiber_spawn(loop_self(), write_and_read, (void *)(uintptr_t)keys[i], NULL), 0);
    wait_for_all();
    assert_int_equal(budget_used(fx.budget), 0);
}

static int setup_scarce(void **state)
{
    setup(state);
    budget_free(fx.budget);
    fx.budget = budget_create(5 * EXTENT / 2);
    return fx.budget == NULL;
}

TEST(sizes)
TEST(ranges)
TEST(as_source)
TEST(closed_early)
TEST(replaced)
TEST(copied)
TEST(source_fails)
TEST(source_lies)
TEST(seal_refuses)
TEST(preconditions)
TEST(canceled)
TEST(scarce)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_as_source, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_early, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(test_source_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_source_lies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seal_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_preconditions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_canceled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scarce, setup_scarce, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
