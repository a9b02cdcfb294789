#include "s3/request.h"

#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "policy/policy.h"
#include "s3/xml_in.h"
#include "s3/xml_out.h"

#define HOST_ID "arca"

int s3_create(const struct s3_options *options, struct s3 **out)
{
    struct s3 *s3 = calloc(1, sizeof(*s3));
    if (s3 == NULL)
        return ERR_NOMEM;
    s3->options = *options;
    xml_setup();
    unsigned count;
    const char *const *names = route_metric_names(&count);
    metrics_operations(names, count);
    *out = s3;
    return 0;
}

void s3_free(struct s3 *s3)
{
    free(s3);
}

struct span s3_header(const struct s3_request *r, const char *name)
{
    return http_header(r->http, name);
}

struct span s3_param(const struct s3_request *r, const char *name)
{
    return target_param(&r->target, name);
}

int s3_fail(struct s3_request *r, int code, const char *message)
{
    r->message = message;
    return code;
}

void s3_detail(struct s3_request *r, const char *name, struct span value)
{
    if (r->detail_count < sizeof(r->details) / sizeof(r->details[0]))
        r->details[r->detail_count++] = (struct s3_detail){name, value};
}

int s3_fail_argument(struct s3_request *r, const char *name, struct span value, const char *message)
{
    r->detail_count = 0;
    s3_detail(r, "ArgumentName", span_str(name));
    s3_detail(r, "ArgumentValue", value);
    return s3_fail(r, S3_INVALID_ARGUMENT, message);
}

int s3_number(struct s3_request *r, const char *name, struct span text, uint64_t most, uint64_t *out)
{
    if (text.ptr == NULL)
        return 0;
    uint64_t value;
    if (span_to_u64(text, &value) != 0 || value > INT32_MAX)
        return s3_fail_argument(r, name, text, "Provided value is not an integer or not within its range");
    *out = value < most ? value : most;
    return 0;
}

int s3_encoding(struct s3_request *r, bool *url)
{
    struct span type = s3_param(r, "encoding-type");
    *url = span_ieq(type, SPAN_LITERAL("url"));
    if (type.len > 0 && !*url)
        return s3_fail_argument(r, "encoding-type", type, "Invalid Encoding Method specified in Request");
    return 0;
}

int s3_version(struct s3_request *r, struct span version)
{
    if (version.ptr == NULL || span_eq_str(version, "null"))
        return 0;
    if (version.len == 0)
        return s3_fail_argument(r, "versionId", version, "Version id cannot be the empty string");
    s3_detail(r, "VersionId", version);
    return S3_NO_SUCH_VERSION;
}

int s3_authorize(struct s3_request *r, const char *action, struct span bucket, struct span key)
{
    struct policy_request request = {
        .user_id = r->identity.who != NULL ? r->identity.who->user_id : NULL,
        .action = action,
        .bucket = bucket,
        .key = key,
    };
    return policy_decide(&request);
}

int s3_bucket(struct s3_request *r, struct span name, Arca__Bucket **out)
{
    if (!target_bucket_name_valid(name))
        return ERR_BUCKET_NAME;
    int rc = index_bucket_get(r->index, name, r->arena, out);
    return rc == ERR_NOT_FOUND ? ERR_NO_SUCH_BUCKET : rc;
}

int s3_answer_xml(struct s3_request *r, int status, struct buf *xml)
{
    int rc = xml->failed;
    if (rc == 0 && r->early) {
        struct span rest = span_skip(buf_span(xml), sizeof(XML_DECLARATION) - 1);
        rc = http_answer_write(r->exchange, &rest, 1);
    } else if (rc == 0) {
        http_answer_header(r->exchange, "Content-Type", SPAN_LITERAL("application/xml"));
        rc = http_answer(r->exchange, status, buf_span(xml));
    }
    buf_free(xml);
    return rc == ERR_TOO_LARGE ? ERR_BUG : rc;
}

int s3_answer_empty(struct s3_request *r, int status)
{
    return http_answer(r->exchange, status, SPAN_NONE);
}

int s3_acl_headers(struct s3_request *r)
{
    static const char *const grants[] = {"x-amz-grant-full-control", "x-amz-grant-read", "x-amz-grant-read-acp",
                                         "x-amz-grant-write", "x-amz-grant-write-acp"};
    struct span acl = s3_header(r, "x-amz-acl");
    if (acl.len > 0 && !span_eq_str(acl, "private") && !span_eq_str(acl, "bucket-owner-full-control"))
        return S3_ACL_NOT_SUPPORTED;
    for (size_t i = 0; i < sizeof(grants) / sizeof(grants[0]); i++) {
        if (s3_header(r, grants[i]).ptr != NULL)
            return S3_ACL_NOT_SUPPORTED;
    }
    return 0;
}

/* What not every XML reader takes is left out: a client that cannot read an error takes it for another one. */
static void error_text(struct buf *xml, const char *name, struct span text)
{
    if (text.len > 0 && xml_carries(text))
        xml_text(xml, name, text);
}

static void error_body(struct s3_request *r, const struct s3_error_row *row, struct buf *xml)
{
    buf_append(xml, SPAN_LITERAL(XML_DECLARATION "<Error>"));
    xml_str(xml, "Code", row->code);
    xml_str(xml, "Message", r->message != NULL ? r->message : row->message);
    for (size_t i = 0; i < r->detail_count; i++)
        error_text(xml, r->details[i].name, r->details[i].value);
    error_text(xml, "BucketName", r->target.bucket);
    error_text(xml, "Key", r->target.key);
    error_text(xml, "Resource", r->http->path);
    xml_str(xml, "RequestId", http_request_id(r->exchange));
    xml_str(xml, "HostId", HOST_ID);
    xml_close(xml, "Error");
}

static void answer_error_xml(struct s3_request *r, const struct s3_error_row *row)
{
    struct buf xml = {.cap = 64 * 1024};
    error_body(r, row, &xml);
    if (s3_answer_xml(r, row->status, &xml) != 0)
        http_answer_abort(r->exchange);
}

/* The one place where a failure becomes an answer. */
static void answer_error(struct s3_request *r, int rc)
{
    const struct s3_error_row *row = s3_error_row(rc);
    if (rc == ERR_CLOSED || rc == ERR_CANCELED) { /* the client went, or the daemon ends: nobody's error */
        r->error_code = err_name(rc);
        http_answer_abort(r->exchange);
        return;
    }
    r->error_code = row->code;
    if (s3_error_of(rc) == S3_INTERNAL_ERROR)
        log_error("s3.failed", "%s: %s", r->operation != NULL ? r->operation->name : "request", err_text(rc));
    if (r->early) {
        answer_error_xml(r, row);
        return;
    }
    if (http_answer_begun(r->exchange)) {
        http_answer_abort(r->exchange);
        return;
    }
    if (row->status != 304) /* keeps ETag and the like */
        http_answer_clear(r->exchange);
    if (row->status == 503)
        http_answer_header_u64(r->exchange, "Retry-After", r->retry_after_s > 0 ? r->retry_after_s : 1);
    if (r->http->method == HTTP_HEAD || row->status == 304) {
        http_answer_begin(r->exchange, row->status, 0);
        (void)http_answer_flush(r->exchange);
        return;
    }
    answer_error_xml(r, row);
}

static int check_bucket(struct s3_request *r)
{
    int rc = s3_bucket(r, r->target.bucket, &r->bucket);
    struct span owner = s3_header(r, "x-amz-expected-bucket-owner");
    if (rc == 0 && owner.len > 0 && !span_eq_str(owner, r->bucket->owner_id))
        rc = ERR_DENIED;
    return rc;
}

static int authenticate(struct s3_request *r)
{
    int rc = auth_verify(r->s3->options.auth, r->http, r->target.host_bucket, r->arena, clock_wall_ms(), &r->identity);
    if (rc == ERR_WRONG_REGION) {
        const char *region = r->identity.region != NULL ? r->identity.region : r->s3->options.region;
        s3_detail(r, "Region", span_str(region));
        char *message = arena_printf(
            r->arena, "The authorization header is malformed; the region is wrong; expecting '%s'", region);
        return s3_fail(r, rc, message);
    }
    if (rc == 0 && r->identity.who == NULL)
        rc = ERR_DENIED;
    return rc;
}

static int run(struct s3_request *r)
{
    const struct s3_options *options = &r->s3->options;
    int rc = target_parse(r->http->host, r->http->path, r->http->query, options->domains, options->domain_count,
                          r->arena, &r->target);
    if (rc != 0)
        return rc;
    rc = route_find(r->http->method, &r->target, s3_header(r, "x-amz-copy-source").ptr != NULL, &r->operation);
    if (rc == S3_METHOD_NOT_ALLOWED)
        s3_detail(r, "Method", r->http->method_name);
    if (rc != 0)
        return rc;
    if ((r->operation->flags & ROUTE_PUBLIC) != 0)
        return r->operation->handler(r);
    rc = authenticate(r);
    /* DeleteObjects has no action of its own: its handler asks for each key. */
    if (rc == 0 && r->operation->action != NULL)
        rc = s3_authorize(r, r->operation->action, r->target.bucket, r->target.key);
    if (rc == 0 && (r->operation->flags & ROUTE_NO_BUCKET) == 0)
        rc = check_bucket(r);
    return rc != 0 ? rc : r->operation->handler(r);
}

static void log_access(const struct s3_request *r, uint64_t elapsed_ns)
{
    const char *user = r->identity.who != NULL ? r->identity.who->name : "-";
    struct log_field fields[] = {
        {.name = "peer", .text = span_str(http_peer(r->exchange))},
        {.name = "user", .text = span_str(user)},
        {.name = "operation", .text = span_str(r->operation != NULL ? r->operation->name : "-")},
        {.name = "method", .text = r->http->method_name},
        {.name = "bucket", .text = r->target.bucket.len > 0 ? r->target.bucket : SPAN_LITERAL("-")},
        {.name = "key", .text = r->target.key.len > 0 ? r->target.key : SPAN_LITERAL("-")},
        {.name = "status", .number = http_answer_status(r->exchange)},
        {.name = "error", .text = span_str(r->error_code != NULL ? r->error_code : "-")},
        {.name = "bytes_in", .number = (int64_t)http_body_received(r->exchange)},
        {.name = "bytes_out", .number = (int64_t)http_answer_sent(r->exchange)},
        {.name = "duration_us", .number = (int64_t)(elapsed_ns / 1000)},
    };
    log_fields(LOG_INFO, "access", fields, sizeof(fields) / sizeof(fields[0]));
}

void s3_handle(struct http_exchange *exchange, void *arg)
{
    struct s3 *s3 = arg;
    struct s3_request r = {
        .s3 = s3,
        .engine = s3->options.engine,
        .index = engine_index(s3->options.engine),
        .exchange = exchange,
        .http = http_request(exchange),
        .arena = http_arena(exchange),
    };
    int rc = run(&r);
    if (rc != 0)
        answer_error(&r, rc);
    uint64_t elapsed_ns = clock_monotonic_ns() - http_started_ns(exchange);
    metrics_request(route_metric(r.operation), http_answer_status(exchange), elapsed_ns);
    if (s3->options.access_log)
        log_access(&r, elapsed_ns);
    auth_release(&r.identity);
}
