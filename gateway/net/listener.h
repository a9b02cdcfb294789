/* Listening sockets and what becomes of accepted ones: they are handed to the loops in turn. */
#ifndef ARCA_NET_LISTENER_H
#define ARCA_NET_LISTENER_H

#include <stddef.h>
#include <stdint.h>
#include "net/conn.h"

struct tls;
struct loop;
struct listener;

/* What serves a connection. `readable` is called on the connection's loop, on the loop's own stack, each time an idle
 * connection has bytes to read (for TLS: after the handshake, when there is plaintext); it starts a fiber that reads,
 * serves, and ends with conn_idle or conn_close. */
struct conn_service {
    void (*readable)(struct conn *conn, void *arg);
    /* A connection beyond the cap: on a fiber; answers in a few words, whereupon the connection is closed. */
    void (*refuse)(struct conn *conn, void *arg) SUSPENDS;
    void *arg;
};

struct listener_options {
    const char *address;
    uint16_t port;         /* 0: any free one, see listener_port */
    const char *unix_path; /* a Unix socket, which only the process's owner may use, instead of the two (unix_socket.h);
                            * kept by the caller until listener_free */
    struct tls *tls;       /* NULL: plain */
    const struct conn_service *service;
    struct loop *const *loops; /* connections go to these in turn; the first one accepts */
    unsigned loop_count;
    int connections_max;     /* of all listeners together; beyond it `refuse` answers. A listener that has to be reached
                              * when the others have taken theirs has a larger one */
    int64_t idle_timeout_ms; /* an idle connection is closed after it */
    int64_t head_timeout_ms; /* TLS handshakes must end within it */
};

/* Binds, listens (backlog 1024, SO_REUSEADDR) and starts to accept: before the loops run, or on the first loop's
 * thread. ERR_IO with the reason logged. TCP_NODELAY is set on every connection. */
int listener_open(const struct listener_options *options, struct listener **out);
uint16_t listener_port(const struct listener *listener);
/* Any thread: stops accepting and closes idle connections; busy ones end after their request (conn_draining). */
void listener_drain(struct listener *listener);
/* After loop_free of its loops. NULL is fine. */
void listener_free(struct listener *listener);

/* Gives the connection back: it waits for the next request under the idle timeout. If plaintext is already buffered
 * (TLS), readable is called soon. `data`: state of the service that is kept with the connection, see conn_data. */
void conn_idle(struct conn *conn);
/* Never suspends; TLS gets its close_notify if that does not block. `data` is released before it returns, `conn` must
 * not be touched afterwards. A peer that may still be sending is listened to for a second, so that no reset destroys an
 * answer on its way. */
void conn_close(struct conn *conn);
/* The same for a peer that would take an orderly end for the end of what it was sent: it gets a reset instead. */
void conn_reset(struct conn *conn);
bool conn_draining(const struct conn *conn);

/* One pointer for the service (its parser state, pipelined bytes); `release` frees it when the connection closes. */
void conn_set_data(struct conn *conn, void *data, void (*release)(void *data));
void *conn_data(const struct conn *conn);

#endif
