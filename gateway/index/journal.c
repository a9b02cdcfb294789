#include "index/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "index/durable.h"

#define SEGMENT_SIZE_DEFAULT (16ULL << 20) /* one is read into memory as a whole at a start */
#define BATCH_CAP            (64U << 20)
#define TEMPORARY            "tmp"

int (*journal_fdatasync)(int fd) = fdatasync;

struct journal {
    const char *path;
    uint64_t segment_size;
    int fd;
    struct journal_header header;
    uint64_t allocated; /* bytes of the file on disk */
    uint64_t end;       /* where the next batch goes */
    uint64_t sequence;  /* of the next record */
    uint8_t hash[JOURNAL_HASH_SIZE];
    struct buf batch;
    uint64_t batch_sequence; /* as sequence and hash will be when the batch is written */
    uint8_t batch_hash[JOURNAL_HASH_SIZE];
    struct {
        uint64_t end;
        uint64_t sequence;
        uint8_t hash[JOURNAL_HASH_SIZE];
    } before; /* the last journal_write */
    bool readonly;
    char path_bytes[PATH_SIZE];
};

/* Reserves disk blocks, so that a sync has no metadata to write and a full disk is noticed before a batch is begun. */
static int preallocate(int fd, uint64_t size)
{
    int error;
    do {
        error = posix_fallocate(fd, 0, (off_t)size);
    } while (error == EINTR);
    return error != 0 ? err_from_errno(error) : 0;
}

/* Made under another name, so that a segment with its own name has a whole header. */
static int segment_create(struct journal *journal, uint64_t size)
{
    char file[PATH_SIZE], temporary[PATH_SIZE];
    uint8_t bytes[JOURNAL_HEADER_SIZE];
    struct journal_header header = {.first = journal->sequence};
    randombytes_buf(header.salt, sizeof(header.salt));
    memcpy(header.previous, journal->hash, JOURNAL_HASH_SIZE);
    journal_header_encode(&header, bytes);

    int rc = path_of_number(file, journal->path, header.first, JOURNAL_SUFFIX);
    if (rc == 0)
        rc = path_join(temporary, journal->path, TEMPORARY);
    if (rc != 0)
        return rc;
    int fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_from_errno(errno);
    if ((rc = preallocate(fd, size)) == 0 && (rc = write_all(fd, span_of(bytes, sizeof(bytes)), 0)) == 0 &&
        (fsync(fd) != 0 || rename(temporary, file) != 0))
        rc = err_from_errno(errno);
    if (rc != 0) {
        close(fd);
        unlink(temporary);
        return rc;
    }
    if ((rc = folder_sync(journal->path)) != 0) {
        close(fd);
        journal->readonly = true;
        return ERR_READONLY;
    }
    if (journal->fd >= 0) {
        if (ftruncate(journal->fd, (off_t)journal->end) != 0)
            log_warn("journal_truncate", "cannot give back the end of a segment: %s", strerror(errno));
        close(journal->fd);
    }
    journal->fd = fd;
    journal->header = header;
    journal->allocated = size;
    journal->end = JOURNAL_HEADER_SIZE;
    return 0;
}

/* What is behind the last record must be zero: left-overs of a torn batch could pass for records of a later one. */
static int clear_tail(struct journal *journal)
{
    uint64_t size = journal->segment_size > journal->end ? journal->segment_size : journal->end;
    if (ftruncate(journal->fd, (off_t)journal->end) != 0)
        return err_from_errno(errno);
    int rc = preallocate(journal->fd, size);
    journal->allocated = rc == 0 ? size : journal->end;
    if (rc != 0 && rc != ERR_NOSPC)
        return rc;
    return fsync(journal->fd) == 0 ? 0 : err_from_errno(errno);
}

static int segment_continue(struct journal *journal, const struct journal_scan *scan)
{
    char file[PATH_SIZE];
    uint8_t bytes[JOURNAL_HEADER_SIZE];
    struct stat st;
    int rc = path_of_number(file, journal->path, scan->segment, JOURNAL_SUFFIX);
    if (rc != 0)
        return rc;
    journal->fd = open(file, O_RDWR | O_CLOEXEC);
    if (journal->fd < 0 || fstat(journal->fd, &st) != 0 ||
        pread(journal->fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return err_from_errno(errno);
    if ((rc = journal_header_decode(span_of(bytes, sizeof(bytes)), &journal->header)) != 0)
        return rc;
    journal->allocated = (uint64_t)st.st_size;
    journal->end = scan->end;
    if (scan->torn != 0)
        log_warn("journal_torn", "%s: cut %" PRIu64 " bytes at offset %" PRIu64 " that were being written at the end",
                 file, scan->torn, scan->end);
    if (scan->torn != 0 || journal->allocated < journal->segment_size)
        return clear_tail(journal);
    /* What a killed process wrote and did not sync yet is about to be applied. */
    return fsync(journal->fd) == 0 ? 0 : err_from_errno(errno);
}

int journal_open(const char *path, uint64_t segment_size, const struct journal_scan *scan, struct journal **out)
{
    struct journal *journal = calloc(1, sizeof(*journal));
    if (journal == NULL)
        return ERR_NOMEM;
    snprintf(journal->path_bytes, sizeof(journal->path_bytes), "%s", path);
    journal->path = journal->path_bytes;
    journal->segment_size = segment_size != 0 ? segment_size : SEGMENT_SIZE_DEFAULT;
    journal->fd = -1;
    journal->batch.cap = BATCH_CAP;
    journal->sequence = scan->sequence + 1;
    memcpy(journal->hash, scan->hash, JOURNAL_HASH_SIZE);
    int rc = scan->found ? segment_continue(journal, scan) : segment_create(journal, journal->segment_size);
    if (rc != 0) {
        log_error("journal_open", "%s: %s", path, err_text(rc));
        journal_close(journal);
        return rc;
    }
    journal_drop(journal);
    *out = journal;
    return 0;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    if (journal->fd >= 0)
        close(journal->fd);
    buf_free(&journal->batch);
    free(journal);
}

uint64_t journal_sequence(const struct journal *journal)
{
    return journal->batch_sequence;
}

const uint8_t *journal_hash(const struct journal *journal)
{
    return journal->batch_hash;
}

void journal_place(const struct journal *journal, uint64_t *segment, uint64_t *end)
{
    *segment = journal->header.first;
    *end = journal->end;
}

uint64_t journal_segment_size(const struct journal *journal)
{
    return journal->segment_size;
}

uint64_t journal_added(const struct journal *journal)
{
    return journal->batch.len;
}

/* --- batches --- */

void journal_drop(struct journal *journal)
{
    journal->batch.len = 0;
    journal->batch.failed = 0;
    journal->batch_sequence = journal->sequence;
    memcpy(journal->batch_hash, journal->hash, JOURNAL_HASH_SIZE);
}

int journal_begin(struct journal *journal)
{
    journal_drop(journal);
    if (journal->readonly)
        return ERR_READONLY;
    if (journal->end < journal->segment_size)
        return 0;
    /* Without room for a whole segment, the little that a deletion needs may still fit behind the present one's end. */
    int rc = segment_create(journal, journal->segment_size);
    return rc == ERR_NOSPC ? 0 : rc;
}

int journal_add(struct journal *journal, struct span payload)
{
    if (payload.len == 0 || payload.len > JOURNAL_PAYLOAD_MAX)
        return ERR_TOO_LARGE;
    journal_record_append(&journal->batch, &journal->header, journal->batch_sequence, journal->sequence, payload,
                          journal->batch_hash);
    if (journal->batch.failed != 0)
        return journal->batch.failed;
    journal->batch_sequence++;
    return 0;
}

/* The last batch of a segment may reach past the preallocated size. */
static int extend(struct journal *journal)
{
    uint64_t need = journal->end + journal->batch.len;
    if (need <= journal->allocated)
        return 0;
    int rc = preallocate(journal->fd, need);
    if (rc == 0)
        journal->allocated = need;
    return rc;
}

static int sync_file(struct journal *journal)
{
    uint64_t start = clock_monotonic_ns();
    if (journal_fdatasync(journal->fd) != 0) {
        log_error("journal_sync", "%s: %s; the index is read-only until a restart", journal->path, strerror(errno));
        journal->readonly = true;
        return ERR_READONLY;
    }
    metrics_observe(METRIC_JOURNAL_SYNC, clock_monotonic_ns() - start);
    return 0;
}

int journal_write(struct journal *journal)
{
    if (journal->readonly)
        return ERR_READONLY;
    int rc = extend(journal);
    if (rc != 0)
        return rc;
    rc = write_all(journal->fd, buf_span(&journal->batch), journal->end);
    if (rc != 0) {
        log_error("journal_write", "%s: %s", journal->path, err_text(rc));
        if (clear_tail(journal) != 0)
            journal->readonly = true;
        return journal->readonly || rc != ERR_NOSPC ? ERR_READONLY : rc;
    }
    if ((rc = sync_file(journal)) != 0)
        return rc;
    journal->before.end = journal->end;
    journal->before.sequence = journal->sequence;
    memcpy(journal->before.hash, journal->hash, JOURNAL_HASH_SIZE);
    metrics_add(METRIC_JOURNAL_BATCHES, 1);
    metrics_add(METRIC_JOURNAL_MUTATIONS, (int64_t)(journal->batch_sequence - journal->sequence));
    journal->end += journal->batch.len;
    journal->sequence = journal->batch_sequence;
    memcpy(journal->hash, journal->batch_hash, JOURNAL_HASH_SIZE);
    return 0;
}

int journal_revert(struct journal *journal)
{
    journal->end = journal->before.end;
    journal->sequence = journal->before.sequence;
    memcpy(journal->hash, journal->before.hash, JOURNAL_HASH_SIZE);
    journal_drop(journal);
    if (clear_tail(journal) == 0)
        return 0;
    journal->readonly = true;
    return ERR_READONLY;
}

int journal_trim(const char *path, uint64_t sequence)
{
    uint64_t *segments;
    size_t count;
    char file[PATH_SIZE];
    int rc = folder_numbers(path, JOURNAL_SUFFIX, &segments, &count);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i + 1 < count && segments[i + 1] <= sequence + 1 && rc == 0; i++)
        if ((rc = path_of_number(file, path, segments[i], JOURNAL_SUFFIX)) == 0 && unlink(file) != 0)
            rc = err_from_errno(errno);
    free(segments);
    return rc;
}
