/* The pipeline of a body, built and given up. What it leaves behind is LeakSanitizer's to find. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/err.h"
#include "http/exchange.h"
#include "s3/checked_body.h"
#include "s3/request.h"

#define SIGNATURE "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"

static struct span wire;

static int read_wire(struct source *source, uint8_t *dst, size_t capacity, size_t *got)
{
    (void)source;
    *got = capacity < wire.len ? capacity : wire.len;
    if (*got > 0)
        memcpy(dst, wire.ptr, *got);
    wire = span_skip(wire, *got);
    return 0;
}

static void a_signed_chunk_left_half_read_is_released(void **state)
{
    (void)state;
    struct http_header header = {SPAN_LITERAL("x-amz-decoded-content-length"), SPAN_LITERAL("6")};
    struct http_request request = {.headers = &header, .header_count = 1, .content_length = 93};
    struct http_exchange *exchange = calloc(1, sizeof(*exchange));
    struct s3_request r = {.http = &request, .exchange = exchange, .arena = arena_create(1 << 20)};
    struct checked_body body;
    uint8_t three[3];
    size_t got;
    assert_true(exchange != NULL && r.arena != NULL);
    wire = SPAN_LITERAL("6;chunk-signature=" SIGNATURE "\r\nabcdef\r\n");
    exchange->body.source = (struct source){.read = read_wire, .length = 93};
    r.identity.payload = AUTH_PAYLOAD_CHUNKED_SIGNED;
    assert_int_equal(checked_body_open(&r, DIGEST_CRC32, 0, &body), 0);
    assert_int_equal(source_read(body.source, three, sizeof(three), &got), 0);
    assert_int_equal(got, 3);
    checked_body_close(&body);
    arena_free(r.arena);
    free(exchange);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_signed_chunk_left_half_read_is_released)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
