/* A client connection: a socket, plain or TLS, read and written by one fiber at a time in straight-line code.
 * While nobody reads, the connection costs a struct and one epoll entry. */
#ifndef ARCA_NET_CONN_H
#define ARCA_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "base/fiber.h"

struct conn;

/* Patience with a slow peer, in milliseconds: waiting uses it up, each byte brings one back, and it is never more than
 * `most_ms`. So a peer that stops is given up after most_ms, and one that trickles (less than 1000 bytes a second on
 * average) soon after: else a byte now and then would hold a request, and its memory, for ever. Apache's
 * mod_reqtimeout has half this rate as its default. */
static inline int64_t conn_patience(int64_t left_ms, int64_t waited_ms, size_t bytes, int64_t most_ms)
{
    left_ms -= waited_ms;
    return bytes >= (size_t)most_ms || left_ms + (int64_t)bytes > most_ms ? most_ms : left_ms + (int64_t)bytes;
}

/* Bytes into dst straight from the socket (or TLS), at least one. Buffered nowhere else. Waits until `deadline_ms`.
 * ERR_CLOSED (orderly end, reset or TLS failure), ERR_TIMEOUT, ERR_CANCELED. */
int conn_read(struct conn *conn, void *dst, size_t capacity, int64_t deadline_ms, size_t *got) SUSPENDS;
/* The same into several pieces of memory in order, of which the first is not empty. */
int conn_readv(struct conn *conn, const struct iovec *iov, int count, int64_t deadline_ms, size_t *got) SUSPENDS;

/* All bytes of the vectors (which it may change), waiting for the peer with a patience of `progress_ms`.
 * ERR_CLOSED, ERR_TIMEOUT, ERR_CANCELED, ERR_NOMEM: the connection is then of no more use. */
int conn_writev(struct conn *conn, struct iovec *iov, int count, int64_t progress_ms) SUSPENDS;

/* While the present fiber works on a request, the end of the peer (also of its sending direction only) cancels the
 * fiber (fiber_cancel): the connection is watched between reads without taking bytes from it. conn_idle ends it. */
void conn_watch(struct conn *conn, struct fiber *fiber); /* NULL ends it */

/* The peer's address as text, "192.0.2.1:3333" or "[2001:db8::1]:3333"; of a Unix socket "uid 0, pid 4711". Lives as
 * long as the connection. */
const char *conn_peer(const struct conn *conn);
bool conn_is_tls(const struct conn *conn);

#endif
