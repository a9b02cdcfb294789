/* The disk driver: a folder of segment files. README.md tells how it keeps its promises. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "crypto/digest.h"

#define SEGMENT_SIZE_DEFAULT ((uint64_t)256 << 20)
#define READERS              4

static const char FORMAT[] = "ARCA-DISK 1\n";

static struct disk *disk_of(struct backend *backend)
{
    return (struct disk *)(void *)backend;
}

/* --- put and get --- */

static int disk_put(struct backend *backend, const struct blob_name *name, struct block *data,
                    struct locator *out) SUSPENDS
{
    struct disk *disk = disk_of(backend);
    if (disk->failed)
        return ERR_READONLY;
    if (fiber_canceled(fiber_self()))
        return ERR_CANCELED;
    if (data->length > RECORD_DATA_MAX)
        return ERR_TOO_LARGE;
    /* The checksum is made here and not by the writer, so that it is spread over the loops. */
    struct disk_put put = {
        .header = {.name = *name, .length = data->length, .data_crc = digest_crc32c(0, data->data, data->length)},
        .data = data->data,
        .out = out,
    };
    completion_init(&put.done);
    disk_writer_put(disk->writer, &put);
    return completion_wait(&put.done);
}

struct disk_read {
    int fd;
    uint64_t offset;
    size_t length;
    struct iovec iov[2]; /* the record's header, if that is wanted, and the data */
    int count;
};

/* All that is missing, blocking. */
static int read_rest(void *arg)
{
    struct disk_read *read = arg;
    while (read->length > 0) {
        ssize_t n = preadv(read->fd, read->iov, read->count, (off_t)read->offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_IO;
        if (n == 0)
            return ERR_CORRUPT;
        read->offset += (uint64_t)n;
        read->length -= (size_t)n;
        for (int i = 0; i < read->count; i++) {
            size_t step = (size_t)n < read->iov[i].iov_len ? (size_t)n : read->iov[i].iov_len;
            read->iov[i].iov_base = (uint8_t *)read->iov[i].iov_base + step;
            read->iov[i].iov_len -= step;
            n -= (ssize_t)step;
        }
    }
    return 0;
}

/* What the page cache holds is read here and now, with one system call and no other thread. */
static int read_all(struct disk *disk, struct disk_read *read) SUSPENDS
{
    if (disk->memory)
        return read_rest(read);
    ssize_t n = preadv2(read->fd, read->iov, read->count, (off_t)read->offset, RWF_NOWAIT);
    if (n == (ssize_t)read->length)
        return 0;
    return worker_call(disk->readers, read_rest, read);
}

static int check_header(const struct disk_place *place, const struct blob_name *name, const uint8_t *bytes)
{
    struct record_header header;
    int rc = record_header_decode(place->segment, place->offset, bytes, &header);
    if (rc != 0)
        return rc; /* zeroes: removed, and punched with its neighbours */
    if (header.length != place->length || memcmp(&header.name, name, sizeof(*name)) != 0)
        return ERR_CORRUPT;
    return header.dead != 0 ? ERR_NOT_FOUND : 0;
}

static int disk_get(struct backend *backend, const struct blob_name *name, const struct locator *locator,
                    uint64_t offset, uint64_t length, uint8_t *dst) SUSPENDS
{
    struct disk *disk = disk_of(backend);
    struct disk_place place;
    int rc = disk_place_decode(locator, &place);
    if (rc != 0)
        return rc;
    if (offset > place.length || length > place.length - offset)
        return ERR_CORRUPT;
    struct segment *segment;
    if ((rc = segment_acquire(&disk->table, place.segment, &segment)) != 0)
        return rc;
    rc = ERR_CORRUPT;
    if (place.offset + RECORD_HEADER_SIZE + place.length <= segment->end) {
        uint8_t header[RECORD_HEADER_SIZE];
        uint64_t data = place.offset + RECORD_HEADER_SIZE + offset;
        struct disk_read read = {segment->fd, data, length, {{dst, length}}, 1};
        if (offset == 0) /* the header stands before the data: its check is nearly free */
            read = (struct disk_read){segment->fd, place.offset, sizeof(header) + length,
                                      {{header, sizeof(header)}, {dst, length}}, 2};
        rc = read.length > 0 ? read_all(disk, &read) : 0;
        if (rc == 0 && offset == 0)
            rc = check_header(&place, name, header);
    }
    segment_release(&disk->table, segment);
    if (rc == ERR_CORRUPT)
        log_error("disk_damaged", "backend %s: no sound record of %llu bytes at segment %u, offset %llu", backend->name,
                  (unsigned long long)place.length, place.segment, (unsigned long long)place.offset);
    return rc;
}

/* --- the tidy thread's operations --- */

struct tidy_call {
    struct disk *disk;
    const struct blob_name *name;
    struct disk_place place;
    struct blob_cursor *cursor;
    struct blob_batch *batch;
    struct backend_health *health;
};

static int remove_call(void *arg)
{
    struct tidy_call *call = arg;
    return disk_remove_blob(call->disk, call->name, &call->place);
}

static int disk_remove(struct backend *backend, const struct blob_name *name, const struct locator *locator) SUSPENDS
{
    struct disk *disk = disk_of(backend);
    struct tidy_call call = {.disk = disk, .name = name};
    if (fiber_canceled(fiber_self()))
        return ERR_CANCELED;
    if (disk_place_decode(locator, &call.place) != 0) {
        log_warn("disk_locator", "backend %s: asked to remove what a locator of %u bytes cannot name", backend->name,
                 locator->length);
        return 0;
    }
    return worker_call(disk->tidy, remove_call, &call);
}

static int list_call(void *arg)
{
    struct tidy_call *call = arg;
    return disk_list_blobs(call->disk, call->cursor, call->batch);
}

static int disk_list(struct backend *backend, struct blob_cursor *cursor, struct blob_batch *out) SUSPENDS
{
    struct disk *disk = disk_of(backend);
    struct tidy_call call = {.disk = disk, .cursor = cursor, .batch = out};
    if (fiber_canceled(fiber_self()))
        return ERR_CANCELED;
    return worker_call(disk->tidy, list_call, &call);
}

static int probe_call(void *arg)
{
    struct tidy_call *call = arg;
    struct disk *disk = call->disk;
    struct statvfs st;
    if (fstatvfs(disk->folder, &st) != 0)
        return ERR_IO;
    struct backend_health *out = call->health;
    out->used = (uint64_t)(st.f_blocks - st.f_bfree) * st.f_frsize;
    out->free = (uint64_t)st.f_bavail * st.f_frsize;
    uint64_t wanted = disk->wanted;
    if (disk->failed) {
        out->state = BACKEND_READONLY;
        snprintf(out->why, sizeof(out->why), "%s", err_text(ERR_READONLY));
    } else if (wanted != 0 && out->free < wanted) {
        out->state = BACKEND_READONLY;
        snprintf(out->why, sizeof(out->why), "%s", err_text(ERR_NOSPC));
    }
    return 0;
}

static int disk_probe(struct backend *backend, struct backend_health *out) SUSPENDS
{
    struct disk *disk = disk_of(backend);
    *out = (struct backend_health){.state = BACKEND_HEALTHY};
    struct tidy_call call = {.disk = disk, .health = out};
    int rc = worker_call(disk->readers, probe_call, &call);
    if (rc != 0) {
        out->state = BACKEND_DOWN;
        snprintf(out->why, sizeof(out->why), "%s", err_text(rc));
    }
    return 0;
}

/* --- open --- */

static int io_error(const struct disk *disk, const char *what)
{
    int rc = err_from_errno(errno);
    log_error("disk_open", "backend %s: %s: %s", disk->backend.name, what, strerror(errno));
    return rc == ERR_NOSPC || rc == ERR_NOMEM ? rc : ERR_IO;
}

static int open_folder(struct disk *disk, const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return io_error(disk, path);
    disk->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->folder < 0)
        return io_error(disk, path);
    struct statfs st;
    disk->memory = fstatfs(disk->folder, &st) == 0 && (st.f_type == TMPFS_MAGIC || st.f_type == RAMFS_MAGIC);
    disk->direct = !disk->memory;
    disk->lock = openat(disk->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (disk->lock < 0)
        return io_error(disk, "lock");
    if (flock(disk->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return io_error(disk, "lock");
        log_error("disk_locked", "backend %s: another process uses %s", disk->backend.name, path);
        return ERR_LOCKED;
    }
    return 0;
}

/* Whether the folder has nothing but what an interrupted first open leaves. */
static int folder_is_new(const struct disk *disk, bool *out)
{
    int fd = openat(disk->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return io_error(disk, "folder");
    }
    static const char *const KNOWN[] = {".", "..", "lock", "format.new", "lost+found"};
    struct dirent *entry;
    *out = true;
    while ((entry = readdir(dir)) != NULL) {
        bool known = false;
        for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++)
            known = known || strcmp(entry->d_name, KNOWN[i]) == 0;
        *out = *out && known;
    }
    closedir(dir);
    return 0;
}

static int write_format(struct disk *disk)
{
    int fd = openat(disk->folder, "format.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return io_error(disk, "format");
    bool ok = write(fd, FORMAT, sizeof(FORMAT) - 1) == sizeof(FORMAT) - 1 && fsync(fd) == 0;
    if (!ok || renameat(disk->folder, "format.new", disk->folder, "format") != 0 || fsync(disk->folder) != 0) {
        int rc = io_error(disk, "format");
        close(fd);
        return rc;
    }
    close(fd);
    return 0;
}

static int check_format(struct disk *disk)
{
    char text[sizeof(FORMAT)];
    int fd = openat(disk->folder, "format", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        bool fresh = false;
        int rc = folder_is_new(disk, &fresh);
        if (rc == 0 && !fresh) {
            log_error("disk_format", "backend %s: the folder is not empty and has no file `format`: not Arca's",
                      disk->backend.name);
            rc = ERR_FORMAT;
        }
        return rc == 0 ? write_format(disk) : rc;
    }
    if (fd < 0)
        return io_error(disk, "format");
    size_t got;
    int rc = segment_read(fd, text, sizeof(text), 0, &got);
    close(fd);
    if (rc != 0)
        return io_error(disk, "format");
    if (got == sizeof(FORMAT) - 1 && memcmp(text, FORMAT, got) == 0)
        return 0;
    log_error("disk_format", "backend %s: the file `format` names a format that this version does not know",
              disk->backend.name);
    return ERR_FORMAT;
}

static int open_segments(struct disk *disk)
{
    if (mkdirat(disk->folder, "segments", 0700) == 0) {
        if (fsync(disk->folder) != 0)
            return io_error(disk, "segments");
    } else if (errno != EEXIST) {
        return io_error(disk, "segments");
    }
    int fd = openat(disk->folder, "segments", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return io_error(disk, "segments");
    int rc = segment_table_init(&disk->table, fd);
    if (rc != 0)
        close(fd);
    return rc;
}

/* Only the last segment can have a torn tail. *active is where writing goes on: NULL for a new segment. */
static int recover(struct disk *disk, struct segment **active)
{
    *active = NULL;
    if (disk->table.count == 0)
        return 0;
    struct segment *last;
    int rc = segment_acquire(&disk->table, disk->table.items[disk->table.count - 1]->number, &last);
    if (rc != 0)
        return rc;
    uint64_t end;
    uint64_t cut = 0;
    rc = segment_recover(last->fd, last->number, &end, &cut);
    if (cut > 0 && rc == 0)
        log_warn("disk_torn_tail", "backend %s: segment %u: %llu unfinished bytes after offset %llu were cut",
                 disk->backend.name, last->number, (unsigned long long)cut, (unsigned long long)end);
    if (rc == 0) {
        last->end = end;
        if ((rc = disk_count(last)) == 0)
            *active = last;
    } else if (rc == ERR_NOT_FOUND) { /* a crash while it was made: nothing was ever acknowledged from it */
        rc = segment_delete(&disk->table, last);
    } else if (rc == ERR_CORRUPT) {
        log_error("disk_damaged", "backend %s: segment %u: its header is damaged, its records are kept",
                  disk->backend.name, last->number);
        rc = 0;
    }
    if (rc != 0)
        log_error("disk_open", "backend %s: segment %u: %s", disk->backend.name, last->number, err_text(rc));
    if (*active == NULL)
        segment_release(&disk->table, last);
    return rc;
}

static int start_threads(struct disk *disk, struct segment *active)
{
    int rc = worker_pool_create("arca-disk-io", READERS, &disk->readers);
    if (rc == 0)
        rc = worker_pool_create("arca-disk-tidy", 1, &disk->tidy);
    if (rc == 0)
        rc = disk_writer_start(disk, active, &disk->writer);
    if (rc == 0) {
        worker_pool_tick(disk->tidy, disk_settle_ms, disk_tidy_rested, disk);
        return 0;
    }
    log_error("disk_open", "backend %s: threads: %s", disk->backend.name, err_text(rc));
    if (disk->tidy != NULL)
        worker_pool_free(disk->tidy);
    if (disk->readers != NULL)
        worker_pool_free(disk->readers);
    if (active != NULL)
        segment_release(&disk->table, active);
    return rc;
}

static void disk_close(struct backend *backend)
{
    struct disk *disk = disk_of(backend);
    disk_writer_stop(disk->writer);
    worker_pool_free(disk->tidy);
    worker_pool_free(disk->readers);
    segment_table_fini(&disk->table);
    close(disk->lock);
    close(disk->folder);
    free(disk);
}

static const struct backend_ops DISK_OPS = {
    .driver = "disk",
    .local = true,
    .put = disk_put,
    .get = disk_get,
    .remove = disk_remove,
    .list = disk_list,
    .probe = disk_probe,
    .close = disk_close,
};

int disk_open(const struct disk_options *options, struct backend **out)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    if (disk == NULL)
        return ERR_NOMEM;
    disk->backend.ops = &DISK_OPS;
    disk->folder = disk->lock = -1;
    disk->segment_size = options->segment_size != 0 ? options->segment_size : SEGMENT_SIZE_DEFAULT;
    snprintf(disk->backend.name, sizeof(disk->backend.name), "%s", options->name);
    struct segment *active;
    int rc;
    if (disk->segment_size > SEGMENT_SIZE_MAX) {
        log_error("disk_open", "backend %s: segments may have 16 GiB at most", disk->backend.name);
        rc = ERR_INVALID;
        goto err0;
    }
    if ((rc = open_folder(disk, options->path)) != 0 || (rc = check_format(disk)) != 0 ||
        (rc = open_segments(disk)) != 0)
        goto err0;
    if ((rc = segment_table_load(&disk->table)) != 0 || (rc = recover(disk, &active)) != 0 ||
        (rc = start_threads(disk, active)) != 0)
        goto err1;
    *out = &disk->backend;
    return 0;

err1:
    segment_table_fini(&disk->table);
err0:
    if (disk->lock >= 0)
        close(disk->lock);
    if (disk->folder >= 0)
        close(disk->folder);
    free(disk);
    return rc;
}
