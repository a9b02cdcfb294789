#include "net/conn.h"
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/iov.h"
#include "net/conn_private.h"

#define IOV_ONCE    64
#define BULK        ((size_t)64 << 10) /* wanted at once of a TLS connection: a body that has its memory */
#define DISCARD_MAX ((size_t)4 << 20) /* of a lingering connection */
#define EVENTS_ALL  (UV_READABLE | UV_WRITABLE | UV_DISCONNECT)

static void on_poll(uv_poll_t *poll, int status, int events);

/* --- the poll: each change costs two epoll_ctl, so what is armed stays armed until it rings for nobody --- */

static void arm(struct conn *conn, int events)
{
    if (conn->ended)
        events &= ~UV_DISCONNECT; /* it would ring for ever */
    if (events == conn->armed)
        return;
    conn->armed = events;
    if (events == 0)
        uv_poll_stop(&conn->poll);
    else
        uv_poll_start(&conn->poll, events, on_poll);
}

static int wait_for(struct conn *conn, int events, int64_t deadline_ms)
{
    if ((conn->armed & events) != events)
        arm(conn, conn->armed | events | UV_DISCONNECT);
    conn->waiter = fiber_self();
    conn->wanted = events;
    int rc = fiber_wait(deadline_ms);
    conn->waiter = NULL;
    conn->wanted = 0;
    return rc;
}

static bool peek(struct conn *conn)
{
    char byte;
    ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n > 0;
}

static void begin_handshake(struct conn *conn);

/* Bytes have come for an idle connection, or its end. */
static void idle_event(struct conn *conn)
{
    const struct conn_service *service = conn->port->listener->options.service;
    if (conn->ssl != NULL && conn->handshaken) {
        char byte;
        ERR_clear_error();
        int n = SSL_peek(conn->ssl, &byte, 1);
        if (n <= 0 && SSL_get_error(conn->ssl, n) == SSL_ERROR_WANT_READ && !conn->ended)
            return;
        if (n <= 0) {
            conn->tls_broken = SSL_get_error(conn->ssl, n) != SSL_ERROR_ZERO_RETURN;
            conn_close(conn);
            return;
        }
    } else if (conn->ended && !peek(conn)) {
        conn_close(conn);
        return;
    }
    list_remove(&conn->link);
    conn->state = CONN_BUSY;
    if (conn->ssl != NULL && !conn->handshaken)
        begin_handshake(conn);
    else
        service->readable(conn, service->arg);
}

static void busy_event(struct conn *conn, int events)
{
    if (conn->ended && conn->watcher != NULL)
        fiber_cancel(conn->watcher);
    if (conn->waiter != NULL && (events & (conn->wanted | UV_DISCONNECT)) != 0)
        fiber_wake(conn->waiter);
    int useless = events & ~(conn->wanted | UV_DISCONNECT);
    arm(conn, conn->armed & ~useless);
}

static void destroy(struct conn *conn);

static void linger_event(struct conn *conn)
{
    char scratch[16384];
    ssize_t n = 0;
    while (conn->discarded < DISCARD_MAX && (n = recv(conn->fd, scratch, sizeof(scratch), MSG_DONTWAIT)) > 0)
        conn->discarded += (size_t)n;
    if (conn->discarded >= DISCARD_MAX || n == 0 || (errno != EAGAIN && errno != EINTR))
        destroy(conn);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *conn = poll->data;
    if (status < 0) { /* libuv has stopped the poll */
        conn->armed = 0;
        conn->ended = true;
        events = EVENTS_ALL;
    }
    if ((events & UV_DISCONNECT) != 0)
        conn->ended = true;
    switch (conn->state) {
    case CONN_IDLE:
        if ((events & (UV_READABLE | UV_DISCONNECT)) != 0)
            idle_event(conn);
        else /* room to write, which the last answer waited for */
            arm(conn, conn->armed & ~UV_WRITABLE);
        break;
    case CONN_BUSY:
        busy_event(conn, events);
        break;
    case CONN_LINGERING:
        linger_event(conn);
        break;
    case CONN_CLOSED:
        break;
    }
}

/* --- reading and writing --- */

/* Bytes read, or 0 with *event what to wait for (0: it is over). */
static size_t read_some(struct conn *conn, const struct iovec *iov, int count, int *event)
{
    *event = 0;
    if (conn->ssl != NULL) {
        size_t got = 0;
        ERR_clear_error();
        conn->bulk = iov_bytes(iov, count) >= BULK;
        int rc = SSL_read_ex(conn->ssl, iov->iov_base, iov->iov_len, &got);
        if (rc != 1)
            *event = tls_wanted(conn, rc);
        return rc == 1 ? got : 0;
    }
    ssize_t n;
    do
        n = readv(conn->fd, iov, count < IOV_ONCE ? count : IOV_ONCE);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        *event = UV_READABLE;
    else if (n <= 0)
        conn->ended = true;
    return n > 0 ? (size_t)n : 0;
}

int conn_readv(struct conn *conn, const struct iovec *iov, int count, int64_t deadline_ms, size_t *got)
{
    for (;;) {
        int event;
        *got = read_some(conn, iov, count, &event);
        if (*got > 0)
            return 0;
        if (event == 0)
            return ERR_CLOSED;
        int rc = wait_for(conn, event, deadline_ms);
        if (rc != 0)
            return rc;
    }
}

int conn_read(struct conn *conn, void *dst, size_t capacity, int64_t deadline_ms, size_t *got)
{
    const struct iovec iov = {dst, capacity};
    return conn_readv(conn, &iov, 1, deadline_ms, got);
}

/* Uses up what it sends of the vectors. Returns the bytes that left, or 0 with *event what to wait for (0: over). */
static size_t write_some(struct conn *conn, struct iovec **iov, int *count, int *event)
{
    if (conn->ssl != NULL)
        return tls_write_some(conn, iov, count, event);
    struct msghdr message = {.msg_iov = *iov, .msg_iovlen = (size_t)(*count < IOV_ONCE ? *count : IOV_ONCE)};
    ssize_t n;
    do
        n = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    *event = n < 0 && errno == EAGAIN ? UV_WRITABLE : 0;
    if (n <= 0)
        return 0;
    iov_skip(iov, count, (size_t)n);
    return (size_t)n;
}

static int write_all(struct conn *conn, struct iovec *iov, int count, int64_t progress_ms)
{
    int64_t patience_ms = progress_ms;
    while (count > 0 || tls_write_pends(conn)) {
        int event;
        int64_t begin_ms = loop_now_ms();
        size_t sent = write_some(conn, &iov, &count, &event);
        if (sent == 0 && event == 0)
            return ERR_CLOSED;
        if (sent == 0) {
            int rc = wait_for(conn, event, begin_ms + patience_ms);
            if (rc != 0)
                return rc;
        }
        patience_ms = conn_patience(patience_ms, loop_now_ms() - begin_ms, sent, progress_ms);
    }
    return 0;
}

int conn_writev(struct conn *conn, struct iovec *iov, int count, int64_t progress_ms)
{
    iov_skip(&iov, &count, 0);
    if (conn->ssl == NULL || count == 0)
        return write_all(conn, iov, count, progress_ms);
    int rc = tls_write_begin(conn);
    if (rc != 0)
        return rc;
    rc = write_all(conn, iov, count, progress_ms);
    conn->tls_broken |= rc != 0; /* what was sealed may not have been sent, and must not look complete */
    tls_write_end(conn);
    return rc;
}

void conn_watch(struct conn *conn, struct fiber *fiber)
{
    conn->watcher = fiber;
    if (fiber != NULL && conn->ended)
        fiber_cancel(fiber);
}

const char *conn_peer(const struct conn *conn)
{
    return conn->peer;
}

bool conn_is_tls(const struct conn *conn)
{
    return conn->ssl != NULL;
}

bool conn_draining(const struct conn *conn)
{
    return atomic_load_explicit(&conn->port->listener->draining, memory_order_relaxed);
}

void conn_set_data(struct conn *conn, void *data, void (*release)(void *data))
{
    conn->data = data;
    conn->release = release;
}

void *conn_data(const struct conn *conn)
{
    return conn->data;
}

/* --- life --- */

static void on_buffered(void *arg)
{
    struct conn *conn = arg;
    if (conn->state == CONN_CLOSED)
        free(conn); /* on_closed left it to us */
    else if (conn->state == CONN_IDLE)
        idle_event(conn);
}

static void make_idle(struct conn *conn)
{
    conn->state = CONN_IDLE;
    conn->watcher = NULL;
    port_idle(conn->port, conn);
    if ((conn->armed & UV_READABLE) == 0)
        arm(conn, UV_READABLE | UV_DISCONNECT);
}

void conn_idle(struct conn *conn)
{
    if (conn_draining(conn)) {
        conn_close(conn);
        return;
    }
    make_idle(conn);
    if (conn->ssl != NULL && (SSL_has_pending(conn->ssl) || conn->ahead != NULL))
        loop_when_quiet(conn->port->loop, &conn->buffered);
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    port_forget(conn->port);
    if (!conn->buffered.registered)
        free(conn);
}

static void destroy(struct conn *conn)
{
    list_remove(&conn->link);
    conn->state = CONN_CLOSED;
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    tls_ahead_free(conn);
    uv_close((uv_handle_t *)&conn->poll, on_closed);
    close(conn->fd);
}

void conn_expire(struct conn *conn)
{
    if (conn->state == CONN_LINGERING)
        destroy(conn);
    else
        conn_close(conn);
}

/* False if the service has let go of it already. */
static bool let_go(struct conn *conn)
{
    if (conn->state == CONN_LINGERING || conn->state == CONN_CLOSED)
        return false;
    list_remove(&conn->link);
    if (conn->release != NULL)
        conn->release(conn->data);
    conn->release = NULL;
    conn->data = NULL;
    conn->watcher = NULL;
    return true;
}

void conn_reset(struct conn *conn)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (!let_go(conn))
        return;
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    destroy(conn);
}

/* Closing a socket with unread bytes resets it, and the reset may overtake the answer that the peer has not read yet.
 * So only sending ends at first, unless nothing was being said. */
void conn_close(struct conn *conn)
{
    bool was_idle = conn->state == CONN_IDLE;
    if (!let_go(conn))
        return;
    if (conn->ssl != NULL && conn->handshaken && !conn->tls_broken) {
        ERR_clear_error();
        SSL_shutdown(conn->ssl);
    }
    if (was_idle || shutdown(conn->fd, SHUT_WR) != 0) {
        destroy(conn);
        return;
    }
    conn->state = CONN_LINGERING;
    linger_event(conn);
    if (conn->state == CONN_LINGERING) {
        port_linger(conn->port, conn);
        arm(conn, UV_READABLE | UV_DISCONNECT);
    }
}

/* --- the beginning --- */

static void handshake(void *arg)
{
    struct conn *conn = arg;
    const struct listener_options *options = &conn->port->listener->options;
    int64_t deadline_ms = loop_now_ms() + options->head_timeout_ms;
    int rc = 1;
    while (conn->ssl != NULL && (ERR_clear_error(), rc = SSL_accept(conn->ssl)) != 1) {
        int event = tls_wanted(conn, rc);
        if (event == 0 || wait_for(conn, event, deadline_ms) != 0) {
            conn->tls_broken = true;
            conn_close(conn);
            return;
        }
    }
    conn->handshaken = true;
    if (!conn->refused) {
        conn_idle(conn);
        return;
    }
    options->service->refuse(conn, options->service->arg);
    conn_close(conn);
}

static void begin_handshake(struct conn *conn)
{
    if (fiber_spawn(conn->port->loop, handshake, conn, NULL) != 0)
        conn_close(conn);
}

void conn_adopt(struct conn *conn)
{
    struct listener *listener = conn->port->listener;
    list_init(&conn->link);
    conn->buffered.fn = on_buffered;
    conn->buffered.arg = conn;
    conn->poll.data = conn;
    if (listener->options.tls != NULL) {
        conn->ssl = tls_session(listener->options.tls, conn);
        if (conn->ssl == NULL)
            goto err0;
    }
    if (uv_poll_init(loop_uv(conn->port->loop), &conn->poll, conn->fd) != 0)
        goto err1;
    if (conn->refused) {
        conn->state = CONN_BUSY;
        arm(conn, UV_READABLE | UV_DISCONNECT);
        begin_handshake(conn);
    } else {
        make_idle(conn);
    }
    return;
err1:
    SSL_free(conn->ssl);
err0:
    close(conn->fd);
    port_forget(conn->port);
    free(conn);
}
