#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "index/durable.h"
#include "index/journal.h"

struct scan {
    const char *path;
    uint64_t from;
    int (*record)(const struct journal_place *place, void *arg);
    void *arg;
    struct journal_scan *out;
    bool chained; /* out->sequence and hash are those of the record before the next segment */
};

static int read_segment(const char *file, uint8_t **out, size_t *len)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < 0)
        goto failed;
    uint8_t *bytes = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
    if (bytes == NULL) {
        close(fd);
        return ERR_NOMEM;
    }
    size_t got = 0;
    ssize_t n;
    while (got < (size_t)st.st_size && (n = pread(fd, bytes + got, (size_t)st.st_size - got, (off_t)got)) != 0) {
        if (n < 0 && errno != EINTR) {
            free(bytes);
            goto failed;
        }
        got += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    *out = bytes;
    *len = got;
    return 0;

failed:
    log_error("journal_read", "%s: %s", file, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ERR_IO;
}

static int damaged(const char *file, uint64_t offset, const char *what)
{
    log_error("journal_damaged",
              "%s at offset %" PRIu64 ": %s. The journal was left as it is. Restore this file from a copy of the index "
              "folder; its later records cannot be applied without it",
              file, offset, what);
    return ERR_CORRUPT;
}

static int scan_records(struct scan *scan, struct journal_reader *reader, const char *file, bool last)
{
    struct journal_scan *out = scan->out;
    struct journal_entry record;
    if (scan->chained &&
        (reader->sequence != out->sequence + 1 || memcmp(reader->hash, out->hash, JOURNAL_HASH_SIZE) != 0))
        return damaged(file, 0, "does not follow the segment before it");
    int rc;
    while ((rc = journal_reader_next(reader, &record)) == 0) {
        if (record.sequence >= scan->from && scan->record != NULL &&
            (rc = scan->record(&(struct journal_place){file, &record}, scan->arg)) != 0)
            return rc;
    }
    rc = journal_reader_end(reader, &out->torn);
    if (rc != 0 || (!last && out->torn != 0))
        return damaged(file, reader->offset, "a record that had been synced is damaged");
    out->sequence = reader->sequence - 1;
    out->end = reader->offset;
    memcpy(out->hash, reader->hash, JOURNAL_HASH_SIZE);
    scan->chained = true;
    return 0;
}

static int scan_segment(struct scan *scan, uint64_t first, bool last)
{
    char file[PATH_SIZE];
    struct journal_reader reader;
    uint8_t *bytes;
    size_t len;
    int rc = path_of_number(file, scan->path, first, JOURNAL_SUFFIX);
    if (rc != 0 || (rc = read_segment(file, &bytes, &len)) != 0)
        return rc;
    rc = journal_reader_init(&reader, span_of(bytes, len));
    if (rc == ERR_FORMAT)
        log_error("journal_format", "%s was written by another version of this program", file);
    else if (rc != 0 || reader.header.first != first)
        rc = damaged(file, 0, "its header is damaged");
    if (rc == 0)
        rc = scan_records(scan, &reader, file, last);
    free(bytes);
    return rc;
}

/* A segment that is not the last was cut to its end. */
static uint64_t segment_size(const char *path, uint64_t first)
{
    char file[PATH_SIZE];
    struct stat st;
    int rc = path_of_number(file, path, first, JOURNAL_SUFFIX);
    return rc == 0 && stat(file, &st) == 0 ? (uint64_t)st.st_size : 0;
}

int journal_scan(const char *path, uint64_t from, int (*record)(const struct journal_place *place, void *arg),
                 void *arg, struct journal_scan *out)
{
    uint64_t *segments;
    size_t count;
    memset(out, 0, sizeof(*out));
    out->first = 1;
    int rc = folder_numbers(path, JOURNAL_SUFFIX, &segments, &count);
    if (rc != 0 || count == 0)
        return rc;
    struct scan scan = {.path = path, .from = from, .record = record, .arg = arg, .out = out};
    out->found = true;
    out->first = segments[0];
    out->segment = segments[count - 1];
    for (size_t i = 0; i < count && rc == 0; i++) {
        bool last = i + 1 == count;
        if (last || segments[i + 1] > from)
            rc = scan_segment(&scan, segments[i], last);
        if (rc == 0)
            out->bytes += last ? out->end : segment_size(path, segments[i]);
    }
    free(segments);
    return rc;
}
