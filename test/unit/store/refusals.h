/* A disk that answers with an error of its own what is asked of it. With disks.h. */
#ifndef ARCA_TEST_STORE_REFUSALS_H
#define ARCA_TEST_STORE_REFUSALS_H

#include <stdatomic.h>
#include "disks.h"

static struct {
    struct backend *backend;
    const struct backend_ops *ops; /* its own */
    struct backend_ops with;
    struct blob_name name; /* what it does not give, until it is put anew; */
    bool all;              /* or nothing at all */
    atomic_int gives;      /* before it refuses all */
    bool ill;              /* its probe fails, too */
    atomic_int count;
} refusals;

static int refusing_get(struct backend *backend, const struct blob_name *name, const struct locator *locator,
                        uint64_t offset, uint64_t length, uint8_t *dst)
{
    if (refusals.all ? refusals.gives > 0 && refusals.gives-- > 0 : memcmp(name, &refusals.name, sizeof(*name)) != 0)
        return refusals.ops->get(backend, name, locator, offset, length, dst);
    refusals.count++;
    return ERR_UNAVAILABLE;
}

static int refusing_put(struct backend *backend, const struct blob_name *name, struct block *data, struct locator *out)
{
    int rc = refusals.ops->put(backend, name, data, out);
    if (rc == 0 && memcmp(name, &refusals.name, sizeof(*name)) == 0)
        memset(&refusals.name, 0xff, sizeof(refusals.name));
    return rc;
}

static int refusing_probe(struct backend *backend, struct backend_health *out)
{
    int rc = refusals.ops->probe(backend, out);
    if (refusals.ill)
        out->state = BACKEND_DOWN;
    return rc;
}

/* The extent that the case is about, or all. */
static void begin_refusing(int i, bool all, bool ill)
{
    memset(&refusals, 0, sizeof(refusals));
    refusals.backend = disk(i);
    refusals.ops = refusals.backend->ops;
    refusals.with = *refusals.ops;
    refusals.with.get = refusing_get;
    refusals.with.put = refusing_put;
    refusals.with.probe = refusing_probe;
    refusals.name = c.name;
    refusals.all = all;
    refusals.ill = ill;
    refusals.backend->ops = &refusals.with;
}

static void end_refusing(void)
{
    refusals.backend->ops = refusals.ops;
}

#endif
