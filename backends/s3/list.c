/* Listing by ListObjectsV2. The cursor is the last key, for start-after: continuation tokens are longer than a cursor.
 */
#include <string.h>
#include "backends/remote/xml.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "s3_private.h"

#define PAGE_MAX (4u << 20) /* bytes of XML: 1000 keys have half a MiB */
#define KEY_MAX  1024

/* A key that is not ours may be longer than a cursor. Behind its beginning and this, the highest character, none of
 * ours is skipped: they are shorter. */
static const char HIGHEST[] = "\xf4\x8f\xbf\xbf";

struct page {
    const struct s3 *s3;
    struct blob_batch *out;
    bool truncated;
    size_t count; /* of keys, ours or not */
    bool in_contents;
    bool sized;
    uint64_t size;
    size_t key_len;
    uint8_t key[KEY_MAX];
    size_t last_len;
    uint8_t last[KEY_MAX];
};

static int opened(void *arg, unsigned depth, struct span name)
{
    struct page *page = arg;
    if (depth == 2 && span_eq_str(name, "Contents")) {
        page->in_contents = true;
        page->sized = false;
        page->key_len = 0;
    }
    return 0;
}

/* Keys come URL-encoded, because XML cannot carry all of them. */
static int take_key(struct page *page, struct span text)
{
    uint8_t decoded[REMOTE_XML_TEXT];
    size_t length;
    if (text_uri_decode(text, true, decoded, &length) != 0 || length == 0 || length > KEY_MAX)
        return ERR_SYNTAX;
    memcpy(page->key, decoded, length);
    page->key_len = length;
    return 0;
}

static int take_entry(struct page *page)
{
    struct span key = {page->key, page->key_len};
    if (key.len == 0 || !page->sized || page->count++ >= BLOB_BATCH ||
        span_cmp(key, span_of(page->last, page->last_len)) <= 0)
        return ERR_SYNTAX;
    memcpy(page->last, key.ptr, key.len);
    page->last_len = key.len;
    struct blob_entry *entry = &page->out->entries[page->out->count];
    if (!blob_key_parse(page->s3->prefix, key, &entry->name))
        return 0;
    entry->locator.length = 0;
    entry->size = page->size;
    page->out->count++;
    return 0;
}

static int closed(void *arg, unsigned depth, struct span name, struct span text)
{
    struct page *page = arg;
    if (depth == 2 && span_eq_str(name, "IsTruncated")) {
        page->truncated = span_eq_str(text, "true");
        return 0;
    }
    if (depth == 2 && span_eq_str(name, "Contents")) {
        page->in_contents = false;
        return take_entry(page);
    }
    if (depth != 3 || !page->in_contents)
        return 0;
    if (span_eq_str(name, "Key"))
        return take_key(page, text);
    if (span_eq_str(name, "Size")) {
        page->sized = true;
        return span_to_u64(text, &page->size) == 0 ? 0 : ERR_SYNTAX;
    }
    return 0;
}

static void move_cursor(const struct page *page, struct blob_cursor *cursor)
{
    size_t length = page->last_len;
    if (length <= sizeof(cursor->bytes)) {
        memcpy(cursor->bytes, page->last, length);
        cursor->length = (uint8_t)length;
        return;
    }
    length = sizeof(cursor->bytes) - strlen(HIGHEST);
    while (length > 0 && (page->last[length] & 0xc0) == 0x80) /* not within a character */
        length--;
    memcpy(cursor->bytes, page->last, length);
    memcpy(cursor->bytes + length, HIGHEST, strlen(HIGHEST));
    cursor->length = (uint8_t)(length + strlen(HIGHEST));
}

static int set_query(struct call *call, const struct blob_cursor *cursor)
{
    struct buf query = {.cap = 4096};
    const char *prefix = call->s3->prefix;
    buf_append_str(&query, "encoding-type=url&list-type=2&max-keys=1000&prefix=");
    text_uri_encode(&query, span_str(prefix), false);
    buf_append_str(&query, prefix[0] != '\0' ? "%2F" : "");
    if (cursor->length > 0) {
        buf_append_str(&query, "&start-after=");
        text_uri_encode(&query, span_of(cursor->bytes, cursor->length), false);
    }
    call->query = query.failed == 0 ? arena_strdup(call->request.arena, buf_span(&query)) : NULL;
    buf_free(&query);
    return call->query != NULL ? 0 : ERR_NOMEM;
}

static int fetch(struct s3 *s3, const struct blob_cursor *cursor, struct buf *text) SUSPENDS
{
    struct call call;
    int rc = call_begin(s3, "list", "GET", s3->virtual_host ? "/" : "", &call);
    if (rc != 0)
        return rc;
    call.request.text = text;
    if ((rc = set_query(&call, cursor)) == 0)
        rc = call_perform(&call);
    call_end(&call);
    return rc == ERR_NOT_FOUND ? ERR_UNAVAILABLE : rc;
}

int s3_list(struct backend *backend, struct blob_cursor *cursor, struct blob_batch *out)
{
    struct s3 *s3 = (struct s3 *)(void *)backend;
    struct buf text = {.cap = PAGE_MAX};
    out->count = 0;
    if (cursor->end)
        return 0;
    int rc = fetch(s3, cursor, &text);
    if (rc == 0) {
        struct page page = {.s3 = s3, .out = out, .last_len = cursor->length};
        const struct xml_reader reader = {.arg = &page, .opened = opened, .closed = closed};
        memcpy(page.last, cursor->bytes, cursor->length);
        rc = remote_xml_parse(buf_span(&text), "ListBucketResult", &reader);
        if (rc == 0 && page.truncated && page.count == 0)
            rc = ERR_SYNTAX; /* it would never end */
        if (rc == 0)
            move_cursor(&page, cursor);
        cursor->end = rc == 0 && !page.truncated;
    }
    buf_free(&text);
    if (rc != ERR_SYNTAX)
        return rc;
    log_warn("s3", "backend %s: list: the answer makes no sense", backend->name);
    out->count = 0;
    return ERR_IO;
}
