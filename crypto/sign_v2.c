#include "crypto/sign_v2.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

/* The documented list, what botocore and minio-go sign besides, and whatever else selects an operation here: a
 * parameter that turns a request into another one must not be free to be added. Sorted (bytes). */
static const struct span covered[] = {
    SPAN_LITERAL("accelerate"),
    SPAN_LITERAL("acl"),
    SPAN_LITERAL("analytics"),
    SPAN_LITERAL("attributes"),
    SPAN_LITERAL("cors"),
    SPAN_LITERAL("defaultObjectAcl"),
    SPAN_LITERAL("delete"),
    SPAN_LITERAL("encryption"),
    SPAN_LITERAL("intelligent-tiering"),
    SPAN_LITERAL("inventory"),
    SPAN_LITERAL("legal-hold"),
    SPAN_LITERAL("lifecycle"),
    SPAN_LITERAL("location"),
    SPAN_LITERAL("logging"),
    SPAN_LITERAL("metrics"),
    SPAN_LITERAL("notification"),
    SPAN_LITERAL("object-lock"),
    SPAN_LITERAL("ownershipControls"),
    SPAN_LITERAL("partNumber"),
    SPAN_LITERAL("policy"),
    SPAN_LITERAL("policyStatus"),
    SPAN_LITERAL("publicAccessBlock"),
    SPAN_LITERAL("replication"),
    SPAN_LITERAL("requestPayment"),
    SPAN_LITERAL("response-cache-control"),
    SPAN_LITERAL("response-content-disposition"),
    SPAN_LITERAL("response-content-encoding"),
    SPAN_LITERAL("response-content-language"),
    SPAN_LITERAL("response-content-type"),
    SPAN_LITERAL("response-expires"),
    SPAN_LITERAL("restore"),
    SPAN_LITERAL("retention"),
    SPAN_LITERAL("select"),
    SPAN_LITERAL("select-type"),
    SPAN_LITERAL("storageClass"),
    SPAN_LITERAL("tagging"),
    SPAN_LITERAL("torrent"),
    SPAN_LITERAL("uploadId"),
    SPAN_LITERAL("uploads"),
    SPAN_LITERAL("versionId"),
    SPAN_LITERAL("versioning"),
    SPAN_LITERAL("versions"),
    SPAN_LITERAL("website"),
};

static int compare_spans(const void *a, const void *b)
{
    return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

bool sign_v2_covers(struct span parameter)
{
    return bsearch(&parameter, covered, sizeof(covered) / sizeof(*covered), sizeof(*covered), compare_spans) != NULL;
}

/* --- the resource's parameters --- */

struct parameter {
    struct span name, value; /* decoded; the name first: compare_spans */
};

struct parameters {
    struct parameter *list;
    size_t count;
};

/* Values are signed decoded, so that "&uploadId=1" inside of one could be taken out and sent as a parameter of its own,
 * or a parameter be hidden in the value before it. */
static bool hides_parameter(struct span value)
{
    struct span rest = span_split(value, '&', &value);

    while (rest.ptr != NULL) {
        struct span one, name;
        rest = span_split(rest, '&', &one);
        span_split(one, '=', &name);
        if (sign_v2_covers(name))
            return true;
    }
    return false;
}

/* The signed ones, decoded as s3 reads them, in order. */
static int find_parameters(struct span query, struct arena *arena, struct parameters *out)
{
    size_t most = 1, len;
    uint8_t *text;

    *out = (struct parameters){0};
    if (query.len == 0)
        return 0;
    for (size_t i = 0; i < query.len; i++)
        most += query.ptr[i] == '&';
    out->list = arena_alloc(arena, most * sizeof(*out->list));
    text = arena_alloc(arena, query.len);
    if (out->list == NULL || text == NULL)
        return ERR_NOMEM;
    while (query.len > 0) {
        struct span one, name, value;

        query = span_split(query, '&', &one);
        value = span_split(one, '=', &name);
        if (text_uri_decode(name, true, text, &len) != 0)
            return ERR_SYNTAX;
        name = span_of(text, len);
        if (!sign_v2_covers(name))
            continue;
        text += len;
        if (text_uri_decode(value, true, text, &len) != 0)
            return ERR_SYNTAX;
        value = span_of(text, len);
        text += len;
        if (hides_parameter(value))
            return ERR_INVALID;
        out->list[out->count++] = (struct parameter){name, value};
    }
    qsort(out->list, out->count, sizeof(*out->list), compare_spans);
    for (size_t i = 1; i < out->count; i++) {
        if (span_eq(out->list[i].name, out->list[i - 1].name))
            return ERR_INVALID;
    }
    return 0;
}

static uint8_t *put(uint8_t *out, struct span s)
{
    if (s.len > 0)
        memcpy(out, s.ptr, s.len);
    return out + s.len;
}

/* An empty value is signed as none: clients send `acl=` for what they sign as `acl`. */
static uint8_t *put_parameters(uint8_t *out, const struct parameters *parameters)
{
    for (size_t i = 0; i < parameters->count; i++) {
        *out++ = i == 0 ? '?' : '&';
        out = put(out, parameters->list[i].name);
        if (parameters->list[i].value.len > 0) {
            *out++ = '=';
            out = put(out, parameters->list[i].value);
        }
    }
    return out;
}

/* --- x-amz-* --- */

struct amz_header {
    struct span name; /* lower case */
    struct span value;
    size_t position; /* equal names keep the order they came in */
};

static int compare_headers(const void *a, const void *b)
{
    const struct amz_header *x = a, *y = b;
    int order = span_cmp(x->name, y->name);

    return order != 0 ? order : (x->position > y->position) - (x->position < y->position);
}

/* `name:value` lines, in order. */
static int put_headers(const struct sign_v2_request *request, struct arena *arena, uint8_t **out)
{
    size_t count = request->header_count;
    struct amz_header *headers = arena_alloc(arena, (count + 1) * sizeof(*headers));
    uint8_t *p = *out;

    if (headers == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct span name = request->headers[i].name;
        uint8_t *lower = arena_alloc(arena, name.len + 1);

        if (lower == NULL)
            return ERR_NOMEM;
        for (size_t j = 0; j < name.len; j++)
            lower[j] = name.ptr[j] >= 'A' && name.ptr[j] <= 'Z' ? name.ptr[j] | 0x20 : name.ptr[j];
        headers[i] = (struct amz_header){span_of(lower, name.len), span_trim(request->headers[i].value), i};
    }
    qsort(headers, count, sizeof(*headers), compare_headers);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !span_eq(headers[i].name, headers[i - 1].name)) {
            p = put(p, headers[i].name);
            *p++ = ':';
        }
        p = put(p, headers[i].value);
        *p++ = i + 1 < count && span_eq(headers[i].name, headers[i + 1].name) ? ',' : '\n';
    }
    *out = p;
    return 0;
}

/* --- the whole --- */

/* The most bytes that the string can have. */
static int string_size_max(const struct sign_v2_request *request, size_t *out)
{
    const struct span parts[] = {request->method,       request->bucket, request->path,       request->query,
                                 request->content_type, request->date,   request->content_md5};
    size_t size = 8; /* line ends, '/' before the bucket, '?' */

    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        if (__builtin_add_overflow(size, parts[i].len, &size))
            return ERR_TOO_LARGE;
    }
    for (size_t i = 0; i < request->header_count; i++) {
        if (__builtin_add_overflow(size, request->headers[i].name.len, &size) ||
            __builtin_add_overflow(size, request->headers[i].value.len, &size) ||
            __builtin_add_overflow(size, (size_t)2, &size))
            return ERR_TOO_LARGE;
    }
    *out = size;
    return 0;
}

int sign_v2_string(const struct sign_v2_request *request, struct arena *arena, struct span *out)
{
    const struct span lines[] = {request->method, span_trim(request->content_md5), span_trim(request->content_type),
                                 span_trim(request->date)};
    struct parameters parameters;
    uint8_t *text, *p;
    size_t size;
    int rc = string_size_max(request, &size);

    if (rc != 0 || (rc = find_parameters(request->query, arena, &parameters)) != 0)
        return rc;
    text = p = arena_alloc(arena, size);
    if (text == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        p = put(p, lines[i]);
        *p++ = '\n';
    }
    if ((rc = put_headers(request, arena, &p)) != 0)
        return rc;
    if (request->bucket.len > 0) {
        *p++ = '/';
        p = put(p, request->bucket);
    }
    p = put(p, request->path);
    p = put_parameters(p, &parameters);
    *out = span_of(text, (size_t)(p - text));
    return 0;
}

int sign_v2_signature(struct span secret, struct span string, char out[SIGN_V2_SIZE])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    if (secret.len > INT32_MAX ||
        HMAC(EVP_sha1(), secret.ptr, (int)secret.len, string.ptr, string.len, digest, &length) == NULL)
        return ERR_NOMEM;
    text_base64(span_of(digest, length), out);
    return 0;
}

bool sign_v2_equal(struct span given, const char expected[SIGN_V2_SIZE])
{
    return given.len == SIGN_V2_SIZE - 1 && sodium_memcmp(given.ptr, expected, SIGN_V2_SIZE - 1) == 0;
}
