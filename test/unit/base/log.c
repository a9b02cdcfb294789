/* log and metrics */
#include "unit.h"
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/worker.h"
#include "on_fiber.h"

/* Standard error goes to a pipe while `fn` runs; what came is returned. */
static char *captured(void (*fn)(void))
{
    static char text[65536];
    int fds[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    fn();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fds[1]);
    ssize_t length = read(fds[0], text, sizeof(text) - 1);
    close(fds[0]);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

static void say_odd(void)
{
    log_info("odd", "a \"b\" \\ \n\t\x01\x7f \xff \xc3\xa4 %d", 7);
}

static void any_bytes_make_valid_json(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_JSON);
    json_t *line = json_loads(captured(say_odd), 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "event")), "odd");
    assert_string_equal(json_string_value(json_object_get(line, "level")), "info");
    assert_string_equal(json_string_value(json_object_get(line, "message")),
                        "a \"b\" \\ \n\t\x01\x7f \xef\xbf\xbd \xc3\xa4 7");
    assert_int_equal(strlen(json_string_value(json_object_get(line, "time"))), 24);
    json_decref(line);
}

static void say_fields(void)
{
    static uint8_t huge[40000];
    memset(huge, 0x02, sizeof(huge));
    const struct log_field fields[] = {
        {.name = "status", .number = -200},
        {.name = "key", .text = SPAN_LITERAL("a b=\"c\"")},
        {.name = "empty", .text = SPAN_LITERAL("")},
        {.name = "plain", .text = SPAN_LITERAL("x/y")},
        {.name = "huge", .text = {huge, sizeof(huge)}},
        {.name = "after", .number = 1},
    };
    log_fields(LOG_WARN, "access", fields, 6);
}

static void a_long_line_is_cut_but_whole(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_JSON);
    log_request_id("0123456789ABCDEF");
    json_t *line = json_loads(captured(say_fields), 0, NULL);
    log_request_id(NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "request_id")), "0123456789ABCDEF");
    assert_int_equal(json_integer_value(json_object_get(line, "status")), -200);
    assert_string_equal(json_string_value(json_object_get(line, "key")), "a b=\"c\"");
    assert_true(json_string_length(json_object_get(line, "huge")) > 1000);
    json_decref(line);
}

static void fields_as_text(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_TEXT);
    char *text = captured(say_fields);
    assert_non_null(
        strstr(text, " WARN access: status=-200 key=\"a b=\\\"c\\\"\" empty=\"\" plain=x/y huge=\"\\u0002"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
}

static void name_and_say(void *arg)
{
    (void)arg;
    log_request_id("0123456789ABCDEF");
    log_info("inside", "of the request");
    fiber_yield();
    log_info("still", "in it");
    log_request_id(NULL);
    log_info("after", "it");
}

static void say_elsewhere(void *arg)
{
    (void)arg;
    log_info("other", "fiber");
}

static void both(void *arg)
{
    (void)arg;
    assert_int_equal(fiber_spawn(loop_self(), name_and_say, NULL, NULL), 0);
    assert_int_equal(fiber_spawn(loop_self(), say_elsewhere, NULL, NULL), 0);
}

static void say_on_fibers(void)
{
    on_fiber(both, NULL);
}

static void a_request_id_belongs_to_its_fiber(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_TEXT);
    char *text = captured(say_on_fibers);
    assert_non_null(strstr(text, "INFO inside: of the request request_id=0123456789ABCDEF\n"));
    assert_non_null(strstr(text, "INFO other: fiber\n"));
    assert_non_null(strstr(text, "INFO still: in it request_id=0123456789ABCDEF\n"));
    assert_non_null(strstr(text, "INFO after: it\n"));
}

static void levels_are_kept(void **state)
{
    (void)state;
    enum log_level level = LOG_INFO;
    assert_int_equal(log_parse_level(SPAN_LITERAL("error"), &level), 0);
    assert_int_equal(level, LOG_ERROR);
    assert_int_equal(log_parse_level(SPAN_LITERAL("Error"), &level), ERR_INVALID);
    log_set_level(LOG_ERROR);
    assert_false(log_enabled(LOG_WARN));
    assert_string_equal(captured(say_odd), "");
    log_set_level(LOG_INFO);
}

/* --- metrics --- */

static const char *const operations[] = {"PutObject", "GetObject"};

static void count_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        metrics_add(METRIC_BYTES_IN, 3);
        metrics_add(METRIC_CONNECTIONS, i % 2 == 0 ? 1 : -1);
        metrics_request(0, 200, 1000000);
    }
    metrics_observe(METRIC_JOURNAL_SYNC, 600000);
    metrics_observe(METRIC_JOURNAL_SYNC, UINT64_C(200000000000));
    metrics_request(0, 418, 250000001);
    metrics_request(7, 200, 1);
}

static bool has(const struct buf *buf, const char *line)
{
    return span_find(buf_span(buf), span_str(line)) >= 0;
}

static void metrics_add_up_over_threads(void **state)
{
    (void)state;
    metrics_operations(operations, 2);
    struct thread *threads[4];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++)
            assert_int_equal(thread_start("count", count_some, NULL, &threads[i]), 0);
        for (int i = 0; i < 4; i++)
            thread_join(threads[i]);
    }
    struct buf out = {0};
    metrics_render(&out);
    assert_int_equal(out.failed, 0);
    assert_true(has(&out, "# HELP arca_received_bytes_total Bytes of request bodies, as objects see them\n"
                          "# TYPE arca_received_bytes_total counter\narca_received_bytes_total 24000\n"));
    assert_true(has(&out, "# TYPE arca_connections gauge\narca_connections 0\n"));
    assert_true(has(&out, "arca_journal_sync_seconds_bucket{le=\"0.0005\"} 0\n"));
    assert_true(has(&out, "arca_journal_sync_seconds_bucket{le=\"0.001\"} 8\n"));
    assert_true(has(&out, "arca_journal_sync_seconds_bucket{le=\"+Inf\"} 16\n"));
    assert_true(has(&out, "arca_journal_sync_seconds_sum 1600.004800000\narca_journal_sync_seconds_count 16\n"));
    assert_true(has(&out, "arca_requests_total{operation=\"PutObject\",status=\"200\"} 8000\n"));
    assert_true(has(&out, "arca_requests_total{operation=\"PutObject\",status=\"other\"} 8\n"));
    assert_false(has(&out, "GetObject"));
    assert_true(has(&out, "arca_request_seconds_bucket{operation=\"PutObject\",le=\"0.001\"} 8000\n"));
    assert_true(has(&out, "arca_request_seconds_bucket{operation=\"PutObject\",le=\"0.5\"} 8008\n"));
    assert_true(has(&out, "arca_request_seconds_count{operation=\"PutObject\"} 8008\n"));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_bytes_make_valid_json),
        cmocka_unit_test(a_long_line_is_cut_but_whole),
        cmocka_unit_test(fields_as_text),
        cmocka_unit_test(a_request_id_belongs_to_its_fiber),
        cmocka_unit_test(levels_are_kept),
        cmocka_unit_test(metrics_add_up_over_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
