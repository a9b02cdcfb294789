#include "index/lmdb/list.h"

#include "base/err.h"
#include "index/lmdb/records.h"

#define ENTRIES_FIRST 64

struct listing {
    const struct index_list_query *query;
    struct arena *arena;
    struct index_listing *out;
    struct tree_cursor cursor;
    size_t allocated;
    bool uploads;
};

/* The end of the common prefix of `key`, which starts with the query's prefix; 0 if it is not below one. */
static size_t common_prefix(const struct index_list_query *query, struct span key)
{
    if (query->delimiter.len == 0)
        return 0;
    ptrdiff_t at = query->delimiter.len == 1 ? span_find_byte(span_skip(key, query->prefix.len), *query->delimiter.ptr)
                                             : span_find(span_skip(key, query->prefix.len), query->delimiter);
    return at < 0 ? 0 : query->prefix.len + (size_t)at + query->delimiter.len;
}

/* To the first leaf that does not start with `prefix` and comes after all that do. */
static int seek_past(struct listing *listing, struct span prefix)
{
    uint8_t bytes[TREE_KEY_MAX];
    size_t len = prefix.len;
    if (len > sizeof(bytes)) /* no key has so long a prefix */
        return tree_seek(&listing->cursor, prefix, TREE_AFTER);
    memcpy(bytes, prefix.ptr, len);
    while (len > 0 && bytes[len - 1] == 0xff)
        len--;
    if (len == 0)
        return ERR_NOT_FOUND;
    bytes[len - 1]++;
    return tree_seek(&listing->cursor, span_of(bytes, len), TREE_AT);
}

static int seek_first(struct listing *listing)
{
    const struct index_list_query *query = listing->query;
    struct span after = query->start_after;
    if (after.len == 0 || span_cmp(after, query->prefix) < 0)
        return tree_seek(&listing->cursor, query->prefix, TREE_AT);
    if (span_starts(after, query->prefix)) {
        size_t end = common_prefix(query, after);
        if (end != 0)
            return seek_past(listing, span_take(after, end));
    }
    if (query->upload_after.len != 0)
        return tree_seek_suffix(&listing->cursor, after, query->upload_after);
    return tree_seek(&listing->cursor, after, TREE_AFTER);
}

static struct index_entry *entry_append(struct listing *listing)
{
    struct index_listing *out = listing->out;
    if (out->count == listing->allocated) {
        size_t more = listing->allocated != 0 ? listing->allocated * 4 : ENTRIES_FIRST;
        struct index_entry *entries = arena_alloc(listing->arena, more * sizeof(*entries));
        if (entries == NULL)
            return NULL;
        if (out->count != 0)
            memcpy(entries, out->entries, out->count * sizeof(*entries));
        out->entries = entries;
        listing->allocated = more;
    }
    struct index_entry *entry = &out->entries[out->count++];
    memset(entry, 0, sizeof(*entry));
    return entry;
}

static int append(struct listing *listing, size_t prefix_end)
{
    struct tree_cursor *cursor = &listing->cursor;
    struct span key = tree_cursor_key(cursor);
    struct index_entry *entry = entry_append(listing);
    if (entry == NULL)
        return ERR_NOMEM;
    entry->key = arena_dup(listing->arena, prefix_end != 0 ? span_take(key, prefix_end) : key);
    if (entry->key.ptr == NULL)
        return ERR_NOMEM;
    if (prefix_end != 0)
        return 0;
    if (listing->uploads)
        return record_unpack_listed_upload(listing->arena, cursor->value, &entry->upload);
    return record_unpack_listed(listing->arena, cursor->value, &entry->object);
}

/* To what comes after the last entry: past its common prefix, or past the older versions of its key. */
static int step(struct listing *listing)
{
    struct index_entry *last = &listing->out->entries[listing->out->count - 1];
    if (last->object == NULL && last->upload == NULL)
        return seek_past(listing, last->key);
    int rc = tree_next(&listing->cursor);
    if (rc == 0 && !listing->uploads && span_eq(tree_cursor_key(&listing->cursor), last->key))
        rc = tree_seek(&listing->cursor, last->key, TREE_AFTER);
    return rc;
}

static int list(struct listing *listing)
{
    const struct index_list_query *query = listing->query;
    struct index_listing *out = listing->out;
    memset(out, 0, sizeof(*out));
    if (query->max == 0)
        return 0;
    int rc = seek_first(listing);
    while (rc == 0) {
        struct span key = tree_cursor_key(&listing->cursor);
        if (!span_starts(key, query->prefix))
            return 0;
        if (out->count == query->max) {
            out->truncated = true;
            return 0;
        }
        if ((rc = append(listing, common_prefix(query, key))) == 0)
            rc = step(listing);
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int list_objects(struct txn *txn, const struct index_list_query *query, struct arena *arena, struct index_listing *out)
{
    struct listing listing = {.query = query, .arena = arena, .out = out};
    tree_cursor_init(&listing.cursor, txn, TABLE_OBJECTS, query->node);
    return list(&listing);
}

int list_uploads(struct txn *txn, const struct index_list_query *query, struct arena *arena, struct index_listing *out)
{
    struct listing listing = {.query = query, .arena = arena, .out = out, .uploads = true};
    tree_cursor_init(&listing.cursor, txn, TABLE_UPLOADS, query->node);
    return list(&listing);
}
