#include "auth/sigv2.h"

#include "auth/auth.h"
#include "base/clock.h"
#include "base/err.h"
#include "crypto/sign_v2.h"

/* An HTTP date; also with the zone of RFC 2822, as s3cmd and AWS's own examples write it. */
static int parse_date(struct span text, int64_t *seconds)
{
    static const struct span zone = SPAN_LITERAL("+0000");
    char with_gmt[CLOCK_HTTP_SIZE];

    text = span_trim(text);
    const size_t before = CLOCK_HTTP_SIZE - sizeof("GMT");
    if (text.len == before + zone.len && span_eq(span_skip(text, before), zone)) {
        memcpy(with_gmt, text.ptr, before);
        memcpy(with_gmt + before, "GMT", sizeof("GMT"));
        text = span_of(with_gmt, CLOCK_HTTP_SIZE - 1);
    }
    return clock_parse_http(text, seconds) == 0 || clock_parse_basic(text, seconds) == 0 ? 0 : ERR_DENIED;
}

/* `date` gets what is signed in the date's place. x-amz-date counts before Date, and is signed among its like. */
static int check_time(const struct claim *claim, const struct claim_headers *headers, int64_t now, struct span *date)
{
    int64_t seconds;

    if (claim->kind == CLAIM_V2_QUERY) {
        *date = claim->timestamp;
        return now > 0 && (uint64_t)now > claim->expires ? ERR_EXPIRED : 0;
    }
    *date = headers->amz_dates == 0 ? headers->date : SPAN_NONE;
    if ((headers->amz_dates == 0 ? headers->dates : headers->amz_dates) != 1 ||
        parse_date(headers->amz_dates == 0 ? headers->date : headers->amz_date, &seconds) != 0)
        return ERR_DENIED;
    return seconds - now > AUTH_SKEW_SECONDS || now - seconds > AUTH_SKEW_SECONDS ? ERR_SKEWED : 0;
}

/* ERR_INVALID: which of two is signed would be a guess. */
static int take_once(struct span value, struct span *out)
{
    if (out->ptr != NULL)
        return ERR_INVALID;
    *out = value;
    return 0;
}

static int collect_headers(const struct http_request *request, struct arena *arena, struct sign_v2_request *out)
{
    struct sign_header *headers = arena_alloc(arena, (request->header_count + 1) * sizeof(*headers));
    int rc = 0;

    if (headers == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < request->header_count && rc == 0; i++) {
        struct span name = request->headers[i].name, value = request->headers[i].value;
        if (span_ieq(span_take(name, 6), SPAN_LITERAL("x-amz-")))
            headers[out->header_count++] = (struct sign_header){name, value};
        else if (span_ieq(name, SPAN_LITERAL("content-type")))
            rc = take_once(value, &out->content_type);
        else if (span_ieq(name, SPAN_LITERAL("content-md5")))
            rc = take_once(value, &out->content_md5);
    }
    out->headers = headers;
    return rc;
}

static int compare(const struct sign_v2_request *signable, const struct claim *claim, const struct credential *who,
                   struct arena *arena)
{
    char expected[SIGN_V2_SIZE];
    struct span string;
    int rc = sign_v2_string(signable, arena, &string);

    if (rc == 0)
        rc = sign_v2_signature(span_str(who->secret_key), string, expected);
    if (rc != 0)
        return rc;
    return sign_v2_equal(claim->signature, expected) ? 0 : ERR_SIGNATURE;
}

static bool is_bucket_alone(const struct sign_v2_request *signable)
{
    return signable->bucket.len == 0 && signable->path.len > 1 && span_find_byte(span_skip(signable->path, 1), '/') < 0;
}

int sigv2_check(const struct http_request *request, struct span host_bucket, const struct claim *claim,
                const struct claim_headers *headers, const struct credential *who, struct arena *arena, int64_t now)
{
    struct sign_v2_request signable = {
        .method = request->method_name, .bucket = host_bucket, .path = request->path, .query = request->query};
    int rc;

    if ((rc = check_time(claim, headers, now, &signable.date)) != 0 ||
        (rc = collect_headers(request, arena, &signable)) != 0 ||
        (rc = compare(&signable, claim, who, arena)) != ERR_SIGNATURE || !is_bucket_alone(&signable))
        return rc;
    /* botocore signs "/bucket/" and sends "/bucket"; both are the bucket. */
    const char *slashed = arena_printf(arena, "%.*s/", SPAN_FMT(signable.path));
    if (slashed == NULL)
        return ERR_NOMEM;
    signable.path = span_str(slashed);
    return compare(&signable, claim, who, arena);
}
