/* A placement goes out of the config while clients make buckets under it. */
#include "disks.h"

#include "base/loop.h"
#include "store/topology.h"

#define ROUNDS 30

static struct jobs *jobs;
static char why[300];

/* Follows a config with the placement "archive" beside "all", or without it. */
static int follow(bool archive)
{
    char *all_names[] = {names[0], names[1], names[2]}, *one[] = {names[2]};
    struct config_placement placements[] = {
        {.name = "all", .backends = all_names, .backend_count = DISKS, .write_quorum = 2},
        {.name = "archive", .backends = one, .backend_count = 1, .write_quorum = 1},
    };
    struct config config = store_topology(store)->config;
    config.placements = placements;
    config.placement_count = archive ? 2 : 1;
    why[0] = '\0';
    return jobs_follow(jobs, &config, NULL, why, sizeof(why));
}

static int make_bucket(const char *name)
{
    static uint64_t key_id = 100;
    Arca__Mutation *mutation = kit_create_bucket(&kit, name, "owner", key_id++);
    mutation->create_bucket->bucket->placement = (char *)"archive";
    return index_apply(kit.index, mutation);
}

static int delete_bucket(const char *name)
{
    return index_apply(kit.index, kit_delete_bucket(&kit, name));
}

static bool has_bucket(const char *name)
{
    Arca__Bucket *bucket;
    return index_bucket_get(kit.index, span_str(name), kit.arena, &bucket) == 0;
}

static size_t configured(void)
{
    Arca__Placement *row;
    assert_int_equal(index_placement_get(kit.index, SPAN_LITERAL("archive"), kit.arena, &row), 0);
    return row->n_configured;
}

/* --- the cases --- */

static void run_dropped(void *arg)
{
    (void)arg;
    assert_int_equal(make_bucket("early"), ERR_NOT_FOUND);
    assert_int_equal(follow(true), 0);
    assert_int_equal(configured(), 1);
    assert_int_equal(make_bucket("kept"), 0);
    assert_int_equal(follow(false), ERR_INVALID);
    assert_string_equal(why, "placement archive is that of 1 buckets (kept): keep it in the configuration");
    assert_int_equal(configured(), 1); /* nothing is changed */
    assert_int_equal(make_bucket("other"), 0);
    assert_int_equal(delete_bucket("kept"), 0);
    assert_int_equal(delete_bucket("other"), 0);
    assert_int_equal(follow(false), 0);
    assert_int_equal(make_bucket("late"), ERR_NOT_FOUND);
    assert_int_equal(follow(true), 0);
    assert_int_equal(make_bucket("back"), 0);
}

static struct {
    bool over, ended;
} race;

static void make_and_delete(void *arg)
{
    (void)arg;
    while (!race.over) {
        int rc = make_bucket("racing");
        assert_true(rc == 0 || rc == ERR_NOT_FOUND);
        if (rc == 0 && !race.over)
            assert_int_equal(delete_bucket("racing"), 0);
        fiber_yield();
    }
    race.ended = true;
}

static void run_race(void *arg)
{
    unsigned dropped = 0;
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(follow(true), 0);
        race.over = race.ended = false;
        assert_int_equal(fiber_spawn(fiber_loop(fiber_self()), make_and_delete, NULL, NULL), 0);
        for (int k = 0; k < i; k++)
            fiber_yield();
        int rc = follow(false);
        race.over = true;
        while (!race.ended)
            fiber_yield();
        assert_true(rc == 0 || rc == ERR_INVALID);
        dropped += rc == 0;
        if (rc == 0)
            assert_false(has_bucket("racing"));
        else if (has_bucket("racing"))
            assert_int_equal(delete_bucket("racing"), 0);
    }
    assert_true(dropped > 0);
}

static void with_jobs(void (*fn)(void *arg))
{
    struct running running;
    start_jobs(NULL, &running);
    jobs = running.jobs;
    on_fiber(fn, NULL);
    stop_jobs(&running);
}

static void it_takes_no_buckets(void **state)
{
    (void)state;
    with_jobs(run_dropped);
}

static void none_slips_in(void **state)
{
    (void)state;
    with_jobs(run_race);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_takes_no_buckets, setup, teardown),
        cmocka_unit_test_setup_teardown(none_slips_in, setup, teardown),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
