/* Hedged reads over backends that are slow, fail and hang. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "on_fiber.h"
#include "store/hedge.h"
#include "store/watched.h"

#define SIZE ((uint64_t)4096)
#define MS   ((uint64_t)1000000)

/* A get takes `delay_ms` (HANGS: until it is cancelled; STUCK: until it is released, whatever happens), then gives
 * rc. */
#define HANGS (-1)
#define STUCK (-2)

struct fake {
    struct backend backend; /* first */
    struct backend *watched;
    int64_t delay_ms;
    int rc;
    unsigned asked, canceled, finished;
    struct fiber *stuck;
};

static struct fake fakes[2];

static int fake_get(struct backend *backend, const struct blob_name *name, const struct locator *locator,
                    uint64_t offset, uint64_t length, uint8_t *dst)
{
    struct fake *fake = (struct fake *)(void *)backend;
    int rc = 0;
    assert_int_equal(name->bytes[0], 'n');
    assert_int_equal(locator->bytes[0], backend->name[0]);
    assert_int_equal(offset, 7);
    fake->asked++;
    memset(dst, backend->name[0], 1); /* what is being written when the other wins must not be seen */
    if (fake->delay_ms == STUCK) {
        fake->stuck = fiber_self();
        while (fake->stuck != NULL)
            fiber_yield(); /* as a wait for another thread: not to be cancelled */
    } else if (fake->delay_ms != 0) {
        int64_t until_ms = fake->delay_ms == HANGS ? DEADLINE_NONE : loop_now_ms() + fake->delay_ms;
        while ((rc = fiber_wait(until_ms)) == 0)
            continue;
    }
    fake->finished++;
    if (rc == ERR_CANCELED) {
        fake->canceled++;
        return rc;
    }
    memset(dst, backend->name[0], length);
    return fake->rc;
}

static int fake_probe(struct backend *backend, struct backend_health *out)
{
    (void)backend;
    *out = (struct backend_health){.state = BACKEND_HEALTHY};
    return 0;
}

static void fake_close(struct backend *backend)
{
    (void)backend;
}

static const struct backend_ops REMOTE = {
    .driver = "fake", .get = fake_get, .probe = fake_probe, .close = fake_close};
static const struct backend_ops LOCAL = {
    .driver = "fake", .local = true, .get = fake_get, .probe = fake_probe, .close = fake_close};

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        fakes[i] = (struct fake){.backend = {.ops = &REMOTE, .name = {(char)('a' + i)}}};
        assert_int_equal(watched_create(&fakes[i].backend, &fakes[i].watched), 0);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fakes[i].asked, fakes[i].finished);
        assert_int_equal(watched_health(fakes[i].watched)->in_flight, 0);
        fakes[i].watched->ops->close(fakes[i].watched);
    }
    return 0;
}

static struct health *health_of(int i)
{
    return watched_health(fakes[i].watched);
}

/* Most reads of it took so long. */
static void teach(int i, uint64_t ns)
{
    for (int n = 0; n < 32; n++)
        latency_note(&health_of(i)->latency[HEALTH_GET], ns);
}

static struct hedge_side sides[2];

static int get(int *winner)
{
    struct blob_name name = {{'n'}};
    static uint8_t dst[SIZE];
    memset(dst, 0, SIZE);
    for (int i = 0; i < 2; i++)
        sides[i] = (struct hedge_side){fakes[i].watched, {.length = 1, .bytes = {(uint8_t)('a' + i)}}, 12345};
    int rc = hedge_get(sides, &name, 7, SIZE, dst, winner);
    for (size_t i = 0; rc == 0 && i < SIZE; i++)
        assert_int_equal(dst[i], 'a' + *winner);
    return rc;
}

static void fast(void *arg)
{
    int winner = -1;
    (void)arg;
    teach(0, 20 * MS);
    assert_int_equal(get(&winner), 0);
    assert_int_equal(winner, 0);
    assert_int_equal(sides[0].rc, 0);
    assert_int_equal(sides[1].rc, ERR_BUSY);
    assert_int_equal(fakes[1].asked, 0);
}

static void slow(void *arg)
{
    int64_t took_ms = INT64_MAX;
    (void)arg;
    fakes[0].delay_ms = HANGS;
    for (unsigned tries = 1; tries <= 5 && took_ms > 400; tries++) { /* once without a pause of this machine */
        int winner = -1;
        int64_t began_ms = loop_now_ms();
        teach(0, 10 * MS);
        atomic_store(&health_of(0)->tokens, 100);
        assert_int_equal(get(&winner), 0);
        took_ms = loop_now_ms() - began_ms;
        assert_int_equal(winner, 1);
        assert_int_equal(sides[0].rc, ERR_BUSY);
        assert_int_equal(sides[1].rc, 0);
        fiber_yield();
        assert_int_equal(fakes[0].canceled, tries);
    }
    assert_in_range(took_ms, 10, 400); /* before the delay of an unknown backend */
}

static void first_wins_late(void *arg)
{
    int winner = -1;
    (void)arg;
    teach(0, 5 * MS);
    fakes[0].delay_ms = 50;
    fakes[1].delay_ms = HANGS;
    assert_int_equal(get(&winner), 0);
    assert_int_equal(winner, 0);
    assert_int_equal(fakes[1].asked, 1);
    fiber_yield();
    assert_int_equal(fakes[1].canceled, 1);
}

static void no_budget(void *arg)
{
    int winner = -1;
    (void)arg;
    teach(0, 5 * MS);
    while (health_hedge_take(health_of(0)))
        continue;
    fakes[0].delay_ms = 100;
    assert_int_equal(get(&winner), 0);
    assert_int_equal(winner, 0);
    assert_int_equal(fakes[1].asked, 0);
}

/* Without budget, too, a backend that turns out to be down is not waited for. */
static void found_down(void *arg)
{
    int winner = -1;
    (void)arg;
    teach(0, 5 * MS);
    while (health_hedge_take(health_of(0)))
        continue;
    fakes[0].delay_ms = HANGS;
    (void)health_probed(health_of(0), ERR_TIMEOUT, loop_now_ms());
    (void)health_probed(health_of(0), ERR_TIMEOUT, loop_now_ms());
    health_of(0)->trial_ms = loop_now_ms(); /* let this read through */
    assert_int_equal(get(&winner), 0);
    assert_int_equal(winner, 1);
}

static void first_fails(void *arg)
{
    int winner = -1;
    (void)arg;
    while (health_hedge_take(health_of(0)))
        continue;
    fakes[0].rc = ERR_CORRUPT;
    assert_int_equal(get(&winner), 0);
    assert_int_equal(winner, 1);
    assert_int_equal(sides[0].rc, ERR_CORRUPT);
}

static void both_fail(void *arg)
{
    int winner = -1;
    (void)arg;
    fakes[0].rc = ERR_IO;
    fakes[1].rc = ERR_NOT_FOUND;
    fakes[1].delay_ms = 10;
    assert_int_equal(get(&winner), ERR_IO);
    assert_int_equal(sides[0].rc, ERR_IO);
    assert_int_equal(sides[1].rc, ERR_NOT_FOUND);
    assert_int_equal(winner, -1);
}

static void second_fails(void *arg)
{
    int winner = -1;
    (void)arg;
    teach(0, 5 * MS);
    fakes[0].delay_ms = 60;
    fakes[1].rc = ERR_IO;
    assert_int_equal(get(&winner), 0);
    assert_int_equal(winner, 0);
    assert_int_equal(sides[1].rc, ERR_IO);
}

/* A driver that cannot be cancelled writes into memory of its own long after the reader has gone. */
static void stuck(void *arg)
{
    int winner = -1;
    (void)arg;
    teach(0, 5 * MS);
    fakes[0].delay_ms = STUCK;
    assert_int_equal(get(&winner), 0);
    assert_int_equal(winner, 1);
    fiber_yield();
    assert_int_equal(fakes[0].finished, 0);
    assert_int_equal(health_of(0)->in_flight, 1);
    fakes[0].stuck = NULL;
    while (fakes[0].finished == 0)
        fiber_yield();
}

static struct fiber *reader;
static int reader_rc;

static void read_once(void *arg)
{
    int winner;
    (void)arg;
    reader_rc = get(&winner);
    reader = NULL;
}

static void reader_canceled(void *arg)
{
    (void)arg;
    teach(0, 5 * MS);
    fakes[0].delay_ms = fakes[1].delay_ms = HANGS;
    assert_int_equal(fiber_spawn(fiber_loop(fiber_self()), read_once, NULL, &reader), 0);
    while (fakes[1].asked == 0)
        (void)fiber_wait(loop_now_ms() + 1);
    fiber_cancel(reader);
    while (reader != NULL)
        fiber_yield();
    assert_int_equal(reader_rc, ERR_CANCELED);
    fiber_yield();
    assert_int_equal(fakes[0].canceled + fakes[1].canceled, 2);
}

static void avoided(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        int winner = -1;
        teach(0, 5 * MS);
        atomic_store(&health_of(0)->tokens, 100);
        fakes[0].delay_ms = HANGS;
        assert_int_equal(health_rank(health_of(0), loop_now_ms()), 0);
        assert_int_equal(get(&winner), 0);
        assert_int_equal(winner, 1);
    }
    assert_int_equal(health_rank(health_of(0), loop_now_ms()), 1);
}

#define FIBER_TEST(name, fn)       \
    static void name(void **state) \
    {                              \
        (void)state;               \
        on_fiber(fn, NULL);        \
    }

FIBER_TEST(a_fast_read_asks_one_backend, fast)
FIBER_TEST(a_slow_read_is_hedged, slow)
FIBER_TEST(the_first_may_win_after_all, first_wins_late)
FIBER_TEST(without_budget_there_is_no_second, no_budget)
FIBER_TEST(a_backend_found_down_is_not_waited_for, found_down)
FIBER_TEST(a_failure_needs_no_budget, first_fails)
FIBER_TEST(two_failures_are_told, both_fail)
FIBER_TEST(a_failing_second_harms_nobody, second_fails)
FIBER_TEST(a_read_that_cannot_be_ended_keeps_its_memory, stuck)
FIBER_TEST(a_canceled_reader_leaves_nothing, reader_canceled)
FIBER_TEST(who_loses_three_times_is_avoided, avoided)

static void which_backends_are_hedged(void **state)
{
    (void)state;
    assert_true(watched_hedged(fakes[0].watched));
    fakes[0].backend.ops = &LOCAL;
    assert_false(watched_hedged(fakes[0].watched));
    teach(0, 100 * MS);
    assert_true(watched_hedged(fakes[0].watched));
}

static void down(void *arg)
{
    uint8_t dst[1];
    struct blob_name name = {{'n'}};
    struct locator locator = {.length = 1, .bytes = {'a'}};
    struct backend *backend = fakes[0].watched;
    (void)arg;
    fakes[0].rc = ERR_IO;
    for (int i = 0; i < HEALTH_IN_ROW; i++)
        assert_int_equal(backend->ops->get(backend, &name, &locator, 7, 1, dst), ERR_IO);
    assert_int_equal(backend->ops->get(backend, &name, &locator, 7, 1, dst), ERR_DOWN);
    assert_int_equal(backend->ops->put(backend, &name, NULL, &locator), ERR_DOWN);
    assert_int_equal(fakes[0].asked, HEALTH_IN_ROW);
    fakes[0].rc = 0;
    watched_probe(backend);
    assert_int_equal(backend->ops->get(backend, &name, &locator, 7, 1, dst), 0);
}

FIBER_TEST(a_down_backend_is_not_called, down)

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_fast_read_asks_one_backend),
        TEST(a_slow_read_is_hedged),
        TEST(the_first_may_win_after_all),
        TEST(without_budget_there_is_no_second),
        TEST(a_backend_found_down_is_not_waited_for),
        TEST(a_failure_needs_no_budget),
        TEST(two_failures_are_told),
        TEST(a_failing_second_harms_nobody),
        TEST(a_read_that_cannot_be_ended_keeps_its_memory),
        TEST(a_canceled_reader_leaves_nothing),
        TEST(who_loses_three_times_is_avoided),
        TEST(which_backends_are_hedged),
        TEST(a_down_backend_is_not_called),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
