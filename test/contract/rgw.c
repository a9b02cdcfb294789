/* The s3 driver against a real Ceph: what it does otherwise than the stores that know CRC32C. */
#include "base/clock.h"
#include "rgw.h"
#include "s3_trials.h"

/* --- what it verifies --- */

/* Before release 19 a wrong CRC is taken and not answered with; later it is refused. A wrong MD5 is always refused. */
static bool knows_crc(void)
{
    struct trial crc = TRIAL_CRC32C;
    on_fiber(run_trial, &crc);
    assert_true(crc.rc == 0 ? !crc.echoed : crc.rc == ERR_IO);
    return crc.rc != 0;
}

static void falls_back_to_md5(void **state)
{
    (void)state;
    struct trial md5 = TRIAL_MD5;
    struct locator at;
    bool crc = knows_crc();
    on_fiber(run_trial, &md5);
    assert_int_equal(md5.rc, ERR_IO);
    assert_non_null(strstr(md5.words, "BadDigest"));
    assert_false(atomic_load(&s3()->wants_md5));
    for (unsigned i = 0; i < 2; i++) { /* at first twice, with CRC and with MD5; then with MD5 */
        assert_int_equal(blob_put_filled(backend, 1 + i, 3000000, &at), 0);
        assert_int_equal(atomic_load(&s3()->wants_md5), !crc);
        assert_int_equal(blob_check(backend, 1 + i, 3000000, &at), 0);
    }
}

/* --- when it is full --- */

static void administer(const char *words)
{
    char *command;
    assert_true(asprintf(&command, "radosgw-admin --conf %s/cluster/ceph.conf %s >/dev/null", store.folder, words) > 0);
    assert_int_equal(system(command), 0);
    free(command);
}

/* A user that may store nothing more: what it has can be read and removed. */
static void a_quota_is_no_space(void **state)
{
    (void)state;
    struct locator at;
    assert_int_equal(blob_put_filled(backend, 6, 1000, &at), 0);
    administer("quota set --quota-scope user --uid arca --max-size 1");
    administer("quota enable --quota-scope user --uid arca");
    assert_int_equal(blob_put_filled(backend, 7, 1000, &at), ERR_NOSPC);
    assert_int_equal(blob_check(backend, 6, 1000, &at), 0);
    assert_int_equal(blob_remove(backend, 6, &at), 0);
    administer("quota disable --quota-scope user --uid arca");
    assert_int_equal(blob_put_filled(backend, 7, 1000, &at), 0);
}

/* --- how long it takes --- */

struct reads {
    struct locator at;
    uint64_t least_ns;
};

/* On one connection that has been used before, when the kernel delays acknowledgements. */
static void run_reads(void *arg)
{
    enum { WARM = 20, COUNT = 40 };
    struct reads *reads = arg;
    struct blob_name name = blob_name_of(5);
    uint8_t data[1000];
    reads->least_ns = UINT64_MAX;
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t start_ns = clock_monotonic_ns();
        assert_int_equal(backend->ops->get(backend, &name, &reads->at, 0, sizeof(data), data), 0);
        uint64_t took_ns = clock_monotonic_ns() - start_ns;
        if (i >= WARM && took_ns < reads->least_ns)
            reads->least_ns = took_ns;
    }
}

static void small_reads_wait_for_no_acknowledgement(void **state)
{
    (void)state;
    struct reads reads;
    assert_int_equal(blob_put_filled(backend, 5, 1000, &reads.at), 0);
    on_fiber(run_reads, &reads);
    assert_true(reads.least_ns < 30000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(falls_back_to_md5, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(a_quota_is_no_space, setup, teardown),
        cmocka_unit_test_setup_teardown(small_reads_wait_for_no_acknowledgement, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    if (!rgw_installed()) {
        printf("skipped: Ceph is not installed here\n");
        return SKIPPED;
    }
    assert_true(rgw_start(&store));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    s3_store_stop(&store);
    return failed;
}
