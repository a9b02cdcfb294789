/* Walks over a real index, by jobs that are stopped, paused and begun again. */
#include "await.h"
#include "index_kit.h"

#include "base/log.h"
#include "store/jobs/job.h"
#include "store/jobs/walk.h"

#define NAME    "test"
#define BLOBS   300 /* more than a batch */
#define LARGE   7   /* this blob has several extents, */
#define EXTENTS 20  /* so many */
#define OTHERS  3   /* each third blob is under another placement */

static struct kit kit;

static int setup(void **state)
{
    (void)state;
    kit_init(&kit);
    kit_open(&kit);
    on_fiber((void (*)(void *))kit_bucket, &kit);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_free(&kit);
    return 0;
}

/* --- blobs: numbers from 0, in the order of their ids --- */

static uint8_t ids[BLOBS][16];

static void make(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < BLOBS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%u", i);
        Arca__Mutation *put = kit_put(&kit, span_str(key), "e");
        if (i == LARGE) {
            put->put_object->blob = kit_new_blob(&kit, EXTENTS * 100, EXTENTS);
            put->put_object->blob->blob->extent_size = 100;
            put->put_object->object->blob_id = put->put_object->blob->blob->id;
            put->put_object->object->size = EXTENTS * 100;
        }
        Arca__Blob *blob = put->put_object->blob->blob;
        blob->placement = i % OTHERS == 0 ? "other" : "mine";
        memcpy(ids[i], blob->id.data, 16);
        assert_int_equal(index_apply(kit.index, put), 0);
    }
}

static void delete_one(void *arg)
{
    assert_int_equal(index_apply(kit.index, kit_delete(&kit, span_str(arg))), 0);
}

static unsigned number_of(const struct blob_name *name)
{
    unsigned i = 0;
    while (i < BLOBS && memcmp(ids[i], name->bytes, 16) != 0)
        i++;
    assert_true(i < BLOBS);
    return i;
}

/* --- one walk, on a loop of its own --- */

static struct {
    struct walk_options options;
    unsigned visits[BLOBS];  /* that ended, of each blob */
    unsigned active, widest; /* visits that are under way */
    int holds;               /* visits of this blob wait until they are cancelled; -1: none */
    int fails;               /* and of this one fail */
    atomic_uint ended;       /* visits */
    atomic_int rc;           /* what the walk gave */
    struct job_view seen;    /* when it ended */
    struct span after;
    uint8_t after_id[16];
} w;

static int visit(void *arg, const struct walk_extent *extent)
{
    (void)arg;
    unsigned i = number_of(&extent->name);
    int rc = 0;
    assert_int_equal(extent->replica_count, 1);
    assert_string_equal(extent->replicas[0]->backend, "disk");
    w.active++;
    w.widest = w.active > w.widest ? w.active : w.widest;
    while (rc == 0 && (int)i == w.holds)
        rc = fiber_wait(DEADLINE_NONE);
    fiber_yield();
    w.active--;
    if (rc == 0) {
        w.visits[i]++;
        w.ended++;
    }
    return (int)i == w.fails ? ERR_IO : rc;
}

static void run(void *arg, struct job *job)
{
    (void)arg;
    int rc = job_load(job);
    if (rc == ERR_NOT_FOUND)
        rc = job_begin(job, ARCA__JOB__STEP__VERIFY);
    if (rc == 0)
        rc = walk(job, &w.options);
    assert_int_equal(w.active, 0);
    job_view(job, &w.seen);
    w.after = job_after(job);
    memcpy(w.after_id, w.after.ptr, w.after.len);
    w.rc = rc;
}

static void prepare(unsigned width)
{
    memset(&w, 0, sizeof(w));
    w.options = (struct walk_options){.index = kit.index, .width = width, .visit = visit};
    w.holds = w.fails = -1;
}

struct runner {
    struct loop *loop;
    struct job *job;
};

static struct runner begin(void)
{
    struct runner runner;
    assert_int_equal(loop_create(&(struct loop_options){.number = 1}, &runner.loop), 0);
    w.options.loop = runner.loop;
    w.ended = 0;
    w.rc = -1000;
    struct job_options options = {.index = kit.index, .loop = runner.loop, .name = NAME, .run = run};
    assert_int_equal(job_create(&options, &runner.job), 0);
    assert_int_equal(job_start(runner.job), 0);
    assert_int_equal(loop_start(runner.loop), 0);
    return runner;
}

static void end(struct runner runner, bool stop)
{
    assert_true(stop || AWAIT(job_ended(runner.job)));
    job_stop(runner.job);
    loop_stop(runner.loop);
    loop_join(runner.loop);
    assert_true(job_ended(runner.job));
    job_free(runner.job);
    loop_free(runner.loop);
}

static void wait_for_visits(unsigned count)
{
    assert_true(AWAIT(w.ended >= count));
}

static void load(void *arg)
{
    Arca__Job **out = arg;
    assert_int_equal(index_job_get(kit.index, SPAN_LITERAL(NAME), kit.arena, out), 0);
}

/* --- cases --- */

static void all_blobs(void **state)
{
    (void)state;
    on_fiber(make, NULL);
    on_fiber(delete_one, "key5");
    prepare(4);
    end(begin(), false);
    assert_int_equal(w.rc, 0);
    for (unsigned i = 0; i < BLOBS; i++)
        assert_int_equal(w.visits[i], i == LARGE ? EXTENTS : i == 5 ? 0 : 1);
    assert_int_equal(w.widest, 4);
    assert_int_equal(w.seen.done, BLOBS);
    assert_int_equal(w.seen.total, BLOBS);
    assert_string_equal(w.seen.step, "verify");
    assert_memory_equal(w.after_id, ids[BLOBS - 1], 16);
}

static void one_placement(void **state)
{
    (void)state;
    on_fiber(make, NULL);
    prepare(2);
    w.options.placement = SPAN_LITERAL("mine");
    end(begin(), false);
    for (unsigned i = 0; i < BLOBS; i++)
        assert_int_equal(w.visits[i], i % OTHERS == 0 ? 0 : i == LARGE ? EXTENTS : 1);
    assert_int_equal(w.seen.done, BLOBS);
}

static void no_blobs(void **state)
{
    (void)state;
    prepare(1);
    end(begin(), false);
    assert_int_equal(w.rc, 0);
    assert_int_equal(w.seen.done, 0);
    assert_int_equal(w.after.len, 0);
}

static void failures_are_counted(void **state)
{
    (void)state;
    on_fiber(make, NULL);
    prepare(3);
    w.fails = LARGE;
    end(begin(), false);
    assert_int_equal(w.rc, 0);
    assert_int_equal(w.seen.missed, 1); /* blobs, not extents */
    assert_int_equal(w.seen.done, BLOBS);
}

/* Others go on beside a visit that hangs, but the cursor stays before it: a later walk visits it, and all behind it. */
static void cursor_stays_before_what_hangs(void **state)
{
    (void)state;
    Arca__Job *row;
    on_fiber(make, NULL);
    prepare(3);
    w.holds = 50;
    struct runner runner = begin();
    wait_for_visits(100);
    end(runner, true);
    assert_int_equal(w.rc, ERR_CANCELED);
    assert_memory_equal(w.after_id, ids[49], 16);
    assert_int_equal(w.visits[50], 0);
    assert_int_equal(w.seen.done, 50);
    on_fiber(load, &row);
    assert_memory_equal(row->after.data, ids[49], 16);
    assert_int_equal(row->done, 50);
    assert_int_equal(row->step, ARCA__JOB__STEP__VERIFY);
    w.holds = -1;
    memset(w.visits, 0, sizeof(w.visits));
    end(begin(), false);
    assert_int_equal(w.rc, 0);
    for (unsigned i = 0; i < BLOBS; i++)
        assert_int_equal(w.visits[i], i >= 50);
    assert_int_equal(w.seen.done, BLOBS);
}

static void pause_it(void *arg)
{
    assert_int_equal(job_pause(arg, true), 0);
}

static void resume_it(void *arg)
{
    assert_int_equal(job_pause(arg, false), 0);
}

/* A pause is a row; who starts paused does nothing until it is resumed. */
static void paused_over_a_restart(void **state)
{
    (void)state;
    struct job_view view;
    Arca__Job *row;
    on_fiber(make, NULL);
    prepare(1);
    w.holds = 20;
    struct runner runner = begin();
    wait_for_visits(20);
    on_fiber(pause_it, runner.job);
    job_view(runner.job, &view);
    assert_int_equal(view.state, JOB_PAUSED);
    end(runner, true);
    on_fiber(load, &row);
    assert_true(row->paused);
    w.holds = -1;
    runner = begin();
    assert_true(AWAIT((job_view(runner.job, &view), view.state == JOB_PAUSED)));
    usleep(50000); /* it must not go on, however long one waits */
    assert_int_equal(w.ended, 0);
    on_fiber(resume_it, runner.job);
    end(runner, false);
    assert_int_equal(w.rc, 0);
    assert_int_equal(w.seen.done, BLOBS);
    on_fiber(load, &row);
    assert_false(row->paused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_blobs, setup, teardown),
        cmocka_unit_test_setup_teardown(one_placement, setup, teardown),
        cmocka_unit_test_setup_teardown(no_blobs, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(cursor_stays_before_what_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(paused_over_a_restart, setup, teardown),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
