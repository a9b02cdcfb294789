#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "store/replicas.h"
#include "store/ship/private.h"

#define RANK_MAX      2
#define SWEEP_WAIT_MS (600 * 1000)
#define ARENA_LIMIT   ((size_t)16 << 20)

/* --- a new snapshot --- */

struct open_snapshot {
    struct index *index;
    struct index_snapshot *out;
};

static int open_snapshot(void *arg)
{
    struct open_snapshot *open = arg;
    return index_snapshot_open(open->index, open->out);
}

static bool has_part(const struct lane *lane, const struct index_snapshot *snapshot, uint64_t offset)
{
    for (size_t i = 0; i < lane->ledger.snapshots.count; i++) {
        const struct piece *part = &lane->ledger.snapshots.all[i].piece;
        if (part->file == snapshot->sequence && part->offset == offset &&
            memcmp(part->before, snapshot->sum, INDEX_HASH_SIZE) == 0)
            return true;
    }
    return false;
}

static int ship_part(struct lane *lane, const struct index_snapshot *snapshot, uint64_t offset) SUSPENDS
{
    uint64_t left = snapshot->size - offset;
    int rc = lane->based ? throttle_wait(&lane->ship->throttle, left < PIECE_MAX ? left : PIECE_MAX, 1) : 0;
    return rc == 0 ? put_snapshot(lane, snapshot, offset) : rc;
}

/* Parts that are there already are those of an attempt before. */
static int ship_parts(struct lane *lane, const struct index_snapshot *snapshot) SUSPENDS
{
    int rc = 0;
    for (uint64_t offset = 0; rc == 0 && offset < snapshot->size; offset += PIECE_MAX) {
        if (lane_ending(lane))
            return ERR_CANCELED;
        if (!has_part(lane, snapshot, offset))
            rc = ship_part(lane, snapshot, offset);
    }
    if (rc == 0)
        log_info("journal_snapshot", "backend %s has the snapshot of mutation %llu, %llu bytes", lane->backend->name,
                 (unsigned long long)snapshot->sequence, (unsigned long long)snapshot->size);
    return rc;
}

static int ship_snapshot(struct lane *lane) SUSPENDS
{
    struct index_snapshot snapshot;
    struct ship *ship = lane->ship;
    int rc = worker_call(ship->pool, open_snapshot, &(struct open_snapshot){ship->options.index, &snapshot});
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    if (snapshot.sequence > ledger_snapshot(&lane->ledger, UINT64_MAX)) {
        rc = ship_parts(lane, &snapshot);
        if (rc == 0)
            lane_kick(lane); /* which may wait for it */
    }
    close(snapshot.fd);
    return rc;
}

/* --- gathering --- */

/* Pieces first..first+count-1 become one. */
static int gather(struct lane *lane, size_t first, size_t count, uint32_t rank) SUSPENDS
{
    struct stored_list *journal = &lane->ledger.journal;
    struct piece head = journal->all[first].piece, tail = journal->all[first + count - 1].piece;
    struct index_position at = {head.file, head.offset, head.first - 1, {0}};
    struct index_mark mark = {.sequence = tail.last, .segment = tail.file, .end = tail.offset + tail.length};
    memcpy(at.hash, head.before, INDEX_HASH_SIZE);
    /* Of the new one and those that it stands for, the list must never have both for long. */
    int rc = stored_room(&lane->ledger.stale, count);
    if (rc == 0)
        rc = put_journal(lane, &mark, &at, rank, &tail, first);
    if (rc == ERR_NOT_FOUND) /* a snapshot takes their place */
        return 0;
    return rc == 0 ? stored_move(journal, first + 1, count, &lane->ledger.stale) : rc;
}

/* A stretch of one segment, from `first` on, that is to be one piece: all of a segment that is full, as many as fit;
 * else GATHER_COUNT of one rank. Returns how many; 0 or 1: none. */
static size_t find_run(const struct stored_list *journal, size_t first, bool full)
{
    const struct piece *head = &journal->all[first].piece;
    uint64_t length = 0;
    size_t count = 0;
    for (size_t i = first; i < journal->count; i++) {
        const struct piece *piece = &journal->all[i].piece;
        length += piece->length;
        if (piece->file != head->file || length > PIECE_MAX || (!full && piece->rank != head->rank) ||
            (full && piece->rank >= RANK_MAX) || (i > first && !stored_follows(&journal->all[i - 1].piece, piece)))
            break;
        count++;
        if (!full && count == GATHER_COUNT)
            break;
    }
    return full || count == GATHER_COUNT ? count : 0;
}

static int gather_all(struct lane *lane) SUSPENDS
{
    struct stored_list *journal = &lane->ledger.journal;
    for (size_t i = 0; i < journal->count; i++) {
        struct piece *piece = &journal->all[i].piece;
        bool full = piece->file != journal->all[journal->count - 1].piece.file;
        if (piece->rank >= RANK_MAX)
            continue;
        size_t count = find_run(journal, i, full);
        if (count == 1 && full)
            piece->rank = RANK_MAX; /* there is none to gather it with */
        if (count < 2)
            continue;
        int rc = gather(lane, i, count, full ? RANK_MAX : piece->rank + 1);
        if (rc != 0)
            return rc;
        if (lane_ending(lane))
            return ERR_CANCELED;
    }
    return 0;
}

/* --- what is superfluous --- */

/* Pieces before the last place where the journal breaks off: the backend was away for so long that a snapshot took the
 * place of what is missing. */
static int prune_broken(struct lane *lane)
{
    struct stored_list *journal = &lane->ledger.journal;
    size_t first = journal->count;
    while (first > 1 && stored_follows(&journal->all[first - 2].piece, &journal->all[first - 1].piece))
        first--;
    return first > 1 ? stored_move(journal, 0, first - 1, &lane->ledger.stale) : 0;
}

static int prune_snapshots(struct lane *lane, uint64_t newest, uint64_t previous)
{
    struct stored_list *parts = &lane->ledger.snapshots;
    int rc = 0;
    for (size_t i = parts->count; i > 0 && rc == 0; i--) {
        uint64_t sequence = parts->all[i - 1].piece.file;
        if (sequence < newest && sequence != previous)
            rc = stored_move(parts, i - 1, 1, &lane->ledger.stale);
    }
    return rc;
}

/* The newest snapshot and the one before it stay, with the journal from there on. */
static int prune(struct lane *lane)
{
    struct stored_list *journal = &lane->ledger.journal;
    uint64_t newest = ledger_snapshot(&lane->ledger, UINT64_MAX);
    int rc = prune_broken(lane);
    if (rc != 0 || newest == 0 || journal->count == 0)
        return rc;
    uint64_t previous = ledger_snapshot(&lane->ledger, newest);
    if (previous + 1 < journal->all[0].piece.file)
        previous = 0;
    if ((rc = prune_snapshots(lane, newest, previous)) != 0)
        return rc;
    if (previous == 0 && journal->all[0].piece.file == 1)
        return 0;
    uint64_t base = previous != 0 ? previous : newest, segment = 0;
    for (size_t i = 0; i < journal->count && journal->all[i].piece.file <= base + 1; i++)
        segment = journal->all[i].piece.file;
    size_t first = 0;
    while (first < journal->count && journal->all[first].piece.file < segment)
        first++;
    return stored_move(journal, 0, first, &lane->ledger.stale);
}

/* What is removed must not be in the file any more as something that others follow. */
static int remove_stale(struct lane *lane) SUSPENDS
{
    struct stored_list *stale = &lane->ledger.stale;
    struct backend *backend = lane->backend;
    int rc = stale->count > 0 ? ship_save(lane->ship) : 0;
    for (size_t i = stale->count; i > 0 && rc == 0; i--) {
        struct stored stored = stale->all[i - 1];
        if (lane_ending(lane))
            return ERR_CANCELED;
        if ((rc = backend->ops->remove(backend, &stored.name, &stored.locator)) == 0)
            stored_remove(stale, i - 1, 1);
    }
    return rc;
}

/* --- pieces that the ledger does not name --- */

struct sweep {
    struct lane *lane;
    Arca__Lease **leases;
    size_t lease_count;
    uint32_t limit; /* of the present process's names: those beyond may be on their way */
    uint64_t removed, foreign;
};

static bool is_left_over(struct sweep *sweep, const struct blob_entry *entry)
{
    const struct ledger *ledger = &sweep->lane->ledger;
    if (!name_is_piece(&entry->name) || stored_has(&ledger->journal, &entry->name, &entry->locator) ||
        stored_has(&ledger->snapshots, &entry->name, &entry->locator) ||
        stored_has(&ledger->stale, &entry->name, &entry->locator))
        return false;
    if (memcmp(entry->name.bytes, sweep->lane->ship->options.epoch, 8) == 0)
        return (name_number(&entry->name) & NAME_COUNTER) < sweep->limit;
    bool known = lease_made(sweep->leases, sweep->lease_count, &entry->name);
    sweep->foreign += !known;
    return known;
}

static int sweep_all(struct sweep *sweep, struct blob_batch *batch) SUSPENDS
{
    struct backend *backend = sweep->lane->backend;
    struct blob_cursor cursor = {0};
    while (!cursor.end) {
        int rc = backend->ops->list(backend, &cursor, batch);
        for (size_t i = 0; rc == 0 && i < batch->count; i++) {
            const struct blob_entry *entry = &batch->entries[i];
            if (!is_left_over(sweep, entry))
                continue;
            rc = backend->ops->remove(backend, &entry->name, &entry->locator);
            sweep->removed += rc == 0;
        }
        if (rc != 0)
            return rc;
        if (lane_ending(sweep->lane))
            return ERR_CANCELED;
        fiber_yield();
    }
    return 0;
}

/* Everything that this index ever shipped and the ledger does not name is superfluous once the ledger reaches the
 * journal's end. What was shipped under leases that this index does not know is another's, or newer than what it was
 * rebuilt from. */
static int sweep(struct lane *lane) SUSPENDS
{
    struct arena *arena = arena_create(ARENA_LIMIT);
    struct blob_batch *batch = malloc(sizeof(*batch));
    struct sweep sweep = {.lane = lane, .limit = lane->flying != 0 ? lane->flying : lane->ship->number + 1};
    int rc = arena != NULL && batch != NULL ? 0 : ERR_NOMEM;
    lane->sweep = false;
    lane->sweep_at = loop_now_ms() + SWEEP_WAIT_MS;
    if (rc == 0)
        rc = index_lease_list(lane->ship->options.index, arena, &sweep.leases, &sweep.lease_count);
    if (rc == 0)
        rc = sweep_all(&sweep, batch);
    if (rc != 0)
        lane->sweep = true;
    if (sweep.removed > 0)
        log_info("journal_sweep", "backend %s: %llu pieces of the journal were superfluous and are removed",
                 lane->backend->name, (unsigned long long)sweep.removed);
    if (sweep.foreign > 0)
        log_warn("journal_sweep", "backend %s: %llu pieces of a journal were not made by this index and are left alone",
                 lane->backend->name, (unsigned long long)sweep.foreign);
    free(batch);
    if (arena != NULL)
        arena_free(arena);
    return rc;
}

/* --- all of it --- */

/* The backend left the placement: once the others have everything, it need not hold anything. */
static int leave(struct lane *lane) SUSPENDS
{
    struct ledger *ledger = &lane->ledger;
    if (lane->ship->shipped == 0 || lane->ship->shipped < lane->at.sequence)
        return 0;
    int rc = stored_move(&ledger->journal, 0, ledger->journal.count, &ledger->stale);
    if (rc == 0)
        rc = stored_move(&ledger->snapshots, 0, ledger->snapshots.count, &ledger->stale);
    lane->based = false;
    if (rc == 0)
        rc = remove_stale(lane);
    return rc == 0 && lane->sweep && loop_now_ms() >= lane->sweep_at ? sweep(lane) : rc;
}

int upkeep(struct lane *lane) SUSPENDS
{
    if (lane->checking)
        return 0;
    if (!lane->wanted)
        return leave(lane);
    if (!lane->checked) /* its ledger may be wrong */
        return 0;
    int rc = ship_snapshot(lane);
    if (rc != 0)
        return rc;
    /* Nothing is taken away before the backend has had everything once. */
    if (!lane->based || lane->safe_ms == 0)
        return 0;
    if ((rc = gather_all(lane)) != 0 || (rc = prune(lane)) != 0 || (rc = remove_stale(lane)) != 0)
        return rc;
    return lane->sweep && loop_now_ms() >= lane->sweep_at ? sweep(lane) : 0;
}
