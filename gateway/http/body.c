/* A request's body: the framing undone, straight into the reader's memory. */
#include "base/err.h"
#include "base/iov.h"
#include "base/list.h"
#include "http/exchange.h"

/* From this many wanted bytes on a read goes past the receive buffer. */
#define DIRECT_MIN 4096

/* Only time spent waiting for the client is held against it, not what the server took in between. */
static int receive(struct http_exchange *exchange, const struct iovec *iov, int count, size_t *got)
{
    struct body *body = &exchange->body;
    int64_t begin_ms = loop_now_ms();
    int rc = conn_readv(exchange->conn, iov, count, begin_ms + body->patience_ms, got);
    if (rc == 0)
        body->patience_ms = conn_patience(body->patience_ms, loop_now_ms() - begin_ms, *got,
                                          exchange->server->options.body_timeout_ms);
    return rc == ERR_CLOSED ? ERR_INCOMPLETE_BODY : rc;
}

/* Reads into the empty buffer. What follows the body in it belongs to the next request. */
static int refill(struct http_exchange *exchange)
{
    struct receive *in = &exchange->in;
    in->start = in->end = in->base;
    const struct iovec iov = {in->ptr + in->end, in->capacity - in->end};
    size_t got = 0;
    int rc = receive(exchange, &iov, 1, &got);
    in->end += got;
    return rc;
}

/* At least one and at most `most` bytes of data. */
static int take(struct http_exchange *exchange, const struct iovec *iov, int count, uint64_t most, size_t *got)
{
    struct receive *in = &exchange->in;
    const struct iovec first = {iov->iov_base, iov->iov_len < most ? iov->iov_len : (size_t)most};
    if (in->start == in->end) {
        size_t wanted = iov_bytes(iov, count);
        if (wanted >= DIRECT_MIN && wanted <= most)
            return receive(exchange, iov, count, got);
        if (first.iov_len >= DIRECT_MIN)
            return receive(exchange, &first, 1, got);
        int rc = refill(exchange);
        if (rc != 0)
            return rc;
    }
    size_t buffered = in->end - in->start;
    *got = first.iov_len < buffered ? first.iov_len : buffered;
    memcpy(first.iov_base, in->ptr + in->start, *got);
    in->start += *got;
    return 0;
}

/* To the next chunk's data, or the end. */
static int next_chunk(struct http_exchange *exchange)
{
    struct receive *in = &exchange->in;
    struct chunked *chunked = &exchange->body.chunked;
    while (chunked->remaining == 0 && !chunked_ended(chunked)) {
        int rc = in->start == in->end ? refill(exchange) : 0;
        if (rc != 0)
            return rc;
        size_t used;
        rc = chunked_framing(chunked, span_of(in->ptr + in->start, in->end - in->start), &used);
        in->start += used;
        if (rc != 0)
            return rc;
    }
    exchange->body.ended = chunked_ended(chunked);
    return 0;
}

/* A client that waits for 100 Continue has sent nothing yet, unless it lost its patience. After the answer's head an
 * interim one would be a second answer. It is sent for an empty body as well: botocore takes a final answer that comes
 * without it for the answer to its next request. */
static int invite(struct http_exchange *exchange)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    exchange->body.invite = false;
    if (exchange->in.start != exchange->in.end || exchange->answer.status != 0)
        return 0;
    struct iovec iov = {(void *)(uintptr_t)text, sizeof(text) - 1};
    return conn_writev(exchange->conn, &iov, 1, exchange->server->options.body_timeout_ms);
}

static int fill(struct http_exchange *exchange, struct iovec *iov, int count, size_t *got)
{
    struct body *body = &exchange->body;
    int rc = body->invite ? invite(exchange) : 0;
    for (iov_skip(&iov, &count, 0); rc == 0 && count > 0 && !body->ended;) {
        if (body->chunked.remaining == 0) {
            rc = next_chunk(exchange);
            continue;
        }
        size_t some = 0;
        rc = take(exchange, iov, count, body->chunked.remaining, &some);
        iov_skip(&iov, &count, some);
        *got += some;
        body->received += some;
        body->chunked.remaining -= some;
        body->ended = !body->is_chunked && body->chunked.remaining == 0;
    }
    return rc;
}

static int body_readv(struct source *source, struct iovec *iov, int count, size_t *got)
{
    struct http_exchange *exchange = LIST_ENTRY(source, struct http_exchange, body.source);
    *got = 0;
    if (exchange->body.rc == 0)
        exchange->body.rc = fill(exchange, iov, count, got);
    if (exchange->body.rc != 0)
        *got = 0;
    return exchange->body.rc;
}

static int body_read(struct source *source, uint8_t *dst, size_t capacity, size_t *got)
{
    struct iovec iov = {dst, capacity};
    return body_readv(source, &iov, 1, got);
}

void http_body_start(struct http_exchange *exchange)
{
    const struct http_request *request = &exchange->request;
    struct body *body = &exchange->body;
    *body = (struct body){.is_chunked = request->chunked, .invite = request->expect_continue};
    body->patience_ms = exchange->server->options.body_timeout_ms;
    body->source = (struct source){.read = body_read, .readv = body_readv, .length = -1};
    if (!request->chunked) {
        body->source.length = request->content_length > 0 ? request->content_length : 0;
        body->chunked.remaining = (uint64_t)body->source.length;
        body->ended = body->source.length == 0;
    }
}

bool http_body_discard(struct http_exchange *exchange)
{
    struct body *body = &exchange->body;
    uint8_t scratch[16384];
    size_t left = DISCARD_MAX;
    int64_t deadline_ms = loop_now_ms() + exchange->server->options.body_timeout_ms;
    while (!body->ended && body->rc == 0 && loop_now_ms() < deadline_ms) {
        if (body->invite || (!body->is_chunked && body->chunked.remaining > left))
            return false;
        size_t got;
        if (body_read(&body->source, scratch, sizeof(scratch) < left ? sizeof(scratch) : left, &got) != 0 || got == 0)
            break;
        left -= got;
    }
    return body->ended && body->rc == 0;
}

struct source *http_body(struct http_exchange *exchange)
{
    return &exchange->body.source;
}

uint64_t http_body_received(const struct http_exchange *exchange)
{
    return exchange->body.received;
}
