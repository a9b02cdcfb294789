/* Ceph's RADOS gateway for a test (see rgw, which starts it): a cluster of its own in a folder, and one bucket. */
#ifndef ARCA_TEST_RGW_H
#define ARCA_TEST_RGW_H

#include "s3_store.h"

static inline bool rgw_installed(void)
{
    return system("for p in ceph-mon ceph-osd radosgw; do command -v $p >/dev/null || exit 1; done") == 0;
}

/* False when it does not start. */
static inline bool rgw_start(struct s3_store *rgw)
{
    char *program = server_source("test/support/rgw"), *cluster;
    static char access_key[] = "ARCATESTACCESSKEY000", secret_key[] = "secretofceph00000000";
    *rgw = (struct s3_store){.folder = folder_make()};
    if (asprintf(&cluster, "%s/cluster", rgw->folder) < 0)
        abort();
    char *argv[] = {program, cluster, access_key, secret_key, NULL};
    bool started = server_start(argv, NULL, &rgw->server);
    free(cluster);
    free(program);
    return started && s3_store_settle(rgw, access_key, secret_key);
}

#endif
