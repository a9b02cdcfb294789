/* Preloaded into arcad by powerloss.py: keeps a table of writes to segments and journal that no sync has covered yet, in a
 * file that outlives a SIGKILL, and answers reads of the boot id from a file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define RECORDS 65536

enum { FREE, WRITTEN, SYNCING };

struct record {
    uint64_t state, offset, length;
    char path[232];
};

static struct record *table;
static size_t used; /* records beyond are free */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("POWERLOSS_TABLE");
    if (path == NULL)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, RECORDS * sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED)
        table = mapped;
}

/* The path behind fd if it is one that recovery depends on; the view is torn by the test itself. */
static int tracked(int fd, char path[232])
{
    char link[64];
    if (table == NULL)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, 231);
    if (n <= 0)
        return 0;
    path[n] = '\0';
    return strstr(path, "/segments/") != NULL || strstr(path, "/journal/") != NULL;
}

/* Noted before the write: what was begun may be on the disk in part. */
static void note(int fd, uint64_t offset, uint64_t length)
{
    char path[232];
    if (length == 0 || !tracked(fd, path))
        return;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < RECORDS; i++) {
        if (table[i].state == FREE) {
            table[i].offset = offset;
            table[i].length = length;
            memcpy(table[i].path, path, sizeof path);
            table[i].state = WRITTEN;
            if (i >= used)
                used = i + 1;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

static int sync_with(int (*call)(int), int fd)
{
    char path[232];
    int is_tracked = tracked(fd, path);
    if (is_tracked) {
        pthread_mutex_lock(&lock);
        for (size_t i = 0; i < used; i++)
            if (table[i].state == WRITTEN && strcmp(table[i].path, path) == 0)
                table[i].state = SYNCING;
        pthread_mutex_unlock(&lock);
    }
    int rc = call(fd);
    if (is_tracked && rc == 0) {
        pthread_mutex_lock(&lock);
        for (size_t i = 0; i < used; i++)
            if (table[i].state == SYNCING && strcmp(table[i].path, path) == 0)
                table[i].state = FREE;
        pthread_mutex_unlock(&lock);
    }
    return rc;
}

int fdatasync(int fd)
{
    return sync_with(REAL(fdatasync), fd);
}

int fsync(int fd)
{
    return sync_with(REAL(fsync), fd);
}

static uint64_t total(const struct iovec *iov, int count)
{
    uint64_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    note(fd, (uint64_t)offset, length);
    return REAL(pwrite)(fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
    note(fd, (uint64_t)offset, length);
    return REAL(pwrite64)(fd, data, length, offset);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    note(fd, (uint64_t)offset, total(iov, count));
    return REAL(pwritev)(fd, iov, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t offset)
{
    note(fd, (uint64_t)offset, total(iov, count));
    return REAL(pwritev64)(fd, iov, count, offset);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    note(fd, (uint64_t)offset, total(iov, count));
    return REAL(pwritev2)(fd, iov, count, offset, flags);
}

static int open_real(const char *name, const char *path, int flags, mode_t mode)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    const char *boot_id = getenv("POWERLOSS_BOOT_ID");
    if (boot_id != NULL && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        path = boot_id;
    return real(path, flags, mode);
}

#define OPEN(name)                                                                                                    \
    int name(const char *path, int flags, ...)                                                                        \
    {                                                                                                                 \
        va_list args;                                                                                                 \
        va_start(args, flags);                                                                                        \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;                                       \
        va_end(args);                                                                                                 \
        return open_real(#name, path, flags, mode);                                                                   \
    }

OPEN(open)
OPEN(open64)

FILE *fopen(const char *path, const char *mode)
{
    const char *boot_id = getenv("POWERLOSS_BOOT_ID");
    if (boot_id != NULL && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        path = boot_id;
    return REAL(fopen)(path, mode);
}
