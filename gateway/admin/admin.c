#include "admin/admin.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/metrics.h"

#define WHY_MAX     256
#define METRICS_MAX (4U << 20)

static void answer_text(struct http_exchange *exchange, int status, const char *type, struct span body)
{
    http_answer_header_str(exchange, "Content-Type", type);
    http_answer_header_str(exchange, "Cache-Control", "no-store");
    http_answer(exchange, status, body);
}

/* A JSON string's contents: quotes and backslashes escaped, control bytes left out. */
static void append_json(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if ((uint8_t)*text < 0x20)
            continue;
        if (*text == '"' || *text == '\\')
            buf_append_str(out, "\\");
        buf_append(out, span_of(text, 1));
    }
}

static void answer_live(struct http_exchange *exchange, const struct admin *admin)
{
    (void)admin;
    answer_text(exchange, 200, "application/json", SPAN_LITERAL("{\"status\":\"ok\"}\n"));
}

static void answer_ready(struct http_exchange *exchange, const struct admin *admin)
{
    char why[WHY_MAX] = "";
    int rc = admin->ready != NULL ? admin->ready(admin->arg, why, sizeof(why)) : 0;
    if (rc == 0) {
        answer_live(exchange, admin);
        return;
    }
    struct buf body = {.cap = 4 * WHY_MAX};
    buf_append_str(&body, "{\"status\":\"");
    buf_append_str(&body, err_name(rc));
    buf_append_str(&body, "\",\"why\":\"");
    append_json(&body, why[0] != '\0' ? why : err_text(rc));
    buf_append_str(&body, "\"}\n");
    answer_text(exchange, 503, "application/json", body.failed ? SPAN_LITERAL("{}\n") : buf_span(&body));
    buf_free(&body);
}

static void answer_metrics(struct http_exchange *exchange, const struct admin *admin)
{
    (void)admin;
    struct buf body = {.cap = METRICS_MAX};
    metrics_render(&body);
    if (body.failed)
        answer_text(exchange, 500, "text/plain", span_str(err_text(body.failed)));
    else
        answer_text(exchange, 200, "text/plain; version=0.0.4", buf_span(&body));
    buf_free(&body);
}

static const struct {
    const char *path;
    void (*answer)(struct http_exchange *exchange, const struct admin *admin) SUSPENDS;
} paths[] = {
    {"/-/health/live", answer_live},
    {"/-/health/ready", answer_ready},
    {"/-/metrics", answer_metrics},
};

void admin_handle(struct http_exchange *exchange, void *arg)
{
    const struct http_request *request = http_request(exchange);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (!span_eq_str(request->path, paths[i].path))
            continue;
        if (request->method == HTTP_GET || request->method == HTTP_HEAD) {
            paths[i].answer(exchange, arg);
            return;
        }
        http_answer_header_str(exchange, "Allow", "GET, HEAD");
        answer_text(exchange, 405, "text/plain", SPAN_LITERAL("only GET and HEAD\n"));
        return;
    }
    answer_text(exchange, 404, "text/plain", SPAN_LITERAL("not here\n"));
}
