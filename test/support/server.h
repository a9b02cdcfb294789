/* A server that a test starts: a child that dies with the test, on a port of its own choice that it prints. */
#ifndef ARCA_TEST_SERVER_H
#define ARCA_TEST_SERVER_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct server {
    pid_t pid; /* 0: not running */
    int output;
    unsigned port;
};

static inline bool server_port_in(const char *line, unsigned *port)
{
    const char *at = strstr(line, "http://127.0.0.1:");
    return at != NULL && sscanf(at + 17, "%u", port) == 1;
}

static inline int64_t server_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads what it prints until that has "http://127.0.0.1:PORT" and a line's end behind it. */
static inline bool server_await(struct server *server, char *text, size_t size)
{
    size_t used = 0;
    int64_t deadline = server_now_ms() + 300000; /* some start a cluster; one that dies is seen at once */
    while (used + 1 < size && server_now_ms() < deadline) {
        struct pollfd ready = {server->output, POLLIN, 0};
        if (poll(&ready, 1, 1000) <= 0)
            continue;
        ssize_t n = read(server->output, text + used, size - 1 - used);
        if (n <= 0)
            return false;
        used += (size_t)n;
        text[used] = '\0';
        const char *at = strstr(text, "http://127.0.0.1:");
        if (at != NULL && strchr(at, '\n') != NULL)
            return server_port_in(at, &server->port);
    }
    return false;
}

/* `argv` ends with NULL, argv[0] is looked for in PATH; `environment` (may be NULL) is one "NAME=VALUE" more. Waits until it
 * listens. False when it does not. */
static inline bool server_start(char *const *argv, char *environment, struct server *server)
{
    int pipes[2];
    char text[8192] = "";
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return false;
    pid_t parent = getpid();
    server->pid = fork();
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || dup2(pipes[1], STDOUT_FILENO) < 0 || (environment != NULL && putenv(environment) != 0))
            _exit(126);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(pipes[1]);
    server->output = pipes[0];
    if (server->pid > 0 && server_await(server, text, sizeof(text)))
        return true;
    fprintf(stderr, "%s does not start: %s\n", argv[0], text);
    return false;
}

static inline void server_stop(struct server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    close(server->output);
    server->pid = 0;
}

/* A path below the sources; the caller frees it. */
static inline char *server_source(const char *path)
{
    const char *source = getenv("ARCA_SOURCE");
    char *whole;
    if (asprintf(&whole, "%s/%s", source != NULL ? source : ".", path) < 0)
        abort();
    return whole;
}

#endif
