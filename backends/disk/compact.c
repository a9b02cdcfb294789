/* Removal and what it gives back. A removed record is marked in its header and its blocks are punched out of the file. A
 * segment full of small dead records has nothing to punch in any one of them, so it is compacted where it stands: a run of
 * neighbouring dead records becomes one dead record that spans them all, and the whole blocks inside of it, headers
 * included, are punched. Nothing live moves, no locator changes, and so the index need not know. What remains are the
 * blocks that hold live bytes. A segment without live records is deleted.
 *
 * All of it runs on the one tidy thread, so that the counts and marks need no lock. The segment that is being written is
 * no exception but for its deletion, which the writer does when it has begun another. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"

/* A segment is compacted when dead bytes that could not be punched make up this part of it, or the smaller part when
 * nothing was removed from it for a while: to walk it costs as much, however little it is for. */
#define LOOSE_PART        16
#define LOOSE_PART_RESTED 128
#define LOOSE_MIN         (1u << 20)

/* Punches the whole blocks of (offset's header, end). Returns the bytes punched. A file system that cannot is no error: the
 * space comes back with the segment. */
static uint64_t punch(const struct disk *disk, const struct segment *segment, uint64_t offset, uint64_t end)
{
    uint64_t from = (offset + RECORD_HEADER_SIZE + PUNCH_BLOCK - 1) & ~(uint64_t)(PUNCH_BLOCK - 1);
    uint64_t to = end & ~(uint64_t)(PUNCH_BLOCK - 1);
    if (to <= from)
        return 0;
    if (fallocate(segment->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from)) != 0) {
        if (errno != EOPNOTSUPP)
            log_warn("disk_punch", "backend %s: segment %u: %s", disk->backend.name, segment->number, strerror(errno));
        return 0;
    }
    return to - from;
}

static int mark(struct disk *disk, const struct segment *segment, uint64_t offset, uint64_t span)
{
    uint8_t word[8];
    record_dead_encode(segment->number, offset, span, word);
    ssize_t n = pwrite(segment->fd, word, sizeof(word), (off_t)(offset + RECORD_DEAD_OFFSET));
    if (n == sizeof(word))
        return 0;
    if (n < 0 && (errno == ENOSPC || errno == EDQUOT)) /* a file system that writes no block in place: btrfs */
        return ERR_NOSPC;
    disk_fail(disk, "mark of a removed record", errno);
    return ERR_IO;
}

/* --- walking a segment --- */

/* A run of dead records as a walk meets it, or one live record. */
struct run {
    uint64_t offset;
    uint64_t end;
    bool dead;
    uint64_t marked; /* bytes that the first header's mark covers; dead runs */
};

/* Calls `fn` for each live record and each dead run of [header, end). *damaged (may be NULL): whether there were damaged
 * bytes between them. */
static int walk_runs(const struct segment *segment, int (*fn)(const struct run *run, void *arg), void *arg,
                     bool *damaged)
{
    struct segment_scan scan;
    int rc = segment_scan_begin(&scan, segment->fd, segment->number, SEGMENT_HEADER_SIZE, segment->end);
    struct run run = {0};
    struct segment_record record;
    while (rc == 0 && (rc = segment_scan_next(&scan, &record)) > 0) {
        rc = 0;
        if (run.dead && record.header.dead != 0 && record.offset == run.end) {
            run.end = record.end;
            continue;
        }
        if (run.end != 0)
            rc = fn(&run, arg);
        run = (struct run){record.offset, record.end, record.header.dead != 0, record.header.dead};
    }
    if (rc == 0 && run.end != 0)
        rc = fn(&run, arg);
    if (damaged != NULL)
        *damaged = scan.damaged > 0;
    segment_scan_end(&scan);
    return rc;
}

static int count_run(const struct run *run, void *arg)
{
    struct segment *segment = arg;
    if (!run->dead)
        segment->live++;
    else if (run->marked != run->end - run->offset)
        segment->loose += run->end - run->offset;
    return 0;
}

/* A sealed segment is counted the first time that something is removed from it: not at start, which must not read all
 * headers of a large store. */
int disk_count(struct segment *segment)
{
    if (segment->counted)
        return 0;
    segment->live = 0;
    segment->loose = 0;
    bool damaged = false;
    int rc = walk_runs(segment, count_run, segment, &damaged);
    segment->live += damaged; /* what cannot be read may live: its segment is kept */
    segment->counted = rc == 0;
    return rc;
}

struct compaction {
    struct disk *disk;
    const struct segment *segment;
    uint64_t punched;
};

static int mark_run(const struct run *run, void *arg)
{
    const struct compaction *compaction = arg;
    if (!run->dead || run->marked == run->end - run->offset)
        return 0;
    return mark(compaction->disk, compaction->segment, run->offset, run->end - run->offset);
}

static int punch_run(const struct run *run, void *arg)
{
    struct compaction *compaction = arg;
    if (run->dead)
        compaction->punched += punch(compaction->disk, compaction->segment, run->offset, run->end);
    return 0;
}

/* The marks must be durable before the headers that they cover go: else a walk after a power loss would meet a hole where
 * it expects a header. They are synced by a descriptor of their own: the kernel reports a failed write once to each, and
 * the writer's must not miss one. */
static int compact(struct disk *disk, struct segment *segment)
{
    struct compaction compaction = {disk, segment, 0};
    int fd = segment_reopen(&disk->table, segment, O_RDWR);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_from_errno(errno); /* the writer deleted it: it was sealed, and empty */
    int rc = walk_runs(segment, mark_run, &compaction, NULL);
    if (rc == 0 && disk_fdatasync(fd) != 0) {
        disk_fail(disk, "fdatasync", errno);
        rc = ERR_IO;
    }
    close(fd);
    if (rc != 0)
        return rc;
    rc = walk_runs(segment, punch_run, &compaction, NULL);
    segment->loose = 0;
    log_debug("disk_compacted", "backend %s: segment %u: %llu bytes punched, %llu records live", disk->backend.name,
              segment->number, (unsigned long long)compaction.punched, (unsigned long long)segment->live);
    return rc;
}

static bool is_loose(const struct segment *segment, unsigned part)
{
    uint64_t limit = segment->end / part;
    return segment->loose >= (limit > LOOSE_MIN ? limit : LOOSE_MIN);
}

/* Deletes or compacts the segment if it is worth it. One that is being written is compacted when it rests, so that the syncs
 * of that do not hold up the writer's. */
static int tidy(struct disk *disk, struct segment *segment)
{
    int rc = disk_count(segment);
    if (rc != 0)
        return rc;
    bool sealed = atomic_load(&segment->sealed);
    bool empty = atomic_load(&segment->live) == 0; /* after that: in a sealed one the count does not grow any more */
    if (sealed && empty)
        return segment_delete(&disk->table, segment);
    if (empty)
        disk_writer_unsettle(disk->writer);
    return sealed && is_loose(segment, LOOSE_PART) ? compact(disk, segment) : 0;
}

bool disk_tidy_rested(void *arg)
{
    struct disk *disk = arg;
    struct segment *segment;
    bool more = false, done = false;
    int64_t rested_ms = clock_monotonic_ms() - disk_settle_ms;
    for (uint32_t number = 1; number != 0 && !done && !disk->failed; number++) {
        if (segment_acquire_loose(&disk->table, number, LOOSE_MIN, &segment) != 0)
            break;
        number = segment->number;
        if (atomic_load(&segment->live) > 0 && is_loose(segment, LOOSE_PART_RESTED)) {
            done = segment->removed_ms <= rested_ms;
            more |= !done || compact(disk, segment) == 0;
        }
        segment_release(&disk->table, segment);
    }
    return more;
}

/* Whether there is a live record of that name and length: 1, 0, ERR_IO. */
static int stands_there(const struct segment *segment, const struct blob_name *name, const struct disk_place *place)
{
    uint8_t bytes[RECORD_HEADER_SIZE];
    struct record_header header;
    size_t got;
    if (place->offset + RECORD_HEADER_SIZE + place->length > segment->end)
        return 0;
    int rc = segment_read(segment->fd, bytes, sizeof(bytes), place->offset, &got);
    if (rc != 0 || got < sizeof(bytes))
        return rc;
    return record_header_decode(segment->number, place->offset, bytes, &header) == 0 && header.dead == 0 &&
           header.length == place->length && memcmp(&header.name, name, sizeof(*name)) == 0;
}

static int remove_from(struct disk *disk, struct segment *segment, const struct blob_name *name,
                       const struct disk_place *place)
{
    int rc = stands_there(segment, name, place);
    if (rc <= 0)
        return rc;
    if ((rc = disk_count(segment)) != 0)
        return rc;
    uint64_t size = segment_align(RECORD_HEADER_SIZE + place->length);
    /* Not synced: a mark that a power loss takes back leaves a blob that the index does not name, and which is removed
     * again. */
    if ((rc = mark(disk, segment, place->offset, size)) != 0)
        return rc;
    uint64_t punched = place->length >= 2 * PUNCH_BLOCK ? punch(disk, segment, place->offset, place->offset + size) : 0;
    segment->loose += size - punched;
    segment->removed_ms = clock_monotonic_ms();
    atomic_fetch_sub(&segment->live, 1);
    return tidy(disk, segment);
}

int disk_remove_blob(struct disk *disk, const struct blob_name *name, const struct disk_place *place)
{
    struct segment *segment;
    if (disk->failed)
        return ERR_READONLY;
    int rc = segment_acquire(&disk->table, place->segment, &segment);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    rc = remove_from(disk, segment, name, place);
    segment_release(&disk->table, segment);
    return rc;
}

/* --- listing --- */

static void add_entry(const struct segment *segment, const struct segment_record *record, struct blob_batch *out)
{
    struct blob_entry *entry = &out->entries[out->count++];
    struct disk_place place = {segment->number, record->offset, record->header.length};
    entry->name = record->header.name;
    entry->size = record->header.length;
    disk_place_encode(&place, &entry->locator);
}

/* Fills the batch from `*offset` on; *offset is 0 when the segment is done. */
static int list_segment(struct disk *disk, struct segment *segment, uint64_t *offset, struct blob_batch *out)
{
    struct segment_scan scan;
    bool whole = *offset == SEGMENT_HEADER_SIZE;
    size_t before = out->count;
    int rc = segment_scan_begin(&scan, segment->fd, segment->number, *offset, segment->end);
    struct segment_record record;
    while (rc == 0 && out->count < BLOB_BATCH && (rc = segment_scan_next(&scan, &record)) > 0) {
        rc = 0;
        if (record.header.dead == 0)
            add_entry(segment, &record, out);
        *offset = record.end;
    }
    bool done = rc == 0 && out->count < BLOB_BATCH;
    if (done)
        *offset = 0;
    if (scan.damaged > 0) {
        metrics_add(METRIC_DAMAGED_READS, 1);
        log_error("disk_damaged", "backend %s: segment %u: %llu bytes between records are damaged", disk->backend.name,
                  segment->number, (unsigned long long)scan.damaged);
    }
    segment_scan_end(&scan);
    /* What a crash between the last removal and the deletion left. */
    if (done && whole && out->count == before && !disk->failed)
        rc = tidy(disk, segment);
    return rc;
}

int disk_list_blobs(struct disk *disk, struct blob_cursor *cursor, struct blob_batch *out)
{
    uint32_t number = 0;
    uint64_t offset = 0;
    if (cursor->length == sizeof(number) + sizeof(offset)) {
        memcpy(&number, cursor->bytes, sizeof(number));
        memcpy(&offset, cursor->bytes + sizeof(number), sizeof(offset));
    }
    out->count = 0;
    if (cursor->end)
        return 0;
    if ((cursor->length != 0 && number == 0) || offset % SEGMENT_ALIGN != 0)
        return ERR_INVALID;
    while (out->count < BLOB_BATCH && !cursor->end) {
        struct segment *segment;
        int rc = segment_acquire_from(&disk->table, number, &segment);
        if (rc == ERR_NOT_FOUND) {
            cursor->end = true;
            break;
        }
        if (rc != 0)
            return rc;
        if (segment->number != number || offset < SEGMENT_HEADER_SIZE)
            offset = SEGMENT_HEADER_SIZE;
        number = segment->number;
        if (offset <= segment->end)
            rc = list_segment(disk, segment, &offset, out);
        else
            offset = 0;
        segment_release(&disk->table, segment);
        if (rc != 0)
            return rc;
        if (offset == 0 && number++ == UINT32_MAX)
            cursor->end = true;
    }
    cursor->length = sizeof(number) + sizeof(offset);
    memcpy(cursor->bytes, &number, sizeof(number));
    memcpy(cursor->bytes + sizeof(number), &offset, sizeof(offset));
    return 0;
}
