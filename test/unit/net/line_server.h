/* A server on loopback that the tests of net talk to. The service answers lines:
 *   echo WORDS   the same line; the connection stays
 *   bye          "bye", and closes although more may have come
 *   big          16 MiB of 'x', the connection stays; a reader that stops is given up after patience_ms
 *   uneven       4 MiB of uneven_byte, from vectors of many sizes
 *   gulp         reads GULP bytes, which are those of uneven_byte, in large pieces: "gulped"
 *   watch        "watching", then waits until it is cancelled
 *   draining     waits until the listener drains, then "drained" */
#ifndef ARCA_TEST_NET_LINE_SERVER_H
#define ARCA_TEST_NET_LINE_SERVER_H

#include "unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "net/listener.h"
#include "net/tls.h"

#define LOOPS 2
#define BIG   ((size_t)16 << 20)
#define UNEVEN ((size_t)4 << 20)
#define GULP   ((size_t)1 << 20)

static atomic_int fibers_started, canceled, released;
static atomic_int loops_seen; /* bit set */

/* On a busy machine any client may pause for a while. Tests of giving one up set them before start(), and back after
 * stop(). */
#define LONG_MS  30000
#define SHORT_MS 300
static int64_t patience_ms = LONG_MS;  /* of the service, with the rest of a line and with a reader of "big" */
static int64_t handshake_ms = LONG_MS; /* the listener's head_timeout_ms */

/* --- the service --- */

static inline int say(struct conn *conn, const char *text)
{
    /* In three pieces, one empty. */
    size_t half = strlen(text) / 2;
    struct iovec iov[3] = {{(void *)text, half}, {NULL, 0}, {(void *)(text + half), strlen(text) - half}};
    return conn_writev(conn, iov, 3, 5000);
}

static inline int say_big(struct conn *conn)
{
    char *block = malloc(BIG);
    if (block == NULL)
        abort();
    memset(block, 'x', BIG);
    struct iovec iov[2] = {{block, 1000}, {block + 1000, BIG - 1000}};
    int rc = conn_writev(conn, iov, 2, patience_ms);
    free(block);
    return rc;
}

/* A byte of the answer to "uneven". */
static inline uint8_t uneven_byte(size_t at)
{
    return (uint8_t)((at * 2654435761u) >> 13);
}

/* In vectors of 1 to 200000 bytes, some of them empty. */
static inline int say_uneven(struct conn *conn)
{
    struct iovec iov[100];
    int count = 0;
    uint8_t *block = malloc(UNEVEN);
    if (block == NULL)
        abort();
    for (size_t i = 0; i < UNEVEN; i++)
        block[i] = uneven_byte(i);
    for (size_t at = 0; at < UNEVEN; count++) {
        size_t length = count % 5 == 3 ? 0 : count % 3 == 0 ? (size_t)count * 37 + 1 : (size_t)count * 7919 % 200000;
        length = length < UNEVEN - at && count < 99 ? length : UNEVEN - at;
        iov[count] = (struct iovec){block + at, length};
        at += length;
    }
    int rc = conn_writev(conn, iov, count, 5000);
    free(block);
    return rc;
}

static inline int gulp(struct conn *conn)
{
    static __thread uint8_t block[GULP];
    size_t some;
    for (size_t got = 0; got < GULP; got += some) {
        size_t left = GULP - got, half = (left + 1) / 2;
        struct iovec iov[] = {{block + got, half}, {block + got + half, left - half}};
        int rc = conn_readv(conn, iov, 2, loop_now_ms() + 5000, &some);
        if (rc != 0)
            return rc;
    }
    for (size_t i = 0; i < GULP; i++)
        if (block[i] != uneven_byte(i))
            return say(conn, "wrong\n");
    return say(conn, "gulped\n");
}

static inline int answer(struct conn *conn, const char *line)
{
    if (strcmp(line, "big\n") == 0)
        return say_big(conn);
    if (strcmp(line, "uneven\n") == 0)
        return say_uneven(conn);
    if (strcmp(line, "gulp\n") == 0)
        return gulp(conn);
    if (strcmp(line, "bye\n") == 0) {
        say(conn, "bye\n");
        return ERR_CLOSED;
    }
    if (strcmp(line, "watch\n") == 0) {
        conn_watch(conn, fiber_self());
        say(conn, "watching\n");
        int rc = fiber_wait(loop_now_ms() + 10000);
        atomic_fetch_add(&canceled, rc == ERR_CANCELED);
        return ERR_CLOSED;
    }
    if (strcmp(line, "draining\n") == 0) {
        say(conn, "waiting\n");
        while (!conn_draining(conn))
            fiber_wait(loop_now_ms() + 2);
        return say(conn, "drained\n");
    }
    return say(conn, line);
}

static inline void on_release(void *data)
{
    free(data);
    atomic_fetch_add(&released, 1);
}

static inline void serve(void *arg)
{
    struct conn *conn = arg;
    char line[256];
    size_t length = 0, got;
    atomic_fetch_add(&fibers_started, 1);
    atomic_fetch_or(&loops_seen, 1 << loop_number(loop_self()));
    if (conn_data(conn) == NULL)
        conn_set_data(conn, malloc(1), on_release);
    do { /* byte by byte, so that what is pipelined stays in the socket */
        if (conn_read(conn, line + length, 1, loop_now_ms() + patience_ms, &got) != 0) {
            conn_close(conn);
            return;
        }
        length += got;
    } while (line[length - 1] != '\n' && length < sizeof(line) - 1);
    line[length] = '\0';
    if (answer(conn, line) == 0)
        conn_idle(conn);
    else
        conn_close(conn);
}

static inline void on_readable(struct conn *conn, void *arg)
{
    (void)arg;
    if (fiber_spawn(loop_self(), serve, conn, NULL) != 0)
        conn_close(conn);
}

static inline void on_refuse(struct conn *conn, void *arg)
{
    (void)arg;
    say(conn, "full\n");
}

static const struct conn_service service = {on_readable, on_refuse, NULL};

/* --- the server, and clients --- */

static struct loop *loops[LOOPS];
static struct listener *listener;

/* `security`: NULL for plain connections. It is the caller's. */
static inline void start(int connections_max, int64_t idle_ms, struct tls *security)
{
    atomic_store(&fibers_started, 0);
    atomic_store(&canceled, 0);
    atomic_store(&released, 0);
    atomic_store(&loops_seen, 0);
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(loop_create(&(struct loop_options){.number = i}, &loops[i]), 0);
    const struct listener_options options = {
        .address = "127.0.0.1",
        .tls = security,
        .service = &service,
        .loops = loops,
        .loop_count = LOOPS,
        .connections_max = connections_max,
        .idle_timeout_ms = idle_ms,
        .head_timeout_ms = handshake_ms,
    };
    assert_int_equal(listener_open(&options, &listener), 0);
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(loop_start(loops[i]), 0);
}

/* Must end by itself: nothing may hold a loop. */
static inline void stop(void)
{
    listener_drain(listener);
    for (unsigned i = 0; i < LOOPS; i++)
        loop_stop(loops[i]);
    for (unsigned i = 0; i < LOOPS; i++)
        loop_join(loops[i]);
    for (unsigned i = 0; i < LOOPS; i++)
        loop_free(loops[i]);
    listener_free(listener);
}

static inline int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(listener_port(listener))};
    const struct timeval patience = {.tv_sec = 10};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* recv(). The kernel interrupts a wait that has a time limit, without a signal, in the thread that made an io_uring when
 * that is gone: libuv 1.45 and newer has one for each loop. */
static inline ssize_t receive(int fd, void *to, size_t room)
{
    return TEMP_FAILURE_RETRY(recv(fd, to, room, 0));
}

static inline void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static inline void expect(int fd, const char *text)
{
    char got[256] = {0};
    size_t length = 0;
    while (length < strlen(text)) {
        ssize_t n = receive(fd, got + length, strlen(text) - length);
        if (n <= 0)
            fail_msg("wanted '%s', got '%s' and then %zd (errno %d)", text, got, n, errno);
        length += (size_t)n;
    }
    assert_string_equal(got, text);
}

static inline void expect_end(int fd)
{
    char byte;
    assert_int_equal(receive(fd, &byte, 1), 0);
    close(fd);
}

static inline void until(atomic_int *value, int wanted)
{
    int64_t give_up = clock_monotonic_ms() + 10000;
    while (atomic_load(value) != wanted) {
        assert_true(clock_monotonic_ms() < give_up);
        poll(NULL, 0, 1);
    }
}

static inline int64_t cpu_ms(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

/* Room to write is no news for an idle connection, though it was waited for during the answer before. */
static inline void expect_rest(int before)
{
    int fibers = atomic_load(&fibers_started);
    int64_t used = cpu_ms();
    poll(NULL, 0, 200);
    assert_int_equal(atomic_load(&fibers_started), fibers);
    assert_int_equal(fibers, before);
    assert_true(cpu_ms() - used < 100);
}

#endif
