/* The admin paths, asked over real connections: the TCP listener that only shows, and the control socket. What is below
 * is made up. */
#include "unit.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <jansson.h>
#include "admin/admin.h"
#include "admin/change.h"
#include "base/err.h"
#include "base/loop.h"
#include "net/listener.h"

static struct loop *loop;
static struct listener *listener, *control;
static struct http_server *server, *control_server;
static char socket_path[64];
static int ready_rc;
static const char *ready_why = "";
static char answer[1 << 16];

static int ready(void *arg, char *why, size_t why_size)
{
    (void)arg;
    snprintf(why, why_size, "%s", ready_why);
    return ready_rc;
}

/* --- what is below --- */

static int below_rc; /* of what is asked for next */
static struct {
    char name[128], backends[128];
    unsigned quorum;
    int paused; /* -1: not asked */
} asked;

static size_t view_jobs(struct jobs *jobs, struct job_view *out, size_t max)
{
    assert_ptr_equal(jobs, (struct jobs *)&asked);
    assert_true(max >= 2);
    out[0] = (struct job_view){.name = "scrub", .state = JOB_WAITING, .why = "a\xff says \"no\"", .eta_ms = -1};
    out[1] = (struct job_view){.name = "placement default", .step = "backfill", .state = JOB_RUNNING, .done = 50,
                               .total = 200, .bytes = 1ULL << 40, .rate = 1000, .eta_ms = 90000, .found = 3,
                               .missed = 2, .started_ms = 1700000000000};
    return 2;
}

const char *job_state_name(enum job_state state)
{
    static const char *const names[] = {"running", "waiting", "paused", "idle"};
    return names[state];
}

static int pause_job(struct jobs *jobs, struct span name, bool paused)
{
    assert_ptr_equal(jobs, (struct jobs *)&asked);
    snprintf(asked.name, sizeof(asked.name), "%.*s", SPAN_FMT(name));
    asked.paused = paused;
    return below_rc;
}

static int change_placement(struct jobs *jobs, struct span placement, const struct span *backends, size_t count,
                            unsigned quorum, char *why, size_t why_size)
{
    size_t length = 0;
    assert_ptr_equal(jobs, (struct jobs *)&asked);
    snprintf(asked.name, sizeof(asked.name), "%.*s", SPAN_FMT(placement));
    for (size_t i = 0; i < count; i++)
        length += (size_t)snprintf(asked.backends + length, sizeof(asked.backends) - length, "%.*s;",
                                   SPAN_FMT(backends[i]));
    asked.quorum = quorum;
    if (below_rc == ERR_INVALID)
        snprintf(why, why_size, "there is no backend 'b'");
    return below_rc;
}

static int list_placements(struct index *index, struct arena *arena, Arca__Placement ***out, size_t *count)
{
    static Arca__Member a = ARCA__MEMBER__INIT, b = ARCA__MEMBER__INIT;
    static Arca__Member *members[] = {&a, &b};
    static char *configured[] = {"a"};
    static Arca__Placement placement = ARCA__PLACEMENT__INIT;
    static Arca__Placement *placements[] = {&placement};
    (void)index;
    (void)arena;
    a.backend = "a";
    a.role = ARCA__MEMBER__ROLE__LEAVING;
    b.backend = "b";
    b.role = ARCA__MEMBER__ROLE__JOINING;
    placement.name = "default";
    placement.members = members;
    placement.n_members = 2;
    placement.write_quorum = 1;
    placement.configured = configured;
    placement.n_configured = 1;
    placement.configured_quorum = 1;
    *out = placements;
    *count = 1;
    return below_rc == ERR_IO ? ERR_IO : 0;
}

static int list_holdings(struct index *index, struct arena *arena, Arca__Holding ***out, size_t *count)
{
    static Arca__Holding rows[4];
    static Arca__Holding *holdings[] = {&rows[0], &rows[1], &rows[2], &rows[3]};
    static const struct {
        char *placement, *backend;
        uint64_t replicas, bytes;
    } values[] = {{"default", "a", 10, 1ULL << 33}, {"default", "b", 4, 4096}, {"default", "old", 1, 7},
                  {"other", "a", 5, 100}};
    (void)index;
    (void)arena;
    for (size_t i = 0; i < 4; i++) {
        arca__holding__init(&rows[i]);
        rows[i].placement = values[i].placement;
        rows[i].backend = values[i].backend;
        rows[i].replicas = values[i].replicas;
        rows[i].bytes = values[i].bytes;
    }
    *out = holdings;
    *count = 4;
    return 0;
}

static struct backend_settings settings[] = {{.name = "a", .driver = "disk", .jurisdiction = "DE", .cost = 2},
                                             {.name = "b", .driver = "s3"}};

static size_t view_backends(struct store *store, struct admin_backend *out, size_t max)
{
    (void)store;
    assert_true(max >= 2);
    out[0] = (struct admin_backend){&settings[0], HEALTH_HEALTHY, .put_p95_ns = 1500000, .get_p95_ns = 700000};
    out[1] = (struct admin_backend){&settings[1], HEALTH_DOWN, .writes = ERR_UNAVAILABLE};
    return 2;
}

static const struct admin_ops below = {view_jobs,       pause_job,     change_placement,
                                       list_placements, list_holdings, view_backends};
static struct admin admin = {.ready = ready, .ops = &below};

/* --- asking --- */

static int dial(bool over_control)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(listener_port(listener)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    int fd = socket(over_control ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(path.sun_path, socket_path, sizeof(socket_path));
    assert_int_equal(0, over_control ? connect(fd, (struct sockaddr *)&path, sizeof(path))
                                     : connect(fd, (struct sockaddr *)&address, sizeof(address)));
    return fd;
}

/* The status; the body is *body. */
static int ask_with(bool over_control, const char *method, const char *path, const char *sent, const char **body)
{
    static char request[1 << 18];
    size_t length = 0;
    ssize_t n;
    int status = 0, fd = dial(over_control);
    int size = snprintf(request, sizeof(request),
                        "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", method, path,
                        strlen(sent), sent);
    assert_int_equal(size, send(fd, request, (size_t)size, MSG_NOSIGNAL));
    while ((n = recv(fd, answer + length, sizeof(answer) - 1 - length, 0)) > 0)
        length += (size_t)n;
    close(fd);
    answer[length] = '\0';
    assert_int_equal(1, sscanf(answer, "HTTP/1.1 %d", &status));
    *body = strstr(answer, "\r\n\r\n") + 4;
    return status;
}

static int ask(const char *method, const char *path, const char **body)
{
    return ask_with(false, method, path, "", body);
}

/* The answer's JSON, with the status that is expected. */
static json_t *ask_json(bool over_control, int status, const char *method, const char *path, const char *sent)
{
    const char *body;
    assert_int_equal(status, ask_with(over_control, method, path, sent, &body));
    assert_non_null(strstr(answer, "Content-Type: application/json\r\n"));
    json_t *json = json_loads(body, 0, NULL);
    assert_non_null(json);
    return json;
}

/* {"error": error, "message": ...that has `part`} */
static void expect_error(int status, const char *method, const char *path, const char *sent, const char *error,
                         const char *part)
{
    json_t *json = ask_json(true, status, method, path, sent);
    assert_string_equal(error, json_string_value(json_object_get(json, "error")));
    assert_non_null(strstr(json_string_value(json_object_get(json, "message")), part));
    json_decref(json);
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
    ready_why = "the journal lags behind";
    assert_int_equal(200, ask("GET", "/-/health/ready", &body));
    assert_non_null(strstr(body, "\"remark\""));
    ready_why = "";
    ready_rc = ERR_UNAVAILABLE;
    ready_why = "backend \"a\\b\" is\ngone";
    assert_int_equal(503, ask("GET", "/-/health/ready", &body));
    json_t *json = json_loads(body, 0, NULL);
    assert_non_null(json);
    assert_string_equal("unavailable", json_string_value(json_object_get(json, "status")));
    assert_string_equal("backend \"a\\b\" is\ngone", json_string_value(json_object_get(json, "why")));
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
    assert_int_equal(404, ask("POST", "/-/jobs/a/b/pause", &body));
    assert_int_equal(404, ask("POST", "/-/jobs//pause", &body));
    assert_int_equal(404, ask("POST", "/-/jobs/pause", &body));
    assert_int_equal(404, ask("GET", "/-/placements/", &body));
}

static void jobs_are_shown(void **state)
{
    (void)state;
    json_t *json = ask_json(false, 200, "GET", "/-/jobs", ""), *list = json_object_get(json, "jobs");
    json_t *expected = json_pack("[{s:s, s:s, s:s, s:s, s:i, s:n, s:i, s:i, s:n, s:i, s:i, s:n},"
                                 " {s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:i, s:i, s:i, s:i, s:I}]",
                                 "name", "scrub", "step", "", "state", "waiting", "why", "a? says \"no\"", "done", 0,
                                 "total", "bytes", 0, "rate", 0, "eta_ms", "found", 0, "missed", 0, "started_ms",
                                 "name", "placement default", "step", "backfill", "state", "running", "why", "", "done",
                                 50, "total", 200, "bytes", (json_int_t)1 << 40, "rate", 1000, "eta_ms", 90000, "found",
                                 3, "missed", 2, "started_ms", (json_int_t)1700000000000);
    assert_non_null(expected);
    assert_true(json_equal(list, expected));
    json_decref(expected);
    json_decref(json);
    json = ask_json(true, 200, "GET", "/-/jobs", "");
    assert_int_equal(json_array_size(json_object_get(json, "jobs")), 2);
    json_decref(json);
}

static void nothing_is_known_before_the_start(void **state)
{
    (void)state;
    admin.jobs = NULL;
    expect_error(503, "GET", "/-/jobs", "", "unavailable", "ask again");
    expect_error(503, "GET", "/-/placements", "", "unavailable", "ask again");
    expect_error(503, "GET", "/-/backends", "", "unavailable", "ask again");
    expect_error(503, "POST", "/-/jobs/scrub/pause", "", "unavailable", "ask again");
    expect_error(503, "POST", "/-/placements/default", "{\"backends\": [\"a\"]}", "unavailable", "ask again");
    admin.jobs = (struct jobs *)&asked;
}

static const json_t *at(const json_t *array, size_t i, const char *key)
{
    return json_object_get(json_array_get(array, i), key);
}

static void placements_are_shown(void **state)
{
    (void)state;
    json_t *json = ask_json(false, 200, "GET", "/-/placements", "");
    const json_t *list = json_object_get(json, "placements"), *members = at(list, 0, "members");
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(at(list, 0, "name")), "default");
    assert_int_equal(json_integer_value(at(list, 0, "write_quorum")), 1);
    assert_string_equal(json_string_value(json_array_get(at(list, 0, "configured"), 0)), "a");
    assert_int_equal(json_array_size(members), 2);
    assert_string_equal(json_string_value(at(members, 0, "backend")), "a");
    assert_string_equal(json_string_value(at(members, 0, "role")), "leaving");
    assert_string_equal(json_string_value(at(members, 0, "state")), "healthy");
    assert_string_equal(json_string_value(at(members, 0, "driver")), "disk");
    assert_string_equal(json_string_value(at(members, 0, "jurisdiction")), "DE");
    assert_int_equal(json_integer_value(at(members, 0, "cost")), 2);
    assert_int_equal(json_integer_value(at(members, 0, "replicas")), 10);
    assert_int_equal(json_integer_value(at(members, 0, "bytes")), 1LL << 33);
    assert_string_equal(json_string_value(at(members, 1, "role")), "joining");
    assert_string_equal(json_string_value(at(members, 1, "state")), "down");
    assert_true(json_is_null(at(members, 1, "jurisdiction")));
    const json_t *elsewhere = at(list, 0, "elsewhere");
    assert_int_equal(json_array_size(elsewhere), 1);
    assert_string_equal(json_string_value(at(elsewhere, 0, "backend")), "old");
    assert_string_equal(json_string_value(at(elsewhere, 0, "state")), "absent");
    assert_int_equal(json_integer_value(at(elsewhere, 0, "bytes")), 7);
    json_decref(json);
    below_rc = ERR_IO;
    expect_error(500, "GET", "/-/placements", "", "io", "input/output");
    below_rc = 0;
}

static void backends_are_shown(void **state)
{
    (void)state;
    json_t *json = ask_json(false, 200, "GET", "/-/backends", "");
    const json_t *list = json_object_get(json, "backends");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(at(list, 0, "writes")), "ok");
    assert_int_equal(json_integer_value(at(list, 0, "replicas")), 15);
    assert_int_equal(json_integer_value(at(list, 0, "put_p95_us")), 1500);
    assert_string_equal(json_string_value(at(list, 1, "state")), "down");
    assert_string_equal(json_string_value(at(list, 1, "writes")), "unavailable");
    json_decref(json);
}

static void jobs_are_paused(void **state)
{
    (void)state;
    json_t *json = ask_json(true, 200, "POST", "/-/jobs/placement%20default/pause", "");
    assert_true(json_is_true(json_object_get(json, "paused")));
    json_decref(json);
    assert_string_equal(asked.name, "placement default");
    assert_int_equal(asked.paused, 1);
    json = ask_json(true, 200, "POST", "/-/jobs/scrub/resume", "");
    assert_true(json_is_false(json_object_get(json, "paused")));
    json_decref(json);
    assert_string_equal(asked.name, "scrub");
    assert_int_equal(asked.paused, 0);
    below_rc = ERR_NOT_FOUND;
    expect_error(404, "POST", "/-/jobs/nonsense/pause", "", "not_found", "no job 'nonsense'");
    below_rc = ERR_UNSUPPORTED;
    expect_error(400, "POST", "/-/jobs/repair/pause", "", "unsupported", "repair does not pause");
    below_rc = ERR_READONLY;
    expect_error(503, "POST", "/-/jobs/scrub/pause", "", "readonly", "read-only");
    below_rc = 0;
    expect_error(400, "POST", "/-/jobs/a%zz/pause", "", "invalid", "encoded");
}

static void placements_are_changed(void **state)
{
    (void)state;
    json_t *json = ask_json(true, 200, "POST", "/-/placements/default",
                            "{\"backends\": [\"b\", \"a\"], \"write_quorum\": 2}");
    assert_string_equal(json_string_value(json_object_get(json, "name")), "default");
    assert_int_equal(json_array_size(json_object_get(json, "members")), 2);
    json_decref(json);
    assert_string_equal(asked.name, "default");
    assert_string_equal(asked.backends, "b;a;");
    assert_int_equal(asked.quorum, 2);
    below_rc = ERR_INVALID;
    expect_error(400, "POST", "/-/placements/default", "{\"backends\": [\"b\"]}", "invalid", "no backend 'b'");
    assert_int_equal(asked.quorum, 0);
    below_rc = ERR_NOT_FOUND;
    expect_error(404, "POST", "/-/placements/none", "{\"backends\": [\"b\"]}", "not_found",
                 "no placement 'none'");
    below_rc = 0;
    asked.name[0] = '\0';
    expect_error(400, "POST", "/-/placements/default", "{\"backends\": [", "invalid", "no JSON");
    expect_error(400, "POST", "/-/placements/default", "", "invalid", "no JSON");
    static char large[CHANGE_SIZE_MAX + 2];
    memset(large, ' ', sizeof(large) - 1);
    expect_error(413, "POST", "/-/placements/default", large, "too_large", "larger");
    expect_error(400, "POST", "/-/placements/default%00x", "{\"backends\": [\"b\"]}", "invalid", "encoded");
    assert_string_equal(asked.name, "");
}

static void tcp_only_shows(void **state)
{
    (void)state;
    static const char *const changes[] = {"/-/jobs/scrub/pause", "/-/jobs/scrub/resume", "/-/placements/default"};
    asked.name[0] = '\0';
    for (size_t i = 0; i < 3; i++) {
        json_t *json = ask_json(false, 403, "POST", changes[i], "{\"backends\": [\"a\"]}");
        assert_string_equal("denied", json_string_value(json_object_get(json, "error")));
        assert_non_null(strstr(json_string_value(json_object_get(json, "message")), "control socket"));
        json_decref(json);
    }
    const char *body;
    assert_int_equal(405, ask_with(true, "GET", changes[0], "", &body));
    assert_non_null(strstr(answer, "Allow: POST\r\n"));
    assert_int_equal(405, ask_with(true, "PUT", changes[2], "", &body));
    assert_string_equal(asked.name, "");
    assert_int_equal(200, ask_with(true, "GET", "/-/metrics", "", &body));
}

static int open_server(http_handler *handler, const char *path, struct http_server **out_server,
                       struct listener **out_listener)
{
    struct http_server_options options = {.handler = handler, .arg = &admin, .head_timeout_ms = 10000,
                                          .body_timeout_ms = 10000, .server_name = "Arca", .arena_limit = 1 << 20};
    if (http_server_create(&options, out_server) != 0)
        return -1;
    struct listener_options listening = {.address = "127.0.0.1", .unix_path = path,
                                         .service = http_server_service(*out_server), .loops = &loop, .loop_count = 1,
                                         .connections_max = 8, .idle_timeout_ms = 60000, .head_timeout_ms = 10000};
    return listener_open(&listening, out_listener);
}

static int set_up(void **state)
{
    (void)state;
    admin.jobs = (struct jobs *)&asked;
    snprintf(socket_path, sizeof(socket_path), "/tmp/arca-admin-XXXXXX");
    if (mkdtemp(socket_path) == NULL)
        return -1;
    strcat(socket_path, "/socket");
    if (loop_create(&(struct loop_options){.number = 0}, &loop) != 0 ||
        open_server(admin_handle, NULL, &server, &listener) != 0 ||
        open_server(admin_handle_control, socket_path, &control_server, &control) != 0)
        return -1;
    return loop_start(loop);
}

static int tear_down(void **state)
{
    (void)state;
    listener_drain(listener);
    listener_drain(control);
    loop_stop(loop);
    loop_join(loop);
    loop_free(loop);
    listener_free(listener);
    listener_free(control);
    http_server_free(server);
    http_server_free(control_server);
    *strrchr(socket_path, '/') = '\0';
    return rmdir(socket_path); /* the socket is gone */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live),
        cmocka_unit_test(readiness),
        cmocka_unit_test(metrics),
        cmocka_unit_test(others),
        cmocka_unit_test(jobs_are_shown),
        cmocka_unit_test(nothing_is_known_before_the_start),
        cmocka_unit_test(placements_are_shown),
        cmocka_unit_test(backends_are_shown),
        cmocka_unit_test(jobs_are_paused),
        cmocka_unit_test(placements_are_changed),
        cmocka_unit_test(tcp_only_shows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
