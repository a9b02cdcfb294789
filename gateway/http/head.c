/* The rules of a request's head that llhttp does not look at, or leaves to its user. */
#include "base/err.h"
#include "http/head.h"
#include "http/http.h"

static int refuse(int *status, int code)
{
    *status = code;
    if (code == 400)
        return ERR_SYNTAX;
    return code == 414 || code == 431 ? ERR_TOO_LARGE : ERR_UNSUPPORTED;
}

static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
              (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL)))
            return false;
    }
    return s.len > 0;
}

static enum http_method method_of(struct span name)
{
    static const struct {
        struct span name;
        enum http_method method;
    } methods[] = {
        {SPAN_LITERAL("GET"), HTTP_GET},       {SPAN_LITERAL("PUT"), HTTP_PUT},
        {SPAN_LITERAL("HEAD"), HTTP_HEAD},     {SPAN_LITERAL("POST"), HTTP_POST},
        {SPAN_LITERAL("DELETE"), HTTP_DELETE}, {SPAN_LITERAL("OPTIONS"), HTTP_OPTIONS},
    };
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (span_eq(name, methods[i].name))
            return methods[i].method;
    return HTTP_OTHER;
}

/* Origin form in visible ASCII. '#' has no place in a target (RFC 9112 3.2.1): readers differ about what it cuts. */
static bool is_target(struct span target)
{
    if (target.len == 0 || target.ptr[0] != '/')
        return false;
    unsigned bad = 0;
    for (size_t i = 0; i < target.len; i++)
        bad |= (unsigned)(target.ptr[i] <= 0x20) | (unsigned)(target.ptr[i] >= 0x7f) | (unsigned)(target.ptr[i] == '#');
    return bad == 0;
}

static int parse_version(struct span version, bool *is_1_0, int *status)
{
    if (version.len != 8 || !span_starts(version, SPAN_LITERAL("HTTP/")) || version.ptr[6] != '.' ||
        version.ptr[5] < '0' || version.ptr[5] > '9' || version.ptr[7] < '0' || version.ptr[7] > '9')
        return refuse(status, 400);
    *is_1_0 = version.ptr[7] == '0';
    return version.ptr[5] == '1' && version.ptr[7] <= '1' ? 0 : refuse(status, 505);
}

static int parse_request_line(struct span line, struct http_request *out, int *status)
{
    struct span rest = span_split(line, ' ', &out->method_name);
    struct span version = span_split(rest, ' ', &out->target);
    if (!is_token(out->method_name) || version.ptr == NULL)
        return refuse(status, 400);
    int rc = parse_version(version, &out->http_1_0, status);
    if (rc != 0)
        return rc;
    if (!is_target(out->target))
        return refuse(status, 400);
    out->method = method_of(out->method_name);
    out->query = span_split(out->target, '?', &out->path);
    return 0;
}

static bool is_host(struct span host)
{
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.ptr[i];
        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
              (c != 0 && strchr("-._~%!$&'()*+,;=:[]", c) != NULL)))
            return false;
    }
    return host.len > 0;
}

static bool has_close(struct span connection)
{
    while (connection.ptr != NULL) {
        struct span token;
        connection = span_split(connection, ',', &token);
        if (span_ieq(span_trim(token), SPAN_LITERAL("close")))
            return true;
    }
    return false;
}

/* The headers that decide how the message is framed and to whom it is. */
struct framing {
    unsigned hosts, lengths, codings, expects;
    bool length_valid, coding_chunked, expect_valid, close;
};

static void note_header(const struct http_header *header, struct framing *framing, struct http_request *out)
{
    struct span name = header->name, value = header->value;
    if (name.len == 4 && span_ieq(name, SPAN_LITERAL("host"))) {
        framing->hosts++;
        out->host = value;
    } else if (name.len == 6 && span_ieq(name, SPAN_LITERAL("expect"))) {
        framing->expects++;
        framing->expect_valid = span_ieq(value, SPAN_LITERAL("100-continue"));
    } else if (name.len == 10 && span_ieq(name, SPAN_LITERAL("connection"))) {
        framing->close |= has_close(value);
    } else if (name.len == 14 && span_ieq(name, SPAN_LITERAL("content-length"))) {
        uint64_t length = 0;
        framing->lengths++;
        framing->length_valid = span_to_u64(value, &length) == 0 && length <= INT64_MAX;
        out->content_length = (int64_t)length;
    } else if (name.len == 17 && span_ieq(name, SPAN_LITERAL("transfer-encoding"))) {
        framing->codings++;
        framing->coding_chunked = span_ieq(value, SPAN_LITERAL("chunked"));
    }
}

static int check_framing(struct http_request *out, int *status)
{
    struct framing framing = {0};
    out->content_length = -1;
    for (size_t i = 0; i < out->header_count; i++)
        note_header(&out->headers[i], &framing, out);
    if (framing.lengths > 1 || framing.codings > 1 || (framing.lengths && framing.codings))
        return refuse(status, 400);
    if (framing.lengths && !framing.length_valid)
        return refuse(status, 400);
    if (framing.codings && out->http_1_0)
        return refuse(status, 400);
    if (framing.codings && !framing.coding_chunked)
        return refuse(status, 501);
    out->chunked = framing.codings == 1;
    if (framing.hosts != 1 || !is_host(out->host))
        return refuse(status, 400);
    /* An HTTP/1.0 client's expectation is ignored, and without a body there is nothing to wait for (RFC 9110 10.1.1); an
     * empty one counts, because botocore waits for it. */
    if (framing.expects && !out->http_1_0 && (framing.expects > 1 || !framing.expect_valid))
        return refuse(status, 417);
    out->expect_continue = framing.expects && !out->http_1_0 && (out->chunked || out->content_length >= 0);
    out->keep_alive = !out->http_1_0 && !framing.close;
    return 0;
}

int http_parse_head(struct span head, struct arena *arena, struct http_request *out, int *status)
{
    *out = (struct http_request){.content_length = -1};
    *status = 400;
    struct head_scan scan = {0};
    int rc = head_scan(&scan, head, status);
    if (rc != 0)
        return rc;
    if (scan.end == 0 || scan.end != head.len)
        return refuse(status, 400);

    const uint8_t *lf = memchr(head.ptr, '\n', head.len);
    rc = parse_request_line(span_of(head.ptr, (size_t)(lf - head.ptr) - 1), out, status);
    if (rc != 0)
        return rc;

    size_t capacity = scan.lines - 1;
    out->headers = arena_alloc(arena, (capacity + 1) * sizeof(struct http_header));
    if (out->headers == NULL) {
        *status = 503;
        return ERR_NOMEM;
    }
    bool well_formed = head_fields(head, out->method_name.len, out->headers, capacity, &out->header_count);
    rc = check_framing(out, status);
    /* Where llhttp stopped early the headers so far may say why more exactly; in any case it is no request. */
    if (rc == 0 && !well_formed)
        return refuse(status, 400);
    return rc;
}

struct span http_header(const struct http_request *request, const char *name)
{
    struct span wanted = span_str(name);
    for (size_t i = 0; i < request->header_count; i++)
        if (request->headers[i].name.len == wanted.len && span_ieq(request->headers[i].name, wanted))
            return request->headers[i].value;
    return SPAN_NONE;
}

size_t http_header_count(const struct http_request *request, const char *name)
{
    struct span wanted = span_str(name);
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++)
        count += request->headers[i].name.len == wanted.len && span_ieq(request->headers[i].name, wanted);
    return count;
}
