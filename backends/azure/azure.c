#include "azure.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "private.h"

#define TIMEOUT_MS  60000
#define CRC64_SIZE  8
#define PROBE_BYTES 65536 /* of a page of one blob */
#define PROBE_MS    5000

static struct azure *of(struct backend *backend)
{
    return (struct azure *)(void *)backend;
}

/* --- operations --- */

/* Azure's CRC64 is CRC-64/NVME, its lowest byte first. The store verifies it before it answers. */
static void checksum(struct span data, char out[TEXT_BASE64_SIZE(CRC64_SIZE)])
{
    uint8_t crc[DIGEST_MAX], swapped[CRC64_SIZE];
    digest_once(DIGEST_CRC64NVME, data, crc);
    for (size_t i = 0; i < CRC64_SIZE; i++)
        swapped[i] = crc[CRC64_SIZE - 1 - i];
    text_base64(span_of(swapped, CRC64_SIZE), out);
}

static int put(struct backend *backend, const struct blob_name *name, struct block *data, struct locator *out)
{
    struct azure *azure = of(backend);
    struct azure_call call;
    char key[BLOB_KEY_SIZE], crc[TEXT_BASE64_SIZE(CRC64_SIZE)];
    out->length = 0;
    blob_key(azure->prefix, name, key);
    int rc = azure_call_begin(&call, azure, "PUT", key, "");
    if (rc == 0) {
        call.request.body = span_of(data->data, data->length);
        checksum(call.request.body, crc);
        azure_call_header(&call, "x-ms-blob-type", SPAN_LITERAL("BlockBlob"));
        azure_call_header(&call, "x-ms-content-crc64", span_str(crc));
        azure_call_header(&call, "Content-Type", SPAN_LITERAL("application/octet-stream"));
        rc = azure_perform(&call);
    }
    azure_call_end(&call);
    return rc == ERR_NOT_FOUND || rc == ERR_CONFLICT ? ERR_UNAVAILABLE : rc;
}

/* "bytes FIRST-LAST/TOTAL" */
static int check_range(const struct azure_call *call, uint64_t offset, uint64_t length)
{
    uint64_t first, last, total;
    struct span rest = span_str(call->fields[AZURE_FIELD_RANGE].value), part;
    if (call->request.answer.status != 206 || !span_starts(rest, SPAN_LITERAL("bytes ")))
        return ERR_IO;
    rest = span_split(span_skip(rest, 6), '-', &part);
    if (span_to_u64(part, &first) != 0)
        return ERR_IO;
    rest = span_split(rest, '/', &part);
    if (span_to_u64(part, &last) != 0 || span_to_u64(rest, &total) != 0 || first != offset)
        return ERR_IO;
    if (total < offset + length)
        return ERR_CORRUPT;
    return last == offset + length - 1 && call->request.answer.length == length ? 0 : ERR_IO;
}

static int perform_get(struct azure_call *call, uint64_t offset, uint64_t length, uint8_t *dst) SUSPENDS
{
    char range[64];
    snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, offset, offset + length - 1);
    azure_call_header(call, "Range", span_str(range));
    call->request.dst = dst;
    call->request.capacity = length;
    int rc = azure_perform(call);
    if (rc == ERR_RANGE)
        return ERR_CORRUPT;
    if (rc != 0)
        return rc;
    rc = check_range(call, offset, length);
    if (rc != 0)
        log_warn("azure_answer", "backend %s: %s: asked for %" PRIu64 " bytes at %" PRIu64 ", got status %d, "
                 "%zu bytes, '%s'", call->azure->backend.name, call->key, length, offset, call->request.answer.status,
                 call->request.answer.length, call->fields[AZURE_FIELD_RANGE].value);
    return rc;
}

static int get(struct backend *backend, const struct blob_name *name, const struct locator *locator, uint64_t offset,
               uint64_t length, uint8_t *dst)
{
    struct azure *azure = of(backend);
    struct azure_call call;
    char key[BLOB_KEY_SIZE];
    int rc = blob_key_range(locator, offset, length);
    if (rc != 0)
        return rc;
    blob_key(azure->prefix, name, key);
    /* No range has no bytes: whether the blob is there, and reaches so far, is asked without one. */
    rc = azure_call_begin(&call, azure, length > 0 ? "GET" : "HEAD", key, "");
    if (rc == 0 && length > 0)
        rc = perform_get(&call, offset, length, dst);
    else if (rc == 0 && (rc = azure_perform(&call)) == 0)
        rc = call.request.answer.content_length >= (int64_t)offset ? 0 : ERR_CORRUPT;
    azure_call_end(&call);
    return rc;
}

static int remove_blob(struct backend *backend, const struct blob_name *name, const struct locator *locator)
{
    struct azure *azure = of(backend);
    struct azure_call call;
    char key[BLOB_KEY_SIZE];
    (void)locator;
    blob_key(azure->prefix, name, key);
    int rc = azure_call_begin(&call, azure, "DELETE", key, "");
    if (rc == 0) {
        azure_call_header(&call, "x-ms-delete-snapshots", SPAN_LITERAL("include"));
        rc = azure_perform(&call);
    }
    azure_call_end(&call);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* A listing of one: it needs no right that the other operations do not need. */
static int probe(struct backend *backend, struct backend_health *out)
{
    struct azure *azure = of(backend);
    struct azure_call call;
    struct buf page = {.cap = PROBE_BYTES};
    *out = (struct backend_health){.state = BACKEND_HEALTHY, .free = UINT64_MAX};
    int rc = azure_call_begin(&call, azure, "GET", "", "restype=container&comp=list&maxresults=1");
    if (rc == 0) {
        call.request.text = &page;
        call.request.once = true;
        if (azure->timeout_ms > PROBE_MS)
            call.request.deadline_ms = loop_now_ms() + PROBE_MS;
        rc = azure_perform(&call);
    }
    if (rc != 0 && rc != ERR_CANCELED && rc != ERR_NOMEM) {
        out->state = BACKEND_DOWN;
        remote_words(&call.request, out->why, sizeof(out->why));
        rc = 0;
    }
    buf_free(&page);
    azure_call_end(&call);
    return rc;
}

/* --- life --- */

static void close_azure(struct backend *backend)
{
    struct azure *azure = of(backend);
    remote_free(azure->remote);
    azure_secret_free(&azure->secret);
    free(azure);
}

static const struct backend_ops azure_ops = {
    .driver = "azure",
    .put = put,
    .get = get,
    .remove = remove_blob,
    .list = azure_list,
    .probe = probe,
    .close = close_azure,
};

static int refuse(const struct backend_settings *settings, const char *what, const char *value)
{
    log_error("azure_open", "backend %s: %s, not '%s'", settings->name, what, value != NULL ? value : "");
    return ERR_INVALID;
}

/* learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata */
static bool named(const char *text, size_t max)
{
    size_t length = text != NULL ? strlen(text) : 0;
    return length >= 3 && length <= max && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-$") == length;
}

static int take_settings(struct azure *azure, const struct backend_settings *settings)
{
    char address[128];
    const char *prefix = settings->prefix != NULL ? settings->prefix : "";
    if (!named(settings->account, sizeof(azure->account) - 1))
        return refuse(settings, "the account has 3 to 24 of a-z 0-9 -", settings->account);
    if (!named(settings->bucket, sizeof(azure->container) - 1))
        return refuse(settings, "the bucket (container) has 3 to 63 of a-z 0-9 -", settings->bucket);
    if (!blob_key_prefix_valid(prefix))
        return refuse(settings, "the prefix has at most 64 of A-Z a-z 0-9 - _ . / and no slash at its ends", prefix);
    snprintf(address, sizeof(address), "https://%s.blob.core.windows.net", settings->account);
    if (remote_endpoint_parse(settings->endpoint != NULL ? settings->endpoint : address, &azure->endpoint) != 0)
        return refuse(settings, "the endpoint is http(s)://HOST[:PORT][/PATH]", settings->endpoint);
    snprintf(azure->backend.name, sizeof(azure->backend.name), "%s", settings->name);
    strcpy(azure->account, settings->account);
    strcpy(azure->container, settings->bucket);
    strcpy(azure->prefix, prefix);
    azure->timeout_ms = settings->timeout_ms > 0 ? settings->timeout_ms : TIMEOUT_MS;
    azure->backend.ops = &azure_ops;
    return 0;
}

int azure_open(const struct backend_settings *settings, struct backend **out)
{
    struct azure *azure = calloc(1, sizeof(*azure));
    if (azure == NULL)
        return ERR_NOMEM;
    int rc = take_settings(azure, settings);
    if (rc == 0)
        rc = azure_secret_load(settings, &azure->secret);
    if (rc == 0) {
        const struct remote_options remote = {
            .name = settings->name,
            .ca_file = settings->ca_file,
            .proxy = settings->proxy,
            .stall_timeout_ms = azure->timeout_ms / 4,
            .connections = settings->connections,
        };
        rc = remote_create(&remote, &azure->remote);
        if (rc == ERR_INVALID)
            refuse(settings, "the CA file is a PEM file", settings->ca_file);
    }
    if (rc != 0) {
        azure_secret_free(&azure->secret);
        free(azure);
        return rc;
    }
    *out = &azure->backend;
    return 0;
}
