/* Heads, good and bad: each rule of http.h, and the ways in which requests are smuggled. */
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/err.h"
#include "http/http.h"

#define H "Host: a\r\n"

static struct arena *arena;

/* In memory of exactly its size, so that the sanitizer sees a read past it. The copy lives until the next call. */
static int parse(struct span head, struct http_request *out, int *status)
{
    static uint8_t *copy;
    free(copy);
    copy = malloc(head.len + (head.len == 0));
    memcpy(copy, head.ptr, head.len);
    arena_reset(arena);
    return http_parse_head(span_of(copy, head.len), arena, out, status);
}

static int status_of(struct span head)
{
    struct http_request request;
    int status = 0;
    int rc = parse(head, &request, &status);
    if (rc == 0)
        return 0;
    if (status == 400)
        assert_int_equal(rc, ERR_SYNTAX);
    else if (status == 414 || status == 431)
        assert_int_equal(rc, ERR_TOO_LARGE);
    else
        assert_int_equal(rc, ERR_UNSUPPORTED);
    return status;
}

#define HEAD(status, text) {status, SPAN_LITERAL(text)}
static const struct {
    int status;
    struct span head;
} heads[] = {
    HEAD(0, "GET / HTTP/1.1\r\n" H "\r\n"),
    HEAD(0, "GET /b/k?a=b&c HTTP/1.1\r\nhOsT:a\r\nX-Empty:\r\nX-Empty2:  \r\n\r\n"),
    HEAD(0, "GET / HTTP/1.0\r\n" H "\r\n"),
    HEAD(0, "FROBNICATE / HTTP/1.1\r\n" H "\r\n"),
    HEAD(0, "CONNECT / HTTP/1.1\r\n" H "\r\n"),
    HEAD(0, "PATCH / HTTP/1.1\r\n" H "\r\n"),
    HEAD(0, "GET / HTTP/1.1\r\n" H "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"),
    HEAD(0, "PUT / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"),
    HEAD(0, "PUT / HTTP/1.1\r\n" H "Content-Length: 9223372036854775807\r\n\r\n"),
    HEAD(0, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n"),
    HEAD(0, "GET / HTTP/1.1\r\n" H "X-Text: caf\xc3\xa9 \t x\r\n\r\n"),
    HEAD(0, "GET / HTTP/1.1\r\nHost: [::1]:9000\r\n\r\n"),
    HEAD(0, "GET / HTTP/1.1\r\nHost: a.b-c_d.e:80\r\n\r\n"),
    /* the request line */
    HEAD(400, ""),
    HEAD(400, "\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H),
    HEAD(400, "GET / HTTP/1.1\r\n" H "\r\nx"),
    HEAD(400, "GET /\r\n" H "\r\n"),
    HEAD(400, "GET  / HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "GET /  HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, " GET / HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "GET / HTTP/1.1 \r\n" H "\r\n"),
    HEAD(400, "GET\t/ HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "G(T / HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "GET /a b HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "GET /a\tb HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "GET /a\x7f HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "GET /a\0b HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "GET /a#b HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "GET http://a/ HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "CONNECT a:80 HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "OPTIONS * HTTP/1.1\r\n" H "\r\n"),
    HEAD(400, "GET / http/1.1\r\n" H "\r\n"),
    HEAD(400, "GET / HTTP/1.1x\r\n" H "\r\n"),
    HEAD(400, "GET / HTTP/11\r\n" H "\r\n"),
    HEAD(400, "GET / HTTP/x.1\r\n" H "\r\n"),
    HEAD(505, "GET / HTTP/1.2\r\n" H "\r\n"),
    HEAD(505, "GET / HTTP/2.0\r\n" H "\r\n"),
    HEAD(505, "PRI * HTTP/2.0\r\n\r\n"),
    HEAD(505, "GET / HTTP/0.9\r\n" H "\r\n"),
    /* lines */
    HEAD(400, "GET / HTTP/1.1\n" H "\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "X: a\r\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n X: a\r\n" H "\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "X : a\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "X\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H ": a\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "X(: a\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "X\xc3: a\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H "a b: c\r\n\r\n"),
    /* the host */
    HEAD(400, "GET / HTTP/1.1\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.0\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n" H H "\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    /* framing */
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Content-Length: 0x10\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Content-Length: 1 0\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Content-Length : 1\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding:\x0b" "chunked\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n chunked\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"),
    HEAD(501, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n"),
    HEAD(501, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n"),
    HEAD(501, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n"),
    HEAD(400, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n"),
    HEAD(501, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n"),
    HEAD(501, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n"),
    HEAD(501, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n"),
    /* expectations */
    HEAD(0, "PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\nExpect: 100-Continue\r\n\r\n"),
    HEAD(0, "PUT / HTTP/1.0\r\n" H "Content-Length: 1\r\nExpect: tea\r\n\r\n"),
    HEAD(417, "PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\nExpect: tea\r\n\r\n"),
    HEAD(417, "PUT / HTTP/1.1\r\n" H "Expect: 100-continue, tea\r\n\r\n"),
};

static void table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        int status = status_of(heads[i].head);
        if (status != heads[i].status)
            fail_msg("%d instead of %d for: %.*s", status, heads[i].status, SPAN_FMT(heads[i].head));
    }
}

/* No proper beginning of a good head is a head, and none is read past its end. */
static void cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        for (size_t length = 0; heads[i].status == 0 && length < heads[i].head.len; length++)
            assert_int_not_equal(status_of(span_take(heads[i].head, length)), 0);
}

static void fields(void **state)
{
    (void)state;
    struct http_request request;
    int status;
    assert_int_equal(0, parse(SPAN_LITERAL("PUT /b/k%20?uploads HTTP/1.1\r\nhost:  a:9 \t\r\nX-A: 1\r\nx-a: 2\r\nX-E:\r\n"
                                           "Content-Length: 17\r\nExpect: 100-continue\r\n\r\n"), &request, &status));
    assert_int_equal(request.method, HTTP_PUT);
    assert_true(span_eq_str(request.method_name, "PUT"));
    assert_true(span_eq_str(request.target, "/b/k%20?uploads"));
    assert_true(span_eq_str(request.path, "/b/k%20"));
    assert_true(span_eq_str(request.query, "uploads"));
    assert_true(span_eq_str(request.host, "a:9"));
    assert_int_equal(request.header_count, 6);
    assert_int_equal(request.content_length, 17);
    assert_true(request.expect_continue && request.keep_alive && !request.chunked && !request.http_1_0);
    assert_true(span_eq_str(http_header(&request, "x-a"), "1"));
    assert_int_equal(http_header_count(&request, "X-A"), 2);
    assert_non_null(http_header(&request, "x-e").ptr);
    assert_int_equal(http_header(&request, "x-e").len, 0);
    assert_null(http_header(&request, "x").ptr);

    assert_int_equal(0, parse(SPAN_LITERAL("HEAD /b? HTTP/1.0\r\n" H "Expect: 100-continue\r\n\r\n"), &request, &status));
    assert_int_equal(request.method, HTTP_HEAD);
    assert_non_null(request.query.ptr);
    assert_int_equal(request.query.len, 0);
    assert_int_equal(request.content_length, -1);
    assert_true(request.http_1_0 && !request.keep_alive && !request.expect_continue);

    assert_int_equal(0, parse(SPAN_LITERAL("GET /b HTTP/1.1\r\n" H "Connection: x, Close\r\n\r\n"), &request, &status));
    assert_null(request.query.ptr);
    assert_false(request.keep_alive);
    assert_int_equal(0, parse(SPAN_LITERAL("BREW / HTTP/1.1\r\n" H "\r\n"), &request, &status));
    assert_int_equal(request.method, HTTP_OTHER);
}

/* `count` headers of `length` bytes each (before CRLF), and a request line of `line` bytes. */
static int sized(size_t line, size_t count, size_t length)
{
    struct buf head = {0};
    buf_append_str(&head, "GET /");
    while (head.len < line - strlen(" HTTP/1.1"))
        buf_append_str(&head, "a");
    buf_append_str(&head, " HTTP/1.1\r\n" H);
    for (size_t i = 0; i < count; i++) {
        size_t begin = head.len;
        buf_append_str(&head, "X:");
        while (head.len < begin + length)
            buf_append_str(&head, "v");
        buf_append_str(&head, "\r\n");
    }
    buf_append_str(&head, "\r\n");
    int status = status_of(buf_span(&head));
    buf_free(&head);
    return status;
}

static void limits(void **state)
{
    (void)state;
    assert_int_equal(sized(8192, 0, 0), 0);
    assert_int_equal(sized(8193, 0, 0), 414);
    assert_int_equal(sized(20, 1, 8192), 0);
    assert_int_equal(sized(20, 1, 8193), 431);
    assert_int_equal(sized(20, 199, 100), 0);
    assert_int_equal(sized(20, 200, 100), 431);
    /* 27 + 2, 9 of the host, 8 times 8185 + 2, the last 2. */
    assert_int_equal(sized(27, 8, 8185), 0);
    assert_int_equal(sized(28, 8, 8185), 431);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(cut),
        cmocka_unit_test(fields),
        cmocka_unit_test(limits),
    };
    arena = arena_create(1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(arena);
    return failed;
}
