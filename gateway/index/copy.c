/* An index's folder made from shipped bytes. What it becomes is opened as after any crash. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "index/recover.h"
#include "index/snapshot.h"

static int failed(const char *what, const char *path, int rc)
{
    log_error("index_copy", "%s %s: %s", what, path, err_text(rc));
    return rc;
}

static bool is_empty(const char *path)
{
    struct dirent *entry;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT;
    bool empty = true;
    while ((entry = readdir(dir)) != NULL)
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    closedir(dir);
    return empty;
}

int index_copy_begin(const char *path)
{
    struct index_paths paths;
    int rc = index_paths_init(&paths, path);
    if (rc != 0)
        return rc;
    if (!is_empty(path))
        return failed("there is something in", path, ERR_EXISTS);
    if ((rc = folder_make(paths.root)) != 0 || (rc = folder_make(paths.journal)) != 0)
        return rc;
    return folder_make(paths.snapshot);
}

static int write_at(const char *file, uint64_t offset, struct span bytes)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed("cannot make", file, err_from_errno(errno));
    int rc = write_all(fd, bytes, offset);
    close(fd);
    return rc != 0 ? failed("cannot write", file, rc) : 0;
}

int index_copy_segment(const char *path, uint64_t segment, uint64_t offset, struct span bytes)
{
    struct index_paths paths;
    char file[PATH_SIZE];
    int rc = index_paths_init(&paths, path);
    if (rc != 0 || (rc = path_of_number(file, paths.journal, segment, JOURNAL_SUFFIX)) != 0)
        return rc;
    return write_at(file, offset, bytes);
}

static int snapshot_folder(const char *path, uint64_t sequence, char out[PATH_SIZE])
{
    struct index_paths paths;
    int rc = index_paths_init(&paths, path);
    return rc != 0 ? rc : path_of_number(out, paths.snapshot, sequence, "");
}

int index_copy_snapshot(const char *path, uint64_t sequence, uint64_t offset, struct span bytes)
{
    char folder[PATH_SIZE], file[PATH_SIZE];
    int rc = snapshot_folder(path, sequence, folder);
    if (rc != 0 || (rc = folder_make(folder)) != 0 || (rc = path_join(file, folder, SNAPSHOT_DATA)) != 0)
        return rc;
    return write_at(file, offset, bytes);
}

int index_copy_snapshot_end(const char *path, uint64_t sequence, const uint8_t sum[INDEX_HASH_SIZE],
                            uint8_t hash[INDEX_HASH_SIZE])
{
    char folder[PATH_SIZE];
    int rc = snapshot_folder(path, sequence, folder);
    if (rc == 0)
        rc = snapshot_adopt(folder, sequence, sum, hash);
    return rc != 0 ? failed("no whole snapshot:", folder, rc) : 0;
}

struct records {
    int (*record)(uint64_t sequence, const uint8_t hash[INDEX_HASH_SIZE], void *arg);
    void *arg;
};

static int tell_record(const struct journal_place *place, void *arg)
{
    const struct records *records = arg;
    return records->record(place->record->sequence, place->record->hash, records->arg);
}

static int sync_segments(const char *journal)
{
    uint64_t *segments;
    size_t count;
    char file[PATH_SIZE];
    int rc = folder_numbers(journal, JOURNAL_SUFFIX, &segments, &count);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < count && rc == 0; i++)
        if ((rc = path_of_number(file, journal, segments[i], JOURNAL_SUFFIX)) == 0)
            rc = file_sync(file);
    free(segments);
    return rc != 0 ? rc : folder_sync(journal);
}

int index_copy_end(const char *path, uint64_t sequence, const uint8_t hash[INDEX_HASH_SIZE],
                   int (*record)(uint64_t sequence, const uint8_t hash[INDEX_HASH_SIZE], void *arg), void *arg)
{
    struct index_paths paths;
    struct journal_scan scan;
    struct journal *journal;
    struct records records = {record, arg};
    int rc = index_paths_init(&paths, path);
    if (rc != 0 || (rc = journal_scan(paths.journal, 1, record != NULL ? tell_record : NULL, &records, &scan)) != 0)
        return rc;
    if (scan.found) {
        if (scan.torn != 0 || scan.sequence != sequence || memcmp(scan.hash, hash, INDEX_HASH_SIZE) != 0)
            return failed("not the journal that was shipped:", paths.journal, ERR_CORRUPT);
        return sync_segments(paths.journal);
    }
    scan.sequence = sequence;
    memcpy(scan.hash, hash, INDEX_HASH_SIZE);
    if ((rc = journal_open(paths.journal, 0, &scan, &journal)) == 0)
        journal_close(journal);
    return rc;
}

int index_copy_discard(const char *path)
{
    struct index_paths paths;
    uint64_t *all;
    size_t count;
    char folder[PATH_SIZE];
    int rc = index_paths_init(&paths, path);
    if (rc != 0 || access(path, F_OK) != 0)
        return rc;
    if (access(paths.snapshot, F_OK) == 0) {
        if ((rc = folder_numbers(paths.snapshot, "", &all, &count)) != 0)
            return rc;
        for (size_t i = 0; i < count && rc == 0; i++)
            if ((rc = snapshot_folder(path, all[i], folder)) == 0)
                rc = folder_remove(folder);
        free(all);
    }
    if (rc != 0 || (rc = folder_remove(paths.snapshot)) != 0 || (rc = folder_remove(paths.journal)) != 0 ||
        (rc = folder_remove(paths.view)) != 0)
        return rc;
    return folder_remove(paths.root);
}
