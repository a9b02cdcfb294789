/* An HTTP server on a thread of the test: answers the n-th request with the n-th text of a script, and keeps what it was
 * asked. */
#ifndef ARCA_TEST_SCRIPTED_SERVER_H
#define ARCA_TEST_SCRIPTED_SERVER_H

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCRIPT_CONNECTIONS 64
#define SCRIPT_REQUESTS    64   /* whose heads are kept */
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
    const char *const *script; /* the last is repeated */
    size_t script_length;
    atomic_uint requests, connections;
    char heads[SCRIPT_REQUESTS][4096];
    size_t body_lengths[SCRIPT_REQUESTS];
};

struct scripted_connection {
    int fd;
    size_t used;
    char *text;
};

static inline void scripted_close(struct scripted_connection *connection)
{
    close(connection->fd);
    free(connection->text);
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
        if (strcmp(answer, SCRIPT_CLOSE) == 0 ||
            send(connection->fd, answer, strlen(answer), MSG_NOSIGNAL) < 0 || strstr(answer, "Connection: close") != NULL)
            scripted_close(connection);
    }
}

static inline void scripted_read(struct scripted *server, struct scripted_connection *connection)
{
    ssize_t n = recv(connection->fd, connection->text + connection->used, SCRIPT_REQUEST - connection->used, 0);
    if (n <= 0) {
        scripted_close(connection);
        return;
    }
    connection->used += (size_t)n;
    scripted_answer(server, connection);
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
            int fd = accept(server->listener, NULL, NULL);
            connections[count++] = (struct scripted_connection){fd, 0, malloc(SCRIPT_REQUEST + 1)};
            atomic_fetch_add(&server->connections, 1);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (connections[i].fd >= 0)
            scripted_close(&connections[i]);
    }
    return NULL;
}

static inline void scripted_start(struct scripted *server, const char *const *script, size_t script_length)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    memset(server, 0, sizeof(*server));
    server->script = script;
    server->script_length = script_length;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (server->listener < 0 || bind(server->listener, (struct sockaddr *)&address, length) != 0 ||
        listen(server->listener, 64) != 0 || getsockname(server->listener, (struct sockaddr *)&address, &length) != 0 ||
        pthread_create(&server->thread, NULL, scripted_run, server) != 0)
        abort();
    server->port = ntohs(address.sin_port);
    snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u", server->port);
}

static inline void scripted_stop(struct scripted *server)
{
    atomic_store(&server->stop, true);
    pthread_join(server->thread, NULL);
    close(server->listener);
}

#endif
