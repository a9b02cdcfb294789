/* What jobs are seen as: rates, the list, pauses by name. */
#include "await.h"
#include "index_kit.h"

#include "base/block.h"
#include "base/log.h"
#include "base/metrics.h"
#include "config/config.h"
#include "store/jobs/meter.h"
#include "store/jobs/private.h"
#include "store/store.h"

static struct kit kit;
static struct store *store;
static struct jobs *jobs;
static struct loop *loop;
static struct budget *budget;
static char disk_path[300];

static int setup(void **state)
{
    (void)state;
    kit_init(&kit);
    kit_open(&kit);
    snprintf(disk_path, sizeof(disk_path), "%s-disk", kit.folder);
    struct backend_settings disk = {.name = "disk", .driver = "disk", .path = disk_path};
    struct config config = {.backends = &disk, .backend_count = 1};
    assert_int_equal(store_open(&config, &store), 0);
    budget = budget_create(4 << 20);
    assert_int_equal(loop_create(&(struct loop_options){.number = 1}, &loop), 0);
    struct jobs_options options = {.store = store,
                                   .index = kit.index,
                                   .loop = loop,
                                   .budget = budget,
                                   .grace_ms = 1000,
                                   .repair = {1 << 20, 100},
                                   .scrub = {1 << 20, 100},
                                   .scrub_interval_ms = 1000000};
    assert_int_equal(jobs_start(&options, &jobs), 0);
    assert_int_equal(loop_start(loop), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    jobs_stop(jobs);
    loop_stop(loop);
    loop_join(loop);
    loop_free(loop);
    jobs_free(jobs);
    budget_free(budget);
    store_close(store);
    kit_free(&kit);
    kit_remove(disk_path);
    return 0;
}

static struct job_view view_of(const char *name)
{
    struct job_view views[JOBS_VIEW_MAX];
    size_t count = jobs_view(jobs, views, JOBS_VIEW_MAX);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(views[i].name, name) == 0)
            return views[i];
    }
    return (struct job_view){0};
}

static void wait_for_state(const char *name, enum job_state state)
{
    struct job_view view;
    assert_true(AWAIT((view = view_of(name), view.name[0] != '\0' && view.state == state)));
}

/* --- cases --- */

static void list(void **state)
{
    (void)state;
    struct job_view views[JOBS_VIEW_MAX];
    assert_int_equal(jobs_view(jobs, views, JOBS_VIEW_MAX), 3);
    assert_string_equal(views[0].name, "garbage");
    assert_string_equal(views[1].name, "repair");
    assert_string_equal(views[2].name, "scrub");
    assert_int_equal(jobs_view(jobs, views, 1), 1);
    wait_for_state("scrub", JOB_IDLE);
    wait_for_state("repair", JOB_IDLE);
    wait_for_state("garbage", JOB_IDLE);
    assert_int_equal(view_of("scrub").eta_ms, -1);
    assert_string_equal(job_state_name(JOB_WAITING), "waiting");
}

static void pauses(void *arg)
{
    (void)arg;
    assert_int_equal(jobs_pause(jobs, SPAN_LITERAL("nothing"), true), ERR_NOT_FOUND);
    assert_int_equal(jobs_pause(jobs, SPAN_LITERAL("repair"), true), ERR_UNSUPPORTED);
    assert_int_equal(jobs_pause(jobs, SPAN_LITERAL("garbage"), true), ERR_UNSUPPORTED);
    assert_int_equal(jobs_pause(jobs, SPAN_LITERAL("scrub"), true), 0);
    Arca__Job *row;
    assert_int_equal(index_job_get(kit.index, SPAN_LITERAL("scrub"), kit.arena, &row), 0);
    assert_true(row->paused);
}

static void paused_by_name(void **state)
{
    (void)state;
    struct buf text = {.cap = 1 << 20};
    wait_for_state("scrub", JOB_IDLE);
    on_fiber(pauses, NULL);
    assert_int_equal(view_of("scrub").state, JOB_PAUSED);
    metrics_render(&text);
    buf_append(&text, span_of("", 1));
    assert_non_null(strstr((const char *)text.ptr, "arca_job_state{job=\"scrub\"} 2\n"));
    buf_free(&text);
}

static atomic_int runs;

static void run_once(void *arg, struct job *job)
{
    (void)arg;
    runs++;
    job_idle(job, "done");
}

static void run_until_stopped(void *arg, struct job *job)
{
    (void)arg;
    runs++;
    job_waits(job, "for %s", "Godot");
    assert_int_equal(job_sleep(job, 1000000), ERR_CANCELED);
}

static struct job *make_job(void (*run)(void *arg, struct job *job))
{
    struct job *job;
    struct job_options options = {.index = kit.index, .loop = loop, .name = "one", .run = run};
    assert_int_equal(job_create(&options, &job), 0);
    return job;
}

/* One of a name is at work at a time; when it has ended, another may take its place. */
static void added(void **state)
{
    (void)state;
    runs = 0;
    assert_int_equal(jobs_add(jobs, make_job(run_once)), 0);
    wait_for_state("one", JOB_IDLE);
    struct job *first = jobs_find(jobs, SPAN_LITERAL("one"));
    assert_true(AWAIT(job_ended(first)));
    assert_int_equal(jobs_add(jobs, make_job(run_until_stopped)), 0);
    wait_for_state("one", JOB_WAITING);
    assert_string_equal(view_of("one").why, "for Godot");
    struct job *third = make_job(run_once);
    assert_int_equal(jobs_add(jobs, third), ERR_BUSY);
    job_free(third);
    assert_int_equal(runs, 2);
    struct job_view views[JOBS_VIEW_MAX];
    assert_int_equal(jobs_view(jobs, views, JOBS_VIEW_MAX), 4);
}

/* One that has ended gives its place to another when there are too many. */
static void full(void **state)
{
    (void)state;
    char name[20];
    struct job *job = NULL;
    struct job_options options = {.index = kit.index, .loop = loop, .name = name, .run = run_once};
    runs = 0;
    for (int i = 0; i < 2 * JOBS_MAX; i++) {
        snprintf(name, sizeof(name), "job %d", i);
        assert_int_equal(job_create(&options, &job), 0);
        assert_int_equal(jobs_add(jobs, job), 0);
        assert_true(AWAIT(job_ended(job)));
    }
    assert_int_equal(runs, 2 * JOBS_MAX);
    assert_ptr_equal(jobs_find(jobs, span_str(name)), job);
    struct job_view views[JOBS_VIEW_MAX];
    assert_int_equal(jobs_view(jobs, views, JOBS_VIEW_MAX), JOBS_VIEW_MAX);
}

/* Whatever a config can ask for is at work and seen at once. */
static void all_placements_change(void **state)
{
    (void)state;
    char name[32];
    struct job *job;
    struct job_options options = {.index = kit.index, .loop = loop, .name = name, .run = run_until_stopped};
    for (int i = 0; i < CONFIG_PLACEMENTS_MAX; i++) {
        snprintf(name, sizeof(name), "placement %d", i);
        assert_int_equal(job_create(&options, &job), 0);
        assert_int_equal(jobs_add(jobs, job), 0);
    }
    struct job_view views[JOBS_VIEW_MAX];
    assert_int_equal(jobs_view(jobs, views, JOBS_VIEW_MAX), CONFIG_PLACEMENTS_MAX + 3);
    wait_for_state(name, JOB_WAITING);
}

static void rates(void **state)
{
    (void)state;
    struct meter meter;
    int64_t now_ms = 5000500;
    meter_reset(&meter, now_ms);
    assert_int_equal(meter_eta_ms(&meter, now_ms, 5), -1);
    assert_int_equal(meter_eta_ms(&meter, now_ms, 0), 0);
    for (int i = 0; i < 10; i++, now_ms += 1000)
        meter_add(&meter, now_ms, 1000, 2);
    assert_int_equal(meter_bytes(&meter, now_ms), 1000);
    assert_int_equal(meter_eta_ms(&meter, now_ms, 20), 10000);
    for (int i = 0; i < 60; i++, now_ms += 1000)
        meter_add(&meter, now_ms, 7000, 0);
    assert_in_range(meter_bytes(&meter, now_ms), 6700, 7100); /* what was before is forgotten */
    assert_int_equal(meter_eta_ms(&meter, now_ms, 20), -1);
    assert_int_equal(meter_bytes(&meter, now_ms + 100000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(list, setup, teardown),
        cmocka_unit_test_setup_teardown(paused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(added, setup, teardown),
        cmocka_unit_test_setup_teardown(full, setup, teardown),
        cmocka_unit_test_setup_teardown(all_placements_change, setup, teardown),
        cmocka_unit_test(rates),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
