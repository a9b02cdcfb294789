/* The state of a backend, with a clock that the test turns. */
#include "unit.h"

#include "base/err.h"
#include "store/health.h"

#define MS ((uint64_t)1000000)

static struct health health;
static int64_t now;

static int setup(void **state)
{
    (void)state;
    now = 1000000;
    health_init(&health, now);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    health_fini(&health);
    return 0;
}

static enum health_event operation(enum health_op op, int rc)
{
    assert_true(health_admit(&health, op, now));
    now++;
    return health_done(&health, op, rc, MS, now);
}

static void open_it(void)
{
    for (int i = 1; i < HEALTH_IN_ROW; i++)
        assert_int_equal(operation(HEALTH_GET, ERR_IO), HEALTH_SAME);
    assert_int_equal(operation(HEALTH_GET, ERR_IO), HEALTH_OPENED);
    assert_int_equal(health_state(&health, now), HEALTH_DOWN);
}

static void one_failure_degrades_for_a_while(void **state)
{
    (void)state;
    assert_int_equal(health_state(&health, now), HEALTH_HEALTHY);
    assert_int_equal(operation(HEALTH_GET, ERR_TIMEOUT), HEALTH_SAME);
    int64_t failed = now;
    assert_int_equal(health_state(&health, now), HEALTH_DEGRADED);
    assert_int_equal(health_rank(&health, now), 1);
    assert_int_equal(health_writable(&health), 0);
    assert_int_equal(operation(HEALTH_GET, 0), HEALTH_SAME);
    assert_int_equal(health_state(&health, failed + HEALTH_SUSPECT_MS - 1), HEALTH_DEGRADED);
    assert_int_equal(health_state(&health, failed + HEALTH_SUSPECT_MS), HEALTH_HEALTHY);
    assert_int_equal(health_rank(&health, failed + HEALTH_SUSPECT_MS), 0);
}

static void what_is_not_the_backends_fault_changes_nothing(void **state)
{
    (void)state;
    static const int others[] = {ERR_NOT_FOUND, ERR_CORRUPT, ERR_CANCELED, ERR_NOMEM, ERR_BUSY, ERR_INVALID};
    for (int n = 0; n < 10; n++) {
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
            assert_int_equal(operation(HEALTH_GET, others[i]), HEALTH_SAME);
    }
    assert_int_equal(health_state(&health, now), HEALTH_HEALTHY);
}

static void failures_in_a_row_open_the_breaker(void **state)
{
    (void)state;
    for (int n = 0; n < 3; n++) {
        for (int i = 1; i < HEALTH_IN_ROW; i++)
            assert_int_equal(operation(HEALTH_PUT, ERR_UNAVAILABLE), HEALTH_SAME);
        for (int i = 0; i < 2 * HEALTH_IN_ROW; i++)
            assert_int_equal(operation(HEALTH_GET, 0), HEALTH_SAME);
    }
    open_it();
    assert_int_equal(health.last_error, ERR_IO);
    assert_int_equal(health_writable(&health), ERR_UNAVAILABLE);
    assert_int_equal(health_rank(&health, now), 2);
    assert_false(health_admit(&health, HEALTH_PUT, now + 100000));
    assert_false(health_admit(&health, HEALTH_REMOVE, now + 100000));
}

static void half_of_many_open_the_breaker(void **state)
{
    (void)state;
    for (unsigned i = 1; i < HEALTH_WINDOW_MIN / 2; i++) {
        assert_int_equal(operation(HEALTH_GET, ERR_IO), HEALTH_SAME);
        assert_int_equal(operation(HEALTH_GET, 0), HEALTH_SAME);
    }
    assert_int_equal(operation(HEALTH_GET, 0), HEALTH_SAME);
    assert_int_equal(operation(HEALTH_GET, ERR_IO), HEALTH_OPENED);
}

static void old_failures_are_forgotten(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4 * HEALTH_WINDOW_MIN; i++) {
        assert_int_equal(operation(HEALTH_GET, ERR_IO), HEALTH_SAME);
        assert_int_equal(operation(HEALTH_GET, 0), HEALTH_SAME);
        now += HEALTH_WINDOW_MS / 8;
    }
    assert_int_equal(health_state(&health, now), HEALTH_DEGRADED);
}

static void an_open_breaker_lets_a_read_through_at_times(void **state)
{
    (void)state;
    open_it();
    assert_false(health_admit(&health, HEALTH_GET, now));
    now += HEALTH_TRIAL_MS;
    assert_true(health_admit(&health, HEALTH_GET, now));
    assert_false(health_admit(&health, HEALTH_GET, now));
    assert_int_equal(health_done(&health, HEALTH_GET, ERR_IO, MS, now), HEALTH_SAME);
    now += HEALTH_TRIAL_MS;
    assert_int_equal(operation(HEALTH_GET, 0), HEALTH_HALF_OPENED);
    assert_int_equal(health_state(&health, now), HEALTH_DEGRADED);
    assert_int_equal(health_writable(&health), 0);
}

static void it_closes_after_successes(void **state)
{
    (void)state;
    open_it();
    now += 100;
    assert_int_equal(health_probed(&health, 0, now), HEALTH_HALF_OPENED);
    now += 100;
    for (int i = 1; i < HEALTH_CLOSE; i++)
        assert_int_equal(operation(HEALTH_PUT, 0), HEALTH_SAME);
    assert_int_equal(health_rank(&health, now), 1);
    assert_int_equal(health_probed(&health, 0, now), HEALTH_CLOSED);
    assert_int_equal(health_state(&health, now), HEALTH_HEALTHY);
}

static void it_opens_again_with_backoff(void **state)
{
    (void)state;
    open_it();
    int64_t last = 0;
    for (int i = 0; i < 8; i++) {
        int64_t waited = 0;
        health.probed_ms = now;
        while (!health_probe_due(&health, now)) {
            now += 100;
            waited += 100;
        }
        assert_true(waited >= last && waited <= HEALTH_BACKOFF_MS);
        assert_true(waited > last || waited == HEALTH_BACKOFF_MS);
        last = waited;
        assert_int_equal(health_probed(&health, 0, now), HEALTH_HALF_OPENED);
        now += 10;
        assert_int_equal(operation(HEALTH_PUT, ERR_DENIED), HEALTH_OPENED);
        assert_in_range(health_retry_ms(&health, now), 1, HEALTH_BACKOFF_MS);
    }
    assert_int_equal(last, HEALTH_BACKOFF_MS);
}

/* Operations that hung while it was down and end when it is up again say nothing about now. */
static void news_from_another_time_is_no_news(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_true(health_admit(&health, HEALTH_PUT, now));
    now += 30000;
    open_it();
    now += 1000;
    assert_int_equal(health_probed(&health, 0, now), HEALTH_HALF_OPENED);
    now += 1000;
    for (int i = 0; i < 20; i++)
        assert_int_equal(health_done(&health, HEALTH_PUT, ERR_TIMEOUT, 32000 * MS, now), HEALTH_SAME);
    assert_int_equal(health_state(&health, now), HEALTH_DEGRADED);
    for (int i = 1; i < HEALTH_CLOSE; i++)
        assert_int_equal(operation(HEALTH_GET, 0), HEALTH_SAME);
    assert_int_equal(operation(HEALTH_GET, 0), HEALTH_CLOSED);
}

static void probes_open_and_tell_of_writes(void **state)
{
    (void)state;
    assert_int_equal(health_probed(&health, ERR_READONLY, now), HEALTH_SAME);
    assert_int_equal(health_state(&health, now), HEALTH_DEGRADED);
    assert_int_equal(health_rank(&health, now), 0); /* reads are fine */
    assert_int_equal(health_writable(&health), 0);  /* full, perhaps: smaller ones may fit */
    assert_int_equal(operation(HEALTH_PUT, ERR_READONLY), HEALTH_SAME);
    assert_int_equal(health_writable(&health), ERR_READONLY);
    assert_int_equal(operation(HEALTH_GET, 0), HEALTH_SAME);
    assert_int_equal(health_writable(&health), ERR_READONLY);
    assert_int_equal(health_probed(&health, 0, now), HEALTH_SAME);
    assert_int_equal(health_state(&health, now), HEALTH_HEALTHY);
    assert_int_equal(operation(HEALTH_PUT, ERR_NOSPC), HEALTH_SAME);
    assert_int_equal(health_state(&health, now), HEALTH_DEGRADED);
    assert_int_equal(operation(HEALTH_PUT, 0), HEALTH_SAME);
    assert_int_equal(health_state(&health, now), HEALTH_HEALTHY);
    assert_int_equal(health_probed(&health, ERR_TIMEOUT, now), HEALTH_SAME);
    assert_int_equal(health_probed(&health, ERR_TIMEOUT, now), HEALTH_OPENED);
}

static void when_it_is_probed(void **state)
{
    (void)state;
    assert_true(health_probe_due(&health, now + HEALTH_IDLE_MS)); /* never was */
    now += HEALTH_IDLE_MS;
    assert_int_equal(health_probed(&health, 0, now), HEALTH_SAME);
    assert_false(health_probe_due(&health, now + HEALTH_IDLE_MS - 1));
    assert_true(health_probe_due(&health, now + HEALTH_IDLE_MS)); /* idle */
    now += HEALTH_IDLE_MS;
    assert_int_equal(operation(HEALTH_GET, 0), HEALTH_SAME);
    assert_false(health_probe_due(&health, now)); /* works */
    assert_true(health_admit(&health, HEALTH_GET, now));
    assert_false(health_probe_due(&health, now + HEALTH_TENSE_MS - 1));
    assert_true(health_probe_due(&health, now + HEALTH_TENSE_MS)); /* does not answer */
    assert_int_equal(health_done(&health, HEALTH_GET, ERR_IO, MS, now), HEALTH_SAME);
    assert_int_equal(health_probed(&health, 0, now), HEALTH_SAME);
    assert_false(health_probe_due(&health, now + HEALTH_TENSE_MS - 1));
    assert_true(health_probe_due(&health, now + HEALTH_TENSE_MS)); /* has failed */
}

/* A store may refuse for ever to remove what it finds damaged: how it is otherwise, its probe tells. */
static void removals_that_fail_lead_to_a_probe(void **state)
{
    (void)state;
    assert_int_equal(health_probed(&health, 0, now), HEALTH_SAME);
    for (int i = 0; i < 4 * HEALTH_WINDOW_MIN; i++)
        assert_int_equal(operation(HEALTH_REMOVE, ERR_UNAVAILABLE), HEALTH_SAME);
    assert_int_equal(health_state(&health, now), HEALTH_HEALTHY);
    assert_int_equal(health_rank(&health, now), 0);
    assert_true(health_probe_due(&health, now + HEALTH_TENSE_MS));
    now += HEALTH_TENSE_MS;
    assert_int_equal(health_probed(&health, 0, now), HEALTH_SAME);
    assert_int_equal(operation(HEALTH_GET, 0), HEALTH_SAME);
    assert_false(health_probe_due(&health, now + HEALTH_TENSE_MS));
    open_it();
    now += 100;
    assert_int_equal(health_probed(&health, 0, now), HEALTH_HALF_OPENED);
    now += 100;
    assert_int_equal(operation(HEALTH_REMOVE, ERR_UNAVAILABLE), HEALTH_SAME);
    assert_int_equal(health_probed(&health, ERR_TIMEOUT, now), HEALTH_OPENED);
}

/* Reads are answered from memory meanwhile, and so is the probe. */
static void puts_that_hang_degrade(void **state)
{
    (void)state;
    now += 100000;
    for (int i = 0; i < 3; i++)
        assert_true(health_admit(&health, HEALTH_PUT, now));
    assert_int_equal(health_state(&health, now + HEALTH_STUCK_MS - 1), HEALTH_HEALTHY);
    assert_int_equal(health_state(&health, now + HEALTH_STUCK_MS), HEALTH_DEGRADED);
    now += HEALTH_STUCK_MS;
    assert_int_equal(health_done(&health, HEALTH_PUT, ERR_CANCELED, MS, now), HEALTH_SAME);
    assert_int_equal(operation(HEALTH_GET, 0), HEALTH_SAME);
    assert_true(health_admit(&health, HEALTH_PUT, now));
    assert_int_equal(health_state(&health, now), HEALTH_DEGRADED);
    assert_int_equal(health_rank(&health, now), 0);
    assert_int_equal(health_writable(&health), 0);
    assert_int_equal(health_done(&health, HEALTH_PUT, 0, MS, now), HEALTH_SAME);
    assert_int_equal(health_state(&health, now), HEALTH_HEALTHY);
    for (int i = 0; i < 2; i++)
        assert_int_equal(health_done(&health, HEALTH_PUT, 0, MS, now), HEALTH_SAME);
    assert_int_equal(health_state(&health, now + 100 * HEALTH_STUCK_MS), HEALTH_HEALTHY);
}

static void p95(void **state)
{
    (void)state;
    assert_int_equal(health_p95_ns(&health, HEALTH_GET), 0);
    for (int i = 0; i < 2000; i++)
        latency_note(&health.latency[HEALTH_GET], (i % 10 == 0 ? 100 : 2) * MS);
    assert_in_range(health_p95_ns(&health, HEALTH_GET), 80 * MS, 130 * MS);
    for (int i = 0; i < 2000; i++)
        latency_note(&health.latency[HEALTH_GET], (i % 50 == 0 ? 100 : 2) * MS);
    assert_in_range(health_p95_ns(&health, HEALTH_GET), 2 * MS, 3 * MS);
    for (int i = 0; i < 3000; i++)
        latency_note(&health.latency[HEALTH_GET], 700000 * MS); /* beyond the last bucket */
    assert_true(health_p95_ns(&health, HEALTH_GET) > 100000 * MS);
    for (int i = 0; i < 6000; i++)
        latency_note(&health.latency[HEALTH_GET], 0);
    assert_in_range(health_p95_ns(&health, HEALTH_GET), 1, 2000);
    assert_int_equal(health_p95_ns(&health, HEALTH_PUT), 0);
}

/* What was given up is seen, so that a backend that became slow is known to be. */
static void given_up_operations_count_as_slow(void **state)
{
    (void)state;
    for (int i = 0; i < 64; i++)
        assert_int_equal(operation(HEALTH_GET, 0), HEALTH_SAME);
    for (int i = 0; i < 16; i++) {
        assert_true(health_admit(&health, HEALTH_GET, now));
        assert_int_equal(health_done(&health, HEALTH_GET, ERR_CANCELED, 50 * MS, now), HEALTH_SAME);
    }
    assert_in_range(health_p95_ns(&health, HEALTH_GET), 40 * MS, 65 * MS);
}

static void one_in_twenty_is_hedged(void **state)
{
    (void)state;
    unsigned hedged = 0;
    for (int i = 0; i < 2000; i++) {
        health_hedge_earn(&health);
        hedged += health_hedge_take(&health);
    }
    assert_in_range(hedged, 100, 101);
    for (int i = 0; i < 10000; i++)
        health_hedge_earn(&health);
    for (hedged = 0; health_hedge_take(&health); hedged++)
        continue;
    assert_in_range(hedged, 9, 11); /* a burst is limited */
}

static void losing_again_and_again_makes_suspect(void **state)
{
    (void)state;
    health_hedge_over(&health, true, now);
    health_hedge_over(&health, true, now);
    health_hedge_over(&health, false, now);
    health_hedge_over(&health, true, now);
    health_hedge_over(&health, true, now);
    assert_int_equal(health_rank(&health, now), 0);
    health_hedge_over(&health, true, now);
    assert_int_equal(health_rank(&health, now), 1);
    assert_int_equal(health_rank(&health, now + HEALTH_SUSPECT_MS), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_failure_degrades_for_a_while),
        TEST(what_is_not_the_backends_fault_changes_nothing),
        TEST(failures_in_a_row_open_the_breaker),
        TEST(half_of_many_open_the_breaker),
        TEST(old_failures_are_forgotten),
        TEST(an_open_breaker_lets_a_read_through_at_times),
        TEST(it_closes_after_successes),
        TEST(it_opens_again_with_backoff),
        TEST(news_from_another_time_is_no_news),
        TEST(probes_open_and_tell_of_writes),
        TEST(when_it_is_probed),
        TEST(removals_that_fail_lead_to_a_probe),
        TEST(puts_that_hang_degrade),
        TEST(p95),
        TEST(given_up_operations_count_as_slow),
        TEST(one_in_twenty_is_hedged),
        TEST(losing_again_and_again_makes_suspect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
