/* A placement of three disks becomes another one: what each step makes of an extent, from whatever was left by what
 * came before. */
#include "disks.h"

#include "base/loop.h"
#include "store/placements.h"

/* --- the row and its job, as a kill left them --- */

/* Of each disk: m, j(oins), l(eaves), d(rained), - not in it. */
static const char *roles;
static Arca__Job__Step step;
static bool paused;

static void set_roles(void *arg)
{
    (void)arg;
    Arca__Mutation *mutation = kit_mutation(&kit, ARCA__MUTATION__OP_SET_PLACEMENT);
    Arca__Placement *row = KIT_NEW(&kit, Arca__Placement, arca__placement);
    Arca__Job *job = KIT_NEW(&kit, Arca__Job, arca__job);
    mutation->set_placement = KIT_NEW(&kit, Arca__SetPlacement, arca__set_placement);
    mutation->set_placement->placement = row;
    mutation->set_placement->job = job;
    job->name = (char *)"placement all";
    job->step = step;
    job->paused = paused;
    row->name = (char *)"all";
    row->write_quorum = 1;
    row->members = arena_alloc(kit.arena, DISKS * sizeof(*row->members));
    for (int i = 0; i < DISKS; i++) {
        if (roles[i] == '-')
            continue;
        Arca__Member *member = row->members[row->n_members++] = KIT_NEW(&kit, Arca__Member, arca__member);
        member->backend = names[i];
        member->role = (Arca__Member__Role)(strchr("mjld", roles[i]) - "mjld");
    }
    assert_int_equal(index_apply(kit.index, mutation), 0);
    assert_int_equal(placements_refresh(store, kit.index, NULL), 0);
}

static void from(const char *members, Arca__Job__Step at)
{
    roles = members;
    step = at;
    on_fiber(set_roles, NULL);
}

static struct {
    char roles[DISKS + 1];
    bool job, paused;
} row;

/* The job first: when it is gone, the roles are those that it left. */
static void read_row(void *arg)
{
    (void)arg;
    Arca__Placement *placement;
    Arca__Job *job;
    row.job = index_job_get(kit.index, SPAN_LITERAL("placement all"), kit.arena, &job) == 0;
    row.paused = row.job && job->paused;
    assert_int_equal(index_placement_get(kit.index, SPAN_LITERAL("all"), kit.arena, &placement), 0);
    memset(row.roles, '-', DISKS);
    for (size_t i = 0; i < placement->n_members; i++) {
        for (int j = 0; j < DISKS; j++) {
            if (strcmp(placement->members[i]->backend, names[j]) == 0)
                row.roles[j] = "mjld"[placement->members[i]->role];
        }
    }
}

static bool is_done(struct jobs *jobs)
{
    (void)jobs;
    on_fiber(read_row, NULL);
    return !row.job && strcmp(row.roles, "-mm") == 0;
}

static struct job_view view_of(struct jobs *jobs)
{
    struct job_view views[JOBS_VIEW_MAX];
    size_t count = jobs_view(jobs, views, JOBS_VIEW_MAX);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(views[i].name, "placement all") == 0)
            return views[i];
    }
    return (struct job_view){0};
}

/* --- the cases --- */

static void all_the_way(void **state)
{
    (void)state;
    begin("GG-", 1);
    from("lmj", ARCA__JOB__STEP__BACKFILL);
    run_jobs(NULL, "-GG", "-==", 0, 2, is_done);
}

static void several_extents(void **state)
{
    (void)state;
    begin("GG-", 3);
    from("lmj", ARCA__JOB__STEP__BACKFILL);
    run_jobs(NULL, "-GG", "-==", 0, 6, is_done);
}

static void only_the_leaving_one_has_it(void **state)
{
    (void)state;
    begin("G--", 2);
    from("ljj", ARCA__JOB__STEP__BACKFILL);
    run_jobs(NULL, "-GG", "-==", 0, 4, is_done);
}

/* What was copied is read before the old one is given up. */
static void rot_of_the_new_one(void **state)
{
    (void)state;
    begin("GGR", 1);
    from("lmj", ARCA__JOB__STEP__BACKFILL);
    run_jobs(NULL, "-GG", "-==", 0, 2, is_done);
}

static bool waits_for_one(struct jobs *jobs)
{
    struct job_view view = view_of(jobs);
    on_fiber(read_row, NULL);
    return strcmp(view.step, "backfill") == 0 && view.missed == 1 && view.state == JOB_WAITING &&
           strcmp(row.roles, "lmm") == 0;
}

/* The last replica of anything is not given up, however damaged. */
static void no_sound_replica(void **state)
{
    (void)state;
    begin("R--", 1);
    from("lmm", ARCA__JOB__STEP__BACKFILL);
    run_jobs(NULL, "G--", "!--", 1, 1, waits_for_one);
}

static void killed_while_draining(void **state)
{
    (void)state;
    begin("GGG", 2);
    from("dmm", ARCA__JOB__STEP__DRAIN);
    run_jobs(NULL, "-GG", "-==", 0, 4, is_done);
}

static void killed_at_the_end(void **state)
{
    (void)state;
    begin("-GG", 1);
    from("dmm", ARCA__JOB__STEP__DONE);
    run_jobs(NULL, "-GG", "-==", 0, 2, is_done);
}

/* A write that began under the older set ended with one replica, where there should be none. */
static void came_while_draining(void **state)
{
    (void)state;
    begin("G--", 1);
    from("dmm", ARCA__JOB__STEP__REMOVE);
    run_jobs(NULL, "-GG", "-==", 0, 2, is_done);
}

/* A step that does not fit the set is not believed. */
static void a_set_that_is_not_promoted_is_not_drained(void **state)
{
    (void)state;
    begin("GG-", 1);
    from("lmj", ARCA__JOB__STEP__DRAIN);
    run_jobs(NULL, "-GG", "-==", 0, 2, is_done);
}

static bool waits_for_garbage(struct jobs *jobs)
{
    struct job_view view = view_of(jobs);
    on_fiber(read_row, NULL);
    return strcmp(row.roles, "dmm") == 0 && view.state == JOB_WAITING &&
           strstr(view.why, "1 replicas of what was deleted") != NULL;
}

/* A backend is not out of it before it holds nothing. */
static void garbage_is_waited_for(void **state)
{
    (void)state;
    begin("GGG", 1);
    on_fiber(delete_it, NULL);
    from("lmm", ARCA__JOB__STEP__BACKFILL);
    run_jobs(NULL, "GGG", "===", 0, 3, waits_for_garbage);
}

/* --- copies of the index --- */

static bool has_leftovers(struct jobs *jobs)
{
    (void)jobs;
    on_fiber(read_row, NULL);
    return strcmp(row.roles, "dmm") == 0;
}

/* An index that is rebuilt may be older: until its copies know where else an extent is, it stays where it was. */
static void copies_of_the_index_come_first(void **state)
{
    (void)state;
    struct index_shipping shipping = {.patience_ms = 1000};
    index_shipping_begin(kit.index, &shipping);
    begin("GGG", 2);
    from("dmm", ARCA__JOB__STEP__DRAIN);
    index_shipped(kit.index, 1, 1, false);
    run_jobs(NULL, "-GG", "-==", 0, 6, has_leftovers);
    assert_true(store_leftovers(store)); /* the next start finds them */
    index_shipped(kit.index, 1000, INT64_MAX - 1, false);
    run_jobs(NULL, "-GG", "-==", 0, 6, is_done);
    begin("GGG", 1);
    from("dmm", ARCA__JOB__STEP__DRAIN);
    run_jobs(NULL, "-GG", "-==", 0, 6 + 2, is_done);
    index_shipping_end(kit.index);
}

/* --- what an administrator asks for --- */

static struct jobs *asked;

static int ask(const char *placement, const char *first, const char *second, unsigned quorum, char *why,
               size_t why_size)
{
    struct span backends[2] = {span_str(first), span_str(second != NULL ? second : "")};
    why[0] = '\0';
    return jobs_change(asked, span_str(placement), backends, second != NULL ? 2 : 1, quorum, why, why_size);
}

static void ask_all(void *arg)
{
    (void)arg;
    char why[200];
    assert_int_equal(ask("none", "one", NULL, 0, why, sizeof(why)), ERR_NOT_FOUND);
    assert_int_equal(ask("all", "one", "four", 0, why, sizeof(why)), ERR_INVALID);
    assert_string_equal(why, "there is no backend four: add it to the configuration first (SIGHUP)");
    assert_int_equal(ask("all", "one", "one", 0, why, sizeof(why)), ERR_INVALID);
    assert_int_equal(ask("all", "one", "two", 3, why, sizeof(why)), ERR_INVALID);
    assert_non_null(strstr(why, "it would be 3"));
    assert_int_equal(ask("all", "one", "three", 0, why, sizeof(why)), 0);
    read_row(NULL); /* its job goes on meanwhile */
    assert_true(row.roles[0] == 'm' && row.roles[1] != 'm' && row.roles[2] == 'm');
    assert_true(row.job || row.roles[1] == '-');
    assert_int_equal(ask("all", "two", NULL, 0, why, sizeof(why)), 0); /* another aim, at once */
    assert_int_equal(ask("all", "two", "three", 0, why, sizeof(why)), 0);
}

static bool is_asked(struct jobs *jobs)
{
    asked = jobs;
    on_fiber(ask_all, NULL);
    return true;
}

/* The last of them is what comes of it, after another start. */
static void aims(void **state)
{
    (void)state;
    begin("GGG", 2);
    run_jobs(NULL, "GGG", "===", 0, 6, is_asked);
    run_jobs(NULL, "-GG", "-==", 0, ANY, is_done);
    on_fiber(look, NULL);
    if (!store_leftovers(store)) /* a copy that was ended may have been stored */
        assert_int_equal(c.blobs[0] + c.blobs[1] + c.blobs[2], 4);
}

/* --- in the middle of something --- */

/* What is being read: its read ends when the test lets it. */
static struct {
    atomic_bool armed, met;
    struct completion done;
} slow;

static int verify_slowly(void *arg, const Arca__Blob *blob, uint32_t extent, struct span stored)
{
    if (atomic_exchange(&slow.armed, false)) {
        completion_init(&slow.done);
        atomic_store(&slow.met, true);
        completion_wait(&slow.done);
    }
    return verify_bytes_of(arg, blob, extent, stored);
}

static const struct jobs_options slowly = {.verify = verify_slowly};

static void arm(void)
{
    atomic_store(&slow.met, false);
    atomic_store(&slow.armed, true);
}

static void await_met(void)
{
    assert_true(AWAIT(atomic_load(&slow.met)));
}

static int asked_rc;
static bool asked_done;

static void ask_again(void *arg)
{
    char why[200];
    (void)arg;
    asked_rc = ask("all", "two", "three", 1, why, sizeof(why));
    asked_done = true;
}

static void ask_and_go_away(void *arg)
{
    struct fiber *asker;
    (void)arg;
    asked_done = false;
    assert_int_equal(fiber_spawn(fiber_loop(fiber_self()), ask_again, NULL, &asker), 0);
    fiber_yield(); /* it waits for the job to end */
    fiber_cancel(asker);
    fiber_yield();
    completion_post(&slow.done, 0);
    while (!asked_done)
        fiber_yield();
}

/* The job that was stopped for him must not stay so. */
static void who_asks_may_go_away(void **state)
{
    (void)state;
    struct running running;
    begin("GGG", 1);
    from("lmj", ARCA__JOB__STEP__VERIFY);
    arm();
    start_jobs(&slowly, &running);
    asked = running.jobs;
    await_met();
    on_fiber(ask_and_go_away, NULL);
    await_jobs(&running, "-GG", "-==", 0, 2, is_done);
    stop_jobs(&running);
    assert_int_equal(asked_rc, 0);
}

static void ask_for_two(void *arg)
{
    char why[200];
    (void)arg;
    assert_int_equal(ask("all", "one", "two", 1, why, sizeof(why)), 0);
}

static bool waits_for_old_writes(struct jobs *jobs)
{
    struct job_view view = view_of(jobs);
    return view.state == JOB_WAITING && strstr(view.why, "1 writes that began before have not ended") != NULL;
}

static bool is_without_three(struct jobs *jobs)
{
    (void)jobs;
    on_fiber(read_row, NULL);
    return !row.job && strcmp(row.roles, "mm-") == 0;
}

static void ask_for_the_same(void *arg)
{
    ask_again(arg);
    assert_int_equal(asked_rc, 0);
}

/* A reload, or another aim, in the middle of draining: what waits for the copies of the index is not left where it is. */
static void removals_outlive_their_job(void **state)
{
    (void)state;
    struct running running;
    struct index_shipping shipping = {.patience_ms = 1000};
    index_shipping_begin(kit.index, &shipping);
    begin("GGG", 2);
    from("dmm", ARCA__JOB__STEP__DRAIN);
    index_shipped(kit.index, 1, 1, false);
    start_jobs(NULL, &running);
    asked = running.jobs;
    await_jobs(&running, "-GG", "-==", 0, 6, NULL);
    on_fiber(ask_for_the_same, NULL);
    index_shipped(kit.index, 1000, INT64_MAX - 1, false);
    await_jobs(&running, "-GG", "-==", 0, 4, is_done);
    stop_jobs(&running);
    index_shipping_end(kit.index);
}

/* Repair brings a replica to a backend that is left meanwhile. */
static void a_copy_under_way_is_waited_for(void **state)
{
    (void)state;
    struct running running;
    begin("GG-", 1);
    arm();
    start_jobs(&slowly, &running);
    asked = running.jobs;
    await_met();
    on_fiber(ask_for_two, NULL);
    await_jobs(&running, "GG-", "==-", 1, 2, waits_for_old_writes);
    completion_post(&slow.done, 0);
    await_jobs(&running, "GG-", "==-", 0, 2, is_without_three);
    stop_jobs(&running);
}

static bool is_paused(struct jobs *jobs)
{
    asked = jobs;
    on_fiber(ask_for_two, NULL);
    on_fiber(read_row, NULL);
    return row.paused && view_of(jobs).state == JOB_PAUSED;
}

static void another_aim_does_not_resume_it(void **state)
{
    (void)state;
    begin("GG-", 1);
    paused = true;
    from("lmm", ARCA__JOB__STEP__BACKFILL);
    paused = false;
    run_jobs(NULL, "GGG", "===", 0, 3, is_paused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(several_extents, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_leaving_one_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(rot_of_the_new_one, setup, teardown),
        cmocka_unit_test_setup_teardown(no_sound_replica, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_while_draining, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_at_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(came_while_draining, setup, teardown),
        cmocka_unit_test_setup_teardown(a_set_that_is_not_promoted_is_not_drained, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_of_the_index_come_first, setup, teardown),
        cmocka_unit_test_setup_teardown(aims, setup, teardown),
        cmocka_unit_test_setup_teardown(who_asks_may_go_away, setup, teardown),
        cmocka_unit_test_setup_teardown(removals_outlive_their_job, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_under_way_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(another_aim_does_not_resume_it, setup, teardown),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
