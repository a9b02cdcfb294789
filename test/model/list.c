/* Listings. A page is one look at the bucket: what it tells of each key must have been possible while it was made. */
#include "client.h"

#include <stdlib.h>
#include <string.h>
#include "base/err.h"

struct page {
    struct client *client;
    struct in_bucket in;
    struct index_list_query query;
    struct access keys[KEYS_MAX];
    struct index_listing listing;
    bool told[KEYS_MAX];
};

/* What stands for a key in the listing: itself, or the common prefix it is below. ptr NULL: it is not asked for. */
static struct span item_of(const struct page *page, unsigned k)
{
    struct span key = model_key(k), prefix = page->query.prefix;
    if (!span_starts(key, prefix))
        return SPAN_NONE;
    ptrdiff_t at = page->query.delimiter.len > 0 ? span_find(span_skip(key, prefix.len), page->query.delimiter) : -1;
    if (at >= 0)
        key = span_take(key, prefix.len + (size_t)at + page->query.delimiter.len);
    return span_cmp(key, page->query.start_after) > 0 ? key : SPAN_NONE;
}

static bool can_be(const struct access *access)
{
    return access->seen.count > 1 || access->seen.all[0] != ABSENT;
}

/* An object's entry: which of the values that the key may have it is. */
static void compare_entry(struct page *page, const struct index_entry *entry, unsigned k)
{
    struct access *access = &page->keys[k];
    uint32_t found = ABSENT;
    unsigned alike = 0;
    for (size_t i = 0; i < access->seen.count; i++) {
        if (access->seen.all[i] == ABSENT)
            continue;
        const struct value *value = value_of(&page->client->run->model, access->seen.all[i]);
        if (strcmp(value->etag, entry->object->etag) == 0 && value->size == entry->object->size) {
            found = access->seen.all[i];
            alike++;
        }
    }
    if (alike == 0)
        client_fail(page->client, "%.*s is listed with %llu bytes and the ETag %s, which it never had",
                    SPAN_FMT(entry->key), (unsigned long long)entry->object->size, entry->object->etag);
    page->told[k] = alike == 1; /* copies have one ETag */
    if (page->told[k])
        reg_told(access, found);
}

static void compare_entries(struct page *page)
{
    struct span last = page->query.start_after;
    for (size_t i = 0; i < page->listing.count; i++) {
        const struct index_entry *entry = &page->listing.entries[i];
        bool known = false, possible = false;
        for (unsigned k = 0; k < page->in.model->key_count; k++) {
            struct span item = item_of(page, k);
            if (item.ptr == NULL || !span_eq(item, entry->key))
                continue;
            known = known || (entry->object == NULL) == (item.len < model_key(k).len) || entry->object == NULL;
            possible = possible || can_be(&page->keys[k]);
            if (entry->object != NULL)
                compare_entry(page, entry, k);
        }
        if (!known || !possible)
            client_fail(page->client, "%.*s is listed and was not there", SPAN_FMT(entry->key));
        if (span_cmp(entry->key, last) <= 0)
            client_fail(page->client, "%.*s is listed out of order", SPAN_FMT(entry->key));
        last = entry->key;
    }
}

static bool is_listed(const struct page *page, struct span item)
{
    for (size_t i = 0; i < page->listing.count; i++) {
        if (span_eq(page->listing.entries[i].key, item))
            return true;
    }
    return false;
}

/* What is not listed, and would be, was absent. */
static void compare_absent(struct page *page)
{
    const struct index_listing *listing = &page->listing;
    struct span last = listing->count > 0 ? listing->entries[listing->count - 1].key : SPAN_NONE;
    bool more = false;
    for (unsigned k = 0; k < page->in.model->key_count; k++) {
        struct access *access = &page->keys[k];
        struct span item = item_of(page, k);
        if (item.ptr == NULL || is_listed(page, item))
            continue;
        if (listing->truncated && (page->query.max == 0 || span_cmp(item, last) > 0)) {
            more = more || can_be(access);
            continue;
        }
        if (page->query.max == 0)
            continue;
        if (!values_have(&access->seen, ABSENT))
            client_fail(page->client, "%.*s is not listed, and was there", SPAN_FMT(item));
        page->told[k] = true;
        reg_told(access, ABSENT);
    }
    if (listing->truncated && !more)
        client_fail(page->client, "it is truncated, and nothing can follow");
}

/* False: the bucket is not there. */
static bool list_page(struct client *client, unsigned b, struct index_list_query query, struct page *page) SUSPENDS
{
    *page = (struct page){.client = client, .query = query};
    client_says(client, "list %s, prefix '%.*s', delimiter '%.*s', after '%.*s', at most %zu",
                client->run->model.buckets[b].name, SPAN_FMT(query.prefix), SPAN_FMT(query.delimiter),
                SPAN_FMT(span_take(query.start_after, 40)), query.max);
    if (!bucket_enter(client, b, &page->in))
        return false;
    page->query.node = page->in.bucket->id;
    for (unsigned k = 0; k < page->in.model->key_count; k++)
        reg_read(&page->in.model->keys[k], &page->keys[k]);
    int rc = index_list(world_index(client->run->world), &page->query, client->arena, &page->listing);
    if (rc != 0)
        client_fail(client, "%s", err_text(rc));
    if (page->listing.count > query.max)
        client_fail(client, "%zu entries", page->listing.count);
    compare_entries(page);
    compare_absent(page);
    for (unsigned k = 0; k < page->in.model->key_count; k++) {
        if (!page->told[k])
            reg_unknown(&page->keys[k]);
    }
    bucket_leave(client, &page->in, 0);
    return true;
}

static void list_pages(struct client *client, unsigned b, struct index_list_query query) SUSPENDS
{
    struct page page;
    while (list_page(client, b, query, &page) && page.listing.truncated && page.listing.count > 0) {
        query.start_after = page.listing.entries[page.listing.count - 1].key;
        fiber_yield();
    }
}

void client_list_all(struct client *client, unsigned b) SUSPENDS
{
    list_pages(client, b, (struct index_list_query){.max = 1000});
}

void client_list(struct client *client) SUSPENDS
{
    static const char *const prefixes[] = {"", "", "", "a", "a/", "b/", "b/c/", "d/", "k", "nowhere"};
    static const char *const delimiters[] = {"", "/", "/", "c", "//", "kk"};
    struct dice *dice = &client->dice;
    unsigned b = (unsigned)dice_below(dice, BUCKETS);
    struct index_list_query query = {
        .prefix = span_str(prefixes[dice_below(dice, 10)]),
        .delimiter = span_str(delimiters[dice_below(dice, 6)]),
        .max = dice_below(dice, 3) == 0 ? 1000 : 1 + dice_below(dice, 5),
    };
    if (dice_below(dice, 3) == 0)
        query.start_after = model_key((unsigned)dice_below(dice, KEYS_MAX));
    list_pages(client, b, query);
}
