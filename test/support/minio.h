/* MinIO for a test: on a free port, over a folder of its own, with one bucket. */
#ifndef ARCA_TEST_MINIO_H
#define ARCA_TEST_MINIO_H

#include <arpa/inet.h>
#include <sys/socket.h>
#include "s3_bucket.h"
#include "server.h"

#define MINIO_KEY "access_key_id: minioadmin\nsecret_access_key: minioadmin\n"

struct minio {
    struct server server;
    char *folder;
    char *key_file;
    char *endpoint;
    struct backend_settings settings;
};

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
static inline bool minio_start(struct minio *minio)
{
    char address[32], *data, *program = minio_program();
    *minio = (struct minio){.folder = folder_make()};
    if (program == NULL || asprintf(&data, "%s/data", minio->folder) < 0 ||
        asprintf(&minio->key_file, "%s/credentials", minio->folder) < 0)
        abort();
    snprintf(address, sizeof(address), "127.0.0.1:%u", minio_free_port());
    /* It tells its address on standard error. */
    char *argv[] = {"sh", "-c", "exec \"$0\" server --address \"$1\" \"$2\" 2>&1", program, address, data, NULL};
    char browser[] = "MINIO_BROWSER=off";
    bool started = server_start(argv, browser, &minio->server);
    free(data);
    free(program);
    if (!started)
        return false;
    if (asprintf(&minio->endpoint, "http://%s", address) < 0)
        abort();
    file_write_private(minio->key_file, MINIO_KEY);
    minio->settings = (struct backend_settings){
        .name = "contract",
        .driver = "s3",
        .endpoint = minio->endpoint,
        .bucket = "blobs",
        .credentials_from = BACKEND_CREDENTIALS_FILE,
        .credentials = minio->key_file,
    };
    return s3_bucket_make(&minio->settings);
}

static inline void minio_stop(struct minio *minio)
{
    server_stop(&minio->server);
    free(minio->endpoint);
    free(minio->key_file);
    folder_remove(minio->folder);
}

#endif
