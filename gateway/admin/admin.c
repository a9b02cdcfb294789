#include "admin/private.h"

#include <stdarg.h>
#include <stdio.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/metrics.h"
#include "base/text.h"

#define WHY_MAX     256
#define METRICS_MAX (4U << 20)

/* --- answers --- */

void answer_text(struct admin_request *r, int status, const char *type, struct span body)
{
    http_answer_header_str(r->exchange, "Content-Type", type);
    http_answer_header_str(r->exchange, "Cache-Control", "no-store");
    http_answer(r->exchange, status, body);
}

static int append(const char *bytes, size_t size, void *buf)
{
    buf_append(buf, span_of(bytes, size));
    return 0;
}

void answer_json(struct admin_request *r, int status, json_t *json)
{
    struct buf body = {0};
    if (json == NULL || json_dump_callback(json, append, &body, JSON_COMPACT) != 0)
        body.failed = ERR_NOMEM;
    json_decref(json);
    buf_append_str(&body, "\n");
    if (body.failed != 0)
        answer_text(r, 500, "application/json", SPAN_LITERAL("{\"error\":\"nomem\",\"message\":\"out of memory\"}\n"));
    else
        answer_text(r, status, "application/json", buf_span(&body));
    buf_free(&body);
}

static int status_of(int rc)
{
    static const struct {
        int rc, status;
    } table[] = {
        {ERR_INVALID, 400},   {ERR_SYNTAX, 400},      {ERR_UNSUPPORTED, 400}, {ERR_DENIED, 403},   {ERR_NOT_FOUND, 404},
        {ERR_CONFLICT, 409},  {ERR_EXISTS, 409},      {ERR_TOO_LARGE, 413},   {ERR_NOSPC, 507},    {ERR_READONLY, 503},
        {ERR_CANCELED, 503},  {ERR_UNAVAILABLE, 503}, {ERR_BUSY, 503},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].rc == rc)
            return table[i].status;
    }
    return 500;
}

void answer_error(struct admin_request *r, int rc, const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    answer_json(r, status_of(rc), json_pack("{s:s, s:o}", "error", err_name(rc), "message", json_text(message)));
}

json_t *json_text(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL || text_is_utf8(span_str(text)))
        return json;
    char ascii[1024];
    size_t length = 0;
    for (; text[length] != '\0' && length < sizeof(ascii) - 1; length++)
        ascii[length] = (uint8_t)text[length] < 0x80 ? text[length] : '?';
    return json_stringn(ascii, length);
}

struct jobs *running_jobs(struct admin_request *r)
{
    struct jobs *jobs = r->admin->jobs;
    if (jobs == NULL)
        answer_error(r, ERR_UNAVAILABLE, "arcad is starting, background work has not begun: ask again in a second");
    return jobs;
}

/* --- health and metrics --- */

static void get_live(struct admin_request *r)
{
    answer_text(r, 200, "application/json", SPAN_LITERAL("{\"status\":\"ok\"}\n"));
}

static void get_ready(struct admin_request *r)
{
    char why[WHY_MAX] = "";
    int rc = r->admin->ready != NULL ? r->admin->ready(r->admin->arg, why, sizeof(why)) : 0;
    if (rc == 0 && why[0] != '\0') {
        answer_json(r, 200, json_pack("{s:s, s:o}", "status", "ok", "remark", json_text(why)));
        return;
    }
    if (rc == 0) {
        get_live(r);
        return;
    }
    answer_json(r, 503, json_pack("{s:s, s:o}", "status", err_name(rc), "why",
                                  json_text(why[0] != '\0' ? why : err_text(rc))));
}

static void get_metrics(struct admin_request *r)
{
    struct buf body = {.cap = METRICS_MAX};
    metrics_render(&body);
    if (body.failed)
        answer_text(r, 500, "text/plain", span_str(err_text(body.failed)));
    else
        answer_text(r, 200, "text/plain; version=0.0.4", buf_span(&body));
    buf_free(&body);
}

/* --- routes --- */

/* '*' stands for one segment. GET only shows, POST changes: on the control socket alone. */
static const struct {
    enum http_method method;
    const char *path;
    void (*answer)(struct admin_request *r) SUSPENDS;
} paths[] = {
    {HTTP_GET, "/-/health/live", get_live},
    {HTTP_GET, "/-/health/ready", get_ready},
    {HTTP_GET, "/-/metrics", get_metrics},
    {HTTP_GET, "/-/jobs", get_jobs},
    {HTTP_GET, "/-/placements", get_placements},
    {HTTP_GET, "/-/backends", get_backends},
    {HTTP_POST, "/-/jobs/*/pause", post_pause},
    {HTTP_POST, "/-/jobs/*/resume", post_resume},
    {HTTP_POST, "/-/placements/*", post_placement},
};

/* *name gets what stands for '*', not decoded. */
static bool matches(struct span path, const char *pattern, struct span *name)
{
    const char *star = strchr(pattern, '*');
    *name = SPAN_NONE;
    if (star == NULL)
        return span_eq_str(path, pattern);
    struct span before = span_of(pattern, (size_t)(star - pattern)), after = span_str(star + 1);
    if (path.len <= before.len + after.len || !span_starts(path, before) ||
        !span_eq(span_skip(path, path.len - after.len), after))
        return false;
    *name = span_of(path.ptr + before.len, path.len - before.len - after.len);
    return span_find_byte(*name, '/') < 0;
}

/* No name has a NUL: the rooms below would take what is before it for all of the name. */
static bool decode_name(struct admin_request *r, struct span encoded)
{
    uint8_t *out = arena_alloc(r->arena, encoded.len + 1);
    size_t length = 0;
    if (out == NULL || text_uri_decode(encoded, false, out, &length) != 0)
        return false;
    r->name = span_of(out, length);
    return span_find_byte(r->name, '\0') < 0;
}

static void handle(struct http_exchange *exchange, struct admin *admin, bool control)
{
    const struct http_request *request = http_request(exchange);
    struct admin_request r = {.exchange = exchange, .admin = admin, .arena = http_arena(exchange)};
    enum http_method method = request->method == HTTP_HEAD ? HTTP_GET : request->method;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct span name;
        if (!matches(request->path, paths[i].path, &name))
            continue;
        if (method != paths[i].method) {
            const char *allowed = paths[i].method == HTTP_GET ? "GET, HEAD" : "POST";
            http_answer_header_str(exchange, "Allow", allowed);
            answer_text(&r, 405, "text/plain", SPAN_LITERAL("this path does not take that method\n"));
        } else if (method == HTTP_POST && !control) {
            answer_error(&r, ERR_DENIED, "this listener only shows: arcactl makes changes, on the control socket");
        } else if (!decode_name(&r, name)) {
            answer_error(&r, ERR_INVALID, "the name in the path is not encoded as it should be");
        } else {
            paths[i].answer(&r);
        }
        return;
    }
    answer_text(&r, 404, "text/plain", SPAN_LITERAL("not here\n"));
}

void admin_handle(struct http_exchange *exchange, void *arg)
{
    handle(exchange, arg, false);
}

void admin_handle_control(struct http_exchange *exchange, void *arg)
{
    handle(exchange, arg, true);
}
