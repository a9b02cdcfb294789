/* Listings: pages of XML, and the marker that leads to the next one.
 * learn.microsoft.com/rest/api/storageservices/list-blobs */
#include <string.h>
#include "backends/remote/xml.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "private.h"

#define PAGE_MAX (4u << 20) /* bytes; a blob takes about 1 KiB */

struct page {
    const char *prefix;
    struct blob_batch *out;
    bool ours, sized; /* the present blob's name, and its size, are known */
    struct span marker;
    uint8_t marker_bytes[sizeof(((struct blob_cursor *)0)->bytes)];
    bool ended; /* the marker stood there, perhaps empty */
};

static int take_marker(struct page *page, struct span text)
{
    if (text.len > sizeof(page->marker_bytes))
        return ERR_IO;
    if (text.len > 0)
        memcpy(page->marker_bytes, text.ptr, text.len);
    page->marker = span_of(page->marker_bytes, text.len);
    page->ended = true;
    return 0;
}

/* EnumerationResults(1) > Blobs(2) > Blob(3) > Name(4), Properties(4) > Content-Length(5); NextMarker(2) */
static int closed(void *arg, unsigned depth, struct span name, struct span text)
{
    struct page *page = arg;
    struct blob_batch *out = page->out;
    if (depth == 2 && span_eq_str(name, "NextMarker"))
        return take_marker(page, text);
    if (depth == 3 && span_eq_str(name, "Blob")) {
        if (page->ours && !page->sized)
            return ERR_IO;
        out->count += page->ours;
        page->ours = page->sized = false;
        return 0;
    }
    if (out->count == BLOB_BATCH) /* more than was asked for */
        return depth >= 3 ? ERR_IO : 0;
    struct blob_entry *entry = &out->entries[out->count];
    if (depth == 4 && span_eq_str(name, "Name"))
        page->ours = blob_key_parse(page->prefix, text, &entry->name);
    if (depth == 5 && span_eq_str(name, "Content-Length")) {
        page->sized = true;
        entry->locator.length = 0;
        return span_to_u64(text, &entry->size) == 0 ? 0 : ERR_IO;
    }
    return 0;
}

int azure_list_parse(struct span body, const char *prefix, struct blob_cursor *cursor, struct blob_batch *out)
{
    struct page page = {.prefix = prefix, .out = out};
    struct xml_reader reader = {.arg = &page, .closed = closed};
    out->count = 0;
    int rc = remote_xml_parse(body, "EnumerationResults", &reader);
    if (rc == ERR_NOMEM)
        return rc;
    /* A marker that leads nowhere would be followed for ever. */
    if (rc != 0 || !page.ended ||
        (page.marker.len > 0 && span_eq(page.marker, span_of(cursor->bytes, cursor->length))))
        return ERR_IO;
    cursor->end = page.marker.len == 0;
    cursor->length = (uint8_t)page.marker.len;
    memcpy(cursor->bytes, page.marker_bytes, page.marker.len);
    return 0;
}

static int query(const struct azure *azure, const struct blob_cursor *cursor, struct buf *out)
{
    buf_append_str(out, "restype=container&comp=list&maxresults=1000");
    if (azure->prefix[0] != '\0') {
        buf_append_str(out, "&prefix=");
        text_uri_encode(out, span_str(azure->prefix), false);
        buf_append_str(out, "%2F");
    }
    if (cursor->length > 0) {
        buf_append_str(out, "&marker=");
        text_uri_encode(out, span_of(cursor->bytes, cursor->length), false);
    }
    buf_append(out, span_of("", 1));
    return out->failed;
}

int azure_list(struct backend *backend, struct blob_cursor *cursor, struct blob_batch *out)
{
    struct azure *azure = (struct azure *)(void *)backend;
    struct azure_call call;
    struct buf asked = {.cap = 4096}, page = {.cap = PAGE_MAX};
    int rc = query(azure, cursor, &asked);
    if (rc != 0) {
        buf_free(&asked);
        return rc;
    }
    rc = azure_call_begin(&call, azure, "GET", "", (const char *)asked.ptr);
    if (rc == 0) {
        call.request.text = &page;
        rc = azure_perform(&call);
    }
    if (rc == 0) {
        rc = azure_list_parse(buf_span(&page), azure->prefix, cursor, out);
        if (rc == ERR_IO)
            log_warn("azure_list", "backend %s: the listing is not one", azure->backend.name);
    }
    buf_free(&page);
    buf_free(&asked);
    azure_call_end(&call);
    return rc;
}
