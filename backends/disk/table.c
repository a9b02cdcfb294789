#include "table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "segment.h"

#define FILE_NAME_SIZE 16
#define RESERVED_MAX   (1u << 20) /* bytes of blocks more than a file is long: of the file system itself, or not worth it */

static void file_name(uint32_t number, char out[FILE_NAME_SIZE])
{
    snprintf(out, FILE_NAME_SIZE, "%08" PRIu32 ".seg", number);
}

/* Only names that file_name makes. */
static bool parse_name(const char *name, uint32_t *number)
{
    char *rest;
    errno = 0;
    unsigned long long value = name[0] >= '0' && name[0] <= '9' ? strtoull(name, &rest, 10) : 0;
    if (value == 0 || errno != 0 || value > UINT32_MAX)
        return false;
    char again[FILE_NAME_SIZE];
    file_name((uint32_t)value, again);
    *number = (uint32_t)value;
    return strcmp(again, name) == 0;
}

int segment_table_init(struct segment_table *table, int folder)
{
    *table = (struct segment_table){.folder = folder};
    list_init(&table->idle);
    return pthread_mutex_init(&table->lock, NULL) == 0 ? 0 : ERR_IO;
}

static void segment_free(struct segment *segment)
{
    if (segment->fd >= 0)
        close(segment->fd);
    free(segment);
}

void segment_table_fini(struct segment_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        segment_free(table->items[i]);
    free(table->items);
    pthread_mutex_destroy(&table->lock);
    close(table->folder);
}

/* The position of the first number >= `number`. */
static size_t find(const struct segment_table *table, uint32_t number)
{
    size_t low = 0;
    size_t high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->items[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int insert(struct segment_table *table, uint32_t number, struct segment **out)
{
    if (table->count == table->allocated) {
        size_t more = table->allocated != 0 ? table->allocated * 2 : 64;
        struct segment **items = realloc(table->items, more * sizeof(struct segment *));
        if (items == NULL)
            return ERR_NOMEM;
        table->items = items;
        table->allocated = more;
    }
    struct segment *segment = calloc(1, sizeof(*segment));
    if (segment == NULL)
        return ERR_NOMEM;
    list_init(&segment->idle);
    segment->number = number;
    segment->fd = -1;
    size_t i = find(table, number);
    memmove(&table->items[i + 1], &table->items[i], (table->count - i) * sizeof(struct segment *));
    table->items[i] = segment;
    table->count++;
    *out = segment;
    return 0;
}

static void take_out(struct segment_table *table, const struct segment *segment)
{
    size_t i = find(table, segment->number);
    table->count--;
    memmove(&table->items[i], &table->items[i + 1], (table->count - i) * sizeof(struct segment *));
}

/* A power loss can take back that a segment was cut when it was sealed. What fails is left for the next start. */
static void cut_reserved(const struct segment_table *table, const char *name, const struct stat *st)
{
    if ((uint64_t)st->st_blocks * 512 <= (uint64_t)st->st_size + RESERVED_MAX)
        return;
    int fd = openat(table->folder, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (ftruncate(fd, st->st_size) != 0)
        log_warn("disk_truncate", "segments/%s: %s", name, strerror(errno));
    close(fd);
}

static int load_one(struct segment_table *table, const char *name)
{
    uint32_t number;
    struct stat st;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    if (!parse_name(name, &number)) {
        log_error("disk_foreign_file", "segments/%s is not a segment: move it away", name);
        return ERR_CORRUPT;
    }
    if (fstatat(table->folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return ERR_IO;
    struct segment *segment;
    int rc = insert(table, number, &segment);
    if (rc != 0)
        return rc;
    segment->end = (uint64_t)st.st_size;
    segment->sealed = true;
    cut_reserved(table, name, &st);
    return 0;
}

int segment_table_load(struct segment_table *table)
{
    int fd = openat(table->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return ERR_IO;
    }
    int rc = 0;
    struct dirent *entry;
    errno = 0;
    while (rc == 0 && (entry = readdir(dir)) != NULL)
        rc = load_one(table, entry->d_name);
    if (rc == 0 && errno != 0)
        rc = ERR_IO;
    closedir(dir);
    return rc;
}

/* The lock is held. */
static int reference(struct segment_table *table, struct segment *segment)
{
    if (segment->fd < 0) {
        char name[FILE_NAME_SIZE];
        file_name(segment->number, name);
        segment->fd = openat(table->folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (segment->fd < 0) {
            log_error("disk_open_segment", "segments/%s: %s", name, strerror(errno));
            return ERR_IO;
        }
    } else if (segment->references == 0) {
        list_remove(&segment->idle);
        table->idle_count--;
    }
    segment->references++;
    return 0;
}

int segment_acquire_from(struct segment_table *table, uint32_t number, struct segment **out)
{
    pthread_mutex_lock(&table->lock);
    size_t i = find(table, number);
    int rc = i < table->count ? reference(table, table->items[i]) : ERR_NOT_FOUND;
    if (rc == 0)
        *out = table->items[i];
    pthread_mutex_unlock(&table->lock);
    return rc;
}

int segment_acquire(struct segment_table *table, uint32_t number, struct segment **out)
{
    pthread_mutex_lock(&table->lock);
    size_t i = find(table, number);
    bool there = i < table->count && table->items[i]->number == number;
    int rc = there ? reference(table, table->items[i]) : ERR_NOT_FOUND;
    if (rc == 0)
        *out = table->items[i];
    pthread_mutex_unlock(&table->lock);
    return rc;
}

int segment_acquire_loose(struct segment_table *table, uint32_t number, uint64_t loose, struct segment **out)
{
    pthread_mutex_lock(&table->lock);
    size_t i = find(table, number);
    while (i < table->count && table->items[i]->loose < loose)
        i++;
    int rc = i < table->count ? reference(table, table->items[i]) : ERR_NOT_FOUND;
    if (rc == 0)
        *out = table->items[i];
    pthread_mutex_unlock(&table->lock);
    return rc;
}

void segment_release(struct segment_table *table, struct segment *segment)
{
    pthread_mutex_lock(&table->lock);
    if (--segment->references == 0) {
        if (segment->removed) {
            segment_free(segment);
        } else {
            list_append(&table->idle, &segment->idle);
            table->idle_count++;
        }
    }
    if (table->idle_count > OPEN_MAX_SEGMENTS) {
        struct segment *oldest = LIST_ENTRY(list_shift(&table->idle), struct segment, idle);
        table->idle_count--;
        close(oldest->fd);
        oldest->fd = -1;
    }
    pthread_mutex_unlock(&table->lock);
}

static int create_file(int folder, const char *name, uint32_t number, int *out)
{
    uint8_t header[SEGMENT_HEADER_SIZE];
    segment_header_encode(number, header);
    int fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_from_errno(errno);
    ssize_t n = pwrite(fd, header, sizeof(header), 0);
    if (n != sizeof(header) || disk_fdatasync(fd) != 0 || fsync(folder) != 0) {
        int rc = n >= 0 && n < (ssize_t)sizeof(header) ? ERR_NOSPC : err_from_errno(errno);
        unlinkat(folder, name, 0);
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

int segment_create(struct segment_table *table, struct segment **out)
{
    pthread_mutex_lock(&table->lock);
    uint32_t number = table->count > 0 ? table->items[table->count - 1]->number + 1 : 1;
    pthread_mutex_unlock(&table->lock);
    if (number == 0)
        return ERR_NOSPC;
    char name[FILE_NAME_SIZE];
    file_name(number, name);
    int fd = -1;
    int rc = create_file(table->folder, name, number, &fd);
    if (rc != 0)
        return rc == ERR_NOSPC ? ERR_NOSPC : ERR_IO;
    pthread_mutex_lock(&table->lock);
    struct segment *segment;
    if ((rc = insert(table, number, &segment)) == 0) {
        segment->fd = fd;
        segment->references = 1;
        segment->end = SEGMENT_HEADER_SIZE;
        segment->counted = true;
        *out = segment;
    }
    pthread_mutex_unlock(&table->lock);
    if (rc != 0) {
        unlinkat(table->folder, name, 0);
        close(fd);
    }
    return rc;
}

int segment_reopen(const struct segment_table *table, const struct segment *segment, int flags)
{
    char name[FILE_NAME_SIZE];
    file_name(segment->number, name);
    return openat(table->folder, name, flags | O_CLOEXEC | O_NOFOLLOW);
}

int segment_delete(struct segment_table *table, struct segment *segment)
{
    char name[FILE_NAME_SIZE];
    file_name(segment->number, name);
    if (unlinkat(table->folder, name, 0) != 0 && errno != ENOENT)
        return ERR_IO;
    pthread_mutex_lock(&table->lock);
    if (!segment->removed)
        take_out(table, segment);
    segment->removed = true;
    pthread_mutex_unlock(&table->lock);
    return 0;
}
