/* The s3 driver against a real MinIO: what the contract suite does not ask. */
#include "unit.h"

#include "base/log.h"
#include "minio.h"

static struct minio minio;
static struct backend *backend;

static int setup(void **state)
{
    (void)state;
    return s3_open(&minio.settings, &backend);
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

static void stores(void **state)
{
    (void)state;
    struct locator at;
    assert_int_equal(blob_put_filled(backend, 1, 100000, &at), 0);
    assert_int_equal(at.length, 0);
    assert_int_equal(blob_check(backend, 1, 100000, &at), 0);
    assert_int_equal(blob_remove(backend, 1, &at), 0);
    assert_int_equal(blob_check(backend, 1, 100000, &at), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stores, setup, teardown),
    };
    log_set_level(LOG_INFO);
    if (!minio_installed()) {
        printf("skipped: MinIO is not installed here\n");
        return 0;
    }
    assert_true(minio_start(&minio));
    (void)s3;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    minio_stop(&minio);
    return failed;
}
