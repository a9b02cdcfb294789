/* Repair over three disks and a real index. */
#include "disks.h"

#include "base/loop.h"
#include "base/metrics.h"
#include "refusals.h"

/* --- cases --- */

static void missing_replicas(void **state)
{
    (void)state;
    begin("-G-", 1);
    run_jobs(NULL, "GGG", "===", 0, 3, NULL);
    assert_false(store_leftovers(store));
}

static void several_extents(void **state)
{
    (void)state;
    begin("GG-", 3);
    run_jobs(NULL, "GGG", "===", 0, 9, NULL);
    assert_int_equal(c.blobs[2], 3);
}

static bool puts_may_end;

/* Until the test has seen what it waits for; then it fails. */
static int put_slowly(struct backend *backend, const struct blob_name *name, struct block *data, struct locator *out)
{
    (void)backend, (void)name, (void)data, (void)out;
    while (!puts_may_end) {
        int rc = fiber_wait(loop_now_ms() + 5);
        if (rc != ERR_TIMEOUT && rc != 0)
            return rc;
    }
    return ERR_UNAVAILABLE;
}

static bool is_pending_told(struct jobs *jobs)
{
    (void)jobs;
    struct buf text = {.cap = 1 << 20};
    metrics_render(&text);
    buf_append(&text, span_of("", 1));
    bool told = strstr((const char *)text.ptr, "\narca_repairs_pending 1\n") != NULL;
    buf_free(&text);
    puts_may_end = told;
    return told;
}

/* What was left to be done is known before the first of it is. */
static void pending_from_the_start(void **state)
{
    (void)state;
    begin("G-G", 1);
    const struct backend_ops *ops = disk(1)->ops;
    struct backend_ops slow = *ops;
    slow.put = put_slowly;
    disk(1)->ops = &slow;
    puts_may_end = false;
    run_jobs(NULL, "G-G", "=-=", 1, 2, is_pending_told);
    disk(1)->ops = ops;
    run_jobs(NULL, "GGG", "===", 0, 3, NULL);
}

/* The suspect copy goes when the new one is there. */
static void suspect_replica(void **state)
{
    (void)state;
    begin("SG-", 1);
    run_jobs(NULL, "GGG", "===", 0, 3, NULL);
    assert_int_equal(c.blobs[0], 1);
}

/* A reader found it. */
static void reported_replica(void **state)
{
    (void)state;
    Arca__Replica replica = ARCA__REPLICA__INIT;
    begin("GGG", 1);
    replica.backend = names[1];
    replica.locator = kit_data("elsewhere", 9);
    store_suspect(store, &replica, c.name.bytes, 0); /* of another time: nothing happens */
    run_jobs(NULL, "GGG", "===", 0, 3, NULL);
    assert_int_equal(c.blobs[1], 1);
}

/* What a replica holds is not this extent: that one is not copied, but healed. */
static void foreign_source(void **state)
{
    (void)state;
    begin("FG-", 1);
    run_jobs(NULL, "GGG", "===", 0, 3, NULL);
}

/* A header that is right tells nothing of what is behind it: rot is not copied, but healed. */
static void rotten_source(void **state)
{
    (void)state;
    begin("RG-", 1);
    run_jobs(NULL, "GGG", "===", 0, 3, NULL);
}

/* A source that its backend does not give is mended like one that is damaged. */
static void refused_source(void **state)
{
    (void)state;
    static const struct jobs_options impatient = {.doubt_ms = 80};
    begin("GG-", 1);
    begin_refusing(0, false, false);
    run_jobs(&impatient, "GGG", "===", 0, 3, NULL);
    end_refusing();
}

/* Nor is it copied where there is nothing else. */
static void only_rot(void **state)
{
    (void)state;
    begin("RR-", 1);
    c.failures = 1;
    run_jobs(NULL, "SS-", "!!-", 1, 2, NULL);
}

/* Without a good replica nothing is copied and nothing is thrown away. */
static void no_source(void **state)
{
    (void)state;
    begin("S-S", 1);
    c.failures = 1;
    run_jobs(NULL, "S-S", "!-!", 1, 2, NULL);
}

static void deleted_blob(void **state)
{
    (void)state;
    begin("G--", 1);
    on_fiber(delete_it, NULL);
    struct blob_name first = c.name;
    begin("GG-", 1); /* its id is greater: it is looked at later */
    run_jobs(NULL, "GGG", "===", 0, 4, NULL);
    c.name = first;
    run_jobs(NULL, "G--", "=--", 0, 4, NULL);
}

static void leave_orphan(void *arg)
{
    (void)arg;
    struct blob_name name;
    Arca__Mutation *open = kit_mutation(&kit, ARCA__MUTATION__OP_OPEN_LEASE);
    open->open_lease = KIT_NEW(&kit, Arca__OpenLease, arca__open_lease);
    open->open_lease->lease = KIT_NEW(&kit, Arca__Lease, arca__lease);
    open->open_lease->lease->id = kit_data("lease-01", 8);
    assert_int_equal(index_apply(kit.index, open), 0);
    replica_name(kit_blob_id(&kit, 1000000).data, 0, &name);
    store_on(2, &name, stored_size(0, 1), 'G');
}

/* What the process before left behind goes; what repair puts there in the meantime stays. */
static void after_a_crash(void **state)
{
    (void)state;
    begin("GG-", 1);
    on_fiber(leave_orphan, NULL);
    run_jobs(NULL, "GGG", "===", 0, 3, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(missing_replicas, setup, teardown),
        cmocka_unit_test_setup_teardown(several_extents, setup, teardown),
        cmocka_unit_test_setup_teardown(pending_from_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(suspect_replica, setup, teardown),
        cmocka_unit_test_setup_teardown(reported_replica, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_source, setup, teardown),
        cmocka_unit_test_setup_teardown(rotten_source, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_source, setup, teardown),
        cmocka_unit_test_setup_teardown(only_rot, setup, teardown),
        cmocka_unit_test_setup_teardown(no_source, setup, teardown),
        cmocka_unit_test_setup_teardown(deleted_blob, setup, teardown),
        cmocka_unit_test_setup_teardown(after_a_crash, setup, teardown),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
