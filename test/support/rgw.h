/* Ceph's RADOS gateway for a test (see rgw, which starts it): a cluster of its own in a folder, and one bucket. */
#ifndef ARCA_TEST_RGW_H
#define ARCA_TEST_RGW_H

#include "s3_bucket.h"
#include "server.h"

#define RGW_ACCESS_KEY "ARCATESTACCESSKEY000"
#define RGW_SECRET_KEY "secretofceph00000000"

struct rgw {
    struct server server;
    char *folder;
    char *key_file;
    char *endpoint;
    struct backend_settings settings;
};

static inline bool rgw_installed(void)
{
    return system("for p in ceph-mon ceph-osd radosgw; do command -v $p >/dev/null || exit 1; done") == 0;
}

/* False when it does not start. */
static inline bool rgw_start(struct rgw *rgw)
{
    char *program = server_source("test/support/rgw"), *cluster;
    *rgw = (struct rgw){.folder = folder_make()};
    if (asprintf(&cluster, "%s/cluster", rgw->folder) < 0 ||
        asprintf(&rgw->key_file, "%s/credentials", rgw->folder) < 0)
        abort();
    char *argv[] = {program, cluster, RGW_ACCESS_KEY, RGW_SECRET_KEY, NULL};
    bool started = server_start(argv, NULL, &rgw->server);
    free(cluster);
    free(program);
    if (!started)
        return false;
    if (asprintf(&rgw->endpoint, "http://127.0.0.1:%u", rgw->server.port) < 0)
        abort();
    file_write_private(rgw->key_file, "access_key_id: " RGW_ACCESS_KEY "\nsecret_access_key: " RGW_SECRET_KEY "\n");
    rgw->settings = (struct backend_settings){
        .name = "contract",
        .driver = "s3",
        .endpoint = rgw->endpoint,
        .bucket = "blobs",
        .credentials_from = BACKEND_CREDENTIALS_FILE,
        .credentials = rgw->key_file,
    };
    return s3_bucket_make(&rgw->settings);
}

static inline void rgw_stop(struct rgw *rgw)
{
    server_stop(&rgw->server);
    free(rgw->endpoint);
    free(rgw->key_file);
    folder_remove(rgw->folder);
}

#endif
