/* What the tests of the s3 driver against one real store share. */
#ifndef ARCA_TEST_CONTRACT_S3_TRIALS_H
#define ARCA_TEST_CONTRACT_S3_TRIALS_H

#include "unit.h"

#include "base/log.h"
#include "s3_store.h"

#define SKIPPED 77

static struct s3_store store;
static struct backend *backend;

static int setup(void **state)
{
    (void)state;
    return s3_open(&store.settings, &backend);
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

/* A put whose header says that its body is another. */
struct trial {
    const char *header, *value;
    int rc;
    bool echoed; /* the header is in the answer */
    char words[128];
};
#define TRIAL_CRC32C {.header = "x-amz-checksum-crc32c", .value = "mnG7TA=="}
#define TRIAL_MD5    {.header = "Content-MD5", .value = "XUFAKrxLKna5cZ2REBfFkg=="}

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
    struct backend_settings no_bucket = store.settings, no_access = store.settings;
    no_bucket.bucket = (char *)(uintptr_t) "nowhere";
    refused(&no_bucket, "no such bucket", ERR_UNAVAILABLE);
    no_access.credentials = s3_store_key_file(&store, "wrong", "wrong");
    refused(&no_access, "403", ERR_DENIED);
    free(no_access.credentials);
}

#endif
