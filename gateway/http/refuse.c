/* Answers to requests that no handler sees: S3's error document, and the end of the connection. */
#include <stdio.h>
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "http/exchange.h"

#define DOCUMENT_MAX 512

static const struct refusal {
    int status;
    const char *code;
    const char *message;
} refusals[] = {
    {400, "BadRequest", "The request is not well-formed HTTP."},
    {408, "RequestTimeout", "The request's head did not arrive in time."},
    {414, "RequestURITooLong", "The request line is longer than allowed."},
    {417, "ExpectationFailed", "The only expectation known is 100-continue."},
    {431, "RequestHeaderSectionTooLarge", "The request's headers are larger than allowed."},
    {501, "NotImplemented", "The only transfer coding known is chunked."},
    {503, "SlowDown", "Please reduce your request rate."},
    {505, "HttpVersionNotSupported", "The versions known are HTTP/1.1 and HTTP/1.0."},
    {500, "InternalError", "We encountered an internal error. Please try again."},
};

static const struct refusal *refusal_of(int status)
{
    size_t last = sizeof(refusals) / sizeof(refusals[0]) - 1;
    for (size_t i = 0; i < last; i++)
        if (refusals[i].status == status)
            return &refusals[i];
    return &refusals[last];
}

static size_t write_document(const struct refusal *refusal, const char *id, char out[DOCUMENT_MAX])
{
    return (size_t)snprintf(out, DOCUMENT_MAX,
                            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                            "<Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId></Error>",
                            refusal->code, refusal->message, id);
}

void http_refuse(struct http_exchange *exchange, int status)
{
    const struct refusal *refusal = refusal_of(status);
    char document[DOCUMENT_MAX];
    size_t length = write_document(refusal, exchange->id, document);
    log_debug("http.refused", "%d %s to %s", refusal->status, refusal->code, conn_peer(exchange->conn));
    exchange->close = true;
    http_answer_header_str(exchange, "Content-Type", "application/xml");
    if (refusal->status == 503)
        http_answer_header_str(exchange, "Retry-After", "1");
    http_answer(exchange, refusal->status, span_of(document, length));
    metrics_add(METRIC_BYTES_OUT, (int64_t)exchange->answer.sent);
}

void http_refuse_conn(struct conn *conn, void *arg)
{
    struct http_server *server = arg;
    const struct refusal *refusal = refusal_of(503);
    char id[REQUEST_ID_SIZE], document[DOCUMENT_MAX], head[DOCUMENT_MAX];
    http_new_id(server, id);
    size_t length = write_document(refusal, id, document);
    int head_length = snprintf(head, sizeof(head),
                               "HTTP/1.1 503 %s\r\nServer: %s\r\nx-amz-request-id: %s\r\nRetry-After: 1\r\n"
                               "Content-Type: application/xml\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                               http_reason(503), server->name, id, length);
    struct iovec iov[2] = {{head, (size_t)head_length}, {document, length}};
    conn_writev(conn, iov, 2, REFUSE_MS);
}
