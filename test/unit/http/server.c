/* The server over loopback sockets: a loop thread serves, the test is a client that blocks (for 10 s at most). */
#include "unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "http/http.h"
#include "net/listener.h"

#define H "Host: a\r\n"

/* Of two servers, one gives a client up after 300 ms, for the tests of that; the other one has time for all that a busy
 * machine may do to a client. */
struct door {
    struct http_server *server;
    struct listener *listener;
};

static struct loop *loop;
static struct door hasty, patient;
static int canceled_fd[2]; /* the handler tells through it that it was cancelled */

/* --- handlers, by path --- */

/* Answers with the body, which is read into several pieces of memory at once. */
static void echo(struct http_exchange *exchange)
{
    struct buf body = {0};
    uint8_t *piece = malloc(100000);
    size_t got;
    int rc;
    do {
        struct iovec iov[] = {{piece, 1}, {piece + 1, 0}, {piece + 1, 29999}, {piece + 30000, 70000}};
        if ((rc = source_readv(http_body(exchange), iov, 4, &got)) == 0)
            buf_append(&body, span_of(piece, got));
    } while (rc == 0 && got > 0);
    http_answer_header_str(exchange, "X-Read", rc == 0 ? "ok" : err_name(rc));
    http_answer(exchange, rc == 0 ? 200 : 400, buf_span(&body));
    buf_free(&body);
    free(piece);
}

/* A body of unknown length, in several writes. */
static void stream(struct http_exchange *exchange)
{
    const struct span two[] = {SPAN_LITERAL("ab"), SPAN_LITERAL("cdefghijklmnopqr")};
    http_answer_begin(exchange, 200, -1);
    assert_int_equal(0, http_answer_write(exchange, NULL, 0));
    assert_int_equal(0, http_answer_write(exchange, two, 2));
    assert_int_equal(0, http_answer_write(exchange, &two[0], 1));
}

static void wait_for_cancel(struct http_exchange *exchange)
{
    int rc = fiber_wait(loop_now_ms() + 10000);
    ssize_t n = write(canceled_fd[1], rc == ERR_CANCELED ? "c" : "?", 1);
    (void)n;
    (void)exchange;
}

static void handle(struct http_exchange *exchange, void *arg)
{
    const struct http_request *request = http_request(exchange);
    (void)arg;
    if (span_eq_str(request->path, "/echo")) {
        echo(exchange);
    } else if (span_eq_str(request->path, "/refuse")) {
        http_answer(exchange, 403, SPAN_LITERAL("no"));
    } else if (span_eq_str(request->path, "/stream")) {
        stream(exchange);
    } else if (span_eq_str(request->path, "/short")) {
        http_answer_begin(exchange, 200, 100);
        http_answer_write(exchange, &SPAN_LITERAL("little"), 1);
    } else if (span_eq_str(request->path, "/long")) {
        http_answer_begin(exchange, 200, 3);
        assert_int_not_equal(0, http_answer_write(exchange, &SPAN_LITERAL("more"), 1));
    } else if (span_eq_str(request->path, "/abort")) {
        stream(exchange);
        http_answer_abort(exchange);
        assert_int_equal(ERR_CLOSED, http_answer_write(exchange, &SPAN_LITERAL("more"), 1));
    } else if (span_eq_str(request->path, "/nothing")) {
        return;
    } else if (span_eq_str(request->path, "/204")) {
        http_answer(exchange, 204, SPAN_LITERAL("ignored"));
    } else if (span_eq_str(request->path, "/304")) {
        http_answer(exchange, 304, SPAN_LITERAL("ignored"));
    } else if (span_eq_str(request->path, "/inject")) {
        http_answer_header_str(exchange, "X-Forgotten", "x");
        http_answer_clear(exchange);
        http_answer_header_str(exchange, "X-Bad", "a\r\nX-Evil: b");
        http_answer_header_u64(exchange, "X-Number", UINT64_MAX);
        http_answer(exchange, 200, SPAN_LITERAL("ok"));
    } else if (span_eq_str(request->path, "/wait")) {
        wait_for_cancel(exchange);
    } else {
        http_answer(exchange, 200, request->target);
    }
}

/* --- the client --- */

static int dial_at(const struct door *door)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(listener_port(door->listener)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval timeout = {10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    assert_int_equal(0, connect(fd, (struct sockaddr *)&address, sizeof(address)));
    return fd;
}

static int dial(void)
{
    return dial_at(&patient);
}

static void say(int fd, struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        assert_true(n > 0);
        bytes = span_skip(bytes, (size_t)n);
    }
}

static void say_str(int fd, const char *text)
{
    say(fd, span_str(text));
}

/* What has been received and not looked at. One client at a time. */
static char inbox[1 << 22];
static size_t inbox_length;

static bool receive_more(int fd)
{
    assert_true(inbox_length < sizeof(inbox) - 1);
    /* A wait that has a time limit is interrupted when the process was stopped or frozen: signal(7). */
    ssize_t n = TEMP_FAILURE_RETRY(recv(fd, inbox + inbox_length, sizeof(inbox) - 1 - inbox_length, 0));
    assert_true(n >= 0);
    inbox_length += (size_t)n;
    inbox[inbox_length] = '\0';
    return n > 0;
}

struct reply {
    int status;
    char head[4096];
    struct span body; /* until the next reply */
};

static bool has(const struct reply *reply, const char *text)
{
    return strcasestr(reply->head, text) != NULL;
}

static size_t take_chunks(int fd, char *from)
{
    size_t at = (size_t)(from - inbox), length = 0;
    static char body[1 << 16];
    for (;;) {
        char *end;
        while ((end = strstr(inbox + at, "\r\n")) == NULL)
            assert_true(receive_more(fd));
        size_t size = strtoul(inbox + at, NULL, 16);
        size_t data = (size_t)(end - inbox) + 2;
        while (inbox_length < data + size + 2)
            assert_true(receive_more(fd));
        assert_memory_equal(inbox + data + size, "\r\n", 2);
        memcpy(body + length, inbox + data, size);
        length += size;
        at = data + size + 2;
        if (size == 0)
            break;
    }
    memcpy(from, body, length);
    memmove(from + length, inbox + at, inbox_length - at + 1);
    inbox_length -= at - (size_t)(from - inbox) - length;
    return length;
}

/* The next reply. `bodyless`: to a HEAD. */
static void reply_of(int fd, bool bodyless, struct reply *reply)
{
    static char body[1 << 21];
    char *end;
    while ((end = strstr(inbox, "\r\n\r\n")) == NULL)
        assert_true(receive_more(fd));
    size_t head = (size_t)(end - inbox) + 4;
    assert_true(head < sizeof(reply->head));
    memcpy(reply->head, inbox, head);
    reply->head[head] = '\0';
    assert_int_equal(1, sscanf(reply->head, "HTTP/1.1 %d ", &reply->status));
    size_t length = 0;
    const char *announced = strcasestr(reply->head, "\r\nContent-Length: ");
    if (!bodyless && has(reply, "Transfer-Encoding: chunked"))
        length = take_chunks(fd, inbox + head);
    else if (!bodyless && announced != NULL)
        length = strtoul(announced + 18, NULL, 10);
    while (inbox_length < head + length)
        assert_true(receive_more(fd));
    memcpy(body, inbox + head, length);
    reply->body = span_of(body, length);
    inbox_length -= head + length;
    memmove(inbox, inbox + head + length, inbox_length + 1);
}

static bool at_end(int fd)
{
    return inbox_length == 0 && !receive_more(fd);
}

static void hang_up(int fd)
{
    close(fd);
    inbox_length = 0;
    inbox[0] = '\0';
}

/* --- tests --- */

static void keep_alive(void **state)
{
    (void)state;
    struct reply reply;
    char ids[3][17];
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        say_str(fd, &"\r\nGET /x?y HTTP/1.1\r\n" H "\r\n"[i == 1 ? 0 : 2]);
        reply_of(fd, false, &reply);
        assert_int_equal(reply.status, 200);
        assert_true(span_eq_str(reply.body, "/x?y"));
        assert_true(has(&reply, "\r\nDate: ") && has(&reply, "\r\nServer: Arca\r\n") && !has(&reply, "Connection:"));
        const char *id = strcasestr(reply.head, "x-amz-request-id: ");
        assert_non_null(id);
        memcpy(ids[i], id + 18, 16);
        ids[i][16] = '\0';
        assert_int_equal(strspn(ids[i], "0123456789ABCDEF"), 16);
    }
    assert_string_not_equal(ids[0], ids[1]);
    assert_string_not_equal(ids[1], ids[2]);
    say_str(fd, "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    reply_of(fd, false, &reply);
    assert_true(has(&reply, "Connection: close\r\n"));
    assert_true(at_end(fd));
    hang_up(fd);
}

static void pipelining(void **state)
{
    (void)state;
    struct reply reply;
    struct buf all = {0};
    int fd = dial();
    for (int i = 0; i < 100; i++)
        buf_printf(&all, "PUT /echo HTTP/1.1\r\n" H "Content-Length: 300\r\nX-Pad: %0*d\r\n\r\n%0300d", i * 5 + 1, 0, i);
    say(fd, buf_span(&all));
    buf_free(&all);
    for (int i = 0; i < 100; i++) {
        char wanted[301];
        snprintf(wanted, sizeof(wanted), "%0300d", i);
        reply_of(fd, false, &reply);
        assert_true(span_eq_str(reply.body, wanted));
    }
    hang_up(fd);
}

static void byte_by_byte(void **state)
{
    (void)state;
    static const char request[] = "PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n";
    struct reply reply;
    int fd = dial();
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(request) - 1; i++)
            say(fd, span_of(request + i, 1));
        reply_of(fd, false, &reply);
        assert_true(span_eq_str(reply.body, "abcd"));
    }
    hang_up(fd);
}

static struct span big_body(size_t length)
{
    static uint8_t bytes[1 << 21];
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(i * 131 >> 3);
    return span_of(bytes, length);
}

static void big_bodies(void **state)
{
    (void)state;
    struct span body = big_body(1500000);
    struct reply reply;
    char text[100];
    int fd = dial();
    snprintf(text, sizeof(text), "PUT /echo HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", body.len);
    say_str(fd, text);
    say(fd, body);
    reply_of(fd, false, &reply);
    assert_true(span_eq(reply.body, body));

    say_str(fd, "PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0, size = 1; at < body.len; at += size, size = size * 3 % 70001 + 1) {
        struct span chunk = span_take(span_skip(body, at), size);
        snprintf(text, sizeof(text), "%zX\r\n", chunk.len);
        say_str(fd, text);
        say(fd, chunk);
        say_str(fd, "\r\n");
    }
    say_str(fd, "0\r\nX-Trailer: x\r\n\r\nGET /next HTTP/1.1\r\n" H "\r\n");
    reply_of(fd, false, &reply);
    assert_true(span_eq(reply.body, body));
    reply_of(fd, false, &reply);
    assert_true(span_eq_str(reply.body, "/next"));
    hang_up(fd);
}

static void hundred_continue(void **state)
{
    (void)state;
    static const char head[] = "PUT /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    struct reply reply;
    int fd = dial();
    say_str(fd, head);
    reply_of(fd, true, &reply);
    assert_string_equal(reply.head, "HTTP/1.1 100 Continue\r\n\r\n");
    say_str(fd, "abc");
    reply_of(fd, false, &reply);
    assert_true(span_eq_str(reply.body, "abc"));
    /* Who does not wait is not told. */
    char both[200];
    snprintf(both, sizeof(both), "%sxyz", head);
    say_str(fd, both);
    reply_of(fd, false, &reply);
    assert_int_equal(reply.status, 200);
    assert_true(span_eq_str(reply.body, "xyz"));
    /* botocore takes a final answer without it for the next one's on that connection, even if there is nothing to send. */
    for (int i = 0; i < 2; i++) {
        say_str(fd, "PUT /echo HTTP/1.1\r\n" H "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n");
        reply_of(fd, true, &reply);
        assert_string_equal(reply.head, "HTTP/1.1 100 Continue\r\n\r\n");
        reply_of(fd, false, &reply);
        assert_int_equal(reply.status, 200);
    }
    /* Who is refused is never invited. */
    say_str(fd, "PUT /refuse HTTP/1.1\r\n" H "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    reply_of(fd, false, &reply);
    assert_int_equal(reply.status, 403);
    assert_true(has(&reply, "Connection: close"));
    assert_true(at_end(fd));
    hang_up(fd);
}

static void unread_bodies(void **state)
{
    (void)state;
    struct reply reply;
    char text[200];
    int fd = dial();
    struct span body = big_body(1 << 20);
    /* Up to 1 MiB is discarded and the connection goes on. */
    snprintf(text, sizeof(text), "PUT /refuse HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", body.len);
    say_str(fd, text);
    say(fd, body);
    say_str(fd, "GET /next HTTP/1.1\r\n" H "\r\n");
    reply_of(fd, false, &reply);
    assert_int_equal(reply.status, 403);
    assert_false(has(&reply, "Connection: close"));
    reply_of(fd, false, &reply);
    assert_true(span_eq_str(reply.body, "/next"));
    /* More ends it, and the answer arrives though the client goes on sending. */
    snprintf(text, sizeof(text), "PUT /refuse HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", body.len + 1);
    say_str(fd, text);
    say(fd, body);
    reply_of(fd, false, &reply);
    assert_int_equal(reply.status, 403);
    assert_true(has(&reply, "Connection: close"));
    assert_true(at_end(fd));
    hang_up(fd);
    /* What cannot be discarded because its framing is broken does, too. */
    fd = dial();
    say_str(fd, "PUT /refuse HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nxyz\r\n");
    reply_of(fd, false, &reply);
    assert_int_equal(reply.status, 403);
    assert_true(at_end(fd));
    hang_up(fd);
}

static void broken_bodies(void **state)
{
    (void)state;
    struct reply reply;
    int fd = dial();
    say_str(fd, "PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n");
    reply_of(fd, false, &reply);
    assert_true(has(&reply, "X-Read: syntax"));
    assert_true(has(&reply, "Connection: close"));
    assert_true(at_end(fd));
    hang_up(fd);

    fd = dial_at(&hasty); /* no progress within body_timeout_ms */
    say_str(fd, "PUT /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nab");
    reply_of(fd, false, &reply);
    assert_true(has(&reply, "X-Read: timeout"));
    assert_true(at_end(fd));
    hang_up(fd);
}

/* Sends `size` bytes each `pause_ms` until the server answers or `count` times; how often it did. */
static int trickle(int fd, size_t size, int pause_ms, int count)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    int sent = 0;
    while (sent < count && TEMP_FAILURE_RETRY(poll(&readable, 1, pause_ms)) == 0) {
        if (send(fd, big_body(size).ptr, size, MSG_NOSIGNAL) < 0)
            break;
        sent++;
    }
    return sent;
}

static void trickled_bodies(void **state)
{
    (void)state;
    struct reply reply;
    int fd = dial_at(&hasty); /* progress all the time, but hardly any */
    say_str(fd, "PUT /echo HTTP/1.1\r\n" H "Content-Length: 1000\r\n\r\n");
    assert_in_range(trickle(fd, 1, 50, 100), 0, 50);
    reply_of(fd, false, &reply);
    assert_true(has(&reply, "X-Read: timeout"));
    assert_true(at_end(fd));
    hang_up(fd);

    /* Slow, but not too slow, and for longer than body_timeout_ms. */
    bool good = false;
    for (int tries = 0; tries < 5 && !good; tries++) {
        fd = dial_at(&hasty);
        say_str(fd, "PUT /echo HTTP/1.1\r\n" H "Content-Length: 20000\r\n\r\n");
        if (trickle(fd, 1000, 30, 20) == 20) {
            reply_of(fd, false, &reply);
            good = has(&reply, "X-Read: ok");
        }
        if (!good) /* a pause of this machine is too slow */
            hang_up(fd);
    }
    assert_true(good);

    /* What nobody reads is not waited for that long. */
    say_str(fd, "PUT /refuse HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\n");
    reply_of(fd, false, &reply);
    assert_int_equal(reply.status, 403);
    assert_in_range(trickle(fd, 1000, 30, 200), 0, 100);
    hang_up(fd);
}

static void answers(void **state)
{
    (void)state;
    struct reply reply;
    int fd = dial();
    say_str(fd, "GET /stream HTTP/1.1\r\n" H "\r\nHEAD /stream HTTP/1.1\r\n" H "\r\n");
    reply_of(fd, false, &reply);
    assert_true(has(&reply, "Transfer-Encoding: chunked") && !has(&reply, "Content-Length"));
    assert_true(span_eq_str(reply.body, "abcdefghijklmnopqrab"));
    reply_of(fd, true, &reply);
    assert_false(has(&reply, "Content-Length"));

    say_str(fd, "HEAD /12345 HTTP/1.1\r\n" H "\r\nGET /204 HTTP/1.1\r\n" H "\r\nGET /304 HTTP/1.1\r\n" H "\r\n"
                "GET /inject HTTP/1.1\r\n" H "\r\n");
    reply_of(fd, true, &reply);
    assert_true(has(&reply, "Content-Length: 6\r\n"));
    reply_of(fd, true, &reply);
    assert_true(reply.status == 204 && !has(&reply, "Content-Length"));
    reply_of(fd, true, &reply);
    assert_true(reply.status == 304 && !has(&reply, "Content-Length"));
    reply_of(fd, false, &reply);
    assert_true(has(&reply, "X-Number: 18446744073709551615\r\n"));
    assert_false(has(&reply, "X-Evil") || has(&reply, "X-Bad") || has(&reply, "X-Forgotten"));
    assert_true(span_eq_str(reply.body, "ok"));
    hang_up(fd);
}

static void old_version(void **state)
{
    (void)state;
    struct reply reply;
    int fd = dial();
    say_str(fd, "GET /stream HTTP/1.0\r\n" H "\r\n");
    while (receive_more(fd))
        ;
    assert_null(strstr(inbox, "chunked"));
    assert_non_null(strstr(inbox, "Connection: close"));
    assert_string_equal(strstr(inbox, "\r\n\r\n") + 4, "abcdefghijklmnopqrab");
    hang_up(fd);
    fd = dial();
    say_str(fd, "GET /x HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n");
    reply_of(fd, false, &reply);
    assert_true(has(&reply, "Connection: close"));
    assert_true(at_end(fd));
    hang_up(fd);
    /* An answer that ends with the connection and was not completed must not look like one that was. */
    fd = dial();
    say_str(fd, "GET /abort HTTP/1.0\r\n" H "\r\n");
    ssize_t n;
    while ((n = recv(fd, inbox, sizeof(inbox), 0)) > 0)
        ;
    assert_true(n < 0 && errno == ECONNRESET);
    hang_up(fd);
}

static void handlers_gone_wrong(void **state)
{
    (void)state;
    struct reply reply;
    int fd = dial();
    say_str(fd, "GET /short HTTP/1.1\r\n" H "\r\n");
    while (receive_more(fd))
        ;
    assert_non_null(strstr(inbox, "Content-Length: 100\r\n"));
    assert_string_equal(strstr(inbox, "\r\n\r\n") + 4, "little");
    hang_up(fd);
    fd = dial();
    say_str(fd, "GET /long HTTP/1.1\r\n" H "\r\n");
    assert_true(at_end(fd));
    hang_up(fd);
    fd = dial();
    say_str(fd, "GET /abort HTTP/1.1\r\n" H "\r\n");
    while (receive_more(fd))
        ;
    assert_string_equal(strstr(inbox, "\r\n\r\n") + 4, "12\r\nabcdefghijklmnopqr\r\n2\r\nab\r\n");
    hang_up(fd);
    fd = dial();
    say_str(fd, "GET /nothing HTTP/1.1\r\n" H "\r\n");
    reply_of(fd, false, &reply);
    assert_int_equal(reply.status, 500);
    assert_non_null(memmem(reply.body.ptr, reply.body.len, "<Code>InternalError</Code>", 26));
    assert_true(at_end(fd));
    hang_up(fd);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
        const char *code;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400, "BadRequest"},
        {"GET / HTTP/1.1\n", 400, "BadRequest"}, /* at once: nothing that may follow mends it */
        {"GET / HTTP/3.0\r\n" H "\r\n", 505, "HttpVersionNotSupported"},
        {"PUT / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n", 501, "NotImplemented"},
        {"PUT / HTTP/1.1\r\n" H "Expect: x\r\n\r\n", 417, "ExpectationFailed"},
        {"GET / HTTP/1.1\r\nHo", 408, "RequestTimeout"},
    };
    struct reply reply;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = dial_at(cases[i].status == 408 ? &hasty : &patient);
        say_str(fd, cases[i].text);
        reply_of(fd, false, &reply);
        assert_int_equal(reply.status, cases[i].status);
        assert_true(has(&reply, "Connection: close") && has(&reply, "x-amz-request-id") && has(&reply, "application/xml"));
        assert_non_null(memmem(reply.body.ptr, reply.body.len, cases[i].code, strlen(cases[i].code)));
        assert_true(at_end(fd));
        hang_up(fd);
    }
    int fd = dial();
    say_str(fd, "HEAD / HTTP/1.1\r\n\r\n");
    reply_of(fd, true, &reply);
    assert_int_equal(reply.status, 400);
    assert_true(at_end(fd));
    hang_up(fd);
}

static void big_heads(void **state)
{
    (void)state;
    struct reply reply;
    struct buf head = {0};
    buf_append_str(&head, "PUT /echo HTTP/1.1\r\n" H "Content-Length: 9000\r\n");
    for (int i = 0; i < 8; i++)
        buf_printf(&head, "X-%d: %08000d\r\n", i, 0);
    int fd = dial();
    for (int round = 0; round < 2; round++) {
        struct span body = big_body(9000);
        say(fd, buf_span(&head));
        say_str(fd, "\r\n");
        say(fd, body);
        reply_of(fd, false, &reply);
        assert_int_equal(reply.status, 200);
        assert_true(span_eq(reply.body, body));
    }
    buf_printf(&head, "X: %03000d\r\n\r\n", 0);
    say(fd, buf_span(&head));
    reply_of(fd, false, &reply);
    assert_int_equal(reply.status, 431);
    assert_true(at_end(fd));
    hang_up(fd);
    buf_free(&head);

    fd = dial();
    struct span line = big_body(9000);
    memset((void *)(uintptr_t)line.ptr, 'a', line.len);
    say_str(fd, "GET /");
    say(fd, line);
    reply_of(fd, false, &reply);
    assert_int_equal(reply.status, 414);
    hang_up(fd);
}

static void gone_peer_cancels(void **state)
{
    (void)state;
    char byte = 0;
    int fd = dial();
    say_str(fd, "GET /wait HTTP/1.1\r\n" H "\r\n");
    hang_up(fd);
    struct pollfd wait = {canceled_fd[0], POLLIN, 0};
    assert_int_equal(1, poll(&wait, 1, 10000));
    assert_int_equal(1, read(canceled_fd[0], &byte, 1));
    assert_int_equal(byte, 'c');
}

static void connection_cap(void **state)
{
    (void)state;
    int fds[8];
    struct reply reply;
    /* Those that earlier tests have closed may linger. */
    for (int tries = 0;; tries++) {
        int fd = dial();
        say_str(fd, "GET / HTTP/1.1\r\n" H "\r\n");
        reply_of(fd, false, &reply);
        if (reply.status == 503 || tries == 8) {
            assert_int_equal(reply.status, 503);
            assert_true(has(&reply, "Retry-After: ") && has(&reply, "Connection: close"));
            assert_non_null(memmem(reply.body.ptr, reply.body.len, "<Code>SlowDown</Code>", 21));
            assert_true(at_end(fd));
            hang_up(fd);
            while (tries > 0)
                hang_up(fds[--tries]);
            return;
        }
        fds[tries] = fd;
    }
}

static int open_door(struct door *door, int64_t timeout_ms)
{
    struct http_server_options options = {.handler = handle, .head_timeout_ms = timeout_ms,
                                          .body_timeout_ms = timeout_ms, .server_name = "Arca", .arena_limit = 1 << 20};
    if (http_server_create(&options, &door->server) != 0)
        return -1;
    struct listener_options listening = {.address = "127.0.0.1", .service = http_server_service(door->server),
                                         .loops = &loop, .loop_count = 1, .connections_max = 8,
                                         .idle_timeout_ms = 60000, .head_timeout_ms = timeout_ms};
    return listener_open(&listening, &door->listener);
}

static int set_up(void **state)
{
    (void)state;
    log_setup(LOG_ERROR + 1, LOG_TEXT); /* handlers go wrong on purpose */
    return pipe(canceled_fd) != 0 || loop_create(&(struct loop_options){.number = 0}, &loop) != 0 ||
           open_door(&hasty, 300) != 0 || open_door(&patient, 30000) != 0 || loop_start(loop) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    listener_drain(hasty.listener);
    listener_drain(patient.listener);
    loop_stop(loop);
    loop_join(loop);
    loop_free(loop);
    listener_free(hasty.listener);
    listener_free(patient.listener);
    http_server_free(hasty.server);
    http_server_free(patient.server);
    close(canceled_fd[0]);
    close(canceled_fd[1]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keep_alive),
        cmocka_unit_test(pipelining),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(big_bodies),
        cmocka_unit_test(hundred_continue),
        cmocka_unit_test(unread_bodies),
        cmocka_unit_test(broken_bodies),
        cmocka_unit_test(trickled_bodies),
        cmocka_unit_test(answers),
        cmocka_unit_test(old_version),
        cmocka_unit_test(handlers_gone_wrong),
        cmocka_unit_test(refusals),
        cmocka_unit_test(big_heads),
        cmocka_unit_test(gone_peer_cancels),
        cmocka_unit_test(connection_cap),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
