/* MinIO for a test: on a free port, over a folder of its own, with one bucket. */
#ifndef ARCA_TEST_MINIO_H
#define ARCA_TEST_MINIO_H

#include <arpa/inet.h>
#include <sys/socket.h>
#include "s3_store.h"

/* The program; the caller frees it. NULL: not installed. */
static inline char *minio_program(void)
{
    char *program = server_source("build/tools/bin/minio");
    if (access(program, X_OK) == 0)
        return program;
    free(program);
    return system("command -v minio >/dev/null 2>&1") == 0 ? strdup("minio") : NULL;
}

static inline bool minio_installed(void)
{
    char *program = minio_program();
    free(program);
    return program != NULL;
}

static inline unsigned minio_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        abort();
    close(fd);
    return ntohs(address.sin_port);
}

/* False when it does not start. */
static inline bool minio_start(struct s3_store *minio)
{
    char address[32], *data, *program = minio_program();
    *minio = (struct s3_store){.folder = folder_make()};
    if (program == NULL || asprintf(&data, "%s/data", minio->folder) < 0)
        abort();
    snprintf(address, sizeof(address), "127.0.0.1:%u", minio_free_port());
    /* It tells its address on standard error. */
    char *argv[] = {"sh", "-c", "exec \"$0\" server --address \"$1\" \"$2\" 2>&1", program, address, data, NULL};
    char browser[] = "MINIO_BROWSER=off";
    bool started = server_start(argv, browser, &minio->server);
    free(data);
    free(program);
    return started && s3_store_settle(minio, "minioadmin", "minioadmin");
}

#endif
