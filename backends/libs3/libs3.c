#include "libs3.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "backends/remote/remote.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "end_mark.h"
#include "private.h"

#define TIMEOUT_MS       60000
#define PROBE_TIMEOUT_MS 5000
#define THREADS          16
#define THREADS_MAX      64
#define ATTEMPTS         5
#define BACKOFF_MS       100
#define MD5_STEP         (128u << 10) /* hashed before others of the loop have their turn */
#define MD5_SIZE         TEXT_BASE64_SIZE(16)

static struct libs3 *of(struct backend *backend)
{
    return (struct libs3 *)(void *)backend;
}

/* --- a request, with what it takes to get it through --- */

static const struct meaning {
    S3Status status;
    int rc;
    bool retry;
} meanings[] = {
    {S3StatusOK, 0, false},
    {S3StatusOutOfMemory, ERR_NOMEM, false},
    {S3StatusNameLookupError, ERR_UNAVAILABLE, true},
    {S3StatusFailedToConnect, ERR_UNAVAILABLE, true},
    {S3StatusConnectionFailed, ERR_UNAVAILABLE, true},
    {S3StatusServerFailedVerification, ERR_UNAVAILABLE, false},
    {S3StatusInternalError, ERR_IO, true}, /* all that curl says and libs3 does not know */
    {S3StatusErrorNoSuchKey, ERR_NOT_FOUND, false},
    {S3StatusHttpErrorNotFound, ERR_UNAVAILABLE, false}, /* whoever says so, it names no key */
    {S3StatusErrorNoSuchBucket, ERR_UNAVAILABLE, false},
    {S3StatusErrorAccessDenied, ERR_DENIED, false},
    {S3StatusErrorAccountProblem, ERR_DENIED, false},
    {S3StatusErrorInvalidAccessKeyId, ERR_DENIED, false},
    {S3StatusErrorInvalidSecurity, ERR_DENIED, false},
    {S3StatusErrorNotSignedUp, ERR_DENIED, false},
    {S3StatusErrorRequestTimeTooSkewed, ERR_DENIED, false},
    {S3StatusErrorSignatureDoesNotMatch, ERR_DENIED, false},
    {S3StatusHttpErrorForbidden, ERR_DENIED, false},
    {S3StatusErrorSlowDown, ERR_UNAVAILABLE, true},
    {S3StatusErrorInternalError, ERR_UNAVAILABLE, true},
    {S3StatusErrorOperationAborted, ERR_UNAVAILABLE, true},
    {S3StatusErrorRequestTimeout, ERR_UNAVAILABLE, true},
    {S3StatusErrorUnknown, ERR_UNAVAILABLE, true},     /* a code that libs3 does not know */
    {S3StatusHttpErrorUnknown, ERR_UNAVAILABLE, true}, /* a status without a code: 429, 500, 503 */
    {S3StatusHttpErrorConflict, ERR_UNAVAILABLE, true},
    {S3StatusErrorBadDigest, ERR_IO, true},
    {S3StatusErrorIncompleteBody, ERR_IO, true},
    {S3StatusErrorInvalidRange, ERR_CORRUPT, false},
};

/* What libs3 calls success is one only if all bytes came. */
static int judge(const struct job *job, bool *retry)
{
    *retry = false;
    if (job->overflow || (job->page != NULL && job->page->crowded))
        return ERR_IO;
    *retry = true;
    if (job->stalled)
        return ERR_UNAVAILABLE;
    if (job->status == S3StatusOK && (job->kind == JOB_GET || job->kind == JOB_PUT)) {
        size_t wanted = job->kind == JOB_GET ? job->length : job->data.len;
        if (job->moved != wanted)
            return ERR_IO;
    }
    for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++) {
        if (meanings[i].status == job->status) {
            *retry = meanings[i].retry;
            return meanings[i].rc;
        }
    }
    *retry = false;
    return ERR_IO;
}

static int perform(struct libs3 *libs3, const char *what, unsigned attempts, struct job *job) SUSPENDS
{
    int rc;
    job->libs3 = libs3;
    for (unsigned attempt = 1;; attempt++) {
        bool retry;
        metrics_add(METRIC_BACKEND_REQUESTS, 1);
        rc = pool_run(libs3->pool, job);
        if (rc == 0 && job->status == S3StatusInterrupted && !job->stalled && loop_now_ms() >= job->deadline_ms)
            rc = ERR_TIMEOUT;
        if (rc != 0)
            break;
        rc = judge(job, &retry);
        if (rc == 0)
            retry_budget_earn(&libs3->budget);
        if (rc == 0 || !retry || attempt >= attempts || !retry_budget_take(&libs3->budget))
            break;
        int paused = retry_pause(BACKOFF_MS, attempt, 0, job->deadline_ms);
        if (paused != 0) {
            rc = paused == ERR_CANCELED ? paused : rc;
            break;
        }
        metrics_add(METRIC_BACKEND_RETRIES, 1);
    }
    if (rc != 0 && rc != ERR_CANCELED && rc != ERR_NOT_FOUND)
        log_warn("libs3", "backend %s: %s: %s (%s)", libs3->backend.name, what, err_text(rc),
                 S3_get_status_name(job->status));
    return rc;
}

/* --- operations --- */

static int md5_text(struct span data, char out[MD5_SIZE]) SUSPENDS
{
    uint8_t bytes[DIGEST_MAX];
    struct digest *digest;
    int rc = digest_create(DIGEST_MD5, &digest);
    if (rc != 0)
        return rc;
    while (data.len > 0) {
        digest_update(digest, span_take(data, MD5_STEP));
        data = span_skip(data, MD5_STEP);
        fiber_yield();
    }
    digest_final(digest, bytes);
    digest_free(digest);
    text_base64(span_of(bytes, 16), out);
    return fiber_canceled(fiber_self()) ? ERR_CANCELED : 0;
}

static int put_key(struct libs3 *libs3, const char *key, struct span data) SUSPENDS
{
    char md5[MD5_SIZE];
    int rc = md5_text(data, md5);
    if (rc != 0)
        return rc;
    struct job job = {.kind = JOB_PUT, .key = key, .data = data, .md5 = md5,
                      .deadline_ms = loop_now_ms() + libs3->timeout_ms};
    rc = perform(libs3, "put", ATTEMPTS, &job);
    return rc == ERR_NOT_FOUND ? ERR_UNAVAILABLE : rc;
}

static int put(struct backend *backend, const struct blob_name *name, struct block *data, struct locator *out)
{
    struct libs3 *libs3 = of(backend);
    char key[BLOB_KEY_SIZE];
    out->length = 0;
    blob_key(libs3->prefix, name, key);
    return put_key(libs3, key, span_of(data->data, data->length));
}

/* Whether the blob reaches to `end`. A HEAD's 404 has no body that could name what is missing. */
static int reaches(struct libs3 *libs3, const char *key, uint64_t end, int64_t deadline_ms) SUSPENDS
{
    struct job job = {.kind = JOB_SIZE, .key = key, .deadline_ms = deadline_ms};
    int rc = perform(libs3, "head", ATTEMPTS, &job);
    if (rc == ERR_UNAVAILABLE && job.status == S3StatusHttpErrorNotFound)
        return ERR_NOT_FOUND;
    if (rc == 0)
        rc = job.content_length >= 0 && (uint64_t)job.content_length >= end ? 0 : ERR_CORRUPT;
    return rc;
}

static int get(struct backend *backend, const struct blob_name *name, const struct locator *locator, uint64_t offset,
               uint64_t length, uint8_t *dst)
{
    struct libs3 *libs3 = of(backend);
    char key[BLOB_KEY_SIZE];
    int rc = blob_key_range(locator, offset, length);
    if (rc != 0)
        return rc;
    blob_key(libs3->prefix, name, key);
    struct job job = {.kind = JOB_GET, .key = key, .offset = offset, .length = length, .dst = dst,
                      .deadline_ms = loop_now_ms() + libs3->timeout_ms};
    if (length == 0)
        return reaches(libs3, key, offset, job.deadline_ms);
    rc = perform(libs3, "get", ATTEMPTS, &job);
    /* Too few bytes came: was the answer cut, or is the blob? */
    if (rc == ERR_IO && job.status == S3StatusOK &&
        reaches(libs3, key, offset + length, job.deadline_ms) == ERR_CORRUPT)
        rc = ERR_CORRUPT;
    return rc;
}

static int remove_blob(struct backend *backend, const struct blob_name *name, const struct locator *locator)
{
    struct libs3 *libs3 = of(backend);
    char key[BLOB_KEY_SIZE];
    (void)locator;
    blob_key(libs3->prefix, name, key);
    struct job job = {.kind = JOB_REMOVE, .key = key, .deadline_ms = loop_now_ms() + libs3->timeout_ms};
    int rc = perform(libs3, "remove", ATTEMPTS, &job);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int list_page(struct libs3 *libs3, struct blob_cursor *cursor, struct blob_batch *out) SUSPENDS
{
    char marker[sizeof(cursor->bytes) + 1];
    struct page page = {.prefix = libs3->prefix, .out = out};
    struct job job = {.kind = JOB_LIST, .key = cursor->length > 0 ? marker : NULL, .page = &page,
                      .deadline_ms = loop_now_ms() + libs3->timeout_ms};
    memcpy(marker, cursor->bytes, cursor->length);
    marker[cursor->length] = '\0';
    int rc = perform(libs3, "list", ATTEMPTS, &job);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? ERR_UNAVAILABLE : rc;
    bool onward = page.truncated && page.last.length > 0 &&
                  span_cmp(span_of(page.last.bytes, page.last.length), span_of(cursor->bytes, cursor->length)) > 0;
    if (!page.ended && !onward) {
        log_warn("libs3_list", "backend %s: the listing was cut short", libs3->backend.name);
        return ERR_IO;
    }
    *cursor = page.last;
    cursor->end = page.ended;
    return 0;
}

static int list(struct backend *backend, struct blob_cursor *cursor, struct blob_batch *out)
{
    struct libs3 *libs3 = of(backend);
    char key[BLOB_KEY_SIZE];
    int rc = 0;
    if (cursor->length == 0) {
        end_mark_key(libs3->prefix, key);
        rc = put_key(libs3, key, SPAN_NONE);
    }
    return rc == 0 ? list_page(libs3, cursor, out) : rc;
}

static int probe(struct backend *backend, struct backend_health *out)
{
    struct libs3 *libs3 = of(backend);
    int64_t timeout_ms = libs3->timeout_ms < PROBE_TIMEOUT_MS ? libs3->timeout_ms : PROBE_TIMEOUT_MS;
    struct job job = {.kind = JOB_PROBE, .deadline_ms = loop_now_ms() + timeout_ms};
    *out = (struct backend_health){.state = BACKEND_HEALTHY, .free = UINT64_MAX};
    int rc = perform(libs3, "probe", 1, &job);
    if (rc == 0 || rc == ERR_CANCELED || rc == ERR_NOMEM)
        return rc;
    out->state = BACKEND_DOWN;
    snprintf(out->why, sizeof(out->why), "%s", rc == ERR_TIMEOUT ? err_text(rc) : S3_get_status_name(job.status));
    return 0;
}

/* --- life --- */

static void close_libs3(struct backend *backend)
{
    struct libs3 *libs3 = of(backend);
    pool_free(libs3->pool);
    secrets_free(libs3->secrets);
    free(libs3->host);
    free(libs3->bucket_name);
    free(libs3);
}

static const struct backend_ops libs3_ops = {
    .driver = "libs3",
    .put = put,
    .get = get,
    .remove = remove_blob,
    .list = list,
    .probe = probe,
    .close = close_libs3,
};

static int refuse(const struct backend_settings *settings, const char *why)
{
    log_error("libs3_open", "backend %s: %s", settings->name, why);
    return ERR_INVALID;
}

/* What libs3 cannot do is refused rather than left undone. */
static int take_settings(struct libs3 *libs3, const struct backend_settings *settings)
{
    struct remote_endpoint endpoint;
    const char *prefix = settings->prefix != NULL ? settings->prefix : "";
    S3UriStyle style = settings->virtual_host ? S3UriStyleVirtualHost : S3UriStylePath;
    if (settings->ca_file != NULL || settings->proxy != NULL || settings->storage_class != NULL)
        return refuse(settings, "signature v2 goes without ca_file, proxy and storage_class");
    if (settings->endpoint == NULL || remote_endpoint_parse(settings->endpoint, &endpoint) != 0 ||
        endpoint.base_path[0] != '\0')
        return refuse(settings, "endpoint must be a URL without a path, such as http://store.clinic.example:8080");
    if (settings->bucket == NULL || S3_validate_bucket_name(settings->bucket, style) != S3StatusOK)
        return refuse(settings, "bucket must be the name of one");
    if (!blob_key_prefix_valid(prefix))
        return refuse(settings, "prefix may have letters, digits, '-', '_', '.' and single slashes within");
    snprintf(libs3->backend.name, sizeof(libs3->backend.name), "%s", settings->name);
    strcpy(libs3->prefix, prefix);
    libs3->host = strdup(endpoint.host);
    libs3->bucket_name = strdup(settings->bucket);
    libs3->timeout_ms = settings->timeout_ms > 0 ? settings->timeout_ms : TIMEOUT_MS;
    libs3->stall_ms = libs3->timeout_ms / 4;
    libs3->bucket.protocol = endpoint.tls ? S3ProtocolHTTPS : S3ProtocolHTTP;
    libs3->bucket.uriStyle = style;
    libs3->bucket.hostName = libs3->host;
    libs3->bucket.bucketName = libs3->bucket_name;
    return libs3->host != NULL && libs3->bucket_name != NULL ? 0 : ERR_NOMEM;
}

static int take_credentials(struct libs3 *libs3, const struct backend_settings *settings)
{
    static const char *const names[] = {"access_key_id", "secret_access_key"};
    int rc = secrets_load(settings, names, 2, &libs3->secrets);
    if (rc != 0)
        return rc;
    libs3->bucket.accessKeyId = libs3->secrets->values[0];
    libs3->bucket.secretAccessKey = libs3->secrets->values[1];
    if (libs3->bucket.accessKeyId[0] == '\0' || libs3->bucket.secretAccessKey[0] == '\0')
        return refuse(settings, "access_key_id and secret_access_key are needed, from a file or the environment");
    return 0;
}

static S3Status initialized;

static void initialize(void)
{
    initialized = S3_initialize("arca", S3_INIT_ALL, NULL);
}

int libs3_open(const struct backend_settings *settings, struct backend **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialize);
    if (initialized != S3StatusOK)
        return ERR_NOMEM;
    struct libs3 *libs3 = calloc(1, sizeof(*libs3));
    if (libs3 == NULL)
        return ERR_NOMEM;
    libs3->backend.ops = &libs3_ops;
    retry_budget_init(&libs3->budget);
    unsigned threads = settings->connections > 0 ? settings->connections : THREADS;
    int rc = take_settings(libs3, settings);
    if (rc == 0)
        rc = take_credentials(libs3, settings);
    if (rc == 0)
        rc = pool_create(threads < THREADS_MAX ? threads : THREADS_MAX, &libs3->pool);
    if (rc != 0) {
        close_libs3(&libs3->backend);
        return rc;
    }
    *out = &libs3->backend;
    return 0;
}
