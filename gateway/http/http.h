/* HTTP/1.1 as this server speaks it: strict in what it takes. A request is an exchange: its head parsed, its body a
 * source, its answer written through http_answer_*. The rules (RFC 9112; refused with 400 unless said otherwise): exactly
 * one Host; no Transfer-Encoding together with Content-Length, none with HTTP/1.0, and none but "chunked" (501); one
 * Content-Length at most; no bare CR or LF, no control bytes, no obs-fold; targets in origin form, of visible ASCII without
 * '#'; a line of 8 KiB, 200 headers and a head of 64 KiB at most (431; 414 for the request line); no expectation but
 * 100-continue (417); HTTP/1.1 or 1.0 (505). HTTP/1.0 is served without keep-alive and without chunked answers. */
#ifndef ARCA_HTTP_HTTP_H
#define ARCA_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/source.h"
#include "base/span.h"
#include "http/header.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_PUT, HTTP_POST, HTTP_DELETE, HTTP_OPTIONS, HTTP_OTHER };

/* A parsed head. Its spans live as long as the exchange. */
struct http_request {
    enum http_method method;
    struct span method_name;
    struct span target; /* "/bucket/key?uploads", as sent */
    struct span path;   /* before '?', not decoded */
    struct span query;  /* after '?', not decoded; ptr NULL without one */
    struct http_header *headers;
    size_t header_count;
    struct span host;       /* the Host header's value */
    int64_t content_length; /* -1: none */
    bool chunked;
    bool expect_continue;
    bool keep_alive;
    bool http_1_0;
};

/* The first header of that name, or SPAN_NONE (an empty header has a ptr and len 0). */
struct span http_header(const struct http_request *request, const char *name);
/* How many headers have that name. */
size_t http_header_count(const struct http_request *request, const char *name);

/* Parses a complete head (through its empty line). Everything is checked; the spans point into `head`, which the caller
 * keeps. Pure: the fuzz target's entry. *status gets the HTTP status to refuse with.
 * 0, ERR_SYNTAX, ERR_TOO_LARGE, ERR_UNSUPPORTED (501, 505 or 417), ERR_NOMEM. */
int http_parse_head(struct span head, struct arena *arena, struct http_request *out, int *status);

struct http_exchange;

/* What the server calls for each request, on a fiber. It must answer; what it leaves unread of the body is discarded up
 * to 1 MiB (else the connection is closed). */
typedef void http_handler(struct http_exchange *exchange, void *arg) SUSPENDS;

const struct http_request *http_request(const struct http_exchange *exchange);
struct arena *http_arena(struct http_exchange *exchange); /* freed with the exchange */
const char *http_request_id(const struct http_exchange *exchange); /* 16 upper-case hex digits */
const char *http_peer(const struct http_exchange *exchange);
bool http_is_tls(const struct http_exchange *exchange);
uint64_t http_started_ns(const struct http_exchange *exchange); /* when the head was complete */

/* The body: its transfer coding undone. The first read sends "100 Continue" if the client waits for it, so a handler that
 * refuses first never invites the body. ERR_INCOMPLETE_BODY, ERR_SYNTAX (chunk framing), ERR_TIMEOUT (no progress),
 * ERR_CANCELED. Lives as long as the exchange. */
struct source *http_body(struct http_exchange *exchange);

/* --- the answer --- */

/* Adds a header; copies. Date, Server, x-amz-request-id, Connection, Content-Length and Transfer-Encoding are written by
 * the server itself. A value with CR, LF or NUL is a bug of the caller and is dropped with a log line. */
void http_answer_header(struct http_exchange *exchange, const char *name, struct span value);
void http_answer_header_str(struct http_exchange *exchange, const char *name, const char *value);
void http_answer_header_u64(struct http_exchange *exchange, const char *name, uint64_t value);
/* Forgets the headers added so far: for an error that takes the place of an answer not yet begun. */
void http_answer_clear(struct http_exchange *exchange);

/* Starts the answer: status and body length (-1: unknown, sent chunked or until close for 1.0). It is held back until the
 * first body bytes so that both leave in one system call. HEAD, 204 and 304 send no body whatever is written. */
void http_answer_begin(struct http_exchange *exchange, int status, int64_t content_length);
bool http_answer_begun(const struct http_exchange *exchange);
/* Body bytes. ERR_CLOSED, ERR_TIMEOUT, ERR_CANCELED. */
int http_answer_write(struct http_exchange *exchange, const struct span *spans, size_t count) SUSPENDS;
/* Sends what is held back without waiting for more. */
int http_answer_flush(struct http_exchange *exchange) SUSPENDS;
/* All in one: begin, the body, end. */
int http_answer(struct http_exchange *exchange, int status, struct span body) SUSPENDS;
/* The answer cannot be completed: the connection is closed without its proper end, so that the client sees it (reset, if
 * the body of an HTTP/1.0 answer would end with the connection). */
void http_answer_abort(struct http_exchange *exchange);

int http_answer_status(const struct http_exchange *exchange);     /* 0 before begin */
uint64_t http_answer_sent(const struct http_exchange *exchange);  /* body bytes sent so far */
uint64_t http_body_received(const struct http_exchange *exchange); /* body bytes read so far */

/* --- the server --- */

struct http_server_options {
    http_handler *handler;
    void *arg;
    int64_t head_timeout_ms; /* from the first byte of a head to its end */
    int64_t body_timeout_ms; /* without progress, either way; sooner for who trickles, see conn_patience */
    const char *server_name; /* the Server header */
    size_t arena_limit;      /* bytes a request's arena may take */
};

struct http_server;
struct conn_service;

/* ERR_NOMEM. Serves every connection of the listeners that name its service; pipelined requests are answered in order. */
int http_server_create(const struct http_server_options *options, struct http_server **out);
const struct conn_service *http_server_service(struct http_server *server);
void http_server_free(struct http_server *server);

#endif
