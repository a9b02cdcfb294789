/* TLS connections over real loopback sockets. */
#include "line_server.h"
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include "base/log.h"
#include "certificate.h"

static char folder[4096], certificate_file[4200], key_file[4200];
static struct tls *tls;

/* What the loops send goes through here, to be counted and cut. */
static atomic_int sends;
static atomic_bool choppy; /* each third send finds no room, the others room for some bytes */

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
    if (loop_self() != NULL) {
        int n = atomic_fetch_add(&sends, 1);
        if (atomic_load(&choppy) && n % 3 == 1) {
            errno = EAGAIN;
            return -1;
        }
        size_t room = (size_t)n * 7919 % 30000 + 1;
        if (atomic_load(&choppy) && length > room)
            length = room;
    }
    return sendto(fd, bytes, length, flags, NULL, 0);
}

static void start_tls(int connections_max)
{
    assert_int_equal(tls_create(certificate_file, key_file, &tls), 0);
    start(connections_max, 60000, tls);
}

static void stop_tls(void)
{
    stop();
    tls_free(tls);
}

struct tls_client {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
};

/* The last ticket that came. */
static SSL_SESSION *kept;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

/* SSL_connect() and SSL_read() that go on when interrupted, as receive() does. */
static bool tls_interrupted(SSL *ssl, int result)
{
    return result < 0 && errno == EINTR && SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ;
}

static int tls_connect(SSL *ssl)
{
    int result;
    do
        result = SSL_connect(ssl);
    while (tls_interrupted(ssl, result));
    return result;
}

static int tls_read(struct tls_client *client, void *to, int room)
{
    int n;
    do
        n = SSL_read(client->ssl, to, room);
    while (tls_interrupted(client->ssl, n));
    return n;
}

/* `version` of TLS, or 0 for any; `session` to be resumed, or NULL. */
static struct tls_client tls_dial_with(int version, SSL_SESSION *session)
{
    static const unsigned char protocols[] = "\x02h2\x08http/1.1";
    struct tls_client client = {.context = SSL_CTX_new(TLS_client_method()), .fd = dial()};
    SSL_CTX_set_max_proto_version(client.context, version);
    SSL_CTX_set_session_cache_mode(client.context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client.context, keep_session);
    client.ssl = SSL_new(client.context);
    SSL_set_alpn_protos(client.ssl, protocols, sizeof(protocols) - 1);
    if (session != NULL)
        SSL_set_session(client.ssl, session);
    SSL_set_fd(client.ssl, client.fd);
    assert_int_equal(tls_connect(client.ssl), 1);
    return client;
}

static struct tls_client tls_dial(void)
{
    return tls_dial_with(0, NULL);
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
        int n = tls_read(client, got + length, (int)(strlen(text) - length));
        assert_true(n > 0);
        length += (size_t)n;
    }
    assert_string_equal(got, text);
}

static void tls_carries_requests(void **state)
{
    (void)state;
    start_tls(100);
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
        int n = tls_read(&client, chunk, (int)(sizeof(chunk) < BIG - got ? sizeof(chunk) : BIG - got));
        assert_true(n > 0);
        assert_true(chunk[0] == 'x' && chunk[n - 1] == 'x');
        got += (size_t)n;
        if (got % 64 == 0)
            poll(NULL, 0, 1);
    }
    expect_rest(atomic_load(&fibers_started));
    tls_put(&client, "bye\n");
    tls_expect(&client, "bye\n");
    assert_int_equal(tls_read(&client, chunk, 1), 0);
    assert_int_equal(SSL_get_error(client.ssl, 0), SSL_ERROR_ZERO_RETURN); /* close_notify came */
    tls_hang_up(&client);
    stop_tls();
}

static void tls_watches_too(void **state)
{
    (void)state;
    start_tls(100);
    struct tls_client client = tls_dial();
    tls_put(&client, "watch\n");
    tls_expect(&client, "watching\n");
    tls_hang_up(&client);
    until(&canceled, 1);
    stop_tls();
}

static void broken_handshakes_end(void **state)
{
    (void)state;
    handshake_ms = SHORT_MS;
    start_tls(100);
    int plain = dial();
    put(plain, "GET / HTTP/1.1\r\n\r\n");
    char byte;
    while (receive(plain, &byte, 1) > 0) /* an alert */
        ;
    close(plain);
    int stalled = dial();
    put(stalled, "\x16\x03\x01"); /* the beginning of a record */
    expect_end(stalled);          /* after head_timeout_ms */
    assert_int_equal(fibers_started, 0);
    stop_tls();
    handshake_ms = LONG_MS;
}

static void old_tls_is_refused(void **state)
{
    (void)state;
    start_tls(100);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
    SSL *ssl = SSL_new(context);
    int fd = dial();
    SSL_set_fd(ssl, fd);
    assert_int_not_equal(tls_connect(ssl), 1);
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    stop_tls();
}

static void tls_refuses_with_words(void **state)
{
    (void)state;
    start_tls(1);
    struct tls_client first = tls_dial();
    tls_put(&first, "echo a\n");
    tls_expect(&first, "echo a\n");
    struct tls_client second = tls_dial();
    tls_expect(&second, "full\n");
    tls_hang_up(&second);
    tls_hang_up(&first);
    stop_tls();
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
    start_tls(100);
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
    stop_tls();
}

static void ask_uneven(struct tls_client *client, size_t piece)
{
    static uint8_t bytes[1 << 16];
    tls_put(client, "uneven\n");
    for (size_t got = 0; got < UNEVEN;) {
        int n = tls_read(client, bytes, (int)(piece < UNEVEN - got ? piece : UNEVEN - got));
        assert_true(n > 0);
        for (int i = 0; i < n; i++)
            if (bytes[i] != uneven_byte(got + (size_t)i))
                fail_msg("byte %zu is wrong", got + (size_t)i);
        got += (size_t)n;
    }
}

static void several_records_leave_with_one_send(void **state)
{
    (void)state;
    start_tls(100);
    struct tls_client client = tls_dial();
    tls_put(&client, "echo hello\n");
    tls_expect(&client, "echo hello\n");
    int before = atomic_load(&sends);
    tls_put(&client, "echo hello\n");
    tls_expect(&client, "echo hello\n");
    assert_int_equal(atomic_load(&sends) - before, 1);
    before = atomic_load(&sends);
    ask_uneven(&client, 1 << 16);
    assert_true((size_t)(atomic_load(&sends) - before) < UNEVEN / 16384);
    tls_hang_up(&client);
    stop_tls();
}

/* Handshakes, and answers cut anywhere in the midst of records. */
static void short_sends_lose_nothing(void **state)
{
    (void)state;
    start_tls(100);
    atomic_store(&choppy, true);
    for (int i = 0; i < 3; i++) {
        struct tls_client client = tls_dial();
        ask_uneven(&client, i == 0 ? 1000 : 1 << 16);
        tls_put(&client, "echo after\n");
        tls_expect(&client, "echo after\n");
        tls_hang_up(&client);
    }
    atomic_store(&choppy, false);
    stop_tls();
}

static void give_uneven(struct tls_client *client)
{
    static uint8_t bytes[GULP];
    for (size_t i = 0; i < GULP; i++)
        bytes[i] = uneven_byte(i);
    tls_put(client, "gulp\n");
    for (size_t at = 0, n = 0; at < GULP; n++) {
        size_t length = n % 4 == 0 ? n * 7919 % 16384 + 1 : 40000;
        length = length < GULP - at ? length : GULP - at;
        assert_int_equal(SSL_write(client->ssl, bytes + at, (int)length), (int)length);
        at += length;
    }
}

/* What was read ahead of one request belongs to the next, or to nobody. */
static void records_are_read_ahead(void **state)
{
    (void)state;
    start_tls(100);
    struct tls_client client = tls_dial();
    for (int i = 0; i < 20; i++) {
        give_uneven(&client);
        tls_put(&client, "echo one\n");
        give_uneven(&client);
        tls_expect(&client, "gulped\necho one\ngulped\n");
    }
    give_uneven(&client);
    tls_put(&client, "bye\n");
    give_uneven(&client);
    tls_expect(&client, "gulped\nbye\n");
    tls_hang_up(&client);
    until(&released, 1);
    stop_tls();
}

/* Whether so much came. */
static bool read_some_of_big(struct tls_client *client)
{
    static char bytes[100000];
    tls_put(client, "big\n");
    for (size_t got = 0; got < sizeof(bytes);) {
        int n = tls_read(client, bytes, sizeof(bytes));
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

/* The answer that was cut does not end with a close_notify. */
static void a_tls_reader_that_stops_is_given_up(void **state)
{
    (void)state;
    patience_ms = SHORT_MS;
    start_tls(100);
    struct tls_client client = tls_dial();
    (void)read_some_of_big(&client); /* by a client that pauses it may be given up here already */
    until(&released, 1);
    static char bytes[1 << 16];
    int n;
    while ((n = tls_read(&client, bytes, sizeof(bytes))) > 0)
        ;
    assert_int_not_equal(SSL_get_error(client.ssl, n), SSL_ERROR_ZERO_RETURN);
    tls_hang_up(&client);
    stop_tls();
    patience_ms = LONG_MS;
}

static void a_reset_amid_records_harms_nobody_else(void **state)
{
    (void)state;
    const struct linger reset = {.l_onoff = 1};
    start_tls(100);
    struct tls_client other = tls_dial();
    for (int i = 0; i < 8; i++) {
        struct tls_client client = tls_dial();
        assert_true(read_some_of_big(&client));
        setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        tls_hang_up(&client);
        ask_uneven(&other, 1 << 16);
    }
    until(&released, 8);
    tls_hang_up(&other);
    stop_tls();
}

/* RFC 8446 4.6.3: the server's own change of keys stands before what it sends next. */
static void keys_are_changed_between_records(void **state)
{
    (void)state;
    start_tls(100);
    struct tls_client client = tls_dial();
    for (int i = 0; i < 5; i++) {
        assert_int_equal(SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        atomic_store(&choppy, i % 2 == 1);
        ask_uneven(&client, 1 << 16);
    }
    atomic_store(&choppy, false);
    tls_hang_up(&client);
    stop_tls();
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
    start_tls(100);
    struct tls_client client = tls_dial_with(TLS1_2_VERSION, NULL);
    tls_put(&client, "echo hello\n");
    tls_expect(&client, "echo hello\n");
    assert_int_equal(SSL_renegotiate(client.ssl), 1);
    assert_int_not_equal(SSL_do_handshake(client.ssl), 1);
    tls_hang_up(&client);
    until(&released, 1);
    stop_tls();
}

static bool resumes(int version)
{
    SSL_SESSION *session = kept;
    kept = NULL;
    struct tls_client client = tls_dial_with(version, session);
    bool resumed = SSL_session_reused(client.ssl) == 1;
    tls_put(&client, "echo hello\n");
    tls_expect(&client, "echo hello\n"); /* TLS 1.3: the ticket comes with it at the latest */
    SSL_shutdown(client.ssl); /* else OpenSSL thinks ill of the session */
    tls_hang_up(&client);
    SSL_SESSION_free(session);
    return resumed;
}

/* By tickets, so that they cost no memory here. A new certificate is proven to everybody. */
static void sessions_are_resumed(void **state)
{
    (void)state;
    start_tls(100);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_SESSION_free(kept);
        kept = NULL;
        assert_false(resumes(version));
        assert_true(resumes(version));
        assert_int_equal(tls_reload(tls), 0);
        assert_false(resumes(version));
    }
    SSL_SESSION_free(kept);
    kept = NULL;
    stop_tls();
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
        cmocka_unit_test_setup(tls_carries_requests, make_certificate),
        cmocka_unit_test_setup(tls_watches_too, make_certificate),
        cmocka_unit_test_setup(broken_handshakes_end, make_certificate),
        cmocka_unit_test_setup(old_tls_is_refused, make_certificate),
        cmocka_unit_test_setup(tls_refuses_with_words, make_certificate),
        cmocka_unit_test_setup(an_encrypted_key_is_refused_and_nobody_is_asked, make_certificate),
        cmocka_unit_test_setup(several_records_leave_with_one_send, make_certificate),
        cmocka_unit_test_setup(records_are_read_ahead, make_certificate),
        cmocka_unit_test_setup(short_sends_lose_nothing, make_certificate),
        cmocka_unit_test_setup(a_tls_reader_that_stops_is_given_up, make_certificate),
        cmocka_unit_test_setup(a_reset_amid_records_harms_nobody_else, make_certificate),
        cmocka_unit_test_setup(keys_are_changed_between_records, make_certificate),
        cmocka_unit_test_setup(renegotiation_is_refused, make_certificate),
        cmocka_unit_test_setup(sessions_are_resumed, make_certificate),
        cmocka_unit_test_setup(certificates_are_replaced_while_connections_live, make_certificate),
    };
    int failed = cmocka_run_group_tests(tests, make_folder, drop_folder);
    SSL_SESSION_free(kept);
    return failed;
}
