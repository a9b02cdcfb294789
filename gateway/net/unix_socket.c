#include "net/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"

#define TURN_TRIES 2000 /* a millisecond each */

static int name_below(int folder, const char *name, struct sockaddr_un *out)
{
    int length = snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/%s", folder, name);
    return length < 0 || (size_t)length >= sizeof(out->sun_path) ? ERR_TOO_LARGE : 0;
}

/* The one that the file is in; -1: errno. */
static int open_folder(const char *path, int flags)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) : 0;
    char folder[4096];
    if (length >= sizeof(folder)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(folder, path, length);
    folder[length] = '\0';
    return open(slash == NULL ? "." : length == 0 ? "/" : folder, flags | O_DIRECTORY | O_CLOEXEC);
}

int unix_path_open(const char *path, struct unix_path *out)
{
    *out = (struct unix_path){.address.sun_family = AF_UNIX, .folder = -1};
    size_t length = strlen(path);
    if (length < sizeof(out->address.sun_path)) {
        memcpy(out->address.sun_path, path, length + 1);
        return 0;
    }
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return ERR_TOO_LARGE;
    if ((out->folder = open_folder(path, O_PATH)) < 0)
        return err_from_errno(errno);
    int rc = name_below(out->folder, slash + 1, &out->address);
    if (rc != 0)
        unix_path_close(out);
    return rc;
}

void unix_path_close(struct unix_path *path)
{
    if (path->folder >= 0)
        close(path->folder);
    path->folder = -1;
}

/* Only a socket that nobody listens on refuses connections; one with a full queue is in use. */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool stale =
        fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

/* Processes that make a socket in one folder take turns: one that is bound and not yet listened on looks as if it was
 * left there. The descriptor holds the turn. -1: the folder cannot be locked, or another program keeps it locked, which
 * may stop no start. */
static int take_turn(const char *path)
{
    int fd = open_folder(path, O_RDONLY), tries = TURN_TRIES;
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if ((errno == EWOULDBLOCK || errno == EINTR) && --tries > 0) {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        } else {
            close(fd);
            fd = -1;
        }
    }
    return fd;
}

static int bind_path(int fd, const struct sockaddr_un *address, const char *path)
{
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
        return 0;
    if (errno == EADDRINUSE && is_stale(address)) {
        unlink(address->sun_path);
        if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
            return 0;
    }
    if (errno == EADDRINUSE)
        log_error("listen", "%s: another process listens there, or it is no socket", path);
    else
        log_error("listen", "%s: %s", path, strerror(errno));
    return ERR_IO;
}

int unix_socket_listen(const char *path, int backlog)
{
    struct unix_path where;
    int rc = unix_path_open(path, &where);
    if (rc != 0) {
        log_error("listen", "%s: %s", path, err_text(rc));
        return -1;
    }
    int turn = take_turn(path), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Linux gives the path the mode of the socket. */
    if (fd < 0 || fchmod(fd, S_IRUSR | S_IWUSR) != 0) {
        log_error("listen", "%s: %s", path, strerror(errno));
        goto err1;
    }
    if (bind_path(fd, &where.address, path) != 0)
        goto err1;
    if (listen(fd, backlog) != 0) {
        log_error("listen", "%s: %s", path, strerror(errno));
        unlink(where.address.sun_path);
        goto err1;
    }
    goto end;
err1:
    if (fd >= 0)
        close(fd);
    fd = -1;
end:
    if (turn >= 0)
        close(turn);
    unix_path_close(&where);
    return fd;
}

void unix_socket_close(int fd, const char *path)
{
    unlink(path); /* first: once it is closed, the path may be another process's */
    close(fd);
}
