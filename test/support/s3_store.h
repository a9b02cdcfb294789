/* A store that speaks S3, for a test: its server, a folder of its own with credentials, and one bucket. */
#ifndef ARCA_TEST_S3_STORE_H
#define ARCA_TEST_S3_STORE_H

#include "backends/s3/s3_private.h"
#include "blobs.h"
#include "server.h"

struct s3_store {
    struct server server;
    char *folder;
    char *key_file;
    char *endpoint;
    const char *access_key;
    struct backend_settings settings;
};

static inline void s3_bucket_run(void *arg)
{
    struct blob_op *op = arg;
    struct call call;
    op->rc = call_begin((struct s3 *)(void *)op->backend, "bucket", "PUT", "", &call);
    if (op->rc == 0) {
        op->rc = call_perform(&call);
        call_end(&call);
    }
}

/* Makes the bucket that the settings name, with the driver's own requests. One that failed may have made it: the next
 * finds it there. */
static inline bool s3_bucket_make(const struct backend_settings *settings)
{
    struct blob_op op = {0};
    if (s3_open(settings, &op.backend) != 0)
        return false;
    on_fiber(s3_bucket_run, &op);
    op.backend->ops->close(op.backend);
    return op.rc == 0 || op.rc == ERR_CONFLICT;
}

/* A file with these credentials, in the folder; the caller frees its path. */
static inline char *s3_store_key_file(const struct s3_store *store, const char *name, const char *secret_key)
{
    char *path, *text;
    if (asprintf(&path, "%s/%s", store->folder, name) < 0 ||
        asprintf(&text, "access_key_id: %s\nsecret_access_key: %s\n", store->access_key, secret_key) < 0)
        abort();
    file_write_private(path, text);
    free(text);
    return path;
}

/* When its server has started: settings and bucket. MinIO says that it is ready before it is: the bucket is asked for
 * again and again. False when it cannot be made within a minute. */
static inline bool s3_store_settle(struct s3_store *store, const char *access_key, const char *secret_key)
{
    store->access_key = access_key;
    store->key_file = s3_store_key_file(store, "credentials", secret_key);
    if (asprintf(&store->endpoint, "http://127.0.0.1:%u", store->server.port) < 0)
        abort();
    store->settings = (struct backend_settings){
        .name = "contract",
        .driver = "s3",
        .endpoint = store->endpoint,
        .bucket = "blobs",
        .credentials_from = BACKEND_CREDENTIALS_FILE,
        .credentials = store->key_file,
    };
    int64_t deadline = server_now_ms() + 60000;
    bool made;
    while (!(made = s3_bucket_make(&store->settings)) && server_now_ms() < deadline)
        usleep(100000);
    return made;
}

static inline void s3_store_stop(struct s3_store *store)
{
    server_stop(&store->server);
    free(store->endpoint);
    free(store->key_file);
    folder_remove(store->folder);
}

#endif
