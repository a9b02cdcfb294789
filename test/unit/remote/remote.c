/* The client for remote stores against a server that answers by a script. */
#include "unit.h"

#include "backends/remote/remote.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "blobs.h"
#include "certificate.h"
#include "scripted_server.h"

#define EMPTY(status) "HTTP/1.1 " status "\r\nContent-Length: 0\r\n\r\n"
#define HELLO         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Word: heard\r\n\r\nhello"
#define COUNT(a)      (sizeof(a) / sizeof(*(a)))

static struct scripted server;
static struct remote *remote;

static void begin(const char *const *script, size_t length, struct remote_options options)
{
    scripted_start(&server, script, length);
    options.name = "test";
    options.backoff_ms = options.backoff_ms != 0 ? options.backoff_ms : 1;
    assert_int_equal(remote_create(&options, &remote), 0);
}

static void end(void)
{
    remote_free(remote);
    scripted_stop(&server);
}

struct job {
    struct remote_request request;
    char url[128];
    int64_t timeout_ms; /* 0: 20 s */
    int64_t took_ms;
    struct fiber *fiber;
    int rc;
};

static void run_job(void *arg)
{
    struct job *job = arg;
    struct remote_request *request = &job->request;
    snprintf(job->url, sizeof(job->url), "%s/a/../b?c=d", server.url);
    request->url = request->url != NULL ? request->url : job->url;
    request->method = request->method != NULL ? request->method : "GET";
    request->arena = arena_create(1 << 20);
    int64_t start_ms = loop_now_ms();
    request->deadline_ms = start_ms + (job->timeout_ms != 0 ? job->timeout_ms : 20000);
    job->rc = remote_perform(remote, request);
    job->took_ms = loop_now_ms() - start_ms;
    arena_free(request->arena);
}

static int perform(struct job *job)
{
    on_fiber(run_job, job);
    return job->rc;
}

static void answers(void **state)
{
    (void)state;
    static const char *const script[] = {HELLO, EMPTY("204 No Content")};
    uint8_t dst[8] = "........";
    struct remote_field field = {.name = "x-word"};
    struct job job = {.request = {.dst = dst, .capacity = 5, .fields = &field, .field_count = 1}};
    begin(script, COUNT(script), (struct remote_options){0});
    assert_int_equal(perform(&job), 0);
    assert_memory_equal(dst, "hello...", 8);
    assert_int_equal(job.request.answer.status, 200);
    assert_int_equal(job.request.answer.length, 5);
    assert_string_equal(field.value, "heard");
    assert_int_equal(perform(&job), 0);
    assert_int_equal(job.request.answer.length, 0);
    assert_int_equal(field.length, 0); /* not the last answer's */
    /* the path as it was given, and nothing that was not asked for */
    assert_non_null(strstr(server.heads[0], "GET /a/../b?c=d HTTP/1.1\r\n"));
    assert_null(strcasestr(server.heads[0], "user-agent"));
    assert_null(strcasestr(server.heads[0], "accept"));
    end();
}

static void sends(void **state)
{
    (void)state;
    static const char *const script[] = {EMPTY("200 OK")};
    static uint8_t body[30000];
    const struct sign_header headers[] = {{SPAN_LITERAL("X-One"), SPAN_LITERAL("1")},
                                          {SPAN_LITERAL("X-None"), SPAN_NONE}};
    struct job put = {
        .request = {.method = "PUT", .body = span_of(body, sizeof(body)), .headers = headers, .header_count = 2}};
    struct job empty = {.request = {.method = "PUT"}};
    struct job remove_ = {.request = {.method = "DELETE"}};
    begin(script, COUNT(script), (struct remote_options){0});
    assert_int_equal(perform(&put), 0);
    assert_int_equal(server.body_lengths[0], sizeof(body));
    assert_non_null(strstr(server.heads[0], "X-One: 1\r\n"));
    assert_non_null(strstr(server.heads[0], "X-None:\r\n"));
    assert_null(strcasestr(server.heads[0], "expect"));
    assert_int_equal(perform(&empty), 0);
    assert_non_null(strstr(server.heads[1], "Content-Length: 0\r\n"));
    assert_int_equal(perform(&remove_), 0);
    assert_non_null(strstr(server.heads[2], "DELETE /"));
    assert_int_equal(atomic_load(&server.connections), 1); /* although each had a loop of its own */
    end();
}

static void refuses_headers_that_are_more(void **state)
{
    (void)state;
    static const char *const script[] = {EMPTY("200 OK")};
    const struct sign_header wrong[] = {{SPAN_LITERAL("X-One"), SPAN_LITERAL("1\r\nX-Two: 2")},
                                        {SPAN_LITERAL("X-One"), SPAN_LITERAL("1\0002")}};
    begin(script, COUNT(script), (struct remote_options){0});
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct job job = {.request = {.headers = &wrong[i], .header_count = 1}};
        assert_int_equal(perform(&job), ERR_INVALID);
    }
    assert_int_equal(atomic_load(&server.requests), 0);
    end();
}

/* --- again, and no more --- */

static void tries_again(void **state)
{
    (void)state;
    static const char *const script[] = {EMPTY("503 Slow Down"), SCRIPT_CLOSE,
                                         "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhe",
                                         EMPTY("500 Oh"), HELLO};
    static uint8_t body[3000];
    uint8_t dst[5];
    struct job job = {.request = {.method = "PUT", .body = span_of(body, sizeof(body)), .dst = dst, .capacity = 5}};
    begin(script, COUNT(script), (struct remote_options){0});
    assert_int_equal(perform(&job), 0);
    assert_memory_equal(dst, "hello", 5);
    assert_int_equal(atomic_load(&server.requests), 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(server.body_lengths[i], sizeof(body)); /* whole each time */
    end();
}

static void gives_up(void **state)
{
    (void)state;
    static const char *const script[] = {EMPTY("503 Slow Down")};
    struct job job = {0}, once = {.request = {.once = true}};
    begin(script, COUNT(script), (struct remote_options){.attempts = 3});
    assert_int_equal(perform(&job), ERR_UNAVAILABLE);
    assert_int_equal(job.request.answer.status, 503);
    assert_int_equal(atomic_load(&server.requests), 3);
    assert_int_equal(perform(&once), ERR_UNAVAILABLE);
    assert_int_equal(atomic_load(&server.requests), 4);
    end();
}

static void keeps_to_its_budget(void **state)
{
    (void)state;
    static const char *const script[] = {EMPTY("500 Oh")};
    begin(script, COUNT(script), (struct remote_options){0});
    for (unsigned i = 0; i < 40; i++) {
        struct job job = {0};
        assert_int_equal(perform(&job), ERR_UNAVAILABLE);
    }
    assert_int_equal(atomic_load(&server.requests), 40 + 100);
    end();
}

static void ends_by_the_deadline(void **state)
{
    (void)state;
    static const char *const script[] = {EMPTY("503 Slow Down")};
    struct job job = {.timeout_ms = 2500};
    begin(script, COUNT(script), (struct remote_options){.attempts = 1000, .backoff_ms = 20});
    (void)perform(&job);
    assert_true(job.rc == ERR_UNAVAILABLE || job.rc == ERR_TIMEOUT); /* between attempts, or in one */
    assert_true(job.took_ms < 15000); /* without a deadline: 100 retries of half a second */
    assert_true(atomic_load(&server.requests) > 1);
    end();
}

static void waits_as_long_as_it_is_told(void **state)
{
    (void)state;
    static const char *const script[] = {"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", HELLO,
                                         "HTTP/1.1 503 Busy\r\nRetry-After: 40\r\nContent-Length: 0\r\n\r\n",
                                         "HTTP/1.1 503 Busy\r\nRetry-After: 25\r\nContent-Length: 0\r\n\r\n"};
    uint8_t dst[5];
    struct job job = {.request = {.dst = dst, .capacity = 5}}, patient = {.timeout_ms = 60000}, hasty = {0};
    begin(script, COUNT(script), (struct remote_options){0});
    assert_int_equal(perform(&job), 0);
    assert_true(job.took_ms >= 1000);
    assert_int_equal(perform(&patient), ERR_UNAVAILABLE); /* not beyond half a minute */
    assert_true(patient.took_ms < 15000);
    assert_int_equal(perform(&hasty), ERR_UNAVAILABLE); /* nor beyond the deadline */
    assert_true(hasty.took_ms < 15000);
    assert_int_equal(atomic_load(&server.requests), 4);
    end();
}

/* --- what is not tried again --- */

static void statuses(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        int rc;
    } rows[] = {
        {"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", ERR_IO},
        {"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", ERR_IO},
        {EMPTY("304 Not Modified"), ERR_IO},
        {EMPTY("400 Bad"), ERR_IO},
        {EMPTY("403 No"), ERR_DENIED},
        {EMPTY("404 No"), ERR_NOT_FOUND},
        {EMPTY("412 No"), ERR_CONFLICT},
        {EMPTY("416 No"), ERR_RANGE},
        {EMPTY("507 Full"), ERR_NOSPC},
        {EMPTY("999 What"), ERR_IO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ntoo lo", ERR_IO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ntoo lo\r\n0\r\n\r\n", ERR_IO},
    };
    const char *script[COUNT(rows)];
    for (size_t i = 0; i < COUNT(rows); i++)
        script[i] = rows[i].answer;
    begin(script, COUNT(rows), (struct remote_options){0});
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t dst[8] = "........";
        struct job job = {.request = {.dst = dst, .capacity = 5}};
        assert_int_equal(perform(&job), rows[i].rc);
        assert_memory_equal(dst + 5, "...", 3);
        assert_int_equal(atomic_load(&server.requests), i + 1);
    }
    end();
}

static void words(void **state)
{
    (void)state;
    static const char *const script[] = {
        "HTTP/1.1 403 No\r\nContent-Length: 49\r\n\r\n<Error><Code>AccessDenied</Code><Message>x</Messa"};
    char text[64];
    struct buf grown = {.cap = 10};
    struct job job = {.request = {.text = &grown}};
    begin(script, COUNT(script), (struct remote_options){0});
    assert_int_equal(perform(&job), ERR_DENIED);
    assert_int_equal(grown.len, 0);
    end();
    /* its arena is gone: the words are of a copy */
    job.request.answer.words = SPAN_LITERAL("<Error><Code>AccessDenied</Code><Message>x</Messa");
    remote_words(&job.request, text, sizeof(text));
    assert_string_equal(text, "403 AccessDenied");
    buf_free(&grown);
}

/* --- time --- */

static void notices_a_stall(void **state)
{
    (void)state;
    static const char *const script[] = {SCRIPT_HANG, HELLO};
    uint8_t dst[5];
    struct job job = {.request = {.dst = dst, .capacity = 5}};
    begin(script, COUNT(script), (struct remote_options){.stall_timeout_ms = 150});
    assert_int_equal(perform(&job), 0);
    assert_true(job.took_ms >= 150);
    end();
}

static void times_out(void **state)
{
    (void)state;
    static const char *const script[] = {SCRIPT_HANG};
    struct job job = {.timeout_ms = 200};
    begin(script, COUNT(script), (struct remote_options){0});
    assert_int_equal(perform(&job), ERR_TIMEOUT);
    assert_in_range(job.took_ms, 195, 10000); /* the stall would be 15 s */
    end();
}

static void nobody_listens(void **state)
{
    (void)state;
    static const char *const script[] = {HELLO};
    struct job job = {.request = {.url = "http://127.0.0.1:1/"}};
    begin(script, COUNT(script), (struct remote_options){.attempts = 2});
    assert_int_equal(perform(&job), ERR_UNAVAILABLE);
    assert_true(strlen(job.request.answer.why) > 0);
    end();
}

static void cancel_job(void *arg)
{
    struct job *job = arg;
    while (atomic_load(&server.requests) == 0)
        fiber_yield();
    fiber_cancel(job->fiber);
}

static void is_canceled(void **state)
{
    (void)state;
    static const char *const script[] = {SCRIPT_HANG, HELLO};
    uint8_t dst[5];
    struct job job = {0}, next = {.request = {.dst = dst, .capacity = 5}};
    struct loop *loop;
    begin(script, COUNT(script), (struct remote_options){0});
    assert_int_equal(loop_create(&(struct loop_options){.number = 0}, &loop), 0);
    assert_int_equal(fiber_spawn(loop, run_job, &job, &job.fiber), 0);
    assert_int_equal(fiber_spawn(loop, cancel_job, &job, NULL), 0);
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    assert_int_equal(job.rc, ERR_CANCELED);
    assert_true(job.took_ms < 5000);
    assert_int_equal(perform(&next), 0);
    assert_int_equal(atomic_load(&server.connections), 2); /* what was left is not used again */
    end();
}

static void many_at_once(void **state)
{
    (void)state;
    enum { JOBS = 40, CONNECTIONS = 8 };
    static const char *const script[] = {HELLO};
    static struct job jobs[JOBS];
    static uint8_t dst[JOBS][5];
    struct loop *loop;
    begin(script, COUNT(script), (struct remote_options){.connections = CONNECTIONS});
    assert_int_equal(loop_create(&(struct loop_options){.number = 3}, &loop), 0);
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){.request = {.dst = dst[i], .capacity = 5}};
        assert_int_equal(fiber_spawn(loop, run_job, &jobs[i], NULL), 0);
    }
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].rc, 0);
        assert_memory_equal(dst[i], "hello", 5);
    }
    assert_in_range(atomic_load(&server.connections), 1, CONNECTIONS);
    end();
}

/* Waiting for another request's connection says nothing about the store. */
static void waits_for_a_connection(void **state)
{
    (void)state;
    static const char *const script[] = {SCRIPT_HANG, HELLO};
    uint8_t dst[2][5];
    struct job jobs[2];
    struct loop *loop;
    begin(script, COUNT(script), (struct remote_options){.connections = 1, .stall_timeout_ms = 2500});
    assert_int_equal(loop_create(&(struct loop_options){.number = 3}, &loop), 0);
    for (unsigned i = 0; i < 2; i++) {
        jobs[i] = (struct job){.request = {.dst = dst[i], .capacity = 5, .once = true}};
        assert_int_equal(fiber_spawn(loop, run_job, &jobs[i], NULL), 0);
    }
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    assert_int_equal(jobs[0].rc, ERR_UNAVAILABLE);
    assert_int_equal(jobs[1].rc, 0);
    end();
}

/* --- TLS --- */

static char *folder;

static char *folder_file(const char *name)
{
    char *path;
    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

/* A server whose certificate is for `name`, and a client that trusts it, or another of that name. */
static int perform_tls(const char *name, bool trusted)
{
    static const char *const script[] = {HELLO};
    folder = folder_make();
    char *certificate = folder_file("cert.pem"), *key = folder_file("key.pem"), *other = folder_file("other.pem");
    char *other_key = folder_file("other-key.pem");
    certificate_write(certificate, key, name);
    certificate_write(other, other_key, name);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate_file(tls, certificate, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM), 1);
    scripted_start_tls(&server, script, COUNT(script), tls);
    const struct remote_options options = {.name = "test", .ca_file = trusted ? certificate : other};
    assert_int_equal(remote_create(&options, &remote), 0);
    uint8_t dst[5];
    struct job first = {.request = {.dst = dst, .capacity = 5}}, second = first;
    int rc = perform(&first);
    if (rc == 0) {
        assert_memory_equal(dst, "hello", 5);
        assert_int_equal(perform(&second), 0);
    }
    assert_int_equal(atomic_load(&server.connections), 1); /* used again, or not tried again */
    end();
    free(certificate), free(key), free(other), free(other_key);
    folder_remove(folder);
    return rc;
}

static void tls(void **state)
{
    (void)state;
    assert_int_equal(perform_tls("localhost", true), 0);
    assert_int_equal(perform_tls("localhost", false), ERR_UNAVAILABLE);
    assert_int_equal(perform_tls("elsewhere", true), ERR_UNAVAILABLE);
    assert_int_equal(remote_create(&(struct remote_options){.ca_file = "/nowhere/ca.pem"}, &remote), ERR_INVALID);
}

/* --- endpoints --- */

static void endpoints(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool tls;
        const char *host, *base; /* host NULL: refused */
    } rows[] = {
        {"http://127.0.0.1:9000", false, "127.0.0.1:9000", ""},
        {"https://s3.example", true, "s3.example", ""},
        {"https://s3.example:443/", true, "s3.example", ""},
        {"http://s3.example:80/base/x/", false, "s3.example", "/base/x"},
        {"http://s3.example:443", false, "s3.example:443", ""},
        {"HTTPS://[::1]:8080", true, "[::1]:8080", ""},
        {"s3.example", false, NULL, NULL},
        {"ftp://s3.example", false, NULL, NULL},
        {"http://", false, NULL, NULL},
        {"http:///x", false, NULL, NULL},
        {"http://:80", false, NULL, NULL},
        {"http://user@s3.example", false, NULL, NULL},
        {"http://s3.example?x", false, NULL, NULL},
        {"http://s3.example/a b", false, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct remote_endpoint endpoint;
        assert_int_equal(remote_endpoint_parse(rows[i].text, &endpoint), rows[i].host != NULL ? 0 : ERR_INVALID);
        if (rows[i].host == NULL)
            continue;
        assert_int_equal(endpoint.tls, rows[i].tls);
        assert_string_equal(endpoint.host, rows[i].host);
        assert_string_equal(endpoint.base_path, rows[i].base);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(sends),
        cmocka_unit_test(refuses_headers_that_are_more),
        cmocka_unit_test(tries_again),
        cmocka_unit_test(gives_up),
        cmocka_unit_test(keeps_to_its_budget),
        cmocka_unit_test(ends_by_the_deadline),
        cmocka_unit_test(waits_as_long_as_it_is_told),
        cmocka_unit_test(statuses),
        cmocka_unit_test(words),
        cmocka_unit_test(notices_a_stall),
        cmocka_unit_test(times_out),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(is_canceled),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(waits_for_a_connection),
        cmocka_unit_test(tls),
        cmocka_unit_test(endpoints),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
