/* An answer: its head is held back until there is something to send it with. */
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "http/exchange.h"

#define FIELDS_MAX  65536
#define GATHER_MAX  64 /* vectors of one system call */

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Status";
}

/* Vectors on their way to one writev; `more` sends when they are full. */
struct gather {
    struct http_exchange *exchange;
    int count;
    struct iovec iov[GATHER_MAX];
};

static int gather_send(struct gather *gather)
{
    struct http_exchange *exchange = gather->exchange;
    int rc = gather->count == 0 ? 0
                                : conn_writev(exchange->conn, gather->iov, gather->count,
                                              exchange->server->options.body_timeout_ms);
    gather->count = 0;
    return rc;
}

static int gather_add(struct gather *gather, struct span bytes)
{
    int rc = gather->count == GATHER_MAX ? gather_send(gather) : 0;
    if (rc == 0 && bytes.len > 0)
        gather->iov[gather->count++] = (struct iovec){(void *)(uintptr_t)bytes.ptr, bytes.len};
    return rc;
}

/* What is held back of the head, then `before`, the spans, `after`: in as few calls as may be. */
static int answer_send(struct http_exchange *exchange, struct span before, const struct span *spans, size_t count,
                       struct span after)
{
    struct answer *answer = &exchange->answer;
    struct gather gather;
    gather.exchange = exchange;
    gather.count = 0;
    int rc = 0;
    if (answer->prelude_length > 0) {
        gather_add(&gather, span_of(answer->prelude, answer->prelude_length));
        gather_add(&gather, buf_span(&answer->fields));
        answer->prelude_length = 0;
    }
    rc = gather_add(&gather, before);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = gather_add(&gather, spans[i]);
    if (rc == 0)
        rc = gather_add(&gather, after);
    if (rc == 0)
        rc = gather_send(&gather);
    answer->rc = rc;
    return rc;
}

void http_answer_start(struct http_exchange *exchange)
{
    struct answer *answer = &exchange->answer;
    struct buf fields = answer->fields;
    if (fields.allocated > RECEIVE_SIZE)
        buf_free(&fields);
    else
        fields.len = 0;
    fields.failed = 0;
    fields.cap = FIELDS_MAX;
    answer->fields = fields;
    answer->prelude_length = 0;
    answer->status = 0;
    answer->length = 0;
    answer->sent = 0;
    answer->bodyless = answer->chunked = answer->aborted = false;
    answer->rc = 0;
}

void http_answer_header(struct http_exchange *exchange, const char *name, struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == 0) {
            log_error("http.header", "a value of %s that would break the head was dropped", name);
            return;
        }
    }
    struct buf *fields = &exchange->answer.fields;
    size_t name_length = strlen(name);
    uint8_t *p = buf_reserve(fields, name_length + value.len + 4);
    if (p == NULL)
        return;
    memcpy(p, name, name_length);
    memcpy(p + name_length, ": ", 2);
    if (value.len > 0)
        memcpy(p + name_length + 2, value.ptr, value.len);
    memcpy(p + name_length + 2 + value.len, "\r\n", 2);
    fields->len += name_length + value.len + 4;
}

void http_answer_header_str(struct http_exchange *exchange, const char *name, const char *value)
{
    http_answer_header(exchange, name, span_str(value));
}

static char *put_u64(char *end, uint64_t value)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return end;
}

void http_answer_header_u64(struct http_exchange *exchange, const char *name, uint64_t value)
{
    char digits[20];
    char *first = put_u64(digits + sizeof(digits), value);
    http_answer_header(exchange, name, span_of(first, (size_t)(digits + sizeof(digits) - first)));
}

void http_answer_clear(struct http_exchange *exchange)
{
    if (exchange->answer.status != 0)
        return;
    exchange->answer.fields.len = 0;
    exchange->answer.fields.failed = 0;
}

static char *put(char *p, const void *bytes, size_t length)
{
    memcpy(p, bytes, length);
    return p + length;
}

static char *put_str(char *p, const char *s)
{
    return put(p, s, strlen(s));
}

static void write_prelude(struct http_exchange *exchange)
{
    struct answer *answer = &exchange->answer;
    char digits[20];
    char *p = put_str(answer->prelude, "HTTP/1.1 ");
    char *first = put_u64(digits + sizeof(digits), (uint64_t)answer->status);
    p = put(p, first, (size_t)(digits + sizeof(digits) - first));
    *p++ = ' ';
    p = put_str(p, http_reason(answer->status));
    p = put(p, "\r\n", 2);
    struct span lines = http_local_lines(exchange->server, exchange->local);
    p = put(p, lines.ptr, lines.len);
    p = put(p, exchange->id, REQUEST_ID_SIZE - 1);
    p = put(p, "\r\n", 2);
    if (answer->chunked) {
        p = put_str(p, "Transfer-Encoding: chunked\r\n");
    } else if (answer->length >= 0 && answer->status != 204 && answer->status != 304) {
        first = put_u64(digits + sizeof(digits), (uint64_t)answer->length);
        p = put_str(p, "Content-Length: ");
        p = put(p, first, (size_t)(digits + sizeof(digits) - first));
        p = put(p, "\r\n", 2);
    }
    if (exchange->close)
        p = put_str(p, "Connection: close\r\n");
    answer->prelude_length = (size_t)(p - answer->prelude);
}

/* Whether the connection cannot outlive this answer, as far as it is known when the head is written. */
static bool must_close(const struct http_exchange *exchange)
{
    const struct body *body = &exchange->body;
    bool unread = body->invite || (!body->ended && (body->rc != 0 || (!body->is_chunked &&
                                                                      body->chunked.remaining > DISCARD_MAX)));
    return !exchange->request.keep_alive || unread || conn_draining(exchange->conn);
}

void http_answer_begin(struct http_exchange *exchange, int status, int64_t content_length)
{
    struct answer *answer = &exchange->answer;
    if (answer->status != 0) {
        log_error("http.answer", "an answer was begun twice: %d after %d", status, answer->status);
        http_answer_abort(exchange);
        return;
    }
    bool head = exchange->request.method == HTTP_HEAD;
    answer->status = status >= 100 && status <= 999 ? status : 500;
    answer->length = content_length;
    answer->bodyless = head || status == 204 || status == 304;
    answer->chunked = content_length < 0 && !answer->bodyless && !exchange->request.http_1_0;
    exchange->close |= must_close(exchange);
    buf_append_str(&answer->fields, "\r\n");
    if (answer->fields.failed != 0) {
        log_error("http.answer", "the head of an answer cannot be kept: %s", err_text(answer->fields.failed));
        http_answer_abort(exchange);
        answer->rc = answer->fields.failed;
        return;
    }
    write_prelude(exchange);
}

bool http_answer_begun(const struct http_exchange *exchange)
{
    return exchange->answer.status != 0;
}

int http_answer_write(struct http_exchange *exchange, const struct span *spans, size_t count)
{
    struct answer *answer = &exchange->answer;
    if (answer->status == 0)
        return ERR_BUG;
    if (answer->rc != 0 || answer->bodyless)
        return answer->rc;
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += spans[i].len;
    if (total == 0)
        return 0;
    if (answer->length >= 0 && total > (uint64_t)answer->length - answer->sent) {
        log_error("http.answer", "more body than the %lld bytes announced", (long long)answer->length);
        http_answer_abort(exchange);
        return answer->rc;
    }
    answer->sent += total;
    if (!answer->chunked)
        return answer_send(exchange, SPAN_NONE, spans, count, SPAN_NONE);

    static const char hex[] = "0123456789abcdef";
    char size[18];
    char *end = size + sizeof(size), *first = end;
    *--first = '\n';
    *--first = '\r';
    for (uint64_t rest = total; rest > 0; rest >>= 4)
        *--first = hex[rest & 15];
    return answer_send(exchange, span_of(first, (size_t)(end - first)), spans, count, SPAN_LITERAL("\r\n"));
}

int http_answer_flush(struct http_exchange *exchange)
{
    struct answer *answer = &exchange->answer;
    if (answer->rc != 0 || answer->prelude_length == 0)
        return answer->rc;
    return answer_send(exchange, SPAN_NONE, NULL, 0, SPAN_NONE);
}

int http_answer(struct http_exchange *exchange, int status, struct span body)
{
    http_answer_begin(exchange, status, (int64_t)body.len);
    int rc = http_answer_write(exchange, &body, 1);
    return rc != 0 ? rc : http_answer_flush(exchange);
}

void http_answer_abort(struct http_exchange *exchange)
{
    exchange->answer.aborted = true;
    exchange->answer.prelude_length = 0;
    exchange->answer.rc = ERR_CLOSED;
    exchange->close = true;
}

void http_answer_finish(struct http_exchange *exchange)
{
    struct answer *answer = &exchange->answer;
    if (answer->status == 0 && !answer->aborted && !fiber_canceled(fiber_self())) {
        log_error("http.answer", "a request was not answered");
        http_answer_clear(exchange);
        http_refuse(exchange, 500);
        return;
    }
    if (answer->status == 0)
        http_answer_abort(exchange);
    if (answer->rc == 0 && !answer->bodyless && answer->length >= 0 && answer->sent < (uint64_t)answer->length) {
        log_error("http.answer", "the body ended after %llu of %lld bytes", (unsigned long long)answer->sent,
                  (long long)answer->length);
        http_answer_abort(exchange);
    }
    if (answer->rc == 0 && answer->chunked)
        answer_send(exchange, SPAN_LITERAL("0\r\n\r\n"), NULL, 0, SPAN_NONE);
    else
        http_answer_flush(exchange);
    exchange->close |= answer->rc != 0;
    metrics_add(METRIC_BYTES_OUT, (int64_t)answer->sent);
}

int http_answer_status(const struct http_exchange *exchange)
{
    return exchange->answer.status;
}

uint64_t http_answer_sent(const struct http_exchange *exchange)
{
    return exchange->answer.sent;
}
