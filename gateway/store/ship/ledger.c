#include "store/ship/ledger.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/byteorder.h"
#include "base/err.h"
#include "index/durable.h"

#define FILE_NAME   "shipped"
#define MAGIC       "ARCASHPD"
#define FORMAT      1U
#define SUM_SIZE    32
#define FILE_MAX    (256U << 20)
#define NAME_SIZE   33
#define RECORD_SIZE (BLOB_NAME_SIZE + 1 + LOCATOR_MAX + PIECE_HEADER_SIZE)

/* --- lists --- */

int stored_room(struct stored_list *list, size_t more)
{
    if (list->room - list->count >= more)
        return 0;
    size_t room = list->room * 2 > list->count + more ? list->room * 2 : list->count + more + 16;
    struct stored *all = realloc(list->all, room * sizeof(*all));
    if (all == NULL)
        return ERR_NOMEM;
    list->all = all;
    list->room = room;
    return 0;
}

int stored_reserve(struct stored_list *list)
{
    return stored_room(list, 2);
}

void stored_insert(struct stored_list *list, size_t at, const struct stored *stored)
{
    memmove(&list->all[at + 1], &list->all[at], (list->count - at) * sizeof(*stored));
    list->all[at] = *stored;
    list->count++;
}

void stored_remove(struct stored_list *list, size_t first, size_t count)
{
    if (count == 0)
        return;
    memmove(&list->all[first], &list->all[first + count], (list->count - first - count) * sizeof(*list->all));
    list->count -= count;
}

int stored_move(struct stored_list *list, size_t first, size_t count, struct stored_list *to)
{
    if (count == 0)
        return 0;
    int rc = stored_room(to, count);
    if (rc != 0)
        return rc;
    memcpy(&to->all[to->count], &list->all[first], count * sizeof(*list->all));
    to->count += count;
    stored_remove(list, first, count);
    return 0;
}

bool stored_has(const struct stored_list *list, const struct blob_name *name, const struct locator *locator)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct stored *stored = &list->all[i];
        if (memcmp(&stored->name, name, sizeof(*name)) == 0 && stored->locator.length == locator->length &&
            memcmp(stored->locator.bytes, locator->bytes, locator->length) == 0)
            return true;
    }
    return false;
}

bool stored_follows(const struct piece *before, const struct piece *after)
{
    if (after->first != before->last + 1 || memcmp(after->before, before->after, INDEX_HASH_SIZE) != 0)
        return false;
    if (after->file == before->file)
        return after->offset == before->offset + before->length;
    return after->offset == 0;
}

void ledger_free(struct ledger *ledger)
{
    free(ledger->journal.all);
    free(ledger->snapshots.all);
    free(ledger->stale.all);
    *ledger = (struct ledger){0};
}

/* Of one mutation there may be parts of two copies, of which one was not finished. */
static bool is_whole(const struct stored_list *list, const struct piece *of)
{
    uint64_t held = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct piece *part = &list->all[i].piece;
        if (part->file == of->file && memcmp(part->before, of->before, INDEX_HASH_SIZE) == 0)
            held += part->length;
    }
    return held == of->size;
}

uint64_t ledger_snapshot(const struct ledger *ledger, uint64_t below)
{
    uint64_t best = 0;
    for (size_t i = 0; i < ledger->snapshots.count; i++) {
        uint64_t sequence = ledger->snapshots.all[i].piece.file;
        if (sequence > best && sequence < below && is_whole(&ledger->snapshots, &ledger->snapshots.all[i].piece))
            best = sequence;
    }
    return best;
}

/* --- the file: magic, format, clean, backends; of each its name and its three lists; BLAKE2b of all that --- */

static void append32(struct buf *out, uint32_t value)
{
    uint8_t bytes[4];
    be32_put(bytes, value);
    buf_append(out, span_of(bytes, sizeof(bytes)));
}

static void append_list(struct buf *out, const struct stored_list *list)
{
    append32(out, (uint32_t)list->count);
    for (size_t i = 0; i < list->count; i++) {
        uint8_t record[RECORD_SIZE] = {0};
        const struct stored *stored = &list->all[i];
        memcpy(record, stored->name.bytes, BLOB_NAME_SIZE);
        record[BLOB_NAME_SIZE] = stored->locator.length;
        memcpy(record + BLOB_NAME_SIZE + 1, stored->locator.bytes, stored->locator.length);
        piece_encode(&stored->piece, record + RECORD_SIZE - PIECE_HEADER_SIZE);
        buf_append(out, span_of(record, sizeof(record)));
    }
}

int ledgers_encode(const struct ledger *const *all, size_t count, bool clean, struct buf *out)
{
    uint8_t sum[SUM_SIZE];
    out->cap = FILE_MAX;
    buf_append(out, span_of(MAGIC, 8));
    append32(out, FORMAT);
    append32(out, clean);
    append32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        char name[NAME_SIZE] = {0};
        memcpy(name, all[i]->backend, strnlen(all[i]->backend, NAME_SIZE - 1));
        buf_append(out, span_of(name, sizeof(name)));
        append_list(out, &all[i]->journal);
        append_list(out, &all[i]->snapshots);
        append_list(out, &all[i]->stale);
    }
    if (out->failed != 0)
        return out->failed;
    crypto_generichash(sum, sizeof(sum), out->ptr, out->len, NULL, 0);
    buf_append(out, span_of(sum, sizeof(sum)));
    return out->failed;
}

static bool take(struct span *from, void *out, size_t size)
{
    if (from->len < size)
        return false;
    memcpy(out, from->ptr, size);
    *from = span_skip(*from, size);
    return true;
}

static bool take32(struct span *from, uint32_t *out)
{
    uint8_t bytes[4];
    if (!take(from, bytes, sizeof(bytes)))
        return false;
    *out = be32_get(bytes);
    return true;
}

static int decode_list(struct span *from, struct stored_list *list)
{
    uint32_t count;
    if (!take32(from, &count) || count > from->len / RECORD_SIZE)
        return ERR_CORRUPT;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t record[RECORD_SIZE];
        struct stored stored = {0};
        int rc = take(from, record, sizeof(record)) ? stored_reserve(list) : ERR_CORRUPT;
        if (rc == 0)
            rc = piece_decode(span_of(record + RECORD_SIZE - PIECE_HEADER_SIZE, PIECE_HEADER_SIZE), &stored.piece);
        if (rc == 0 && record[BLOB_NAME_SIZE] > LOCATOR_MAX)
            rc = ERR_CORRUPT;
        if (rc != 0)
            return rc;
        memcpy(stored.name.bytes, record, BLOB_NAME_SIZE);
        stored.locator.length = record[BLOB_NAME_SIZE];
        memcpy(stored.locator.bytes, record + BLOB_NAME_SIZE + 1, stored.locator.length);
        stored_insert(list, list->count, &stored);
    }
    return 0;
}

static int decode_ledger(struct span *from, struct ledger *out)
{
    if (!take(from, out->backend, NAME_SIZE) || memchr(out->backend, '\0', NAME_SIZE) == NULL)
        return ERR_CORRUPT;
    int rc = decode_list(from, &out->journal);
    if (rc == 0)
        rc = decode_list(from, &out->snapshots);
    return rc == 0 ? decode_list(from, &out->stale) : rc;
}

int ledgers_decode(struct span bytes, struct ledger **out, size_t *count, bool *clean)
{
    uint8_t sum[SUM_SIZE];
    uint32_t format, flag, ledgers;
    if (bytes.len < 8 + 12 + SUM_SIZE || memcmp(bytes.ptr, MAGIC, 8) != 0)
        return ERR_CORRUPT;
    struct span rest = span_take(bytes, bytes.len - SUM_SIZE);
    crypto_generichash(sum, sizeof(sum), rest.ptr, rest.len, NULL, 0);
    if (memcmp(sum, rest.ptr + rest.len, SUM_SIZE) != 0)
        return ERR_CORRUPT;
    rest = span_skip(rest, 8);
    if (!take32(&rest, &format) || format != FORMAT)
        return ERR_FORMAT;
    if (!take32(&rest, &flag) || !take32(&rest, &ledgers) || ledgers > rest.len / NAME_SIZE)
        return ERR_CORRUPT;
    struct ledger *all = calloc(ledgers + 1, sizeof(*all));
    if (all == NULL)
        return ERR_NOMEM;
    int rc = 0;
    for (uint32_t i = 0; i < ledgers && rc == 0; i++)
        rc = decode_ledger(&rest, &all[i]);
    if (rc == 0 && rest.len != 0)
        rc = ERR_CORRUPT;
    if (rc != 0) {
        for (uint32_t i = 0; i < ledgers; i++)
            ledger_free(&all[i]);
        free(all);
        return rc;
    }
    *out = all;
    *count = ledgers;
    *clean = flag == 1;
    return 0;
}

int ledgers_write(const char *folder, struct span bytes)
{
    return file_write(folder, FILE_NAME, bytes);
}

int ledgers_read(const char *folder, struct ledger **out, size_t *count, bool *clean)
{
    char path[PATH_SIZE];
    struct stat st;
    size_t len;
    int rc = path_join(path, folder, FILE_NAME);
    if (rc != 0)
        return rc;
    if (stat(path, &st) != 0)
        return ERR_NOT_FOUND;
    if (st.st_size > FILE_MAX)
        return ERR_CORRUPT;
    char *bytes = malloc((size_t)st.st_size + 1);
    if (bytes == NULL)
        return ERR_NOMEM;
    rc = file_read(path, bytes, (size_t)st.st_size, &len);
    if (rc == 0)
        rc = ledgers_decode(span_of(bytes, len), out, count, clean);
    free(bytes);
    return rc;
}
