/* What the s3 driver sends, and what it makes of odd answers. */
#include "unit.h"

#include "backends/s3/s3.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "blobs.h"
#include "scripted_server.h"

#define COUNT(a)      (sizeof(a) / sizeof(*(a)))
#define EMPTY(status) "HTTP/1.1 " status "\r\nContent-Length: 0\r\n\r\n"

static char *folder, *key_file;
static struct scripted server;
static struct backend *backend;
static struct locator nowhere;

static void begin(const char *const *script, size_t length, struct backend_settings settings)
{
    folder = folder_make();
    assert_true(asprintf(&key_file, "%s/keys", folder) > 0);
    FILE *file = fopen(key_file, "w");
    fputs("access_key_id: AK\nsecret_access_key: secret\nsession_token: token\n", file);
    assert_int_equal(fchmod(fileno(file), 0600), 0);
    fclose(file);
    scripted_start(&server, script, length);
    settings.name = (char *)(uintptr_t) "s";
    settings.driver = (char *)(uintptr_t) "s3";
    settings.endpoint = settings.endpoint != NULL ? settings.endpoint : server.url;
    settings.bucket = (char *)(uintptr_t) "blobs";
    settings.credentials_from = BACKEND_CREDENTIALS_FILE;
    settings.credentials = key_file;
    assert_int_equal(s3_open(&settings, &backend), 0);
}

static void end(void)
{
    backend->ops->close(backend);
    scripted_stop(&server);
    free(key_file);
    folder_remove(folder);
}

/* A text that the test frees. */
static char *answer(const char *status, const char *headers, const char *body)
{
    char *text;
    assert_true(asprintf(&text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s", status, strlen(body), headers, body) >
                0);
    return text;
}

static bool asked(unsigned request, const char *what)
{
    return strstr(server.heads[request], what) != NULL;
}

/* --- what is sent --- */

static void signs(void **state)
{
    (void)state;
    static const char *const script[] = {
        "HTTP/1.1 200 OK\r\nx-amz-checksum-crc32c: OIX0FA==\r\nContent-Length: 0\r\n\r\n"};
    begin(script, COUNT(script),
          (struct backend_settings){.prefix = (char *)(uintptr_t) "arca/1",
                                    .region = (char *)(uintptr_t) "eu-central-1",
                                    .storage_class = (char *)(uintptr_t) "STANDARD_IA"});
    struct locator at;
    blob_put(backend, 7, "x", 1, &at);
    assert_true(asked(0, "PUT /blobs/arca/1/00/7465737400000000070000000000000000000000 HTTP/1.1\r\n"));
    assert_true(asked(0, "x-amz-storage-class: STANDARD_IA\r\n"));
    assert_true(asked(0, "x-amz-security-token: token\r\n"));
    assert_true(asked(0, "/eu-central-1/s3/aws4_request, SignedHeaders=host;x-amz-checksum-crc32c;x-amz-content-sha256;"
                         "x-amz-date;x-amz-security-token;x-amz-storage-class, Signature="));
    end();
}

static void addresses_a_host(void **state)
{
    (void)state;
    static const char *const script[] = {EMPTY("200 OK")};
    char *endpoint, host[64];
    begin(script, COUNT(script), (struct backend_settings){0});
    backend->ops->close(backend);
    assert_true(asprintf(&endpoint, "http://localhost:%u", server.port) > 0);
    struct backend_settings settings = {.name = (char *)(uintptr_t) "s",
                                        .endpoint = endpoint,
                                        .bucket = (char *)(uintptr_t) "blobs",
                                        .virtual_host = 1,
                                        .credentials_from = BACKEND_CREDENTIALS_FILE,
                                        .credentials = key_file};
    struct backend_health health;
    assert_int_equal(s3_open(&settings, &backend), 0);
    assert_int_equal(blob_probe(backend, &health), 0); /* blobs.localhost is this machine */
    assert_int_equal(health.state, BACKEND_HEALTHY);
    snprintf(host, sizeof(host), "Host: blobs.localhost:%u\r\n", server.port);
    assert_true(asked(0, "HEAD / HTTP/1.1\r\n"));
    assert_true(asked(0, host));
    free(endpoint);
    end();
}

/* The store that does not know the CRC has verified nothing: the blob goes again, and all later ones at once with MD5.
 */
static void falls_back_to_md5(void **state)
{
    (void)state;
    static const char *const script[] = {EMPTY("200 OK")};
    struct locator at;
    begin(script, COUNT(script), (struct backend_settings){0});
    assert_int_equal(blob_put(backend, 1, "hello", 5, &at), 0);
    assert_int_equal(atomic_load(&server.requests), 2);
    assert_true(asked(0, "x-amz-checksum-crc32c: mnG7TA==\r\n"));
    assert_false(asked(0, "Content-MD5"));
    assert_true(asked(1, "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==\r\n"));
    assert_int_equal(blob_put(backend, 2, "hello", 5, &at), 0);
    assert_int_equal(atomic_load(&server.requests), 3);
    assert_true(asked(2, "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==\r\n"));
    end();
}

static bool asked_in_the_hour_of(unsigned request, int64_t wall_ms)
{
    char basic[CLOCK_BASIC_SIZE], hour[16];
    clock_basic(wall_ms, basic);
    snprintf(hour, sizeof(hour), "%.11s", basic);
    return asked(request, hour);
}

static void corrects_its_clock(void **state)
{
    (void)state;
    char date[80] = "Date: ", now[CLOCK_HTTP_SIZE];
    int64_t there_ms = clock_wall_ms() + 2 * 3600000;
    clock_http(there_ms, now);
    snprintf(date, sizeof(date), "Date: %s\r\n", now);
    char *skewed = answer("403 Forbidden", date, "<Error><Code>RequestTimeTooSkewed</Code></Error>");
    const char *const script[] = {skewed, EMPTY("204 No Content")};
    begin(script, COUNT(script), (struct backend_settings){0});
    assert_int_equal(blob_remove(backend, 1, &nowhere), 0);
    assert_int_equal(atomic_load(&server.requests), 2);
    /* it may have turned */
    assert_true(asked_in_the_hour_of(1, there_ms) || asked_in_the_hour_of(1, there_ms + 60000));
    end();
    free(skewed);
}

/* --- what is answered --- */

static int get(size_t length)
{
    uint8_t dst[64];
    return blob_get(backend, 1, &nowhere, 10, length, dst);
}

static void missing_and_missing(void **state)
{
    (void)state;
    char *no_key = answer("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>");
    char *no_bucket = answer("404 Not Found", "", "<Error><Code>NoSuchBucket</Code></Error>");
    char *page = answer("404 Not Found", "", "<html><body>nginx</body></html>");
    const char *const script[] = {no_key, no_bucket, no_key, no_bucket, page, no_bucket};
    begin(script, COUNT(script), (struct backend_settings){0});
    assert_int_equal(get(5), ERR_NOT_FOUND);
    assert_int_equal(get(5), ERR_UNAVAILABLE);
    assert_int_equal(blob_remove(backend, 1, &nowhere), 0);
    assert_int_equal(blob_remove(backend, 1, &nowhere), ERR_UNAVAILABLE);
    assert_int_equal(blob_remove(backend, 1, &nowhere), ERR_UNAVAILABLE);
    struct locator at;
    assert_int_equal(blob_put(backend, 1, "x", 1, &at), ERR_UNAVAILABLE);
    end();
    free(no_key), free(no_bucket), free(page);
}

static void codes(void **state)
{
    (void)state;
    static const struct {
        const char *status, *code;
        int rc;
        unsigned requests;
    } rows[] = {
        {"400 Bad Request", "RequestTimeout", 0, 2},      {"400 Bad Request", "BadDigest", 0, 2},
        {"400 Bad Request", "ExpiredToken", 0, 2},        {"400 Bad Request", "InvalidArgument", ERR_IO, 1},
        {"403 Forbidden", "QuotaExceeded", ERR_NOSPC, 1}, {"403 Forbidden", "AccessDenied", ERR_DENIED, 1},
        {"507 Full", "XMinioStorageFull", ERR_NOSPC, 1},  {"503 Busy", "SlowDown", 0, 2},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char body[100];
        snprintf(body, sizeof(body), "<Error><Code>%s</Code></Error>", rows[i].code);
        char *first = answer(rows[i].status, "", body);
        const char *const script[] = {first, EMPTY("204 No Content")};
        begin(script, COUNT(script), (struct backend_settings){0});
        assert_int_equal(blob_remove(backend, 1, &nowhere), rows[i].rc);
        assert_int_equal(atomic_load(&server.requests), rows[i].requests);
        end();
        free(first);
    }
}

static void ranges(void **state)
{
    (void)state;
    static const struct {
        const char *status, *range, *body;
        int rc;
    } rows[] = {
        {"206 Partial Content", "bytes 10-14/100", "hello", 0},
        {"206 Partial Content", "bytes 10-14/*", "hello", 0},
        {"206 Partial Content", "bytes 11-15/100", "hello", ERR_IO},
        {"206 Partial Content", "bytes 10-13/100", "hell", ERR_IO},
        {"206 Partial Content", "bytes 10-13/14", "hell", ERR_CORRUPT},
        {"206 Partial Content", "bytes 10-14/100", "hell", ERR_IO},
        {"206 Partial Content", "bytes 10-18446744073709551616/100", "hello", ERR_IO},
        {"206 Partial Content", "bytes 14-10/100", "hello", ERR_IO},
        {"206 Partial Content", "hello", "hello", ERR_IO},
        {"206 Partial Content", "", "hello", ERR_IO},
        {"200 OK", "bytes 10-14/100", "hello", ERR_IO},
        {"416 No", "bytes */12", "", ERR_CORRUPT},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char header[100];
        snprintf(header, sizeof(header), "Content-Range: %s\r\n", rows[i].range);
        char *text = answer(rows[i].status, header, rows[i].body);
        const char *const script[] = {text};
        begin(script, COUNT(script), (struct backend_settings){0});
        assert_int_equal(get(5), rows[i].rc);
        assert_true(asked(0, "Range: bytes=10-14\r\n"));
        end();
        free(text);
    }
}

/* --- listings --- */

#define OURS(n) "arca/00/7465737400000000" n "0000000000000000000000"

static int list(const char *body, struct blob_cursor *cursor, size_t *count)
{
    static struct blob_batch batch;
    char *text = answer("200 OK", "", body);
    const char *const script[] = {text};
    begin(script, COUNT(script), (struct backend_settings){.prefix = (char *)(uintptr_t) "arca"});
    struct blob_op op = {.backend = backend, .cursor = cursor, .batch = &batch};
    on_fiber(blob_run_list, &op);
    *count = batch.count;
    end();
    free(text);
    return op.rc;
}

static void lists(void **state)
{
    (void)state;
    struct blob_cursor cursor = {0};
    size_t count;
    assert_int_equal(list("<ListBucketResult xmlns='x'><IsTruncated>true</IsTruncated>"
                          "<Contents><Key>arca%2F00%2Fforeign+%C3%BC</Key><Size>5</Size></Contents>"
                          "<Contents><Key>" OURS("01") "</Key><Size>7</Size></Contents></ListBucketResult>",
                          &cursor, &count),
                     ERR_IO); /* '7' < 'f': out of order */
    assert_int_equal(
        list("<ListBucketResult xmlns='x'><IsTruncated>true</IsTruncated>"
             "<Contents><Key>" OURS(
                 "01") "</Key><Size>7</Size></Contents>"
                       "<Contents><Key>arca%2F00%2Fforeign+%C3%BC</Key><Size>5</Size></Contents></ListBucketResult>",
             &cursor, &count),
        0);
    assert_int_equal(count, 1);
    assert_false(cursor.end);
    assert_true(asked(0, "GET /blobs?encoding-type=url&list-type=2&max-keys=1000&prefix=arca%2F HTTP/1.1\r\n"));
    assert_int_equal(list("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>", &cursor, &count), 0);
    assert_true(cursor.end);
    assert_true(asked(0, "&start-after=arca%2F00%2Fforeign%20%C3%BC HTTP/1.1\r\n"));
}

/* A key of others that no cursor can hold is stepped over, with none of ours lost. */
static void steps_over_long_keys(void **state)
{
    (void)state;
    struct blob_cursor cursor = {0};
    size_t count;
    char body[4096], key[1001];
    memset(key, 'u', sizeof(key));
    memcpy(key, "arca/", 5);
    key[1000] = '\0';
    key[250] = (char)0xc3, key[251] = (char)0xbc; /* a character across the cut */
    snprintf(body, sizeof(body),
             "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>%s</Key><Size>1</Size></Contents>"
             "</ListBucketResult>",
             key);
    assert_int_equal(list(body, &cursor, &count), 0);
    assert_true(text_is_utf8(span_of(cursor.bytes, cursor.length)));
    assert_true(span_cmp(span_of(cursor.bytes, cursor.length), span_str(key)) > 0);
    assert_true(cursor.length > 200);
}

static void listings_that_are_none(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "hello",
        "<ListBucketResult>",
        "<Other><IsTruncated>false</IsTruncated></Other>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Size>5</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>-5</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a%2</Key><Size>5</Size></Contents></ListBucketResult>",
        "<!DOCTYPE x [<!ENTITY e 'x'>]><ListBucketResult>&e;</ListBucketResult>",
    };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct blob_cursor cursor = {0};
        size_t count;
        assert_int_equal(list(bodies[i], &cursor, &count), ERR_IO);
        assert_false(cursor.end);
        assert_int_equal(count, 0);
    }
}

static void settings_that_are_wrong(void **state)
{
    (void)state;
    const struct backend_settings right = {.name = (char *)(uintptr_t) "s",
                                           .endpoint = (char *)(uintptr_t) "http://h",
                                           .bucket = (char *)(uintptr_t) "blobs",
                                           .credentials_from = BACKEND_CREDENTIALS_EC2};
    struct backend_settings wrong[] = {right, right, right, right, right};
    wrong[0].endpoint = NULL;
    wrong[1].endpoint = (char *)(uintptr_t) "h";
    wrong[2].bucket = (char *)(uintptr_t) "../x";
    wrong[3].prefix = (char *)(uintptr_t) "a/../b";
    wrong[4].credentials_from = BACKEND_CREDENTIALS_NONE;
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_int_equal(s3_open(&wrong[i], &backend), ERR_INVALID);
    assert_int_equal(s3_open(&right, &backend), 0);
    backend->ops->close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs),
        cmocka_unit_test(addresses_a_host),
        cmocka_unit_test(falls_back_to_md5),
        cmocka_unit_test(corrects_its_clock),
        cmocka_unit_test(missing_and_missing),
        cmocka_unit_test(codes),
        cmocka_unit_test(ranges),
        cmocka_unit_test(lists),
        cmocka_unit_test(steps_over_long_keys),
        cmocka_unit_test(listings_that_are_none),
        cmocka_unit_test(settings_that_are_wrong),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
