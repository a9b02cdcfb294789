/* An HTTP server on a thread of the test: answers the n-th request with the n-th text of a script, and keeps what it
 * was asked. */
#ifndef ARCA_TEST_SCRIPTED_SERVER_H
#define ARCA_TEST_SCRIPTED_SERVER_H

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCRIPT_CONNECTIONS 64
#define SCRIPT_REQUESTS    64 /* whose heads are kept */
#define SCRIPT_REQUEST     65536

/* Answers with a special meaning. */
#define SCRIPT_HANG  "hang"  /* none, and the connection stays */
#define SCRIPT_CLOSE "close" /* none, and the connection is closed */

struct scripted {
    int listener;
    unsigned port;
    char url[64];
    pthread_t thread;
    atomic_bool stop;
    SSL_CTX *tls;              /* NULL: plain */
    const char *const *script; /* the last is repeated */
    size_t script_length;
    atomic_uint requests, connections;
    char heads[SCRIPT_REQUESTS][4096];
    size_t body_lengths[SCRIPT_REQUESTS];
};

struct scripted_connection {
    int fd;
    SSL *tls;
    size_t used;
    char *text;
};

static inline void scripted_close(struct scripted_connection *connection)
{
    SSL_free(connection->tls);
    close(connection->fd);
    free(connection->text);
    connection->tls = NULL;
    connection->fd = -1;
    connection->text = NULL;
}

/* The length of a whole request at the start of the text, or 0. */
static inline size_t scripted_whole(struct scripted_connection *connection, size_t *body)
{
    connection->text[connection->used] = '\0';
    char *end = strstr(connection->text, "\r\n\r\n");
    if (end == NULL)
        return 0;
    char *length = strcasestr(connection->text, "\r\ncontent-length:");
    *body = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
    size_t whole = (size_t)(end + 4 - connection->text) + *body;
    return connection->used >= whole ? whole : 0;
}

static inline bool scripted_send(struct scripted_connection *connection, const char *answer)
{
    size_t length = strlen(answer);
    if (connection->tls != NULL)
        return SSL_write(connection->tls, answer, (int)length) > 0;
    return send(connection->fd, answer, length, MSG_NOSIGNAL) >= 0;
}

static inline void scripted_answer(struct scripted *server, struct scripted_connection *connection)
{
    size_t body, whole;
    while (connection->fd >= 0 && (whole = scripted_whole(connection, &body)) > 0) {
        unsigned number = atomic_fetch_add(&server->requests, 1);
        if (number < SCRIPT_REQUESTS) {
            snprintf(server->heads[number], sizeof(server->heads[number]), "%.*s", (int)(whole - body),
                     connection->text);
            server->body_lengths[number] = body;
        }
        memmove(connection->text, connection->text + whole, connection->used - whole);
        connection->used -= whole;
        const char *answer = server->script[number < server->script_length ? number : server->script_length - 1];
        if (strcmp(answer, SCRIPT_HANG) == 0)
            continue;
        if (strcmp(answer, SCRIPT_CLOSE) == 0 || !scripted_send(connection, answer) ||
            strstr(answer, "Connection: close") != NULL)
            scripted_close(connection);
    }
}

static inline void scripted_read(struct scripted *server, struct scripted_connection *connection)
{
    do {
        char *at = connection->text + connection->used;
        size_t room = SCRIPT_REQUEST - connection->used;
        ssize_t n =
            connection->tls != NULL ? SSL_read(connection->tls, at, (int)room) : recv(connection->fd, at, room, 0);
        if (n <= 0) {
            scripted_close(connection);
            return;
        }
        connection->used += (size_t)n;
        scripted_answer(server, connection);
    } while (connection->tls != NULL && SSL_pending(connection->tls) > 0);
}

static inline void scripted_handshake(struct scripted *server, struct scripted_connection *connection)
{
    if (server->tls == NULL)
        return;
    connection->tls = SSL_new(server->tls);
    SSL_set_fd(connection->tls, connection->fd);
    if (SSL_accept(connection->tls) != 1)
        scripted_close(connection);
}

static inline void *scripted_run(void *arg)
{
    struct scripted *server = arg;
    struct scripted_connection connections[SCRIPT_CONNECTIONS];
    size_t count = 0;
    while (!atomic_load(&server->stop)) {
        struct pollfd polls[SCRIPT_CONNECTIONS + 1] = {{server->listener, POLLIN, 0}};
        for (size_t i = 0; i < count; i++)
            polls[i + 1] = (struct pollfd){connections[i].fd, POLLIN, 0};
        if (poll(polls, count + 1, 20) <= 0)
            continue;
        for (size_t i = 0; i < count; i++) {
            if (polls[i + 1].revents != 0 && connections[i].fd >= 0)
                scripted_read(server, &connections[i]);
        }
        if (polls[0].revents != 0 && count < SCRIPT_CONNECTIONS) {
            struct scripted_connection *connection = &connections[count++];
            *connection = (struct scripted_connection){.fd = accept(server->listener, NULL, NULL),
                                                       .text = malloc(SCRIPT_REQUEST + 1)};
            atomic_fetch_add(&server->connections, 1);
            scripted_handshake(server, connection);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (connections[i].fd >= 0)
            scripted_close(&connections[i]);
    }
    return NULL;
}

/* `tls` is taken over; NULL: plain. */
static inline void scripted_start_tls(struct scripted *server, const char *const *script, size_t script_length,
                                      SSL_CTX *tls)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    memset(server, 0, sizeof(*server));
    server->script = script;
    server->script_length = script_length;
    server->tls = tls;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write() */
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (server->listener < 0 || bind(server->listener, (struct sockaddr *)&address, length) != 0 ||
        listen(server->listener, 64) != 0 || getsockname(server->listener, (struct sockaddr *)&address, &length) != 0 ||
        pthread_create(&server->thread, NULL, scripted_run, server) != 0)
        abort();
    server->port = ntohs(address.sin_port);
    snprintf(server->url, sizeof(server->url), "%s:%u", tls != NULL ? "https://localhost" : "http://127.0.0.1",
             server->port);
}

static inline void scripted_start(struct scripted *server, const char *const *script, size_t script_length)
{
    scripted_start_tls(server, script, script_length, NULL);
}

static inline void scripted_stop(struct scripted *server)
{
    atomic_store(&server->stop, true);
    pthread_join(server->thread, NULL);
    close(server->listener);
    SSL_CTX_free(server->tls);
}

#endif
