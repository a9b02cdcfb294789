/* Unix stream sockets by path. A path may be longer than an address holds (107 bytes): such a one goes through
 * /proc/self/fd, so that no folder is too deep for its socket. */
#ifndef ARCA_NET_UNIX_SOCKET_H
#define ARCA_NET_UNIX_SOCKET_H

#include <sys/un.h>

struct unix_path {
    struct sockaddr_un address; /* its sun_path is also what a library is given that connects by path */
    int folder;                 /* what keeps sun_path valid, or -1 */
};

/* The folder must exist. Errors of errno; ERR_TOO_LARGE: even the file's name alone is too long. */
int unix_path_open(const char *path, struct unix_path *out);
void unix_path_close(struct unix_path *path);

/* Binds and listens; who is not the owner of the process cannot connect (mode 0600, from the first moment on). A socket
 * that a killed process left there is replaced; one that somebody listens on, or what is not a socket, is not. Of
 * several processes that begin at once, one gets it. Blocks, for 2 s at most. Non-blocking, close-on-exec; -1 with the
 * reason logged. */
int unix_socket_listen(const char *path, int backlog);
/* Closes it and removes its path. */
void unix_socket_close(int fd, const char *path);

#endif
