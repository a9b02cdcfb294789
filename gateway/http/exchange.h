/* What an exchange is made of. One struct serves a connection from the first byte of a request until it is idle again,
 * request after request; an idle connection has none, and the loops keep spare ones. Private to http/. */
#ifndef ARCA_HTTP_EXCHANGE_H
#define ARCA_HTTP_EXCHANGE_H

#include <stdatomic.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/loop.h"
#include "http/chunked.h"
#include "http/http.h"
#include "net/listener.h"

#define RECEIVE_SIZE 16384          /* a head and a small body in one read */
#define RECEIVE_MAX  (65536 + 8192) /* HEAD_MAX and the room behind it */
#define RECEIVE_ROOM 4096           /* at least this much is left behind a head for its body */
#define DISCARD_MAX  (1 << 20)      /* bytes of unread body that are taken to keep the connection */
#define REFUSE_MS    1000           /* for the answer to a connection beyond the cap */

#define SERVER_NAME_MAX 64
#define REQUEST_ID_SIZE 17

/* Bytes from the connection: [start, end) is not used yet. A head's spans point below `base`, so that while an exchange
 * lives nothing below it moves. */
struct receive {
    uint8_t *ptr;
    size_t capacity, base, start, end;
};

struct body {
    struct source source;
    struct chunked chunked; /* remaining is used without chunking, too */
    bool is_chunked;
    bool ended;
    bool invite; /* the client waits for 100 Continue */
    int64_t patience_ms;
    int rc;      /* sticky */
    uint64_t received;
};

struct answer {
    struct buf fields;     /* the handler's header lines */
    char prelude[512];     /* status line and the server's own lines */
    size_t prelude_length; /* 0 when the head has left */
    int status;            /* 0 before begin */
    int64_t length;
    uint64_t sent;
    bool bodyless, chunked, aborted;
    int rc; /* sticky: the connection is of no more use */
};

struct http_exchange {
    struct http_server *server;
    struct http_local *local;
    struct http_exchange *next; /* among the spare ones */
    struct conn *conn;
    struct arena *arena;
    struct receive in;
    struct http_request request;
    struct body body;
    struct answer answer;
    bool close; /* after this exchange */
    uint64_t started_ns;
    char id[REQUEST_ID_SIZE];
};

/* What a loop keeps for a server. */
struct http_local {
    struct http_exchange *spare;
    unsigned spare_count;
    int64_t date_s;
    size_t lines_length;
    char lines[128 + SERVER_NAME_MAX]; /* "Date: ...\r\nServer: ...\r\nx-amz-request-id: " of this second */
};

struct http_server {
    struct http_server_options options;
    struct conn_service service;
    char name[SERVER_NAME_MAX];
    uint64_t id_base;
    atomic_uint_fast64_t id_count;
    struct http_local locals[LOOPS_MAX];
};

void http_new_id(struct http_server *server, char id[REQUEST_ID_SIZE]);
/* The lines of http_local, up to date. */
struct span http_local_lines(struct http_server *server, struct http_local *local);

/* body.c: binds the body to the request just parsed. */
void http_body_start(struct http_exchange *exchange);
/* Takes what the handler left, at most DISCARD_MAX and for body_timeout_ms. False when the connection cannot go on. */
bool http_body_discard(struct http_exchange *exchange) SUSPENDS;

/* answer.c */
void http_answer_start(struct http_exchange *exchange);
/* After the handler: completes the answer, or notes that it cannot be. */
void http_answer_finish(struct http_exchange *exchange) SUSPENDS;
const char *http_reason(int status);

/* refuse.c: the answer to a request that no handler sees. Closes after it. */
void http_refuse(struct http_exchange *exchange, int status) SUSPENDS;
/* conn_service's refuse: the connection cap. */
void http_refuse_conn(struct conn *conn, void *server) SUSPENDS;

#endif
