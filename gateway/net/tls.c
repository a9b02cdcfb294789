#include "net/tls.h"
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "net/conn_private.h"

struct tls {
    pthread_mutex_t mutex;
    SSL_CTX *context; /* mutex; sessions hold references of their own */
    char *certificate_file, *key_file;
};

/* RFC 7301: the one protocol that is spoken here. A client that offers others only is answered without ALPN. */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *in,
                           unsigned int length, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *selected;
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&selected, out_length, ours, sizeof(ours) - 1, in, length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = selected;
    return SSL_TLSEXT_ERR_OK;
}

/* OpenSSL's own would ask at the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *arg)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static int readable(const char *file)
{
    if (access(file, R_OK) == 0)
        return 0;
    int rc = errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID;
    log_error("tls", "%s: %s", file, strerror(errno));
    return rc;
}

static int refuse(SSL_CTX *context, const char *file, const char *what)
{
    char reason[256];
    ERR_error_string_n(ERR_peek_error(), reason, sizeof(reason));
    log_error("tls", "%s: %s: %s", file, what, reason);
    SSL_CTX_free(context);
    return ERR_INVALID;
}

static int load(const struct tls *tls, SSL_CTX **out)
{
    int rc = readable(tls->certificate_file);
    if (rc == 0)
        rc = readable(tls->key_file);
    if (rc != 0)
        return rc;
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL)
        return ERR_NOMEM;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);                          /* a record's head and body in one read() */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets do it without memory */
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"arca", 4);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    SSL_CTX_set_alpn_select_cb(context, select_protocol, NULL);
    if (SSL_CTX_use_certificate_chain_file(context, tls->certificate_file) != 1)
        return refuse(context, tls->certificate_file, "not a PEM certificate chain");
    if (SSL_CTX_use_PrivateKey_file(context, tls->key_file, SSL_FILETYPE_PEM) != 1)
        return refuse(context, tls->key_file, "not a PEM key, not the certificate's, or encrypted");
    if (SSL_CTX_check_private_key(context) != 1)
        return refuse(context, tls->key_file, "does not belong to the certificate");
    *out = context;
    return 0;
}

int tls_create(const char *certificate_file, const char *key_file, struct tls **out)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return ERR_NOMEM;
    pthread_mutex_init(&tls->mutex, NULL);
    int rc = ERR_NOMEM;
    tls->certificate_file = strdup(certificate_file);
    tls->key_file = strdup(key_file);
    if (tls->certificate_file == NULL || tls->key_file == NULL)
        goto err0;
    rc = load(tls, &tls->context);
    if (rc != 0)
        goto err0;
    *out = tls;
    return 0;
err0:
    tls_free(tls);
    return rc;
}

int tls_reload(struct tls *tls)
{
    SSL_CTX *fresh, *old;
    int rc = load(tls, &fresh);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&tls->mutex);
    old = tls->context;
    tls->context = fresh;
    pthread_mutex_unlock(&tls->mutex);
    SSL_CTX_free(old);
    return 0;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    pthread_mutex_destroy(&tls->mutex);
    free(tls->certificate_file);
    free(tls->key_file);
    free(tls);
}

SSL *tls_session(struct tls *tls, struct conn *conn)
{
    BIO *bio = tls_socket(conn);
    if (bio == NULL)
        return NULL;
    pthread_mutex_lock(&tls->mutex);
    SSL *ssl = SSL_new(tls->context);
    pthread_mutex_unlock(&tls->mutex);
    if (ssl != NULL)
        SSL_set_bio(ssl, bio, bio);
    else
        BIO_free(bio);
    return ssl;
}
