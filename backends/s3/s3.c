#include "s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/byteorder.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "s3_private.h"

#define TIMEOUT_MS       60000
#define PROBE_TIMEOUT_MS 5000
#define MD5_STEP         (128u << 10) /* hashed before others of the loop have their turn */

static struct s3 *s3_of(struct backend *backend)
{
    return (struct s3 *)(void *)backend;
}

static int begin_blob(struct s3 *s3, const char *what, const char *method, const struct blob_name *name,
                      struct call *call)
{
    char path[1 + BLOB_KEY_SIZE] = "/";
    blob_key(s3->prefix, name, path + 1);
    return call_begin(s3, what, method, path, call);
}

/* --- put --- */

static int md5_text(struct span data, char out[TEXT_BASE64_SIZE(16)]) SUSPENDS
{
    uint8_t bytes[DIGEST_MAX];
    struct digest *digest;
    int rc = digest_create(DIGEST_MD5, &digest);
    if (rc != 0)
        return rc;
    while (data.len > 0) {
        digest_update(digest, span_take(data, MD5_STEP));
        data = span_skip(data, MD5_STEP);
        fiber_yield();
    }
    digest_final(digest, bytes);
    digest_free(digest);
    text_base64(span_of(bytes, 16), out);
    return fiber_canceled(fiber_self()) ? ERR_CANCELED : 0;
}

static void crc_text(struct span data, char out[TEXT_BASE64_SIZE(4)])
{
    uint8_t bytes[4];
    be32_put(bytes, digest_crc32c(0, data.ptr, data.len));
    text_base64(span_of(bytes, 4), out);
}

/* *verified: the store has compared the bytes with the checksum. */
static int put_once(struct s3 *s3, const struct blob_name *name, struct span data, bool with_md5,
                    bool *verified) SUSPENDS
{
    char checksum[TEXT_BASE64_SIZE(16)];
    struct call call;
    int rc = begin_blob(s3, "put", "PUT", name, &call);
    if (rc != 0)
        return rc;
    call.request.body = data;
    if (with_md5) {
        rc = md5_text(data, checksum);
        call_header(&call, "Content-MD5", checksum);
    } else {
        crc_text(data, checksum);
        call_header(&call, "x-amz-checksum-crc32c", checksum);
        call_wants(&call, "x-amz-checksum-crc32c");
    }
    if (s3->storage_class != NULL)
        call_header(&call, "x-amz-storage-class", s3->storage_class);
    if (rc == 0)
        rc = call_perform(&call);
    *verified = with_md5 || strcmp(call.fields[0].value, checksum) == 0;
    call_end(&call);
    return rc;
}

/* A store that knows the CRC answers with it. One that does not has verified nothing, and gets an MD5. */
static int s3_put(struct backend *backend, const struct blob_name *name, struct block *data, struct locator *out)
{
    struct s3 *s3 = s3_of(backend);
    struct span bytes = {data->data, data->length};
    bool with_md5 = atomic_load_explicit(&s3->wants_md5, memory_order_relaxed), verified;
    out->length = 0;
    int rc = put_once(s3, name, bytes, with_md5, &verified);
    if (rc == 0 && !verified) {
        if (!atomic_exchange(&s3->wants_md5, true))
            log_info("s3", "backend %s: it does not know CRC32C; uploads are verified by MD5", backend->name);
        rc = put_once(s3, name, bytes, true, &verified);
    }
    return rc == ERR_NOT_FOUND || rc == ERR_CONFLICT ? ERR_UNAVAILABLE : rc;
}

/* --- get --- */

/* "bytes FIRST-LAST/TOTAL" must be what was asked for; a TOTAL that ends before tells that the store holds less. */
static int check_range(const struct call *call, uint64_t offset, uint64_t length)
{
    uint64_t first, last, total;
    struct span text = span_of(call->fields[0].value, call->fields[0].length), part;
    if (call->request.answer.status != 206 || !span_starts(text, SPAN_LITERAL("bytes ")))
        return ERR_IO;
    text = span_split(span_skip(text, 6), '-', &part);
    if (span_to_u64(part, &first) != 0)
        return ERR_IO;
    text = span_split(text, '/', &part);
    if (span_to_u64(part, &last) != 0 || first != offset || last < first)
        return ERR_IO;
    if (span_to_u64(text, &total) == 0 && total < offset + length && last == total - 1)
        return ERR_CORRUPT;
    return last - first + 1 == length && call->request.answer.length == length ? 0 : ERR_IO;
}

static int get_range(struct call *call, uint64_t offset, uint64_t length, uint8_t *dst) SUSPENDS
{
    char range[64];
    snprintf(range, sizeof(range), "bytes=%llu-%llu", (unsigned long long)offset,
             (unsigned long long)(offset + length - 1));
    call_header(call, "Range", range);
    call_wants(call, "content-range");
    call->request.dst = dst;
    call->request.capacity = length;
    int rc = call_perform(call);
    if (rc == ERR_RANGE)
        return ERR_CORRUPT;
    if (rc != 0)
        return rc;
    rc = check_range(call, offset, length);
    if (rc == ERR_IO)
        log_warn("s3", "backend %s: get: it sent another range than it was asked for", call->s3->backend.name);
    return rc;
}

/* No byte is wanted: is it there? */
static int get_nothing(struct call *call, uint64_t offset) SUSPENDS
{
    int rc = call_perform(call);
    if (rc != 0)
        return rc;
    int64_t size = call->request.answer.content_length;
    return size < 0 || (uint64_t)size < offset ? ERR_CORRUPT : 0;
}

static int s3_get(struct backend *backend, const struct blob_name *name, const struct locator *locator, uint64_t offset,
                  uint64_t length, uint8_t *dst)
{
    struct call call;
    int rc = blob_key_range(locator, offset, length);
    if (rc == 0)
        rc = begin_blob(s3_of(backend), "get", length > 0 ? "GET" : "HEAD", name, &call);
    if (rc != 0)
        return rc;
    rc = length > 0 ? get_range(&call, offset, length, dst) : get_nothing(&call, offset);
    call_end(&call);
    return rc;
}

/* --- remove, probe --- */

static int s3_remove(struct backend *backend, const struct blob_name *name, const struct locator *locator)
{
    struct call call;
    if (locator->length != 0)
        return ERR_CORRUPT;
    int rc = begin_blob(s3_of(backend), "remove", "DELETE", name, &call);
    if (rc != 0)
        return rc;
    rc = call_perform(&call);
    /* Only the store itself may say that it is gone. */
    if (rc == ERR_NOT_FOUND)
        rc = strcmp(call.code, "NoSuchKey") == 0 ? 0 : ERR_UNAVAILABLE;
    call_end(&call);
    return rc;
}

static int s3_probe(struct backend *backend, struct backend_health *out)
{
    struct s3 *s3 = s3_of(backend);
    struct call call;
    *out = (struct backend_health){.state = BACKEND_HEALTHY, .free = UINT64_MAX};
    int rc = call_begin(s3, "probe", "HEAD", s3->virtual_host ? "/" : "", &call);
    if (rc != 0)
        return rc;
    call.request.once = true;
    if (s3->timeout_ms > PROBE_TIMEOUT_MS)
        call.request.deadline_ms = loop_now_ms() + PROBE_TIMEOUT_MS;
    rc = call_perform(&call);
    if (rc != 0 && rc != ERR_CANCELED && rc != ERR_NOMEM) {
        out->state = BACKEND_DOWN;
        if (rc == ERR_NOT_FOUND)
            snprintf(out->why, sizeof(out->why), "there is no such bucket");
        else
            remote_words(&call.request, out->why, sizeof(out->why));
        rc = 0;
    }
    call_end(&call);
    return rc;
}

/* --- life --- */

static void s3_close(struct backend *backend)
{
    struct s3 *s3 = s3_of(backend);
    s3_keys_free(s3->keys);
    remote_free(s3->remote);
    free(s3->root);
    free(s3->prefix);
    free(s3->region);
    free(s3->storage_class);
    free(s3);
}

static const struct backend_ops s3_ops = {
    .driver = "s3",
    .put = s3_put,
    .get = s3_get,
    .remove = s3_remove,
    .list = s3_list,
    .probe = s3_probe,
    .close = s3_close,
};

static int refuse(const struct backend_settings *settings, const char *why)
{
    log_error("s3_open", "backend %s: %s", settings->name, why);
    return ERR_INVALID;
}

static int check(const struct backend_settings *settings, struct remote_endpoint *endpoint)
{
    if (settings->endpoint == NULL || remote_endpoint_parse(settings->endpoint, endpoint) != 0)
        return refuse(settings, "endpoint must be a URL such as https://s3.eu-central-1.amazonaws.com");
    if (settings->bucket == NULL || strlen(settings->bucket) < 3 || strlen(settings->bucket) > 63 ||
        strspn(settings->bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(settings->bucket))
        return refuse(settings, "bucket must be the name of one: 3 to 63 of a-z, 0-9, '.' and '-'");
    if (settings->prefix != NULL && !blob_key_prefix_valid(settings->prefix))
        return refuse(settings, "prefix may have letters, digits, '-', '_', '.' and single slashes within");
    if (settings->credentials_from == BACKEND_CREDENTIALS_NONE)
        return refuse(settings, "credentials are missing");
    return 0;
}

static int copy_settings(struct s3 *s3, const struct backend_settings *settings, const struct remote_endpoint *endpoint)
{
    const char *region = settings->region != NULL ? settings->region : "us-east-1";
    s3->tls = endpoint->tls;
    s3->virtual_host = settings->virtual_host != 0;
    s3->timeout_ms = settings->timeout_ms > 0 ? settings->timeout_ms : TIMEOUT_MS;
    snprintf(s3->backend.name, sizeof(s3->backend.name), "%s", settings->name);
    snprintf(s3->host, sizeof(s3->host), "%s%s%s", s3->virtual_host ? settings->bucket : "",
             s3->virtual_host ? "." : "", endpoint->host);
    if (asprintf(&s3->root, "%s%s%s", endpoint->base_path, s3->virtual_host ? "" : "/",
                 s3->virtual_host ? "" : settings->bucket) < 0)
        s3->root = NULL;
    s3->prefix = strdup(settings->prefix != NULL ? settings->prefix : "");
    s3->region = strdup(region);
    s3->storage_class = settings->storage_class != NULL ? strdup(settings->storage_class) : NULL;
    bool whole = s3->root != NULL && s3->prefix != NULL && s3->region != NULL &&
                 (settings->storage_class == NULL || s3->storage_class != NULL);
    return whole ? 0 : ERR_NOMEM;
}

int s3_open(const struct backend_settings *settings, struct backend **out)
{
    struct remote_endpoint endpoint;
    int rc = check(settings, &endpoint);
    struct s3 *s3 = rc == 0 ? calloc(1, sizeof(*s3)) : NULL;
    if (s3 == NULL)
        return rc != 0 ? rc : ERR_NOMEM;
    s3->backend.ops = &s3_ops;
    rc = copy_settings(s3, settings, &endpoint);
    if (rc == 0) {
        const struct remote_options options = {.name = settings->name,
                                               .ca_file = settings->ca_file,
                                               .proxy = settings->proxy,
                                               .stall_timeout_ms = s3->timeout_ms / 4,
                                               .connections = settings->connections};
        rc = remote_create(&options, &s3->remote);
        if (rc == ERR_INVALID)
            refuse(settings, "the CA file cannot be read");
    }
    if (rc == 0)
        rc = s3_keys_create(settings, &s3->keys);
    if (rc != 0) {
        s3_close(&s3->backend);
        return rc;
    }
    *out = &s3->backend;
    return 0;
}
