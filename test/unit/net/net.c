/* Connections over real loopback sockets. The service answers lines:
 *   echo WORDS   the same line; the connection stays
 *   bye          "bye", and closes although more may have come
 *   big          16 MiB of 'x', the connection stays
 *   watch        "watching", then waits until it is cancelled
 *   draining     waits until the listener drains, then "drained" */
#include "unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "certificate.h"
#include "net/listener.h"
#include "net/tls.h"

#define LOOPS 2
#define BIG   ((size_t)16 << 20)

static atomic_int fibers_started, canceled, released;
static atomic_int loops_seen; /* bit set */

/* --- the service --- */

static int say(struct conn *conn, const char *text)
{
    /* In three pieces, one empty. */
    size_t half = strlen(text) / 2;
    struct iovec iov[3] = {{(void *)text, half}, {NULL, 0}, {(void *)(text + half), strlen(text) - half}};
    return conn_writev(conn, iov, 3, 5000);
}

static int say_big(struct conn *conn)
{
    char *block = malloc(BIG);
    if (block == NULL)
        abort();
    memset(block, 'x', BIG);
    struct iovec iov[2] = {{block, 1000}, {block + 1000, BIG - 1000}};
    int rc = conn_writev(conn, iov, 2, 300);
    free(block);
    return rc;
}

static int answer(struct conn *conn, const char *line)
{
    if (strcmp(line, "big\n") == 0)
        return say_big(conn);
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

static void on_release(void *data)
{
    free(data);
    atomic_fetch_add(&released, 1);
}

static void serve(void *arg)
{
    struct conn *conn = arg;
    char line[256];
    size_t length = 0, got;
    atomic_fetch_add(&fibers_started, 1);
    atomic_fetch_or(&loops_seen, 1 << loop_number(loop_self()));
    if (conn_data(conn) == NULL)
        conn_set_data(conn, malloc(1), on_release);
    do { /* byte by byte, so that what is pipelined stays in the socket */
        if (conn_read(conn, line + length, 1, loop_now_ms() + 2000, &got) != 0) {
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

static void on_readable(struct conn *conn, void *arg)
{
    (void)arg;
    if (fiber_spawn(loop_self(), serve, conn, NULL) != 0)
        conn_close(conn);
}

static void on_refuse(struct conn *conn, void *arg)
{
    (void)arg;
    say(conn, "full\n");
}

static const struct conn_service service = {on_readable, on_refuse, NULL};

/* --- the server, and clients --- */

static struct loop *loops[LOOPS];
static struct listener *listener;
static struct tls *tls;
static char folder[4096], certificate_file[4200], key_file[4200];

static void start(int connections_max, int64_t idle_ms, bool with_tls)
{
    atomic_store(&fibers_started, 0);
    atomic_store(&canceled, 0);
    atomic_store(&released, 0);
    atomic_store(&loops_seen, 0);
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(loop_create(&(struct loop_options){.number = i}, &loops[i]), 0);
    if (with_tls)
        assert_int_equal(tls_create(certificate_file, key_file, &tls), 0);
    const struct listener_options options = {
        .address = "127.0.0.1",
        .tls = tls,
        .service = &service,
        .loops = loops,
        .loop_count = LOOPS,
        .connections_max = connections_max,
        .idle_timeout_ms = idle_ms,
        .head_timeout_ms = 300,
    };
    assert_int_equal(listener_open(&options, &listener), 0);
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(loop_start(loops[i]), 0);
}

/* Must end by itself: nothing may hold a loop. */
static void stop(void)
{
    listener_drain(listener);
    for (unsigned i = 0; i < LOOPS; i++)
        loop_stop(loops[i]);
    for (unsigned i = 0; i < LOOPS; i++)
        loop_join(loops[i]);
    for (unsigned i = 0; i < LOOPS; i++)
        loop_free(loops[i]);
    listener_free(listener);
    tls_free(tls);
    tls = NULL;
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(listener_port(listener))};
    const struct timeval patience = {.tv_sec = 10};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void expect(int fd, const char *text)
{
    char got[256] = {0};
    size_t length = 0;
    while (length < strlen(text)) {
        ssize_t n = recv(fd, got + length, strlen(text) - length, 0);
        if (n <= 0)
            fail_msg("wanted '%s', got '%s' and then %zd (errno %d)", text, got, n, errno);
        length += (size_t)n;
    }
    assert_string_equal(got, text);
}

static void expect_end(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

static void until(atomic_int *value, int wanted)
{
    int64_t give_up = clock_monotonic_ms() + 10000;
    while (atomic_load(value) != wanted) {
        assert_true(clock_monotonic_ms() < give_up);
        poll(NULL, 0, 1);
    }
}

/* --- plain --- */

static void connections_are_kept_and_spread(void **state)
{
    (void)state;
    int fds[6];
    start(100, 60000, false);
    for (int i = 0; i < 6; i++)
        fds[i] = dial();
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 6; i++)
            put(fds[i], "echo hello\n");
        for (int i = 0; i < 6; i++)
            expect(fds[i], "echo hello\n");
    }
    assert_int_equal(loops_seen, (1 << LOOPS) - 1);
    assert_int_equal(fibers_started, 30);
    assert_int_equal(released, 0);
    for (int i = 0; i < 6; i++)
        close(fds[i]);
    until(&released, 6);
    stop();
}

static void pipelined_bytes_are_served_in_order(void **state)
{
    (void)state;
    start(100, 60000, false);
    int fd = dial();
    put(fd, "echo one\necho two\necho three\necho fo");
    expect(fd, "echo one\necho two\necho three\n");
    put(fd, "ur\n");
    expect(fd, "echo four\n");
    put(fd, "bye\n");
    expect(fd, "bye\n");
    expect_end(fd);
    stop();
}

static void read_slowly(int fd, size_t total)
{
    static char chunk[1 << 20];
    for (size_t got = 0; got < total;) {
        ssize_t n = recv(fd, chunk, sizeof(chunk) < total - got ? sizeof(chunk) : total - got, 0);
        assert_true(n > 0);
        assert_null(memchr(chunk, 'y', (size_t)n));
        got += (size_t)n;
        poll(NULL, 0, 2);
    }
}

static void a_slow_reader_gets_everything(void **state)
{
    (void)state;
    start(100, 60000, false);
    int fd = dial();
    put(fd, "big\necho after\n"); /* the second line waits in the socket meanwhile */
    read_slowly(fd, BIG);
    expect(fd, "echo after\n");
    close(fd);
    stop();
}

static int64_t cpu_ms(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

/* Room to write is no news for an idle connection, though it was waited for during the answer before. */
static void expect_rest(int before)
{
    int fibers = atomic_load(&fibers_started);
    int64_t used = cpu_ms();
    poll(NULL, 0, 200);
    assert_int_equal(atomic_load(&fibers_started), fibers);
    assert_int_equal(fibers, before);
    assert_true(cpu_ms() - used < 100);
}

static void an_idle_connection_rests(void **state)
{
    (void)state;
    start(100, 60000, false);
    int fd = dial();
    put(fd, "big\n");
    read_slowly(fd, BIG);
    expect_rest(1);
    put(fd, "echo again\n");
    expect(fd, "echo again\n");
    expect_rest(2);
    listener_drain(listener);
    expect_end(fd);
    stop();
}

static void a_reader_that_stops_is_given_up(void **state)
{
    (void)state;
    start(100, 60000, false);
    int fd = dial();
    put(fd, "big\n");
    until(&released, 1); /* after 300 ms without progress */
    close(fd);
    stop();
}

static void a_request_that_stops_is_given_up(void **state)
{
    (void)state;
    start(100, 60000, false);
    int fd = dial();
    put(fd, "echo half");
    expect_end(fd); /* after the service's own deadline */
    stop();
}

static void the_end_of_the_peer_cancels_its_fiber(void **state)
{
    (void)state;
    start(100, 60000, false);
    int fd = dial();
    put(fd, "watch\n");
    expect(fd, "watching\n");
    put(fd, "pipelined\n"); /* does not cancel, and does not hide the end */
    poll(NULL, 0, 20);
    assert_int_equal(canceled, 0);
    close(fd);
    until(&canceled, 1);

    fd = dial();
    put(fd, "watch\n");
    expect(fd, "watching\n");
    const struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    until(&canceled, 2);
    stop();
}

static void idle_connections_time_out(void **state)
{
    (void)state;
    start(100, 150, false);
    int silent = dial(), used = dial();
    int64_t begin = clock_monotonic_ms();
    put(used, "echo x\n");
    expect(used, "echo x\n");
    expect_end(silent);
    expect_end(used);
    assert_true(clock_monotonic_ms() - begin >= 140);
    assert_true(clock_monotonic_ms() - begin < 5000);
    stop();
}

static void beyond_the_cap_is_refused(void **state)
{
    (void)state;
    start(2, 60000, false);
    int first = dial(), second = dial();
    put(first, "echo a\n");
    put(second, "echo b\n");
    expect(first, "echo a\n");
    expect(second, "echo b\n");
    int third = dial();
    put(third, "echo c\n"); /* unread, and yet the answer arrives */
    expect(third, "full\n");
    expect_end(third);
    close(first);
    until(&released, 1);
    for (;;) { /* the place is free when the socket is closed, a moment later */
        int fourth = dial();
        char got[8] = {0};
        put(fourth, "echo d\n");
        assert_true(recv(fourth, got, 7, 0) > 0);
        close(fourth);
        if (strcmp(got, "echo d\n") == 0)
            break;
    }
    close(second);
    stop();
}

static void unread_bytes_do_not_destroy_the_answer(void **state)
{
    (void)state;
    static char flood[3 << 20];
    start(100, 60000, false);
    memset(flood, 'z', sizeof(flood));
    memcpy(flood, "bye\n", 4);
    int fd = dial();
    for (size_t sent = 0; sent < sizeof(flood);) {
        ssize_t n = send(fd, flood + sent, sizeof(flood) - sent, MSG_NOSIGNAL);
        assert_true(n > 0);
        sent += (size_t)n;
    }
    expect(fd, "bye\n");
    expect_end(fd);
    stop();
}

static void a_drain_lets_requests_end(void **state)
{
    (void)state;
    start(100, 60000, false);
    int idle = dial(), busy = dial();
    put(idle, "echo x\n");
    expect(idle, "echo x\n");
    put(busy, "draining\n");
    expect(busy, "waiting\n");
    uint16_t port = listener_port(listener);
    listener_drain(listener);
    expect_end(idle);
    expect(busy, "drained\n");
    expect_end(busy);
    stop();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), -1);
    close(fd);
}

/* While there are no descriptors left, accepting pauses; then it goes on. */
static void running_out_of_descriptors_passes(void **state)
{
    (void)state;
    struct rlimit limit, tight;
    int spare[64], count = 0;
    start(100, 60000, false);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    getrlimit(RLIMIT_NOFILE, &limit);
    tight = limit;
    tight.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    while (count < 64 && (spare[count] = dup(0)) >= 0)
        count++;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(listener_port(listener))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    put(fd, "echo later\n");
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&readable, 1, 150), 0);
    while (count > 0)
        close(spare[--count]);
    expect(fd, "echo later\n");
    setrlimit(RLIMIT_NOFILE, &limit);
    close(fd);
    stop();
}

static void a_bad_address_is_reported(void **state)
{
    (void)state;
    start(100, 60000, false);
    struct listener *other;
    const struct listener_options taken = {
        .address = "127.0.0.1", .port = listener_port(listener), .service = &service, .loops = loops, .loop_count = 1};
    struct listener_options bad = taken;
    bad.address = "192.0.2.1"; /* not of this machine: RFC 5737 */
    assert_int_equal(listener_open(&taken, &other), ERR_IO);
    assert_int_equal(listener_open(&bad, &other), ERR_IO);
    stop();
}

/* --- TLS --- */

struct tls_client {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
};

static struct tls_client tls_dial(void)
{
    static const unsigned char protocols[] = "\x02h2\x08http/1.1";
    struct tls_client client = {.context = SSL_CTX_new(TLS_client_method()), .fd = dial()};
    client.ssl = SSL_new(client.context);
    SSL_set_alpn_protos(client.ssl, protocols, sizeof(protocols) - 1);
    SSL_set_fd(client.ssl, client.fd);
    assert_int_equal(SSL_connect(client.ssl), 1);
    return client;
}

static void tls_hang_up(struct tls_client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    close(client->fd);
}

static void tls_put(struct tls_client *client, const char *text)
{
    assert_int_equal(SSL_write(client->ssl, text, (int)strlen(text)), (int)strlen(text));
}

static void tls_expect(struct tls_client *client, const char *text)
{
    char got[256] = {0};
    for (size_t length = 0; length < strlen(text);) {
        int n = SSL_read(client->ssl, got + length, (int)(strlen(text) - length));
        assert_true(n > 0);
        length += (size_t)n;
    }
    assert_string_equal(got, text);
}

static void tls_carries_requests(void **state)
{
    (void)state;
    start(100, 60000, true);
    struct tls_client client = tls_dial();
    const unsigned char *protocol;
    unsigned length;
    SSL_get0_alpn_selected(client.ssl, &protocol, &length);
    assert_true(span_eq(span_of(protocol, length), SPAN_LITERAL("http/1.1")));
    for (int i = 0; i < 3; i++) {
        tls_put(&client, "echo hello\n");
        tls_expect(&client, "echo hello\n");
    }
    tls_put(&client,
            "echo one\necho two\necho three\n"); /* one record: the rest waits in the TLS layer, not the socket */
    tls_expect(&client, "echo one\necho two\necho three\n");
    tls_put(&client, "big\n");
    static char chunk[1 << 16];
    for (size_t got = 0; got < BIG;) {
        int n = SSL_read(client.ssl, chunk, (int)(sizeof(chunk) < BIG - got ? sizeof(chunk) : BIG - got));
        assert_true(n > 0);
        assert_true(chunk[0] == 'x' && chunk[n - 1] == 'x');
        got += (size_t)n;
        if (got % 64 == 0)
            poll(NULL, 0, 1);
    }
    expect_rest(atomic_load(&fibers_started));
    tls_put(&client, "bye\n");
    tls_expect(&client, "bye\n");
    assert_int_equal(SSL_read(client.ssl, chunk, 1), 0);
    assert_int_equal(SSL_get_error(client.ssl, 0), SSL_ERROR_ZERO_RETURN); /* close_notify came */
    tls_hang_up(&client);
    stop();
}

static void tls_watches_too(void **state)
{
    (void)state;
    start(100, 60000, true);
    struct tls_client client = tls_dial();
    tls_put(&client, "watch\n");
    tls_expect(&client, "watching\n");
    tls_hang_up(&client);
    until(&canceled, 1);
    stop();
}

static void broken_handshakes_end(void **state)
{
    (void)state;
    start(100, 60000, true);
    int plain = dial();
    put(plain, "GET / HTTP/1.1\r\n\r\n");
    char byte;
    while (recv(plain, &byte, 1, 0) > 0) /* an alert */
        ;
    close(plain);
    int stalled = dial();
    put(stalled, "\x16\x03\x01"); /* the beginning of a record */
    expect_end(stalled);          /* after head_timeout_ms */
    assert_int_equal(fibers_started, 0);
    stop();
}

static void old_tls_is_refused(void **state)
{
    (void)state;
    start(100, 60000, true);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
    SSL *ssl = SSL_new(context);
    int fd = dial();
    SSL_set_fd(ssl, fd);
    assert_int_not_equal(SSL_connect(ssl), 1);
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    stop();
}

static void tls_refuses_with_words(void **state)
{
    (void)state;
    start(1, 60000, true);
    struct tls_client first = tls_dial();
    tls_put(&first, "echo a\n");
    tls_expect(&first, "echo a\n");
    struct tls_client second = tls_dial();
    tls_expect(&second, "full\n");
    tls_hang_up(&second);
    tls_hang_up(&first);
    stop();
}

static void served_name(char *out, size_t size)
{
    struct tls_client client = tls_dial();
    X509 *certificate = SSL_get1_peer_certificate(client.ssl);
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, out, (int)size);
    X509_free(certificate);
    tls_hang_up(&client);
}

static void encrypt_key(void)
{
    FILE *file = fopen(key_file, "r+");
    assert_non_null(file);
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    assert_non_null(key);
    rewind(file);
    assert_int_equal(
        PEM_write_PrivateKey(file, key, EVP_aes_256_cbc(), (const unsigned char *)"passphrase", 10, NULL, NULL), 1);
    EVP_PKEY_free(key);
    fclose(file);
}

/* A daemon that reloads its certificates must not stand still because a terminal is at hand. */
static void an_encrypted_key_is_refused_and_nobody_is_asked(void **state)
{
    (void)state;
    int status, terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    encrypt_key();
    pid_t pid = fork();
    if (pid == 0) {
        struct tls *refused;
        setsid();
        if (open(ptsname(terminal), O_RDWR) < 0) /* becomes the controlling terminal */
            _exit(2);
        log_setup(LOG_ERROR + 1, LOG_TEXT);
        _exit(tls_create(certificate_file, key_file, &refused) == ERR_INVALID ? 0 : 1);
    }
    /* OpenSSL's prompt holds off all signals but this one. */
    int64_t give_up = clock_monotonic_ms() + 10000;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_monotonic_ms() > give_up)
            kill(pid, SIGKILL);
        poll(NULL, 0, 5);
    }
    assert_int_equal(status, 0);
    close(terminal);
}

static void certificates_are_replaced_while_connections_live(void **state)
{
    (void)state;
    char name[64];
    start(100, 60000, true);
    struct tls_client old = tls_dial();
    served_name(name, sizeof(name));
    assert_string_equal(name, "first");
    certificate_write(certificate_file, key_file, "second");
    assert_int_equal(tls_reload(tls), 0);
    served_name(name, sizeof(name));
    assert_string_equal(name, "second");
    tls_put(&old, "echo still here\n");
    tls_expect(&old, "echo still here\n");

    FILE *broken = fopen(certificate_file, "w");
    fputs("nonsense", broken);
    fclose(broken);
    assert_int_equal(tls_reload(tls), ERR_INVALID);
    unlink(key_file);
    assert_int_equal(tls_reload(tls), ERR_NOT_FOUND);
    served_name(name, sizeof(name));
    assert_string_equal(name, "second");
    tls_hang_up(&old);
    stop();
}

static int make_folder(void **state)
{
    (void)state;
    const char *top = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%.4000s/arca-net-XXXXXX", top != NULL ? top : "/tmp");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(certificate_file, sizeof(certificate_file), "%s/cert.pem", folder);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", folder);
    log_setup(LOG_ERROR, LOG_TEXT);
    return 0;
}

static int make_certificate(void **state)
{
    (void)state;
    certificate_write(certificate_file, key_file, "first");
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    unlink(certificate_file);
    unlink(key_file);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_kept_and_spread),
        cmocka_unit_test(pipelined_bytes_are_served_in_order),
        cmocka_unit_test(a_slow_reader_gets_everything),
        cmocka_unit_test(an_idle_connection_rests),
        cmocka_unit_test(a_reader_that_stops_is_given_up),
        cmocka_unit_test(a_request_that_stops_is_given_up),
        cmocka_unit_test(the_end_of_the_peer_cancels_its_fiber),
        cmocka_unit_test(idle_connections_time_out),
        cmocka_unit_test(beyond_the_cap_is_refused),
        cmocka_unit_test(unread_bytes_do_not_destroy_the_answer),
        cmocka_unit_test(a_drain_lets_requests_end),
        cmocka_unit_test(running_out_of_descriptors_passes),
        cmocka_unit_test(a_bad_address_is_reported),
        cmocka_unit_test_setup(tls_carries_requests, make_certificate),
        cmocka_unit_test_setup(tls_watches_too, make_certificate),
        cmocka_unit_test_setup(broken_handshakes_end, make_certificate),
        cmocka_unit_test_setup(old_tls_is_refused, make_certificate),
        cmocka_unit_test_setup(tls_refuses_with_words, make_certificate),
        cmocka_unit_test_setup(an_encrypted_key_is_refused_and_nobody_is_asked, make_certificate),
        cmocka_unit_test_setup(certificates_are_replaced_while_connections_live, make_certificate),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
