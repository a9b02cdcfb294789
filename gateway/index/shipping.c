/* The journal and snapshots as bytes, for whoever keeps copies of them elsewhere. Reads files that the writer appends
 * to, and only what lies before a mark: that never changes any more. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "index/private.h"
#include "index/recover.h"
#include "index/snapshot.h"

static int open_segment(const struct index *index, uint64_t segment, struct journal_header *header, int *out)
{
    char file[PATH_SIZE];
    uint8_t bytes[JOURNAL_HEADER_SIZE];
    int rc = path_of_number(file, index_paths(index)->journal, segment, JOURNAL_SUFFIX);
    if (rc != 0)
        return rc;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    if (pread(fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        rc = ERR_IO;
    else
        rc = journal_header_decode(span_of(bytes, sizeof(bytes)), header);
    if (rc != 0) {
        log_error("journal_ship", "%s: %s", file, err_text(rc));
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

static int segment_start(const struct index *index, uint64_t segment, struct index_position *out)
{
    struct journal_header header;
    int fd, rc = open_segment(index, segment, &header, &fd);
    if (rc != 0)
        return rc;
    close(fd);
    *out = (struct index_position){.segment = segment, .sequence = header.first - 1};
    memcpy(out->hash, header.previous, INDEX_HASH_SIZE);
    return 0;
}

int index_journal_seek(struct index *index, uint64_t sequence, struct index_position *out)
{
    uint64_t *segments;
    size_t count;
    int rc = folder_numbers(index_paths(index)->journal, JOURNAL_SUFFIX, &segments, &count);
    if (rc != 0)
        return rc;
    while (count > 0 && segments[count - 1] > sequence)
        count--;
    rc = count > 0 ? segment_start(index, segments[count - 1], out) : ERR_NOT_FOUND;
    free(segments);
    return rc;
}

static int read_some(int fd, uint8_t *dst, size_t size, uint64_t offset, size_t *got)
{
    *got = 0;
    while (*got < size) {
        ssize_t n = pread(fd, dst + *got, size - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_from_errno(errno);
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return 0;
}

/* Whole records from `at`, of a segment whose last offset of interest is `end`. */
static int read_records(int fd, const struct journal_header *header, uint64_t end, struct index_position *at,
                        uint8_t *dst, size_t size, size_t *length)
{
    struct journal_reader reader;
    struct journal_entry record;
    size_t got, skip = at->offset == 0 ? JOURNAL_HEADER_SIZE : 0;
    if (end <= at->offset + skip) {
        *length = 0;
        return 0;
    }
    int rc = read_some(fd, dst, end - at->offset < size ? (size_t)(end - at->offset) : size, at->offset, &got);
    if (rc != 0 || got <= skip)
        return rc != 0 ? rc : ERR_CORRUPT;
    journal_reader_resume(&reader, header, span_skip(span_of(dst, got), skip), at->sequence, at->hash);
    while (journal_reader_next(&reader, &record) == 0)
        continue;
    if (reader.offset == 0) { /* nothing but what was preallocated follows, or it is damaged */
        uint64_t torn;
        *length = 0;
        return journal_reader_end(&reader, &torn) != 0 || torn != 0 ? ERR_CORRUPT : 0;
    }
    *length = skip + reader.offset;
    at->offset += *length;
    at->sequence = reader.sequence - 1;
    memcpy(at->hash, reader.hash, INDEX_HASH_SIZE);
    return 0;
}

static int read_segment(struct index *index, const struct index_mark *mark, struct index_position *at, uint8_t *dst,
                        size_t size, size_t *length)
{
    struct journal_header header;
    struct stat st;
    int fd, rc = open_segment(index, at->segment, &header, &fd);
    if (rc != 0)
        return rc;
    uint64_t end = mark->end;
    if (at->segment != mark->segment) {
        rc = fstat(fd, &st) == 0 ? 0 : err_from_errno(errno);
        end = rc == 0 ? (uint64_t)st.st_size : 0;
    }
    if (rc == 0)
        rc = read_records(fd, &header, end, at, dst, size, length);
    close(fd);
    if (rc == ERR_CORRUPT)
        log_error("journal_ship", "segment %020" PRIu64 " does not go on at offset %" PRIu64 " after mutation %" PRIu64,
                  at->segment, at->offset, at->sequence);
    return rc;
}

int index_journal_read(struct index *index, const struct index_mark *mark, struct index_position *at, uint8_t *dst,
                       size_t size, struct index_position *from, size_t *length)
{
    *length = 0;
    while (at->sequence < mark->sequence) {
        *from = *at;
        int rc = read_segment(index, mark, at, dst, size, length);
        if (rc != 0 || *length > 0 || at->segment == mark->segment)
            return rc;
        /* That segment is at its end. */
        if ((rc = segment_start(index, at->sequence + 1, from)) != 0)
            return rc;
        if (memcmp(from->hash, at->hash, INDEX_HASH_SIZE) != 0)
            return ERR_CORRUPT;
        *at = *from;
    }
    return 0;
}

int index_snapshot_open(struct index *index, struct index_snapshot *out)
{
    uint64_t *all;
    size_t count;
    int rc = folder_numbers(index_paths(index)->snapshot, "", &all, &count);
    if (rc != 0)
        return rc;
    rc = count > 0 ? snapshot_open(index_paths(index)->snapshot, all[count - 1], out) : ERR_NOT_FOUND;
    free(all);
    return rc;
}
