/* Scrub over three disks and a real index: what becomes of a replica that nobody reads. */
#include "disks.h"
#include "refusals.h"

#include "base/loop.h"

static const struct jobs_options fast = {.scrub = {1 << 30, 1000000}, .scrub_interval_ms = 20};
static const struct jobs_options headers = {
    .scrub = {1 << 30, 1000000}, .scrub_interval_ms = 20, .scrub_headers_only = true};

static struct job_view scrub_view(struct jobs *jobs)
{
    struct job_view views[JOBS_VIEW_MAX];
    size_t count = jobs_view(jobs, views, JOBS_VIEW_MAX);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(views[i].name, "scrub") == 0)
            return views[i];
    }
    fail();
    return views[0];
}

static int64_t first_ms;

/* A later round has ended than the one that was seen first. */
static bool two_rounds(struct jobs *jobs)
{
    struct job_view view = scrub_view(jobs);
    if (first_ms == 0)
        first_ms = view.started_ms;
    return view.started_ms > first_ms && view.done >= 1 && view.total >= 1;
}

static bool is_missed(struct jobs *jobs)
{
    struct job_view view = scrub_view(jobs);
    return view.missed == 1 && view.found == 0;
}

static bool has_found_nothing(struct jobs *jobs)
{
    return two_rounds(jobs) && scrub_view(jobs).found == 0 && scrub_view(jobs).missed == 0;
}

static void rot(void **state)
{
    (void)state;
    begin("GRG", 1);
    run_jobs(&fast, "GGG", "===", 0, 3, NULL);
}

static void rot_of_several_extents(void **state)
{
    (void)state;
    begin("RGG", 3);
    run_jobs(&fast, "GGG", "===", 0, 9, NULL);
}

static void missing(void **state)
{
    (void)state;
    begin("GGM", 1);
    run_jobs(&fast, "GGG", "===", 0, 3, NULL);
}

static void sound(void **state)
{
    (void)state;
    begin("GGG", 2);
    first_ms = 0;
    run_jobs(&fast, "GGG", "===", 0, 6, has_found_nothing);
}

/* Without keys a foreign header, and what is not there, are found, and no more. */
static void headers_alone(void **state)
{
    (void)state;
    begin("FGM", 1);
    run_jobs(&headers, "GGG", "===", 0, 3, NULL);
    begin("GRG", 1);
    first_ms = 0;
    run_jobs(&headers, "GGG", "=!=", 0, 6, has_found_nothing);
}

/* What has no whole replica is told, and nothing of it is thrown away. */
static void none_whole(void **state)
{
    (void)state;
    begin("RRR", 1);
    first_ms = 0;
    run_jobs(&fast, "SSS", "!!!", 1, 3, two_rounds);
}

/* The last replica was suspect and is found to be whole: the others are made from it. */
static void last_one_recovers(void **state)
{
    (void)state;
    begin("W--", 1);
    run_jobs(&fast, "GGG", "===", 0, 3, NULL);
}

static int get_nothing(struct backend *backend, const struct blob_name *name, const struct locator *locator,
                       uint64_t offset, uint64_t length, uint8_t *dst)
{
    (void)backend, (void)name, (void)locator, (void)offset, (void)length, (void)dst;
    return ERR_TIMEOUT;
}

/* A backend that does not answer has not lost anything. */
static void no_answer(void **state)
{
    (void)state;
    begin("GGG", 1);
    const struct backend_ops *ops = disk(1)->ops;
    struct backend_ops failing = *ops;
    failing.get = get_nothing;
    struct jobs_options slow = fast;
    slow.scrub_interval_ms = 60000;
    disk(1)->ops = &failing;
    run_jobs(&slow, "GGG", "=-=", 0, 3, is_missed);
    disk(1)->ops = ops;
}

static const struct jobs_options impatient = {
    .scrub = {1 << 30, 1000000}, .scrub_interval_ms = 20, .doubt_ms = 80};

/* A store that found the damage itself may not give it, but an error, for ever. */
static void refused(void **state)
{
    (void)state;
    begin("GGG", 1);
    begin("GGG", 2);
    begin_refusing(1, false, false);
    run_jobs(&impatient, "GGG", "===", 0, 9, NULL);
    assert_true(refusals.count >= 3);
    end_refusing();
}

/* Looks at all that may be in doubt, and more than are needed to be sure. */
static bool is_refused_often(struct jobs *jobs)
{
    (void)jobs;
    return refusals.count >= 100;
}

static void refused_without_another(void **state)
{
    (void)state;
    begin("-G-", 1);
    begin_refusing(1, false, false);
    c.failures = 1;
    run_jobs(&impatient, "-G-", "---", 1, 1, NULL);
    end_refusing();
    begin("RGR", 1);
    begin_refusing(1, false, false);
    c.failures = 1;
    run_jobs(&impatient, "SGS", "!-!", 1, 4, is_refused_often);
    end_refusing();
}

/* Nothing is known that it gives: it is the backend. */
static void all_refused(void **state)
{
    (void)state;
    begin("GGG", 8);
    begin_refusing(1, true, false);
    run_jobs(&impatient, "GGG", "=-=", 0, 24, is_refused_often);
    end_refusing();
}

/* Nor does it give what it gave before. */
static void all_refused_suddenly(void **state)
{
    (void)state;
    begin("GGG", 2);
    begin_refusing(1, true, false);
    refusals.gives = 30;
    run_jobs(&impatient, "GGG", "=-=", 0, 6, is_refused_often);
    end_refusing();
}

static void refused_by_an_ill_one(void **state)
{
    (void)state;
    begin("GGG", 1);
    begin("GGG", 1);
    begin_refusing(1, false, true);
    run_jobs(&impatient, "GGG", "=-=", 0, 6, is_refused_often);
    end_refusing();
}

static void garbage(void **state)
{
    (void)state;
    begin("RRR", 1);
    on_fiber(delete_it, NULL);
    first_ms = 0;
    run_jobs(&fast, "GGG", "!!!", 0, 3, has_found_nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rot, setup, teardown),
        cmocka_unit_test_setup_teardown(rot_of_several_extents, setup, teardown),
        cmocka_unit_test_setup_teardown(missing, setup, teardown),
        cmocka_unit_test_setup_teardown(sound, setup, teardown),
        cmocka_unit_test_setup_teardown(headers_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(none_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(last_one_recovers, setup, teardown),
        cmocka_unit_test_setup_teardown(no_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_without_another, setup, teardown),
        cmocka_unit_test_setup_teardown(all_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(all_refused_suddenly, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_by_an_ill_one, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage, setup, teardown),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
