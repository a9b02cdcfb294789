/* What conn.c, listener.c, tls.c and tls_socket.c share. */
#ifndef ARCA_NET_CONN_PRIVATE_H
#define ARCA_NET_CONN_PRIVATE_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <uv.h>
#include "base/list.h"
#include "base/loop.h"
#include "net/conn.h"
#include "net/listener.h"

/* A listener's share of a loop. Touched on the loop's thread only. */
struct port {
    struct listener *listener;
    struct loop *loop;
    struct list idle;      /* connections by deadline: the timeout is the same for all, so new ones go to the end */
    struct list lingering; /* likewise */
    uv_timer_t timer;      /* the earliest deadline of both; may ring early */
    int64_t armed_ms;      /* what it is set to; DEADLINE_NONE: not active */
    bool timer_made, drained;
    unsigned connections;
    struct loop_signal drain;
};

struct listener {
    struct listener_options options;
    struct port ports[LOOPS_MAX];
    unsigned next; /* port of the next connection */
    int fd;
    uint16_t port;
    char name[128]; /* for the log */
    uv_poll_t poll;
    uv_timer_t pause; /* while the process is out of descriptors */
    bool exhausted;   /* and that it is, has been logged */
    atomic_bool draining;
};

enum conn_state {
    CONN_IDLE,      /* waits for the first bytes of a handshake or request */
    CONN_BUSY,      /* a fiber has it */
    CONN_LINGERING, /* closed for sending; what still comes is thrown away for a while */
    CONN_CLOSED,
};

struct conn {
    struct port *port;
    struct list link; /* port.idle or port.lingering */
    enum conn_state state;
    int fd;
    uv_poll_t poll;
    int armed;    /* events that the poll reports */
    bool ended;   /* the peer sends no more */
    bool refused; /* beyond the cap */
    bool handshaken, tls_broken;
    SSL *ssl; /* NULL: plain */
    struct tls_batch *batch; /* while conn_writev is at work over TLS */
    struct tls_ahead *ahead; /* NULL: nothing was read ahead */
    bool bulk;               /* much is wanted: worth reading ahead for */
    struct fiber *waiter;
    int wanted; /* events that wake it */
    struct fiber *watcher;
    int64_t deadline_ms;
    size_t discarded;
    struct loop_quiet buffered; /* looks for plaintext that came together with the last request's */
    void *data;
    void (*release)(void *data);
    char peer[INET6_ADDRSTRLEN + 10];
};

/* --- conn.c --- */

/* Takes over an accepted socket on the port's loop; closes it if that fails. */
void conn_adopt(struct conn *conn);
/* An idle connection's or a lingering one's time is up. */
void conn_expire(struct conn *conn);

/* --- listener.c --- */
void port_idle(struct port *port, struct conn *conn);
void port_linger(struct port *port, struct conn *conn);
/* The connection is gone. */
void port_forget(struct port *port);

/* --- tls.c --- */

/* A server's session on the connection's socket. NULL when out of memory. */
SSL *tls_session(struct tls *tls, struct conn *conn);

/* --- tls_socket.c --- */

/* The connection's socket as OpenSSL sees it. NULL when out of memory. */
BIO *tls_socket(struct conn *conn);
/* Drops what was read ahead, if anything was. */
void tls_ahead_free(struct conn *conn);
/* What to wait for after an operation of OpenSSL that failed with rc: an event, or 0 when that is final. */
int tls_wanted(struct conn *conn, int rc);

/* Around all tls_write_some of one conn_writev: takes memory for sealed records, which the loop keeps a piece of, and
 * gives it back. ERR_NOMEM. */
int tls_write_begin(struct conn *conn);
void tls_write_end(struct conn *conn);
/* Whether records are sealed and not sent yet: then it is not over. False if the connection is plain. */
bool tls_write_pends(const struct conn *conn);
/* Sends what is left of the records sealed before, or seals the next ones, using up the vectors, and sends these.
 * Returns how many bytes left, or 0 with *event what to wait for (0: it is over). */
size_t tls_write_some(struct conn *conn, struct iovec **iov, int *count, int *event);

#endif
