/* What conn.c, listener.c and tls.c share. */
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

/* A server's session on the socket. NULL when out of memory. */
SSL *tls_session(struct tls *tls, int fd);

#endif
