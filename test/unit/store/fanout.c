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
    unsigned stored;
    unsigned removed;
};

static struct fake fakes[BACKENDS];
static struct backend *backends[BACKENDS];

static int fake_put(struct backend *backend, const struct blob_name *name, struct block *data, struct locator *out)
{
    struct fake *fake = (struct fake *)backend;
    fake->waiting = fiber_self();
    while (!fake->released)
        assert_int_equal(fiber_wait(DEADLINE_NONE), 0);
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

static const struct backend_ops FAKE_OPS = {.driver = "fake", .put = fake_put, .remove = fake_remove};

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < BACKENDS; i++) {
        fakes[i] = (struct fake){.backend = {.ops = &FAKE_OPS, .name = {(char)('a' + i)}}};
        backends[i] = &fakes[i].backend;
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
} call;

static void putter(void *arg)
{
    (void)arg;
    struct blob_name name = {{'n'}};
    call.rc = fanout_put(backends, BACKENDS, call.quorum, &name, call.block, call.results);
    call.returned = true;
}

/* Starts a put and lets it come as far as it gets. */
static void begin(unsigned quorum)
{
    memset(&call, 0, sizeof(call));
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
    block_unref(call.block);
}

static void quorum_and_straggler(void *arg)
{
    (void)arg;
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
    release(1, 0);
    finish();
    assert_int_equal(fakes[0].removed + fakes[2].removed, 0);
    assert_int_equal(fakes[1].removed, 1); /* nobody knows of its replica */
}

static void quorum_despite_a_failure(void *arg)
{
    (void)arg;
    begin(2);
    release(0, ERR_IO);
    release(1, 0);
    release(2, 0);
    finish();
    assert_int_equal(call.rc, 0);
    assert_int_equal(call.results[0].rc, ERR_IO);
    assert_int_equal(fakes[1].removed + fakes[2].removed, 0);
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
ON_FIBER(quorum_and_straggler)
ON_FIBER(quorum_despite_a_failure)
ON_FIBER(quorum_missed)
ON_FIBER(full_is_told)
ON_FIBER(caller_is_canceled)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(quorum_and_straggler_test, setup),
        cmocka_unit_test_setup(quorum_despite_a_failure_test, setup),
        cmocka_unit_test_setup(quorum_missed_test, setup),
        cmocka_unit_test_setup(full_is_told_test, setup),
        cmocka_unit_test_setup(caller_is_canceled_test, setup),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
