#include "unit.h"
#include <string.h>
#include "base/block.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "on_fiber.h"

#define MIB ((size_t)1 << 20)

static struct budget *budget;

static int make_budget(void **state)
{
    (void)state;
    budget = budget_create(8 * MIB);
    return budget == NULL;
}

static int drop_budget(void **state)
{
    (void)state;
    size_t used = budget_used(budget);
    budget_free(budget);
    return used != 0;
}

static struct block *get(size_t capacity)
{
    struct block *block;
    assert_int_equal(block_create(budget, capacity, DEADLINE_NONE, &block), 0);
    assert_int_equal((uintptr_t)block->data % 4096, 0);
    assert_true(block->capacity >= capacity);
    memset(block->data, 0x5a, capacity);
    return block;
}

static void check_sizes(void *arg)
{
    (void)arg;
    static const size_t sizes[] = {0, 1, 4096, 4097, 65536, 65537, 100000, 131072, MIB, MIB + 1, 5 * MIB + 77};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct block *block = get(sizes[i]);
        size_t used = budget_used(budget);
        assert_true(used >= sizes[i]);
        assert_true(used <= sizes[i] + sizes[i] / 16 + 4096); /* rounding costs little */
        block_ref(block);
        block_unref(block);
        assert_int_equal(budget_used(budget), used);
        block_unref(block);
        assert_int_equal(budget_used(budget), 0);
    }
    block_unref(NULL);
    struct block *block;
    assert_int_equal(block_create(budget, 8 * MIB + 1, DEADLINE_NONE, &block), ERR_TOO_LARGE);
    block = get(8 * MIB - 1); /* would be rounded over the limit */
    assert_int_equal(budget_used(budget), 8 * MIB);
    block_unref(block);
}

static void a_block_is_charged_with_what_it_takes(void **state)
{
    (void)state;
    on_fiber(check_sizes, NULL);
}

static void check_reuse(void *arg)
{
    (void)arg;
    struct block *first = get(3 * MIB), *second = get(3 * MIB);
    uint8_t *place = second->data;
    block_unref(first);
    block_unref(second);
    first = get(3 * MIB - 5); /* the same class, the one freed last */
    assert_ptr_equal(first->data, place);
    assert_int_equal(first->length, 0);
    block_unref(first);
    for (size_t size = MIB; size < 8 * MIB; size += 300000) /* more than a loop keeps */
        block_unref(get(size));
}

static void freed_memory_is_used_again(void **state)
{
    (void)state;
    on_fiber(check_reuse, NULL);
}

/* --- waiting --- */

static char order[16];
static size_t order_length;

struct taker {
    size_t capacity;
    char letter;
    int64_t deadline_ms;
    int rc;
    struct block *block;
};

static void take(void *arg)
{
    struct taker *taker = arg;
    taker->rc = block_create(budget, taker->capacity, taker->deadline_ms, &taker->block);
    if (taker->rc == 0)
        order[order_length++] = taker->letter;
}

static struct fiber *spawn_taker(struct taker *taker)
{
    struct fiber *fiber;
    assert_int_equal(fiber_spawn(loop_self(), take, taker, &fiber), 0);
    return fiber;
}

/* Until `n` blocks were handed out; a lost wake is the test's timeout. */
static void until_taken(size_t n)
{
    while (order_length < n)
        fiber_yield();
}

static void check_fairness(void *arg)
{
    (void)arg;
    order_length = 0;
    struct block *most = get(7 * MIB);
    struct taker big = {6 * MIB, 'b', DEADLINE_NONE, 1, NULL}, small = {1000, 's', DEADLINE_NONE, 1, NULL};
    spawn_taker(&big);
    spawn_taker(&small);
    for (int i = 0; i < 5; i++)
        fiber_yield();
    assert_int_equal(order_length, 0); /* the small one would fit, but the big one came first */
    block_unref(most);
    until_taken(2);
    assert_memory_equal(order, "bs", 2);
    block_unref(big.block);
    block_unref(small.block);
}

static void blocks_are_given_in_order(void **state)
{
    (void)state;
    on_fiber(check_fairness, NULL);
}

static void check_giving_up(void *arg)
{
    (void)arg;
    order_length = 0;
    struct block *most = get(7 * MIB);
    struct taker canceled = {6 * MIB, 'c', DEADLINE_NONE, 1, NULL}, late = {6 * MIB, 't', loop_now_ms() + 20, 1, NULL};
    struct taker small = {1000, 's', DEADLINE_NONE, 1, NULL};
    struct fiber *fiber = spawn_taker(&canceled);
    spawn_taker(&late);
    spawn_taker(&small);
    fiber_yield();
    fiber_cancel(fiber);
    while (late.rc == 1 || canceled.rc == 1)
        fiber_yield();
    assert_int_equal(canceled.rc, ERR_CANCELED);
    assert_int_equal(late.rc, ERR_TIMEOUT);
    until_taken(1); /* nobody stands before it any more */
    assert_int_equal(small.rc, 0);
    block_unref(small.block);
    block_unref(most);
}

static void who_gives_up_lets_the_next_ones_by(void **state)
{
    (void)state;
    on_fiber(check_giving_up, NULL);
}

/* --- several loops --- */

static void take_and_give(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < 300; i++) {
        struct block *block = get((i * 7919) % (3 * MIB) + 1);
        fiber_yield();
        block_unref(block);
    }
}

static void loops_share_the_budget(void **state)
{
    (void)state;
    struct loop *loops[2];
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(loop_create(&(struct loop_options){.number = i}, &loops[i]), 0);
        for (int j = 0; j < 8; j++)
            assert_int_equal(fiber_spawn(loops[i], take_and_give, NULL, NULL), 0);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(loop_start(loops[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        loop_stop(loops[i]);
    for (unsigned i = 0; i < 2; i++) {
        loop_join(loops[i]);
        loop_free(loops[i]);
    }
    struct buf text = {0};
    metrics_render(&text);
    assert_true(span_find(buf_span(&text), SPAN_LITERAL("\narca_body_memory_bytes 0\n")) >= 0);
    assert_true(span_find(buf_span(&text), SPAN_LITERAL("\narca_body_memory_waits_total 0\n")) < 0);
    buf_free(&text);
}

static int64_t kept_bytes(void)
{
    static const struct span name = SPAN_LITERAL("\narca_body_memory_kept_bytes ");
    struct buf text = {0};
    uint64_t bytes = UINT64_MAX;
    metrics_render(&text);
    ptrdiff_t at = span_find(buf_span(&text), name);
    assert_true(at >= 0);
    struct span digits;
    span_split(span_skip(buf_span(&text), (size_t)at + name.len), '\n', &digits);
    assert_int_equal(span_to_u64(digits, &bytes), 0);
    buf_free(&text);
    return (int64_t)bytes;
}

static void use_many_sizes(void *arg)
{
    (void)arg;
    int64_t most = 0;
    for (size_t size = 3 * MIB; size <= 8 * MIB; size += MIB / 2) {
        block_unref(get(size));
        most = kept_bytes() > most ? kept_bytes() : most;
    }
    assert_true(most > 0);
    assert_true(most <= (int64_t)(8 * MIB));
}

static void kept_memory_is_bounded_by_the_budget(void **state)
{
    (void)state;
    on_fiber(use_many_sizes, NULL);
    budget_free(budget);
    assert_int_equal(kept_bytes(), 0);
    budget = budget_create(8 * MIB);
    assert_non_null(budget);
}

static void keep_one(void *arg)
{
    *(struct block **)arg = get(2 * MIB);
}

static void any_thread_may_drop_the_last_reference(void **state)
{
    (void)state;
    struct block *block;
    on_fiber(keep_one, &block);
    assert_true(budget_used(budget) >= 2 * MIB);
    block_unref(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_block_is_charged_with_what_it_takes, make_budget, drop_budget),
        cmocka_unit_test_setup_teardown(freed_memory_is_used_again, make_budget, drop_budget),
        cmocka_unit_test_setup_teardown(blocks_are_given_in_order, make_budget, drop_budget),
        cmocka_unit_test_setup_teardown(who_gives_up_lets_the_next_ones_by, make_budget, drop_budget),
        cmocka_unit_test_setup_teardown(loops_share_the_budget, make_budget, drop_budget),
        cmocka_unit_test_setup_teardown(kept_memory_is_bounded_by_the_budget, make_budget, drop_budget),
        cmocka_unit_test_setup_teardown(any_thread_may_drop_the_last_reference, make_budget, drop_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
