/* One piece: read and sealed on a thread of its own, then put. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/metrics.h"
#include "store/ship/private.h"

#define MEMORY_WAIT_MS 60000

struct job {
    struct lane *lane;
    struct stored stored;
    struct block *block;
    size_t room; /* bytes of the file that the block has room for */
    /* the journal */
    const struct index_mark *mark;
    struct index_position *at;
    /* a snapshot */
    int fd;
};

/* Numbers go round after 2^30 pieces, and the mutation in the name is another one by then. */
static uint32_t make_name(struct ship *ship, uint64_t sequence, uint32_t kind, struct blob_name *out)
{
    ship->number = ship->number % NAME_COUNTER + 1;
    uint32_t number = NAME_PIECE | kind | ship->number;
    memcpy(out->bytes, ship->options.epoch, 8);
    for (int i = 0; i < 8; i++)
        out->bytes[8 + i] = (uint8_t)(sequence >> (56 - 8 * i));
    for (int i = 0; i < 4; i++)
        out->bytes[16 + i] = (uint8_t)(number >> (24 - 8 * i));
    return ship->number;
}

static int seal(struct job *job)
{
    struct ship *ship = job->lane->ship;
    return piece_seal(ship->key, ship->options.suite, &job->stored.name, &job->stored.piece, job->room, job->block);
}

static uint8_t *bytes_of_file(const struct job *job)
{
    return piece_plain(job->block, job->lane->ship->options.suite, job->room) + PIECE_HEADER_SIZE;
}

/* --- on the worker's thread --- */

static int read_journal(void *arg)
{
    struct job *job = arg;
    struct piece *piece = &job->stored.piece;
    struct index_position from;
    size_t length;
    int rc = index_journal_read(job->lane->ship->options.index, job->mark, job->at, bytes_of_file(job), job->room,
                                &from, &length);
    piece->length = length;
    if (rc != 0 || length == 0)
        return rc;
    piece->file = from.segment;
    piece->offset = from.offset;
    piece->first = from.sequence + 1;
    piece->last = job->at->sequence;
    memcpy(piece->before, from.hash, INDEX_HASH_SIZE);
    memcpy(piece->after, job->at->hash, INDEX_HASH_SIZE);
    return seal(job);
}

static int read_snapshot(void *arg)
{
    struct job *job = arg;
    const struct piece *piece = &job->stored.piece;
    uint8_t *dst = bytes_of_file(job);
    size_t got = 0;
    while (got < piece->length) {
        ssize_t n = pread(job->fd, dst + got, piece->length - got, (off_t)(piece->offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? err_from_errno(errno) : ERR_CORRUPT;
        got += (size_t)n;
    }
    return seal(job);
}

/* --- on the loop --- */

static int prepare(struct job *job, int (*fill)(void *arg)) SUSPENDS
{
    struct ship *ship = job->lane->ship;
    int rc = block_create(ship->options.budget, piece_block_size(ship->options.suite, job->room),
                          loop_now_ms() + MEMORY_WAIT_MS, &job->block);
    return rc != 0 ? rc : worker_call(ship->pool, fill, job);
}

/* A put that failed may have stored it all the same. */
static int put(struct job *job, struct stored_list *list) SUSPENDS
{
    struct backend *backend = job->lane->backend;
    int rc = stored_reserve(list);
    if (rc != 0)
        return rc;
    rc = backend->ops->put(backend, &job->stored.name, job->block, &job->stored.locator);
    if (rc == 0)
        metrics_add(METRIC_JOURNAL_SHIPPED_BYTES, (int64_t)job->block->length);
    else
        metrics_add(METRIC_JOURNAL_SHIP_FAILURES, 1);
    if (rc != 0 && rc != ERR_DOWN)
        job->lane->sweep = true;
    return rc;
}

/* What lies behind a place in one segment is known to the byte when that is the one that is being written. */
static size_t room_for(const struct index_mark *mark, const struct index_position *at)
{
    if (at->segment != mark->segment || mark->end - at->offset > PIECE_MAX)
        return PIECE_MAX;
    return (size_t)(mark->end - at->offset);
}

/* The journal may have less, or something else, than the pieces that the new one is to stand for. */
static bool stands_for(const struct index_position *end, const struct piece *tail)
{
    return end->sequence == tail->last && memcmp(end->hash, tail->after, INDEX_HASH_SIZE) == 0;
}

int put_journal(struct lane *lane, const struct index_mark *mark, struct index_position *at, uint32_t rank,
                const struct piece *tail, size_t place) SUSPENDS
{
    struct index_position next = *at;
    struct job job = {.lane = lane, .room = room_for(mark, at), .mark = mark, .at = &next};
    int64_t now_ms = clock_wall_ms();
    int64_t time_ms = tail != NULL ? tail->time_ms : now_ms > lane->last_ms ? now_ms : lane->last_ms;
    job.stored.piece =
        (struct piece){.kind = PIECE_JOURNAL, .rank = rank, .time_ms = time_ms, .shipped = lane->ship->shipped};
    uint32_t number = make_name(lane->ship, at->sequence + 1, 0, &job.stored.name);
    if (tail == NULL)
        lane->flying = number;
    int rc = prepare(&job, read_journal);
    if (rc == 0 && tail != NULL && !stands_for(&next, tail))
        rc = ERR_CORRUPT;
    if (rc == 0 && job.stored.piece.length > 0 && (rc = put(&job, &lane->ledger.journal)) == 0) {
        size_t end = lane->ledger.journal.count;
        stored_insert(&lane->ledger.journal, place < end ? place : end, &job.stored);
        lane->last_ms = time_ms > lane->last_ms ? time_ms : lane->last_ms;
        *at = next;
    }
    if (tail == NULL)
        lane->flying = 0;
    block_unref(job.block);
    return rc;
}

int put_snapshot(struct lane *lane, const struct index_snapshot *snapshot, uint64_t offset) SUSPENDS
{
    uint64_t length = snapshot->size - offset < PIECE_MAX ? snapshot->size - offset : PIECE_MAX;
    struct job job = {.lane = lane, .room = (size_t)length, .fd = snapshot->fd};
    job.stored.piece = (struct piece){.kind = PIECE_SNAPSHOT,
                                      .file = snapshot->sequence,
                                      .offset = offset,
                                      .length = length,
                                      .size = snapshot->size,
                                      .first = snapshot->sequence,
                                      .last = snapshot->sequence,
                                      .time_ms = clock_wall_ms()};
    memcpy(job.stored.piece.before, snapshot->sum, INDEX_HASH_SIZE);
    memcpy(job.stored.piece.after, snapshot->sum, INDEX_HASH_SIZE);
    make_name(lane->ship, snapshot->sequence, NAME_SNAPSHOT, &job.stored.name);
    int rc = prepare(&job, read_snapshot);
    if (rc == 0 && (rc = put(&job, &lane->ledger.snapshots)) == 0)
        stored_insert(&lane->ledger.snapshots, lane->ledger.snapshots.count, &job.stored);
    block_unref(job.block);
    return rc;
}
