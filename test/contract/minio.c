/* The s3 driver against a real MinIO: what the contract suite does not ask. */
#include "minio.h"
#include "s3_trials.h"

/* --- what it verifies --- */

static void verifies(void **state)
{
    (void)state;
    struct trial rows[] = {TRIAL_CRC32C, TRIAL_MD5};
    struct locator at;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        on_fiber(run_trial, &rows[i]);
        assert_int_equal(rows[i].rc, ERR_IO);
        assert_non_null(strstr(rows[i].words, i == 0 ? "ChecksumMismatch" : "BadDigest"));
    }
    assert_int_equal(blob_put_filled(backend, 1, 1000, &at), 0);
    assert_false(atomic_load(&s3()->wants_md5)); /* it says that it has compared the CRC */
}

/* The slow way, for stores that know no CRC. */
static void takes_md5(void **state)
{
    (void)state;
    struct locator at;
    atomic_store(&s3()->wants_md5, true);
    assert_int_equal(blob_put_filled(backend, 2, 3000000, &at), 0);
    assert_int_equal(blob_check(backend, 2, 3000000, &at), 0);
}

static void prefixes_are_apart(void **state)
{
    (void)state;
    struct backend_settings settings = store.settings;
    struct backend *first = backend;
    struct locator at;
    size_t strangers, found;
    settings.prefix = (char *)(uintptr_t) "other/gateway";
    assert_int_equal(s3_open(&settings, &backend), 0);
    assert_int_equal(blob_put_filled(backend, 3, 10, &at), 0);
    assert_int_equal(blob_check(first, 3, 10, &at), ERR_NOT_FOUND);
    assert_int_equal(blob_list(first, 3, 1, NULL, &strangers, &found), 0);
    assert_int_equal(found, 0);
    assert_int_equal(blob_list(backend, 3, 1, NULL, &strangers, &found), 0);
    assert_int_equal(found, 1);
    assert_int_equal(strangers, 0);
    first->ops->close(first);
}

/* --- when it stands still --- */

static void freezes(void **state)
{
    (void)state;
    struct backend_settings settings = store.settings;
    struct backend *hasty;
    struct backend_health health;
    struct locator at;
    settings.timeout_ms = 1500;
    assert_int_equal(s3_open(&settings, &hasty), 0);
    assert_int_equal(blob_put_filled(backend, 5, 100000, &at), 0);
    (void)blob_probe(hasty, &health); /* so that it has a connection */
    assert_int_equal(kill(store.server.pid, SIGSTOP), 0);
    /* Until each of its threads has stopped, it may answer. */
    assert_int_equal(waitpid(store.server.pid, NULL, WUNTRACED), store.server.pid);
    int64_t start_ms = server_now_ms();
    int rc = blob_check(hasty, 5, 100000, &at);
    assert_true(rc == ERR_TIMEOUT || rc == ERR_UNAVAILABLE);
    assert_true(server_now_ms() - start_ms < 30000); /* it stands still until it is woken */
    assert_int_equal(blob_probe(hasty, &health), 0);
    assert_int_equal(health.state, BACKEND_DOWN);
    assert_int_equal(kill(store.server.pid, SIGCONT), 0);
    hasty->ops->close(hasty);
    assert_int_equal(blob_check(backend, 5, 100000, &at), 0);
}

static void dies(void **state)
{
    (void)state;
    struct locator at;
    assert_int_equal(blob_put_filled(backend, 6, 1000, &at), 0);
    server_stop(&store.server);
    int64_t start_ms = server_now_ms();
    assert_int_equal(blob_check(backend, 6, 1000, &at), ERR_UNAVAILABLE);
    assert_true(server_now_ms() - start_ms < 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(verifies, setup, teardown),
        cmocka_unit_test_setup_teardown(takes_md5, setup, teardown),
        cmocka_unit_test_setup_teardown(prefixes_are_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(freezes, setup, teardown),
        cmocka_unit_test_setup_teardown(dies, setup, teardown), /* the last */
    };
    log_set_level(LOG_ERROR);
    if (!minio_installed()) {
        printf("skipped: MinIO is not installed here\n");
        return SKIPPED;
    }
    assert_true(minio_start(&store));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    s3_store_stop(&store);
    return failed;
}
