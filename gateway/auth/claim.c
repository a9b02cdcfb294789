#include "auth/claim.h"

#include "base/err.h"
#include "base/text.h"

#define EXPIRES_MAX 604800 /* a week: docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html */

/* --- headers --- */

void claim_find_headers(const struct http_request *request, struct claim_headers *out)
{
    *out = (struct claim_headers){0};
    const struct {
        struct span name;
        struct span *value;
        unsigned *count;
    } wanted[] = {
        {SPAN_LITERAL("authorization"), &out->authorization, &out->authorizations},
        {SPAN_LITERAL("x-amz-date"), &out->amz_date, &out->amz_dates},
        {SPAN_LITERAL("date"), &out->date, &out->dates},
        {SPAN_LITERAL("x-amz-content-sha256"), &out->content_sha256, &out->content_sha256s},
    };

    for (size_t i = 0; i < request->header_count; i++) {
        for (size_t j = 0; j < sizeof(wanted) / sizeof(*wanted); j++) {
            if (request->headers[i].name.len != wanted[j].name.len ||
                !span_ieq(request->headers[i].name, wanted[j].name))
                continue;
            *wanted[j].value = request->headers[i].value;
            ++*wanted[j].count;
            break;
        }
    }
}

/* --- the parts that both forms share --- */

static bool is_date(struct span date)
{
    if (date.len != 8)
        return false;
    for (size_t i = 0; i < 8; i++) {
        if (date.ptr[i] < '0' || date.ptr[i] > '9')
            return false;
    }
    return true;
}

/* ACCESS_KEY/DATE/REGION/SERVICE/aws4_request */
static bool parse_credential(struct span credential, struct claim *out)
{
    struct span rest = credential;

    rest = span_split(rest, '/', &out->access_key);
    rest = span_split(rest, '/', &out->date);
    rest = span_split(rest, '/', &out->region);
    rest = span_split(rest, '/', &out->service);
    return rest.ptr != NULL && span_eq_str(rest, "aws4_request") && out->access_key.len > 0 && is_date(out->date) &&
           out->region.len > 0 && span_eq_str(out->service, "s3");
}

static bool is_signature(struct span signature)
{
    if (signature.len != 64)
        return false;
    for (size_t i = 0; i < 64; i++) {
        uint8_t c = signature.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

/* --- Authorization --- */

/* AWS ACCESS_KEY:SIGNATURE */
static int parse_v2_header(struct span rest, struct claim *out)
{
    out->kind = CLAIM_V2_HEADER;
    out->signature = span_split(rest, ':', &out->access_key);
    return out->signature.len > 0 && out->access_key.len > 0 ? 0 : ERR_AUTH_HEADER;
}

/* AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...; the spaces behind the commas may be missing. */
static int parse_header(const struct claim_headers *headers, struct claim *out)
{
    struct span scheme, rest = span_split(headers->authorization, ' ', &scheme), credential = SPAN_NONE;
    const struct {
        struct span prefix;
        struct span *value;
    } wanted[] = {
        {SPAN_LITERAL("Credential="), &credential},
        {SPAN_LITERAL("SignedHeaders="), &out->signed_headers},
        {SPAN_LITERAL("Signature="), &out->signature},
    };

    if (headers->authorizations != 1)
        return ERR_AUTH_HEADER;
    if (span_eq_str(scheme, "AWS"))
        return parse_v2_header(rest, out);
    if (!span_eq_str(scheme, "AWS4-HMAC-SHA256"))
        return ERR_UNSUPPORTED;
    while (rest.len > 0) {
        struct span one;
        size_t i = 0;
        rest = span_split(rest, ',', &one);
        one = span_trim(one);
        while (i < 3 && !span_starts(one, wanted[i].prefix))
            i++;
        if (i == 3 || wanted[i].value->ptr != NULL)
            return ERR_AUTH_HEADER;
        *wanted[i].value = span_skip(one, wanted[i].prefix.len);
    }
    if (!parse_credential(credential, out) || out->signed_headers.len == 0 || !is_signature(out->signature))
        return ERR_AUTH_HEADER;
    return 0;
}

/* --- the query --- */

enum parameter {
    ALGORITHM,
    CREDENTIAL,
    DATE,
    EXPIRES,
    SIGNED_HEADERS,
    SIGNATURE,
    CONTENT_SHA256,
    V2_ACCESS_KEY,
    V2_EXPIRES,
    V2_SIGNATURE,
    PARAMETERS
};

static const struct {
    struct span name;
    enum claim_kind kind; /* whoever sends it means to authenticate in that way */
} parameters[PARAMETERS] = {
    [ALGORITHM] = {SPAN_LITERAL("X-Amz-Algorithm"), CLAIM_QUERY},
    [CREDENTIAL] = {SPAN_LITERAL("X-Amz-Credential"), CLAIM_QUERY},
    [DATE] = {SPAN_LITERAL("X-Amz-Date"), CLAIM_NONE},
    [EXPIRES] = {SPAN_LITERAL("X-Amz-Expires"), CLAIM_QUERY},
    [SIGNED_HEADERS] = {SPAN_LITERAL("X-Amz-SignedHeaders"), CLAIM_QUERY},
    [SIGNATURE] = {SPAN_LITERAL("X-Amz-Signature"), CLAIM_QUERY},
    [CONTENT_SHA256] = {SPAN_LITERAL("X-Amz-Content-Sha256"), CLAIM_NONE},
    [V2_ACCESS_KEY] = {SPAN_LITERAL("AWSAccessKeyId"), CLAIM_V2_QUERY},
    [V2_EXPIRES] = {SPAN_LITERAL("Expires"), CLAIM_NONE},
    [V2_SIGNATURE] = {SPAN_LITERAL("Signature"), CLAIM_V2_QUERY},
};

/* In the arena if there is anything to decode. */
static int decode(struct span text, struct arena *arena, struct span *out)
{
    uint8_t *bytes;
    size_t length;

    *out = text;
    if (span_find_byte(text, '%') < 0 && span_find_byte(text, '+') < 0)
        return 0;
    bytes = arena_alloc(arena, text.len);
    if (bytes == NULL)
        return ERR_NOMEM;
    int rc = text_uri_decode(text, true, bytes, &length);
    *out = span_of(bytes, length);
    return rc;
}

/* Most parameters are none of those above, and cost no more than a look at the first letter. */
static bool may_be_one(struct span name)
{
    return name.len > 0 && (name.ptr[0] == 'X' || name.ptr[0] == 'A' || name.ptr[0] == 'E' || name.ptr[0] == 'S');
}

/* The parameters above, decoded, and which kind of credential is among them. Repeated: ERR_AUTH_QUERY; of both kinds:
 * ERR_INVALID. */
static int find_parameters(struct span query, struct arena *arena, struct span values[PARAMETERS],
                           enum claim_kind *kind)
{
    *kind = CLAIM_NONE;
    while (query.len > 0) {
        struct span one, name, value;
        query = span_split(query, '&', &one);
        value = span_split(one, '=', &name);
        int rc = decode(name, arena, &name);
        if (rc != 0)
            return rc;
        if (!may_be_one(name))
            continue;
        for (size_t i = 0; i < PARAMETERS; i++) {
            if (!span_eq(name, parameters[i].name))
                continue;
            if (values[i].ptr != NULL)
                return ERR_AUTH_QUERY;
            rc = decode(value, arena, &values[i]);
            if (rc != 0)
                return rc;
            if (values[i].ptr == NULL)
                values[i] = SPAN_LITERAL("");
            if (parameters[i].kind == CLAIM_NONE)
                continue;
            if (*kind != CLAIM_NONE && *kind != parameters[i].kind)
                return ERR_INVALID;
            *kind = parameters[i].kind;
        }
    }
    return 0;
}

static int parse_v2_query(const struct span values[PARAMETERS], struct claim *out)
{
    out->access_key = values[V2_ACCESS_KEY];
    out->signature = values[V2_SIGNATURE];
    out->timestamp = values[V2_EXPIRES];
    return out->access_key.len > 0 && out->signature.len > 0 && span_to_u64(out->timestamp, &out->expires) == 0
               ? 0
               : ERR_DENIED;
}

static int parse_query(const struct span values[PARAMETERS], struct claim *out)
{
    if (span_eq_str(values[ALGORITHM], "AWS4-ECDSA-P256-SHA256"))
        return ERR_UNSUPPORTED;
    out->timestamp = values[DATE];
    out->signed_headers = values[SIGNED_HEADERS];
    out->signature = values[SIGNATURE];
    out->content_sha256 = values[CONTENT_SHA256];
    if (!span_eq_str(values[ALGORITHM], "AWS4-HMAC-SHA256") || !parse_credential(values[CREDENTIAL], out) ||
        out->signed_headers.len == 0 || !is_signature(out->signature) ||
        span_to_u64(values[EXPIRES], &out->expires) != 0 || out->expires < 1 || out->expires > EXPIRES_MAX)
        return ERR_AUTH_QUERY;
    return 0;
}

int claim_parse(const struct http_request *request, const struct claim_headers *headers, struct arena *arena,
                struct claim *out)
{
    struct span values[PARAMETERS] = {0};
    enum claim_kind in_query = CLAIM_NONE;

    *out = (struct claim){0};
    if (request->query.len > 0) {
        int rc = find_parameters(request->query, arena, values, &in_query);
        if (rc != 0)
            return rc;
    }
    if (in_query != CLAIM_NONE && headers->authorizations > 0)
        return ERR_INVALID;
    out->kind = in_query;
    if (in_query != CLAIM_NONE)
        return in_query == CLAIM_QUERY ? parse_query(values, out) : parse_v2_query(values, out);
    if (headers->authorizations > 0) {
        out->kind = CLAIM_HEADER;
        return parse_header(headers, out);
    }
    return 0;
}
