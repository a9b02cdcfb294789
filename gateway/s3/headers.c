#include "s3/headers.h"

#include <ctype.h>
#include <stddef.h>
#include "base/clock.h"
#include "base/err.h"

#define METADATA_PREFIX "x-amz-meta-"

/* Headers that are stored as they come. The parameter overrides the header in one answer. */
static const struct {
    const char *header;
    const char *parameter;
    size_t offset;
} standard[] = {
    {"Content-Type", "response-content-type", offsetof(Arca__Headers, content_type)},
    {"Cache-Control", "response-cache-control", offsetof(Arca__Headers, cache_control)},
    {"Content-Disposition", "response-content-disposition", offsetof(Arca__Headers, content_disposition)},
    {"Content-Encoding", "response-content-encoding", offsetof(Arca__Headers, content_encoding)},
    {"Content-Language", "response-content-language", offsetof(Arca__Headers, content_language)},
    {"Expires", "response-expires", offsetof(Arca__Headers, expires)},
    {"x-amz-website-redirect-location", NULL, offsetof(Arca__Headers, website_redirect)},
};
#define STANDARD_COUNT (sizeof(standard) / sizeof(standard[0]))

static char **field(const Arca__Headers *headers, size_t i)
{
    return (char **)(void *)((char *)(uintptr_t)headers + standard[i].offset);
}

static bool is_storage_class(struct span name)
{
    static const char *const names[] = {
        "STANDARD",     "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER",
        "DEEP_ARCHIVE", "GLACIER_IR",         "OUTPOSTS",    "SNOW",       "EXPRESS_ONEZONE"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (span_eq_str(name, names[i]))
            return true;
    }
    return false;
}

const char *headers_storage_class(const Arca__Headers *headers)
{
    return headers != NULL && headers->storage_class[0] != 0 ? headers->storage_class : "STANDARD";
}

char *headers_content_encoding(struct span value, struct arena *arena)
{
    char *out = arena_alloc(arena, value.len + 1);
    size_t len = 0;
    while (out != NULL && value.len > 0) {
        struct span coding;
        value = span_split(value, ',', &coding);
        coding = span_trim(coding);
        if (coding.len == 0 || span_ieq(coding, SPAN_LITERAL("aws-chunked")))
            continue;
        if (len > 0)
            out[len++] = ',';
        memcpy(out + len, coding.ptr, coding.len);
        len += coding.len;
    }
    if (out != NULL)
        out[len] = 0;
    return out;
}

static bool is_metadata(struct span name)
{
    return name.len > sizeof(METADATA_PREFIX) - 1 &&
           span_ieq(span_take(name, sizeof(METADATA_PREFIX) - 1), SPAN_LITERAL(METADATA_PREFIX));
}

static Arca__Metadata *find_metadata(const Arca__Headers *headers, const char *name)
{
    for (size_t i = 0; i < headers->n_metadata; i++) {
        if (strcmp(headers->metadata[i]->name, name) == 0)
            return headers->metadata[i];
    }
    return NULL;
}

static int join(ProtobufCBinaryData *value, struct span more, struct arena *arena)
{
    uint8_t *joined = arena_alloc(arena, value->len + 1 + more.len);
    if (joined == NULL)
        return ERR_NOMEM;
    memcpy(joined, value->data, value->len);
    joined[value->len] = ',';
    memcpy(joined + value->len + 1, more.ptr, more.len);
    *value = (ProtobufCBinaryData){value->len + 1 + more.len, joined};
    return 0;
}

static int add_metadata(Arca__Headers *headers, const struct http_header *header, struct arena *arena)
{
    char *name = arena_strdup(arena, span_skip(header->name, sizeof(METADATA_PREFIX) - 1));
    struct span value = arena_dup(arena, header->value);
    if (name == NULL || value.ptr == NULL)
        return ERR_NOMEM;
    for (char *c = name; *c != 0; c++)
        *c = (char)tolower((unsigned char)*c);
    Arca__Metadata *present = find_metadata(headers, name);
    if (present != NULL)
        return join(&present->value, value, arena);
    Arca__Metadata *metadata = arena_alloc(arena, sizeof(*metadata));
    if (metadata == NULL)
        return ERR_NOMEM;
    arca__metadata__init(metadata);
    metadata->name = name;
    metadata->value = (ProtobufCBinaryData){value.len, (uint8_t *)(uintptr_t)value.ptr};
    headers->metadata[headers->n_metadata++] = metadata;
    return 0;
}

static int read_metadata(struct s3_request *r, Arca__Headers *headers)
{
    size_t count = 0, bytes = 0;
    for (size_t i = 0; i < r->http->header_count; i++) {
        const struct http_header *header = &r->http->headers[i];
        if (!is_metadata(header->name))
            continue;
        count++;
        bytes += header->name.len - (sizeof(METADATA_PREFIX) - 1) + header->value.len;
    }
    if (bytes > METADATA_MAX)
        return S3_METADATA_TOO_LARGE;
    if (count == 0)
        return 0;
    headers->metadata = arena_alloc(r->arena, count * sizeof(Arca__Metadata *));
    if (headers->metadata == NULL)
        return ERR_NOMEM;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < r->http->header_count; i++) {
        if (is_metadata(r->http->headers[i].name))
            rc = add_metadata(headers, &r->http->headers[i], r->arena);
    }
    return rc;
}

int headers_read(struct s3_request *r, Arca__Headers **out)
{
    Arca__Headers *headers = arena_alloc(r->arena, sizeof(*headers));
    if (headers == NULL)
        return ERR_NOMEM;
    arca__headers__init(headers);
    for (size_t i = 0; i < STANDARD_COUNT; i++) {
        struct span value = s3_header(r, standard[i].header);
        if (value.len == 0)
            continue;
        char *text = standard[i].offset == offsetof(Arca__Headers, content_encoding)
                         ? headers_content_encoding(value, r->arena)
                         : arena_strdup(r->arena, value);
        if (text == NULL)
            return ERR_NOMEM;
        *field(headers, i) = text;
    }
    struct span class = s3_header(r, "x-amz-storage-class");
    if (class.len > 0 && !is_storage_class(class))
        return S3_INVALID_STORAGE_CLASS;
    if (class.len > 0 && !span_eq_str(class, "STANDARD")) {
        headers->storage_class = arena_strdup(r->arena, class);
        if (headers->storage_class == NULL)
            return ERR_NOMEM;
    }
    *out = headers;
    return read_metadata(r, headers);
}

int headers_check_write(struct s3_request *r)
{
    static const char *const unbuilt[] = {"x-amz-server-side-encryption-customer-algorithm",
                                          "x-amz-server-side-encryption-customer-key",
                                          "x-amz-server-side-encryption-customer-key-md5",
                                          "x-amz-copy-source-server-side-encryption-customer-algorithm",
                                          "x-amz-server-side-encryption-aws-kms-key-id",
                                          "x-amz-write-offset-bytes"};
    static const char *const locks[] = {"x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date",
                                        "x-amz-object-lock-legal-hold"};
    for (size_t i = 0; i < sizeof(unbuilt) / sizeof(unbuilt[0]); i++) {
        if (s3_header(r, unbuilt[i]).ptr != NULL)
            return S3_NOT_IMPLEMENTED;
    }
    for (size_t i = 0; i < sizeof(locks) / sizeof(locks[0]); i++) {
        if (s3_header(r, locks[i]).ptr != NULL)
            return s3_fail(r, S3_INVALID_REQUEST, "Bucket is missing Object Lock Configuration");
    }
    if (s3_header(r, "x-amz-tagging").len > 0)
        return S3_NOT_IMPLEMENTED;
    struct span sse = s3_header(r, "x-amz-server-side-encryption");
    if (span_starts(sse, SPAN_LITERAL("aws:kms")))
        return S3_NOT_IMPLEMENTED;
    if (sse.len > 0 && !span_eq_str(sse, "AES256"))
        return s3_fail_argument(r, "x-amz-server-side-encryption", sse,
                                "The encryption method specified is not supported");
    return s3_acl_headers(r);
}

void headers_write_encryption(struct s3_request *r)
{
    http_answer_header(r->exchange, "x-amz-server-side-encryption", SPAN_LITERAL("AES256"));
}

static bool has_control(struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < 0x20 || value.ptr[i] == 0x7f)
            return true;
    }
    return false;
}

static int write_standard(struct s3_request *r, const Arca__Headers *headers)
{
    for (size_t i = 0; i < STANDARD_COUNT; i++) {
        struct span value = span_str(headers != NULL ? *field(headers, i) : "");
        struct span override = SPAN_NONE;
        if (standard[i].parameter != NULL && r->target.param_count > 0)
            override = s3_param(r, standard[i].parameter);
        if (override.len > 0) {
            if (has_control(override))
                return s3_fail_argument(r, standard[i].parameter, override, "Header value cannot be represented");
            value = override;
        }
        if (value.len > 0)
            http_answer_header(r->exchange, standard[i].header, value);
        else if (i == 0)
            http_answer_header(r->exchange, standard[i].header, SPAN_LITERAL("binary/octet-stream"));
    }
    return 0;
}

int headers_write(struct s3_request *r, const Arca__Headers *headers)
{
    int rc = write_standard(r, headers);
    if (rc != 0 || headers == NULL)
        return rc;
    if (headers->storage_class[0] != 0)
        http_answer_header_str(r->exchange, "x-amz-storage-class", headers->storage_class);
    for (size_t i = 0; i < headers->n_metadata; i++) {
        const Arca__Metadata *metadata = headers->metadata[i];
        char name[sizeof(METADATA_PREFIX) + METADATA_MAX];
        size_t len = strlen(metadata->name);
        if (len > METADATA_MAX)
            return ERR_CORRUPT;
        memcpy(name, METADATA_PREFIX, sizeof(METADATA_PREFIX) - 1);
        memcpy(name + sizeof(METADATA_PREFIX) - 1, metadata->name, len + 1);
        http_answer_header(r->exchange, name, span_of(metadata->value.data, metadata->value.len));
    }
    return 0;
}

void headers_write_etag(struct s3_request *r, const char *etag)
{
    char quoted[80];
    size_t len = strlen(etag);
    if (len > sizeof(quoted) - 2)
        return;
    quoted[0] = '"';
    memcpy(quoted + 1, etag, len);
    quoted[len + 1] = '"';
    http_answer_header(r->exchange, "ETag", span_of(quoted, len + 2));
}

void headers_write_modified(struct s3_request *r, int64_t modified_ms)
{
    char text[CLOCK_HTTP_SIZE];
    clock_http(modified_ms, text);
    http_answer_header(r->exchange, "Last-Modified", span_of(text, sizeof(text) - 1));
}
