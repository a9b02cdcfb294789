/* The admin paths, asked over a real connection. */
#include "unit.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <jansson.h>
#include "admin/admin.h"
#include "base/err.h"
#include "base/loop.h"
#include "net/listener.h"

static struct loop *loop;
static struct listener *listener;
static struct http_server *server;
static int ready_rc;
static const char *ready_why = "";
static char answer[1 << 16];

static int ready(void *arg, char *why, size_t why_size)
{
    (void)arg;
    snprintf(why, why_size, "%s", ready_why);
    return ready_rc;
}

static struct admin admin = {.ready = ready};

/* The status; the body is *body. */
static int ask(const char *method, const char *path, const char **body)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(listener_port(listener)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[200];
    size_t length = 0;
    ssize_t n;
    int status = 0, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(fd, (struct sockaddr *)&address, sizeof(address)));
    int size = snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", method, path);
    assert_int_equal(size, send(fd, request, (size_t)size, MSG_NOSIGNAL));
    while ((n = recv(fd, answer + length, sizeof(answer) - 1 - length, 0)) > 0)
        length += (size_t)n;
    close(fd);
    answer[length] = '\0';
    assert_int_equal(1, sscanf(answer, "HTTP/1.1 %d", &status));
    *body = strstr(answer, "\r\n\r\n") + 4;
    return status;
}

static void live(void **state)
{
    (void)state;
    const char *body;
    ready_rc = ERR_UNAVAILABLE;
    assert_int_equal(200, ask("GET", "/-/health/live", &body));
    assert_string_equal(body, "{\"status\":\"ok\"}\n");
    assert_int_equal(200, ask("HEAD", "/-/health/live", &body));
    assert_string_equal(body, "");
}

static void readiness(void **state)
{
    (void)state;
    const char *body;
    ready_rc = 0;
    assert_int_equal(200, ask("GET", "/-/health/ready?x", &body));
    ready_rc = ERR_UNAVAILABLE;
    ready_why = "backend \"a\\b\" is\ngone";
    assert_int_equal(503, ask("GET", "/-/health/ready", &body));
    json_t *json = json_loads(body, 0, NULL);
    assert_non_null(json);
    assert_string_equal("unavailable", json_string_value(json_object_get(json, "status")));
    assert_string_equal("backend \"a\\b\" isgone", json_string_value(json_object_get(json, "why")));
    json_decref(json);
}

static void metrics(void **state)
{
    (void)state;
    const char *body;
    assert_int_equal(200, ask("GET", "/-/metrics", &body));
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4\r\n"));
    assert_non_null(strstr(body, "# TYPE arca_connections gauge\narca_connections 1\n"));
}

static void others(void **state)
{
    (void)state;
    const char *body;
    assert_int_equal(404, ask("GET", "/", &body));
    assert_int_equal(404, ask("GET", "/-/metrics/", &body));
    assert_int_equal(405, ask("POST", "/-/metrics", &body));
    assert_non_null(strstr(answer, "Allow: GET, HEAD\r\n"));
}

static int set_up(void **state)
{
    (void)state;
    struct http_server_options options = {.handler = admin_handle, .arg = &admin, .head_timeout_ms = 10000,
                                          .body_timeout_ms = 10000, .server_name = "Arca", .arena_limit = 1 << 20};
    if (loop_create(&(struct loop_options){.number = 0}, &loop) != 0 || http_server_create(&options, &server) != 0)
        return -1;
    struct listener_options listening = {.address = "127.0.0.1", .service = http_server_service(server), .loops = &loop,
                                         .loop_count = 1, .connections_max = 8, .idle_timeout_ms = 60000,
                                         .head_timeout_ms = 10000};
    return listener_open(&listening, &listener) != 0 || loop_start(loop) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    listener_drain(listener);
    loop_stop(loop);
    loop_join(loop);
    loop_free(loop);
    listener_free(listener);
    http_server_free(server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live),
        cmocka_unit_test(readiness),
        cmocka_unit_test(metrics),
        cmocka_unit_test(others),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
