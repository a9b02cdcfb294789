#include "index/durable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"

#define NUMBER_DIGITS 20

static int failed(const char *what, const char *path)
{
    int error = errno;
    log_error("index_file", "%s %s: %s", what, path, strerror(error));
    return err_from_errno(error);
}

int path_join(char out[PATH_SIZE], const char *folder, const char *name)
{
    int n = name != NULL ? snprintf(out, PATH_SIZE, "%s/%s", folder, name) : snprintf(out, PATH_SIZE, "%s", folder);
    return n < 0 || n >= PATH_SIZE ? ERR_TOO_LARGE : 0;
}

int path_of_number(char out[PATH_SIZE], const char *folder, uint64_t number, const char *suffix)
{
    int n = snprintf(out, PATH_SIZE, "%s/%0*" PRIu64 "%s", folder, NUMBER_DIGITS, number, suffix);
    return n < 0 || n >= PATH_SIZE ? ERR_TOO_LARGE : 0;
}

/* --- folders --- */

int folder_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return failed("cannot open", path);
    int rc = fsync(fd) == 0 ? 0 : failed("cannot sync", path);
    close(fd);
    return rc;
}

int folder_make(const char *path)
{
    char parent[PATH_SIZE];
    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? 0 : failed("cannot make", path);
    int rc = path_join(parent, path, "..");
    return rc != 0 ? rc : folder_sync(parent);
}

int folder_remove(const char *path)
{
    char file[PATH_SIZE];
    struct dirent *entry;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT ? 0 : failed("cannot open", path);
    int rc = 0;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if ((rc = path_join(file, path, entry->d_name)) == 0 && unlink(file) != 0)
            rc = failed("cannot remove", file);
    }
    closedir(dir);
    if (rc == 0 && rmdir(path) != 0)
        rc = failed("cannot remove", path);
    return rc;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool parse_number(const char *name, const char *suffix, uint64_t *out)
{
    struct span digits = span_take(span_str(name), NUMBER_DIGITS);
    return strlen(name) == NUMBER_DIGITS + strlen(suffix) && strcmp(name + NUMBER_DIGITS, suffix) == 0 &&
           span_to_u64(digits, out) == 0;
}

int folder_numbers(const char *path, const char *suffix, uint64_t **out, size_t *count)
{
    struct dirent *entry;
    uint64_t *numbers = NULL, number;
    size_t n = 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return failed("cannot open", path);
    while ((entry = readdir(dir)) != NULL) {
        if (!parse_number(entry->d_name, suffix, &number))
            continue;
        uint64_t *more = realloc(numbers, (n + 1) * sizeof(*numbers));
        if (more == NULL) {
            free(numbers);
            closedir(dir);
            return ERR_NOMEM;
        }
        numbers = more;
        numbers[n++] = number;
    }
    closedir(dir);
    if (n > 1)
        qsort(numbers, n, sizeof(*numbers), compare_numbers);
    *out = numbers;
    *count = n;
    return 0;
}

int folder_lock(const char *folder, int *fd)
{
    char path[PATH_SIZE];
    int rc = path_join(path, folder, "lock");
    if (rc != 0)
        return rc;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0)
        return failed("cannot open", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    rc = errno == EWOULDBLOCK ? ERR_LOCKED : failed("cannot lock", path);
    close(*fd);
    return rc;
}

/* --- files --- */

int write_all(int fd, struct span bytes, uint64_t offset)
{
    while (bytes.len > 0) {
        ssize_t n = pwrite(fd, bytes.ptr, bytes.len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? err_from_errno(errno) : ERR_IO;
        bytes = span_skip(bytes, (size_t)n);
        offset += (uint64_t)n;
    }
    return 0;
}

int file_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return failed("cannot open", path);
    int rc = fsync(fd) == 0 ? 0 : failed("cannot sync", path);
    close(fd);
    return rc;
}

int file_write(const char *folder, const char *name, struct span content)
{
    char path[PATH_SIZE], temporary[PATH_SIZE];
    int rc = path_join(path, folder, name);
    if (rc == 0)
        rc = path_join(temporary, folder, "tmp");
    if (rc != 0)
        return rc;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed("cannot make", temporary);
    rc = write_all(fd, content, 0);
    if (rc != 0 || fsync(fd) != 0)
        rc = failed("cannot write", temporary);
    close(fd);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = failed("cannot rename to", path);
    return rc != 0 ? rc : folder_sync(folder);
}

int file_read(const char *path, char *out, size_t size, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : failed("cannot open", path);
    *len = 0;
    ssize_t n;
    while (*len < size && (n = read(fd, out + *len, size - *len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int rc = failed("cannot read", path);
            close(fd);
            return rc;
        }
        *len += (size_t)n;
    }
    close(fd);
    return 0;
}

int file_copy(const char *from, const char *to)
{
    static const size_t chunk = 1 << 20;
    int rc = 0;
    uint8_t *bytes = malloc(chunk);
    if (bytes == NULL)
        return ERR_NOMEM;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) {
        rc = failed("cannot open", from);
        goto err0;
    }
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out < 0) {
        rc = failed("cannot make", to);
        goto err1;
    }
    uint64_t offset = 0;
    ssize_t n;
    while (rc == 0 && (n = read(in, bytes, chunk)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        rc = n < 0 ? failed("cannot read", from) : write_all(out, span_of(bytes, (size_t)n), offset);
        offset += n > 0 ? (uint64_t)n : 0;
    }
    close(out);
err1:
    close(in);
err0:
    free(bytes);
    return rc;
}
