/* From a copy to an index that a gateway may go on with. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "index/durable.h"
#include "store/replicas.h"
#include "store/ship/rebuild_private.h"

#define ARENA_LIMIT  ((size_t)64 << 20)
#define LIST_BATCH   1000
#define STRANGER_MAX 256 /* leases that the index does not have any more, or never had */

struct adopt {
    struct rebuild *rebuild;
    struct arena *arena;   /* of what stays */
    struct arena *scratch; /* reset for each batch */
    Arca__Lease **leases;
    size_t lease_count;
    uint8_t strangers[STRANGER_MAX][8];
    size_t stranger_count;
};

/* --- what the index has --- */

static int count_objects(struct adopt *adopt, const Arca__Bucket *bucket, uint64_t node, uint64_t *count) SUSPENDS
{
    struct index_list_query query = {.node = node, .max = LIST_BATCH};
    struct index_listing listing;
    uint8_t key[KEY_MAX], upload[16];
    do {
        arena_reset(adopt->scratch);
        int rc = index_list(adopt->rebuild->index, &query, adopt->scratch, &listing);
        if (rc != 0)
            return rc;
        *count += listing.count;
        if (listing.count > 0) {
            const struct index_entry *last = &listing.entries[listing.count - 1];
            memcpy(key, last->key.ptr, last->key.len);
            query.start_after = span_of(key, last->key.len);
            if (node == bucket->uploads_node && last->upload != NULL && last->upload->id.len == sizeof(upload)) {
                memcpy(upload, last->upload->id.data, sizeof(upload));
                query.upload_after = span_of(upload, sizeof(upload));
            }
        }
    } while (listing.truncated);
    return 0;
}

static int count_all(struct adopt *adopt) SUSPENDS
{
    struct rebuild_result *result = adopt->rebuild->result;
    struct span after = SPAN_NONE;
    size_t count;
    int rc = 0;
    do {
        Arca__Bucket **buckets;
        rc = index_bucket_list(adopt->rebuild->index, after, LIST_BATCH, adopt->arena, &buckets, &count);
        for (size_t i = 0; rc == 0 && i < count; i++) {
            rc = count_objects(adopt, buckets[i], buckets[i]->id, &result->objects);
            if (rc == 0)
                rc = count_objects(adopt, buckets[i], buckets[i]->uploads_node, &result->uploads);
            after = span_str(buckets[i]->name);
        }
        result->buckets += rc == 0 ? count : 0;
    } while (rc == 0 && count == LIST_BATCH);
    return rc;
}

/* --- what the backend has --- */

/* An index that was rebuilt before has forgotten leases whose data it still names. */
static int is_former(struct adopt *adopt, const struct blob_name *name, bool *former) SUSPENDS
{
    uint8_t before[16] = {0};
    Arca__Blob **blobs;
    size_t count;
    memcpy(before, name->bytes, 8);
    arena_reset(adopt->scratch);
    int rc = index_blob_list(adopt->rebuild->index, span_of(before, sizeof(before)), 1, adopt->scratch, &blobs, &count);
    *former = rc == 0 && count == 1 && blobs[0]->id.len == 16 && memcmp(blobs[0]->id.data, name->bytes, 8) == 0;
    return rc;
}

static int is_ours(struct adopt *adopt, const struct blob_entry *entry, bool *ours) SUSPENDS
{
    struct backend *backend = adopt->rebuild->backend;
    struct envelope_header header;
    uint8_t bytes[ENVELOPE_HEADER_SIZE], id[KEYRING_ID_SIZE];
    *ours = false;
    if (entry->size < sizeof(bytes))
        return 0;
    int rc = backend->ops->get(backend, &entry->name, &entry->locator, 0, sizeof(bytes), bytes);
    if (rc != 0)
        return survey_damage(rc) ? 0 : rc;
    keyring_id(adopt->rebuild->options->keyring, id);
    *ours = envelope_parse_header(span_of(bytes, sizeof(bytes)), &header) == 0 &&
            memcmp(header.keyring_id, id, sizeof(id)) == 0;
    return 0;
}

/* Data that the index does not name, under a lease that it does not know, sealed with its keyring: the gateway that
 * wrote it had an index that went on from here, or there is a second one. */
static int meet_stranger(struct adopt *adopt, const struct blob_entry *entry) SUSPENDS
{
    bool former, ours;
    char lease[17];
    for (size_t i = 0; i < adopt->stranger_count; i++)
        if (memcmp(adopt->strangers[i], entry->name.bytes, 8) == 0)
            return 0;
    if (adopt->stranger_count == STRANGER_MAX)
        return 0;
    int rc = is_ours(adopt, entry, &ours);
    if (rc == 0)
        rc = is_former(adopt, &entry->name, &former);
    if (rc != 0 || !ours)
        return rc;
    memcpy(adopt->strangers[adopt->stranger_count++], entry->name.bytes, 8);
    if (former)
        return 0;
    text_hex(span_of(entry->name.bytes, 8), lease);
    rebuild_tell(
        adopt->rebuild, REBUILD_FINDING,
        "rollback: %s holds data of lease %s, which this index never opened: it ends before the gateway that wrote "
        "them started",
        adopt->rebuild->backend->name, lease);
    return 0;
}

static int look_at(struct adopt *adopt, const struct blob_entry *entry) SUSPENDS
{
    Arca__Blob *blob;
    if (name_is_piece(&entry->name))
        return 0;
    arena_reset(adopt->scratch);
    int rc = index_blob_get(adopt->rebuild->index, span_of(entry->name.bytes, 16), adopt->scratch, &blob);
    if (rc != ERR_NOT_FOUND)
        return rc;
    adopt->rebuild->result->newer++;
    return lease_made(adopt->leases, adopt->lease_count, &entry->name) ? 0 : meet_stranger(adopt, entry);
}

static int look_at_all(struct adopt *adopt) SUSPENDS
{
    struct backend *backend = adopt->rebuild->backend;
    struct blob_cursor cursor = {0};
    struct blob_batch *batch = malloc(sizeof(*batch));
    uint64_t seen = 0;
    int rc = batch != NULL ? 0 : ERR_NOMEM;
    while (rc == 0 && !cursor.end) {
        rc = backend->ops->list(backend, &cursor, batch);
        for (size_t i = 0; rc == 0 && i < batch->count; i++)
            rc = look_at(adopt, &batch->entries[i]);
        seen += rc == 0 ? batch->count : 0;
        rebuild_tell(adopt->rebuild, REBUILD_PROGRESS, "comparing with the data: %" PRIu64 " extents", seen);
    }
    free(batch);
    return rc;
}

/* --- what is left for the gateway --- */

static int note_stale(struct stored_list *stale, const struct stored *stored)
{
    struct stored copy = *stored;
    copy.piece = (struct piece){.kind = PIECE_JOURNAL, .file = 1, .first = 1, .last = 1, .length = 1};
    int rc = stored_reserve(stale);
    if (rc == 0)
        stored_insert(stale, stale->count, &copy);
    return rc;
}

static int note(struct stored_list *list, const struct stored *stored)
{
    int rc = stored_reserve(list);
    if (rc == 0)
        stored_insert(list, list->count, stored);
    return rc;
}

static bool is_taken(const struct chain *chain, size_t number)
{
    bool taken = false;
    for (size_t i = 0; i < chain->part_count; i++)
        taken = taken || chain->parts[i] == number;
    for (size_t i = 0; i < chain->piece_count; i++)
        taken = taken || chain->pieces[i] == number;
    return taken;
}

/* An index that was rebuilt before has forgotten its leases of then, too; those that what it is made from was put under
 * were of its own history. */
static bool is_own_piece(const struct adopt *adopt, const struct blob_name *name)
{
    const struct chain *chain = &adopt->rebuild->chain;
    const struct stored_list *pieces = &adopt->rebuild->survey.pieces;
    bool own = lease_made(adopt->leases, adopt->lease_count, name);
    for (size_t i = 0; i < chain->piece_count && !own; i++)
        own = memcmp(pieces->all[chain->pieces[i]].name.bytes, name->bytes, 8) == 0;
    return own;
}

/* What the index is made from is gone on with. What else it knows to be its own is superfluous; what is newer than it,
 * or another's, is not touched. */
static int note_from(struct adopt *adopt, struct ledger *ledger)
{
    const struct chain *chain = &adopt->rebuild->chain;
    const struct stored_list *pieces = &adopt->rebuild->survey.pieces;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < chain->part_count; i++) {
        const struct stored *part = &pieces->all[chain->parts[i]];
        bool twice = false;
        for (size_t j = 0; j < ledger->snapshots.count; j++)
            twice = twice || ledger->snapshots.all[j].piece.offset == part->piece.offset;
        rc = twice ? note_stale(&ledger->stale, part) : note(&ledger->snapshots, part);
    }
    for (size_t i = 0; rc == 0 && i < chain->piece_count; i++)
        rc = note(&ledger->journal, &pieces->all[chain->pieces[i]]);
    for (size_t i = 0; rc == 0 && i < pieces->count; i++) {
        const struct piece *piece = &pieces->all[i].piece;
        if (!is_taken(chain, i) && is_own_piece(adopt, &pieces->all[i].name) && piece->time_ms <= chain->time_ms)
            rc = note_stale(&ledger->stale, &pieces->all[i]);
    }
    return rc;
}

/* Of the other backends nothing but names is known. */
static int note_other(struct adopt *adopt, struct backend *backend, struct ledger *ledger) SUSPENDS
{
    struct stored_list listed = {0};
    int rc = survey_list(backend, &listed);
    for (size_t i = 0; rc == 0 && i < listed.count; i++) {
        const struct blob_name *name = &listed.all[i].name;
        if (is_own_piece(adopt, name) && name_first(name) <= adopt->rebuild->chain.last)
            rc = note_stale(&ledger->stale, &listed.all[i]);
    }
    free(listed.all);
    return rc == ERR_NOMEM ? rc : 0; /* one that is down is gone through when it ships */
}

static int note_all(struct adopt *adopt) SUSPENDS
{
    struct ledger ledgers[64] = {0};
    const struct ledger *all[64];
    struct backend *backend;
    struct buf bytes = {0};
    size_t count = 0;
    int rc = 0;
    for (; rc == 0 && count < 64 && (backend = store_backend(adopt->rebuild->store, count)) != NULL; count++) {
        struct ledger *ledger = &ledgers[count];
        all[count] = ledger;
        memcpy(ledger->backend, backend->name, sizeof(ledger->backend));
        rc = backend == adopt->rebuild->backend ? note_from(adopt, ledger) : note_other(adopt, backend, ledger);
    }
    if (rc == 0)
        rc = ledgers_encode(all, count, false, &bytes);
    if (rc == 0)
        rc = ledgers_write(adopt->rebuild->path, buf_span(&bytes));
    buf_free(&bytes);
    for (size_t i = 0; i < count; i++)
        ledger_free(&ledgers[i]);
    return rc;
}

/* A line a lease whose data may be newer than the index: for `arcactl check`. */
static int note_leases(struct adopt *adopt)
{
    struct buf text = {0};
    char hex[17];
    for (size_t i = 0; i < adopt->lease_count; i++) {
        if (adopt->leases[i]->id.len != 8)
            continue;
        text_hex(span_of(adopt->leases[i]->id.data, 8), hex);
        buf_printf(&text, "%s\n", hex);
    }
    for (size_t i = 0; i < adopt->stranger_count; i++) {
        text_hex(span_of(adopt->strangers[i], 8), hex);
        buf_printf(&text, "%s\n", hex);
    }
    int rc = text.failed != 0 ? text.failed : file_write(adopt->rebuild->path, REBUILT_FILE, buf_span(&text));
    buf_free(&text);
    return rc;
}

/* Last, since with it the index forgets which leases it had. */
static int tell_index(struct adopt *adopt) SUSPENDS
{
    Arca__Rebuilt rebuilt = ARCA__REBUILT__INIT;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.time_ms = clock_wall_ms();
    mutation.op_case = ARCA__MUTATION__OP_REBUILT;
    mutation.rebuilt = &rebuilt;
    return index_apply(adopt->rebuild->index, &mutation);
}

static int check_keyring(struct adopt *adopt) SUSPENDS
{
    uint8_t id[KEYRING_ID_SIZE];
    Arca__Meta *meta;
    int rc = index_meta_get(adopt->rebuild->index, adopt->arena, &meta);
    keyring_id(adopt->rebuild->options->keyring, id);
    if (rc == 0 && meta->keyring_id.len > 0 &&
        !span_eq(span_of(meta->keyring_id.data, meta->keyring_id.len), span_of(id, sizeof(id))))
        rc = ERR_WRONG_KEY;
    return rc;
}

int rebuild_adopt(struct rebuild *rebuild) SUSPENDS
{
    struct adopt adopt = {.rebuild = rebuild, .arena = arena_create(ARENA_LIMIT), .scratch = arena_create(ARENA_LIMIT)};
    int rc = adopt.arena != NULL && adopt.scratch != NULL ? 0 : ERR_NOMEM;
    if (rc == 0)
        rc = check_keyring(&adopt);
    if (rc == 0)
        rc = index_lease_list(rebuild->index, adopt.arena, &adopt.leases, &adopt.lease_count);
    if (rc == 0)
        rc = count_all(&adopt);
    if (rc == 0)
        rc = look_at_all(&adopt);
    if (rc == 0 && !rebuild_stops(rebuild)) {
        rc = note_all(&adopt);
        if (rc == 0)
            rc = note_leases(&adopt);
        if (rc == 0)
            rc = tell_index(&adopt);
    }
    if (rc != 0)
        rebuild_tell(rebuild, REBUILD_ERROR, "the index that was made is not in order: %s", err_text(rc));
    if (adopt.scratch != NULL)
        arena_free(adopt.scratch);
    if (adopt.arena != NULL)
        arena_free(adopt.arena);
    return rc;
}
