#include "net/listener.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "net/conn_private.h"
#include "net/unix_socket.h"

#define BACKLOG        1024
#define ACCEPTS_A_TURN 32
#define PAUSE_MS       100 /* without accepting, when the process is out of descriptors */
#define LINGER_MS      1000
#define REFUSALS_MAX   64 /* at once; connections beyond them are closed without a word */

static atomic_int open_connections; /* of all listeners */

/* --- ports --- */

static void on_timer(uv_timer_t *timer);

static void schedule(struct port *port)
{
    int64_t earliest = DEADLINE_NONE;
    const struct list *heads[] = {&port->idle, &port->lingering};
    for (size_t i = 0; i < 2; i++) {
        const struct conn *first = LIST_ENTRY(heads[i]->next, struct conn, link);
        if (!list_empty(heads[i]) && first->deadline_ms < earliest)
            earliest = first->deadline_ms;
    }
    if (earliest >= port->armed_ms || !port->timer_made)
        return;
    int64_t now = loop_now_ms();
    port->armed_ms = earliest;
    uv_timer_start(&port->timer, on_timer, earliest > now ? (uint64_t)(earliest - now) : 0, 0);
}

static void expire(struct list *head, int64_t now)
{
    while (!list_empty(head)) {
        struct conn *conn = LIST_ENTRY(head->next, struct conn, link);
        if (conn->deadline_ms > now)
            break;
        conn_expire(conn);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct port *port = timer->data;
    port->armed_ms = DEADLINE_NONE;
    expire(&port->idle, loop_now_ms());
    expire(&port->lingering, loop_now_ms());
    schedule(port);
}

static void line_up(struct port *port, struct list *head, struct conn *conn, int64_t timeout_ms)
{
    conn->deadline_ms = loop_now_ms() + timeout_ms;
    list_append(head, &conn->link);
    if (port->armed_ms == DEADLINE_NONE || conn->deadline_ms < port->armed_ms)
        schedule(port);
}

void port_idle(struct port *port, struct conn *conn)
{
    line_up(port, &port->idle, conn, port->listener->options.idle_timeout_ms);
}

void port_linger(struct port *port, struct conn *conn)
{
    line_up(port, &port->lingering, conn, LINGER_MS);
}

static void close_timer(struct port *port)
{
    if (port->drained && port->connections == 0 && port->timer_made) {
        port->timer_made = false;
        uv_close((uv_handle_t *)&port->timer, NULL);
    }
}

void port_forget(struct port *port)
{
    port->connections--;
    atomic_fetch_sub(&open_connections, 1);
    metrics_add(METRIC_CONNECTIONS, -1);
    close_timer(port);
}

/* On the port's loop. */
static void adopt(void *arg)
{
    struct conn *conn = arg;
    struct port *port = conn->port;
    if (port->drained) { /* it came across the drain */
        close(conn->fd);
        free(conn);
        atomic_fetch_sub(&open_connections, 1);
        return;
    }
    if (!port->timer_made) {
        uv_timer_init(loop_uv(port->loop), &port->timer);
        uv_unref((uv_handle_t *)&port->timer);
        port->timer.data = port;
        port->timer_made = true;
    }
    port->connections++;
    metrics_add(METRIC_CONNECTIONS, 1);
    conn_adopt(conn);
}

static void close_socket(struct listener *listener)
{
    if (listener->options.unix_path != NULL)
        unix_socket_close(listener->fd, listener->options.unix_path);
    else
        close(listener->fd);
    listener->fd = -1;
}

static void drain(void *arg)
{
    struct port *port = arg;
    struct listener *listener = port->listener;
    if (port->drained)
        return;
    port->drained = true;
    if (port == &listener->ports[0]) {
        uv_close((uv_handle_t *)&listener->poll, NULL);
        uv_close((uv_handle_t *)&listener->pause, NULL);
        close_socket(listener);
    }
    while (!list_empty(&port->idle))
        conn_close(LIST_ENTRY(port->idle.next, struct conn, link));
    close_timer(port);
}

/* --- accepting, on the first port's loop --- */

static void name_peer(struct conn *conn, const struct sockaddr_storage *address)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_UNIX) {
        struct ucred who = {.uid = (uid_t)-1};
        socklen_t length = sizeof(who);
        getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &who, &length);
        snprintf(conn->peer, sizeof(conn->peer), "uid %u, pid %d", who.uid, who.pid);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        snprintf(conn->peer, sizeof(conn->peer), "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const void *)address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(conn->peer, sizeof(conn->peer), "%s:%u", host, ntohs(in->sin_port));
    }
}

static void hand_over(struct listener *listener, int fd, const struct sockaddr_storage *address)
{
    int max = listener->options.connections_max;
    int open = atomic_fetch_add(&open_connections, 1);
    struct conn *conn = open < max + REFUSALS_MAX ? calloc(1, sizeof(*conn)) : NULL;
    if (open >= max)
        metrics_add(METRIC_CONNECTIONS_REFUSED, 1);
    if (conn == NULL)
        goto err0;
    conn->fd = fd;
    conn->refused = open >= max;
    conn->port = &listener->ports[listener->next];
    listener->next = (listener->next + 1) % listener->options.loop_count;
    name_peer(conn, address);
    if (conn->port->loop == loop_self())
        adopt(conn);
    else if (loop_post(conn->port->loop, adopt, conn) != 0)
        goto err1;
    return;
err1:
    free(conn);
err0:
    close(fd);
    atomic_fetch_sub(&open_connections, 1);
}

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    struct listener *listener = timer->data;
    uv_poll_start(&listener->poll, UV_READABLE, on_acceptable);
}

static void accept_failed(struct listener *listener, int error_number)
{
    if (error_number == EAGAIN || error_number == ECONNABORTED || error_number == EINTR)
        return;
    if (!listener->exhausted)
        log_error("accept", "accepting connections on %s fails: %s", listener->name, strerror(error_number));
    listener->exhausted = true;
    uv_poll_stop(&listener->poll); /* the pending connection would ring for ever */
    uv_timer_start(&listener->pause, on_pause_over, PAUSE_MS, 0);
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN && !atomic_load(&listener->draining); i++) {
        struct sockaddr_storage address;
        socklen_t length = sizeof(address);
        int fd = accept4(listener->fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            accept_failed(listener, errno);
            return;
        }
        listener->exhausted = false;
        hand_over(listener, fd, &address);
    }
}

/* --- life --- */

static int bind_one(const struct addrinfo *info)
{
    const int on = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    /* Linux hands these down to the accepted sockets. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int bind_address(const char *address, uint16_t port)
{
    char service[8];
    struct addrinfo *infos, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    snprintf(service, sizeof(service), "%u", port);
    int rc = getaddrinfo(address, service, &hints, &infos);
    if (rc != 0) {
        log_error("listen", "%s: %s", address, gai_strerror(rc));
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *info = infos; info != NULL && fd < 0; info = info->ai_next)
        fd = bind_one(info);
    if (fd < 0)
        log_error("listen", "%s port %u: %s", address, port, strerror(errno));
    freeaddrinfo(infos);
    return fd;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);
    getsockname(fd, (struct sockaddr *)&address, &length);
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&address)->sin6_port
                                               : ((struct sockaddr_in *)(void *)&address)->sin_port);
}

static void name_listener(struct listener *listener)
{
    if (listener->options.unix_path != NULL) {
        snprintf(listener->name, sizeof(listener->name), "%s", listener->options.unix_path);
        return;
    }
    listener->port = bound_port(listener->fd);
    snprintf(listener->name, sizeof(listener->name), "port %u", listener->port);
}

static void ports_init(struct listener *listener)
{
    for (unsigned i = 0; i < listener->options.loop_count; i++) {
        struct port *port = &listener->ports[i];
        port->listener = listener;
        port->loop = listener->options.loops[i];
        port->armed_ms = DEADLINE_NONE;
        port->drain.fn = drain;
        port->drain.arg = port;
        list_init(&port->idle);
        list_init(&port->lingering);
    }
}

int listener_open(const struct listener_options *options, struct listener **out)
{
    if (options->loop_count == 0 || options->loop_count > LOOPS_MAX)
        return ERR_INVALID;
    struct listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return ERR_NOMEM;
    listener->options = *options;
    ports_init(listener);
    listener->fd = options->unix_path != NULL ? unix_socket_listen(options->unix_path, BACKLOG)
                                              : bind_address(options->address, options->port);
    if (listener->fd < 0)
        goto err0;
    name_listener(listener);
    uv_loop_t *uv = loop_uv(options->loops[0]);
    if (uv_poll_init(uv, &listener->poll, listener->fd) != 0)
        goto err1;
    uv_timer_init(uv, &listener->pause);
    listener->poll.data = listener->pause.data = listener;
    uv_poll_start(&listener->poll, UV_READABLE, on_acceptable);
    *out = listener;
    return 0;
err1:
    close_socket(listener);
err0:
    free(listener);
    return ERR_IO;
}

uint16_t listener_port(const struct listener *listener)
{
    return listener->port;
}

void listener_drain(struct listener *listener)
{
    atomic_store(&listener->draining, true);
    for (unsigned i = 0; i < listener->options.loop_count; i++)
        loop_signal(listener->ports[i].loop, &listener->ports[i].drain);
}

void listener_free(struct listener *listener)
{
    free(listener);
}
