/* The azure driver with shared access signatures that do not allow everything, against a real Azurite. The whole suite with
 * one that does is a row of backend.c. */
#include "unit.h"

#include "azurite.h"
#include "base/log.h"

#define SKIPPED 77
#define HOUR_MS 3600000

static struct azurite azurite;

static struct backend *open_with(const char *permissions, int64_t valid_ms)
{
    struct backend *backend;
    char *token = azurite_sas(permissions, valid_ms);
    file_write_private(azurite.key_file, token);
    free(token);
    assert_int_equal(azure_open(&azurite.settings, &backend), 0);
    return backend;
}

static void what_is_not_allowed_is_denied(void **state)
{
    (void)state;
    struct backend *all = open_with("rwdl", HOUR_MS);
    struct backend *reader = open_with("r", HOUR_MS);
    struct backend_health health;
    struct locator at;
    size_t found;
    assert_int_equal(blob_put_filled(all, 1, 5000, &at), 0);
    assert_int_equal(blob_check(reader, 1, 5000, &at), 0);
    assert_int_equal(blob_put_filled(reader, 1, 6000, &at), ERR_DENIED);
    assert_int_equal(blob_remove(reader, 1, &at), ERR_DENIED);
    assert_int_equal(blob_list(reader, 1, 1, NULL, NULL, &found), ERR_DENIED);
    assert_int_equal(blob_probe(reader, &health), 0);
    assert_int_equal(health.state, BACKEND_DOWN);
    assert_int_equal(blob_check(all, 1, 5000, &at), 0);
    reader->ops->close(reader);
    all->ops->close(all);
}

static void one_that_has_expired_is_denied(void **state)
{
    (void)state;
    struct backend *all = open_with("rwdl", HOUR_MS);
    struct backend *late = open_with("rwdl", -HOUR_MS);
    struct backend_health health;
    struct locator at;
    size_t found;
    assert_int_equal(blob_put_filled(all, 2, 5000, &at), 0);
    assert_int_equal(blob_check(late, 2, 5000, &at), ERR_DENIED);
    assert_int_equal(blob_put_filled(late, 2, 5000, &at), ERR_DENIED);
    assert_int_equal(blob_remove(late, 2, &at), ERR_DENIED);
    assert_int_equal(blob_list(late, 2, 1, NULL, NULL, &found), ERR_DENIED);
    assert_int_equal(blob_probe(late, &health), 0);
    assert_int_equal(health.state, BACKEND_DOWN);
    assert_non_null(strstr(health.why, "403"));
    late->ops->close(late);
    all->ops->close(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_allowed_is_denied),
        cmocka_unit_test(one_that_has_expired_is_denied),
    };
    log_set_level(LOG_ERROR);
    if (!azurite_installed()) {
        printf("skipped: Azurite is not installed here\n");
        return SKIPPED;
    }
    assert_true(azurite_start(&azurite));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    azurite_stop(&azurite);
    return failed;
}
