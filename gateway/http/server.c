/* Connections: each readable one gets an exchange and a fiber, which serves requests until nothing more is buffered. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "http/exchange.h"
#include "http/head.h"

/* Exchanges that a loop keeps for the next requests: 16 KiB each, and the first block of an arena. */
#define SPARE_MAX 64
/* Pipelined requests that are served before others of the loop get their turn. */
#define PIPELINE_TURN 8

void http_new_id(struct http_server *server, char id[REQUEST_ID_SIZE])
{
    static const char hex[] = "0123456789ABCDEF";
    /* The multiplier is odd, so that ids differ as the counts do. */
    uint64_t count = atomic_fetch_add_explicit(&server->id_count, 1, memory_order_relaxed);
    uint64_t value = server->id_base + count * UINT64_C(0x9E3779B97F4A7C15);
    for (int i = REQUEST_ID_SIZE - 2; i >= 0; i--, value >>= 4)
        id[i] = hex[value & 15];
    id[REQUEST_ID_SIZE - 1] = '\0';
}

struct span http_local_lines(struct http_server *server, struct http_local *local)
{
    int64_t now_ms = clock_wall_ms();
    if (local->lines_length == 0 || now_ms / 1000 != local->date_s) {
        char date[CLOCK_HTTP_SIZE];
        clock_http(now_ms, date);
        local->date_s = now_ms / 1000;
        local->lines_length = (size_t)snprintf(local->lines, sizeof(local->lines),
                                               "Date: %s\r\nServer: %s\r\nx-amz-request-id: ", date, server->name);
    }
    return span_of(local->lines, local->lines_length);
}

static void exchange_free(struct http_exchange *exchange)
{
    if (exchange == NULL)
        return;
    buf_free(&exchange->answer.fields);
    arena_free(exchange->arena);
    free(exchange->in.ptr);
    free(exchange);
}

static struct http_exchange *exchange_take(struct http_server *server, struct conn *conn)
{
    struct http_local *local = &server->locals[loop_number(loop_self())];
    struct http_exchange *exchange = local->spare;
    if (exchange != NULL) {
        local->spare = exchange->next;
        local->spare_count--;
    } else {
        exchange = calloc(1, sizeof(*exchange));
        if (exchange == NULL)
            return NULL;
        exchange->in.capacity = RECEIVE_SIZE;
        exchange->in.ptr = malloc(RECEIVE_SIZE);
        exchange->arena = arena_create(server->options.arena_limit);
        if (exchange->in.ptr == NULL || exchange->arena == NULL) {
            exchange_free(exchange);
            return NULL;
        }
        exchange->server = server;
        exchange->local = local;
    }
    exchange->conn = conn;
    exchange->close = false;
    exchange->in.base = exchange->in.start = exchange->in.end = 0;
    return exchange;
}

static void exchange_give(struct http_exchange *exchange)
{
    struct http_local *local = exchange->local;
    if (local->spare_count == SPARE_MAX || exchange->in.capacity > RECEIVE_SIZE) {
        exchange_free(exchange);
        return;
    }
    exchange->next = local->spare;
    local->spare = exchange;
    local->spare_count++;
}

/* Moves what is not used yet to the buffer's begin and sees to `room` bytes behind it. Only between requests. */
static int make_room(struct receive *in, size_t room)
{
    size_t length = in->end - in->start;
    if (in->start > 0 && length > 0)
        memmove(in->ptr, in->ptr + in->start, length);
    in->base = in->start = 0;
    in->end = length;
    if (in->capacity - in->end >= room)
        return 0;
    size_t capacity = in->capacity;
    while (capacity - in->end < room)
        capacity = capacity < RECEIVE_MAX / 2 ? capacity * 2 : capacity + RECEIVE_ROOM * 2;
    uint8_t *ptr = realloc(in->ptr, capacity);
    if (ptr == NULL)
        return ERR_NOMEM;
    in->ptr = ptr;
    in->capacity = capacity;
    return 0;
}

/* Waits for a whole head: *head stands in the buffer, with room for body bytes behind it. ERR_SYNTAX and ERR_TOO_LARGE
 * come with *status; so does ERR_TIMEOUT if a part of a head had arrived (else *status is 0). */
static int receive_head(struct http_exchange *exchange, struct span *head, int *status)
{
    struct receive *in = &exchange->in;
    struct head_scan scan = {0};
    int64_t deadline_ms = loop_now_ms() + exchange->server->options.head_timeout_ms;
    bool skipped = false;
    *status = 0;
    for (;;) {
        size_t length = in->end - in->start;
        /* One empty line before a request is ignored (RFC 9112 2.2). */
        if (!skipped && length >= 2) {
            skipped = true;
            if (memcmp(in->ptr + in->start, "\r\n", 2) == 0) {
                in->start += 2;
                length -= 2;
            }
        }
        int rc = length >= 2 ? head_scan(&scan, span_of(in->ptr + in->start, length), status) : 0;
        if (rc != 0)
            return rc;
        if (scan.end > 0)
            break;
        rc = in->capacity - in->end < RECEIVE_ROOM || length == 0 ? make_room(in, RECEIVE_ROOM) : 0;
        if (rc != 0)
            return rc;
        size_t got = 0;
        rc = conn_read(exchange->conn, in->ptr + in->end, in->capacity - in->end, deadline_ms, &got);
        if (rc != 0) {
            *status = rc == ERR_TIMEOUT && length > 0 ? 408 : 0;
            return rc;
        }
        in->end += got;
    }
    size_t behind = in->capacity - in->start - scan.end;
    if (behind < RECEIVE_ROOM) {
        size_t buffered_body = in->end - in->start - scan.end;
        int rc = make_room(in, buffered_body < RECEIVE_ROOM ? RECEIVE_ROOM - buffered_body : 0);
        if (rc != 0)
            return rc;
    }
    *head = span_of(in->ptr + in->start, scan.end);
    in->start += scan.end;
    in->base = in->start;
    return 0;
}

/* A request that is none: what is known of it is whether it is HEAD. */
static void refuse(struct http_exchange *exchange, int status, struct span head)
{
    exchange->request = (struct http_request){.content_length = -1, .method = HTTP_OTHER};
    if (span_starts(head, SPAN_LITERAL("HEAD ")))
        exchange->request.method = HTTP_HEAD;
    http_body_start(exchange);
    http_refuse(exchange, status);
}

static void run_handler(struct http_exchange *exchange)
{
    const struct http_server_options *options = &exchange->server->options;
    http_body_start(exchange);
    conn_watch(exchange->conn, fiber_self());
    options->handler(exchange, options->arg);
    http_answer_finish(exchange);
    conn_watch(exchange->conn, NULL);

    exchange->close |= exchange->answer.rc != 0 || !http_body_discard(exchange);
    metrics_add(METRIC_BYTES_IN, (int64_t)exchange->body.received);
}

/* One request from its first byte to the last of its answer; exchange->close says whether there can be another. */
static void serve_one(struct http_exchange *exchange)
{
    struct span head = SPAN_NONE;
    int status;
    http_new_id(exchange->server, exchange->id);
    http_answer_start(exchange);
    int rc = receive_head(exchange, &head, &status);
    if (rc != 0) {
        if (rc == ERR_NOMEM)
            status = 503;
        if (status != 0)
            refuse(exchange, status, span_of(exchange->in.ptr + exchange->in.start,
                                             exchange->in.end - exchange->in.start));
        exchange->close = true;
        return;
    }
    exchange->started_ns = clock_monotonic_ns();
    log_request_id(exchange->id);
    rc = http_parse_head(head, exchange->arena, &exchange->request, &status);
    if (rc != 0)
        refuse(exchange, status, head);
    else
        run_handler(exchange);
    log_request_id(NULL);
    arena_reset(exchange->arena);
}

/* Without length and chunks an answer ends with the connection: only a reset tells that this one was not completed. */
static bool would_look_complete(const struct answer *answer)
{
    return answer->rc != 0 && answer->status != 0 && answer->length < 0 && !answer->chunked && !answer->bodyless;
}

static void serve(void *arg)
{
    struct http_exchange *exchange = arg;
    struct conn *conn = exchange->conn;
    for (unsigned count = 1;; count++) {
        serve_one(exchange);
        if (exchange->close || exchange->in.start == exchange->in.end)
            break;
        if (count % PIPELINE_TURN == 0)
            fiber_yield();
    }
    bool close = exchange->close, reset = would_look_complete(&exchange->answer);
    exchange_give(exchange);
    if (reset)
        conn_reset(conn);
    else if (close)
        conn_close(conn);
    else
        conn_idle(conn);
}

static void on_readable(struct conn *conn, void *arg)
{
    struct http_exchange *exchange = exchange_take(arg, conn);
    int rc = exchange != NULL ? fiber_spawn(loop_self(), serve, exchange, NULL) : ERR_NOMEM;
    if (rc == 0)
        return;
    log_warn("http.busy", "a connection of %s is closed unserved: %s", conn_peer(conn), err_text(rc));
    if (exchange != NULL)
        exchange_give(exchange);
    conn_close(conn);
}

int http_server_create(const struct http_server_options *options, struct http_server **out)
{
    struct http_server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return ERR_NOMEM;
    server->options = *options;
    server->service = (struct conn_service){.readable = on_readable, .refuse = http_refuse_conn, .arg = server};
    snprintf(server->name, sizeof(server->name), "%s", options->server_name != NULL ? options->server_name : "Arca");
    if (getrandom(&server->id_base, sizeof(server->id_base), 0) != (ssize_t)sizeof(server->id_base))
        server->id_base = clock_monotonic_ns() ^ (uint64_t)clock_wall_ms() << 20;
    *out = server;
    return 0;
}

const struct conn_service *http_server_service(struct http_server *server)
{
    return &server->service;
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    for (unsigned i = 0; i < LOOPS_MAX; i++) {
        while (server->locals[i].spare != NULL) {
            struct http_exchange *exchange = server->locals[i].spare;
            server->locals[i].spare = exchange->next;
            exchange_free(exchange);
        }
    }
    free(server);
}

const struct http_request *http_request(const struct http_exchange *exchange)
{
    return &exchange->request;
}

struct arena *http_arena(struct http_exchange *exchange)
{
    return exchange->arena;
}

const char *http_request_id(const struct http_exchange *exchange)
{
    return exchange->id;
}

const char *http_peer(const struct http_exchange *exchange)
{
    return conn_peer(exchange->conn);
}

bool http_is_tls(const struct http_exchange *exchange)
{
    return conn_is_tls(exchange->conn);
}

uint64_t http_started_ns(const struct http_exchange *exchange)
{
    return exchange->started_ns;
}
