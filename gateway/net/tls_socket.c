/* What stands between OpenSSL and the socket: several records leave and come with one system call. */
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include "base/err.h"
#include "base/iov.h"
#include "net/conn_private.h"

#define RECORD_SIZE   16384               /* a record's plaintext at most */
#define RECORD_ROOM   (RECORD_SIZE + 256) /* and its header, nonce and tag, unpadded (RFC 5246 6.2.3, RFC 8446 5.2) */
#define AHEAD         (3 * RECORD_ROOM)   /* and one that OpenSSL asks for */
#define BATCH_RECORDS 4                   /* what TCP hands to a device at once; more were measured to be no better */

/* Sealed bytes that are not sent yet. */
struct tls_batch {
    size_t begin, end;
    uint8_t bytes[BATCH_RECORDS * RECORD_ROOM];
};

/* Bytes of the socket that OpenSSL has not asked for yet. */
struct tls_ahead {
    size_t begin, end;
    uint8_t bytes[AHEAD];
};

/* What a loop keeps, touched on its thread only. */
static struct {
    void *batch, *ahead;
} spares[LOOPS_MAX];
static BIO_METHOD *method;

/* --- what OpenSSL calls --- */

static int bio_write(BIO *bio, const char *bytes, int length)
{
    struct conn *conn = BIO_get_data(bio);
    struct tls_batch *batch = conn->batch;
    BIO_clear_retry_flags(bio);
    if (batch == NULL) { /* handshakes and alerts */
        ssize_t n = send(conn->fd, bytes, (size_t)length, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            BIO_set_retry_write(bio);
        return (int)n;
    }
    if (sizeof(batch->bytes) - batch->end < (size_t)length) {
        BIO_set_retry_write(bio);
        return -1;
    }
    memcpy(batch->bytes + batch->end, bytes, (size_t)length);
    batch->end += (size_t)length;
    return length;
}

static void *take_spare(void **spare, size_t size)
{
    void *memory = *spare != NULL ? *spare : malloc(size);
    *spare = NULL;
    return memory;
}

static void give_spare(void **spare, void *memory)
{
    if (*spare == NULL)
        *spare = memory;
    else
        free(memory);
}

void tls_ahead_free(struct conn *conn)
{
    if (conn->ahead != NULL)
        give_spare(&spares[loop_number(conn->port->loop)].ahead, conn->ahead);
    conn->ahead = NULL;
}

/* What was read ahead. */
static int read_kept(struct conn *conn, char *bytes, size_t length)
{
    struct tls_ahead *ahead = conn->ahead;
    size_t kept = ahead->end - ahead->begin;
    size_t n = kept < length ? kept : length;
    memcpy(bytes, ahead->bytes + ahead->begin, n);
    ahead->begin += n;
    if (ahead->begin == ahead->end)
        tls_ahead_free(conn);
    return (int)n;
}

static int bio_read(BIO *bio, char *bytes, int length)
{
    struct conn *conn = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (conn->ahead != NULL)
        return read_kept(conn, bytes, (size_t)length);
    struct tls_ahead *ahead = NULL;
    if (conn->bulk)
        ahead = conn->ahead = take_spare(&spares[loop_number(conn->port->loop)].ahead, sizeof(*ahead));
    struct iovec iov[] = {{bytes, (size_t)length}, {ahead != NULL ? ahead->bytes : NULL, sizeof(ahead->bytes)}};
    ssize_t n = readv(conn->fd, iov, ahead != NULL ? 2 : 1);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    if (n == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    if (n > length) {
        ahead->begin = 0;
        ahead->end = (size_t)(n - length);
        return length;
    }
    tls_ahead_free(conn);
    return (int)n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *arg)
{
    (void)number;
    (void)arg;
    if (command == BIO_CTRL_EOF)
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
    if (method == NULL)
        return;
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_ctrl(method, bio_ctrl);
    BIO_meth_set_create(method, bio_create);
}

BIO *tls_socket(struct conn *conn)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    BIO *bio = method != NULL ? BIO_new(method) : NULL;
    if (bio != NULL)
        BIO_set_data(bio, conn);
    return bio;
}

int tls_wanted(struct conn *conn, int rc)
{
    switch (SSL_get_error(conn->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return UV_READABLE;
    case SSL_ERROR_WANT_WRITE:
        return UV_WRITABLE;
    case SSL_ERROR_ZERO_RETURN:
        conn->ended = true;
        return 0;
    default:
        conn->tls_broken = true;
        return 0;
    }
}

/* --- writing --- */

int tls_write_begin(struct conn *conn)
{
    struct tls_batch *batch = take_spare(&spares[loop_number(conn->port->loop)].batch, sizeof(*batch));
    if (batch == NULL)
        return ERR_NOMEM;
    batch->begin = batch->end = 0;
    conn->batch = batch;
    return 0;
}

void tls_write_end(struct conn *conn)
{
    give_spare(&spares[loop_number(conn->port->loop)].batch, conn->batch);
    conn->batch = NULL;
}

bool tls_write_pends(const struct conn *conn)
{
    return conn->batch != NULL && conn->batch->begin < conn->batch->end;
}

/* Small vectors leave in one record. The copy is made anew for a retry: OpenSSL wants the same bytes then. */
static size_t seal_record(struct conn *conn, const struct iovec *iov, int count, int *event)
{
    static __thread uint8_t record[RECORD_SIZE];
    const void *from = iov->iov_base;
    size_t length = iov->iov_len, taken = 0;
    if (length < RECORD_SIZE && count > 1) {
        length = 0;
        for (int i = 0; i < count && length < RECORD_SIZE; i++) {
            size_t part = iov[i].iov_len < RECORD_SIZE - length ? iov[i].iov_len : RECORD_SIZE - length;
            if (part > 0)
                memcpy(record + length, iov[i].iov_base, part);
            length += part;
        }
        from = record;
    }
    ERR_clear_error();
    int rc = SSL_write_ex(conn->ssl, from, length, &taken);
    *event = rc != 1 ? tls_wanted(conn, rc) : 0;
    return rc == 1 ? taken : 0;
}

static bool has_room(const struct tls_batch *batch)
{
    return sizeof(batch->bytes) - batch->end >= RECORD_ROOM;
}

size_t tls_write_some(struct conn *conn, struct iovec **iov, int *count, int *event)
{
    struct tls_batch *batch = conn->batch;
    *event = 0;
    if (batch->begin == batch->end) {
        batch->begin = batch->end = 0;
        for (size_t taken = 1; *count > 0 && taken > 0 && has_room(batch); iov_skip(iov, count, taken))
            taken = seal_record(conn, *iov, *count, event);
        if (batch->end == 0)
            return 0;
    }
    ssize_t n;
    do
        n = send(conn->fd, batch->bytes + batch->begin, batch->end - batch->begin, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    batch->begin += n > 0 ? (size_t)n : 0;
    *event = n < 0 && errno == EAGAIN ? UV_WRITABLE : 0;
    return n > 0 ? (size_t)n : 0;
}
