/* Why libs3's success is not taken for one: it says so of an answer that was cut in half. The driver does not. */
#include "unit.h"

#include "backends/libs3/private.h"
#include "base/err.h"
#include "base/log.h"
#include "blobs.h"
#include "server.h"

#define LENGTH 50000

static struct server server;
static char host[32];

/* --- the library alone --- */

struct raw {
    S3Status status;
    size_t received;
};

static S3Status on_properties(const S3ResponseProperties *properties, void *arg)
{
    (void)properties, (void)arg;
    return S3StatusOK;
}

static void on_complete(S3Status status, const S3ErrorDetails *details, void *arg)
{
    (void)details;
    ((struct raw *)arg)->status = status;
}

static S3Status on_data(int size, const char *buffer, void *arg)
{
    (void)buffer;
    ((struct raw *)arg)->received += (size_t)size;
    return S3StatusOK;
}

static struct backend *open_store(const char *bucket)
{
    char *folder = folder_make(), *file, *endpoint;
    struct backend *backend;
    assert_true(asprintf(&file, "%s/credentials", folder) > 0);
    assert_true(asprintf(&endpoint, "http://%s", host) > 0);
    FILE *out = fopen(file, "w");
    assert_true(out != NULL && fputs("access_key_id: nobody\nsecret_access_key: nothing\n", out) > 0 && fclose(out) == 0);
    const struct backend_settings settings = {.name = "cut", .driver = "s3", .signature = 2, .endpoint = endpoint,
                                              .bucket = (char *)(uintptr_t)bucket, .timeout_ms = 30000,
                                              .credentials_from = BACKEND_CREDENTIALS_FILE, .credentials = file};
    assert_int_equal(libs3_open(&settings, &backend), 0);
    free(endpoint);
    free(file);
    folder_remove(folder);
    return backend;
}

static void a_get_that_was_cut(void **state)
{
    (void)state;
    static const S3GetObjectHandler handler = {{on_properties, on_complete}, on_data};
    struct backend *backend = open_store("cut");
    struct raw raw = {.status = S3StatusInternalError};
    const S3BucketContext bucket = {host, "cut", S3ProtocolHTTP, S3UriStylePath, "nobody", "nothing"};
    S3_get_object(&bucket, "key", NULL, 0, LENGTH, NULL, &handler, &raw);
    assert_int_equal(raw.status, S3StatusOK); /* once this fails, libs3 has learned, and the driver may forget */
    assert_true(raw.received < LENGTH);

    struct locator nowhere = {0};
    uint8_t *data = malloc(LENGTH);
    assert_int_equal(blob_get(backend, 1, &nowhere, 0, LENGTH, data), ERR_IO);
    free(data);
    backend->ops->close(backend);
}

static void a_listing_that_was_cut(void **state)
{
    (void)state;
    size_t found;
    struct backend *backend = open_store("cutlist");
    assert_int_equal(blob_list(backend, 0, 0, NULL, NULL, &found), ERR_IO);
    backend->ops->close(backend);
    backend = open_store("honest");
    assert_int_equal(blob_list(backend, 0, 0, NULL, NULL, &found), 0);
    backend->ops->close(backend);
}

static void what_it_cannot_do_is_refused(void **state)
{
    (void)state;
    struct backend *backend;
    const struct backend_settings settings[] = {
        {.ca_file = "ca.pem"}, {.proxy = "http://p:1"}, {.storage_class = "STANDARD"}, {.endpoint = "http://h/base"},
        {.bucket = "A_B"}, {.prefix = "/p"}, {.credentials_from = BACKEND_CREDENTIALS_EC2},
    };
    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
        struct backend_settings wrong = settings[i];
        wrong.name = "wrong";
        if (wrong.endpoint == NULL)
            wrong.endpoint = "http://127.0.0.1:1";
        if (wrong.bucket == NULL)
            wrong.bucket = "bucket";
        assert_int_equal(libs3_open(&wrong, &backend), ERR_INVALID);
    }
}

static int start(void **state)
{
    (void)state;
    char *program = server_source("test/support/fault_server.py");
    char *argv[] = {(char *)(uintptr_t)"python3", program, NULL};
    bool started = server_start(argv, NULL, &server);
    free(program);
    snprintf(host, sizeof(host), "127.0.0.1:%u", server.port);
    return started ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_that_was_cut),
        cmocka_unit_test(a_listing_that_was_cut),
        cmocka_unit_test(what_it_cannot_do_is_refused),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, start, stop);
}
