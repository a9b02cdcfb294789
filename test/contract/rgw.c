/* The s3 driver against a real Ceph: what it does otherwise than the stores that know CRC32C. */
#include "unit.h"

#include "base/clock.h"
#include "base/log.h"
#include "rgw.h"

#define SKIPPED 77

static struct rgw rgw;
static struct backend *backend;

static int setup(void **state)
{
    (void)state;
    return s3_open(&rgw.settings, &backend);
}

static int teardown(void **state)
{
    (void)state;
    backend->ops->close(backend);
    return 0;
}

static struct s3 *s3(void)
{
    return (struct s3 *)(void *)backend;
}

/* --- what it verifies --- */

struct trial {
    const char *header, *value;
    int rc;
    bool echoed;
    char words[128];
};

static void run_trial(void *arg)
{
    struct trial *trial = arg;
    struct call call;
    assert_int_equal(call_begin(s3(), "put", "PUT", "/trial", &call), 0);
    call.request.body = SPAN_LITERAL("other bytes");
    call.request.once = true;
    call_header(&call, trial->header, trial->value);
    call_wants(&call, trial->header);
    trial->rc = call_perform(&call);
    trial->echoed = call.fields[0].length > 0;
    remote_words(&call.request, trial->words, sizeof(trial->words));
    call_end(&call);
}

/* Before release 19 a wrong CRC is taken and not answered with; later it is refused. A wrong MD5 is always refused. */
static bool knows_crc(void)
{
    struct trial crc = {.header = "x-amz-checksum-crc32c", .value = "mnG7TA=="};
    on_fiber(run_trial, &crc);
    assert_true(crc.rc == 0 ? !crc.echoed : crc.rc == ERR_IO);
    return crc.rc != 0;
}

static void falls_back_to_md5(void **state)
{
    (void)state;
    struct trial md5 = {.header = "Content-MD5", .value = "XUFAKrxLKna5cZ2REBfFkg=="};
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

/* --- when it refuses --- */

static void refused(const struct backend_settings *settings, const char *why, int rc)
{
    struct backend_health health;
    struct locator at;
    size_t found;
    backend->ops->close(backend);
    assert_int_equal(s3_open(settings, &backend), 0);
    assert_int_equal(blob_probe(backend, &health), 0);
    assert_int_equal(health.state, BACKEND_DOWN);
    assert_non_null(strstr(health.why, why));
    assert_int_equal(blob_put_filled(backend, 4, 10, &at), rc);
    assert_int_equal(blob_check(backend, 4, 10, &at), rc);
    assert_int_equal(blob_remove(backend, 4, &at), rc);
    assert_int_equal(blob_list(backend, 4, 1, NULL, NULL, &found), rc);
}

static void refuses(void **state)
{
    (void)state;
    struct backend_settings no_bucket = rgw.settings, no_access = rgw.settings;
    char *wrong_key;
    no_bucket.bucket = (char *)(uintptr_t) "nowhere";
    refused(&no_bucket, "no such bucket", ERR_UNAVAILABLE);
    assert_true(asprintf(&wrong_key, "%s/wrong", rgw.folder) > 0);
    file_write_private(wrong_key, "access_key_id: " RGW_ACCESS_KEY "\nsecret_access_key: wrong\n");
    no_access.credentials = wrong_key;
    refused(&no_access, "403", ERR_DENIED);
    free(wrong_key);
}

static void administer(const char *words)
{
    char *command;
    assert_true(asprintf(&command, "radosgw-admin --conf %s/cluster/ceph.conf %s >/dev/null", rgw.folder, words) > 0);
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
    assert_true(rgw_start(&rgw));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rgw_stop(&rgw);
    return failed;
}
