#include "verify.h"

#include <string.h>
#include "base/err.h"
#include "crypto/envelope.h"
#include "store/private.h"
#include "store/replicas.h"

int verify_bytes(const struct jobs_options *options, const Arca__Blob *blob, const struct blob_name *name,
                 struct span stored) SUSPENDS
{
    if (stored.len != replica_size(blob, replica_extent(name)))
        return ERR_CORRUPT;
    int rc = replica_check(blob, name, stored);
    if (rc == 0 && options->verify != NULL)
        rc = options->verify(options->verify_arg, blob, replica_extent(name), stored);
    return rc;
}

static int read_ends(struct backend *backend, const Arca__Blob *blob, const struct blob_name *name,
                     const struct locator *locator, uint64_t size, uint64_t *bytes) SUSPENDS
{
    uint8_t header[ENVELOPE_HEADER_SIZE], last;
    int rc = backend->ops->get(backend, name, locator, 0, sizeof(header), header);
    if (rc == 0)
        rc = backend->ops->get(backend, name, locator, size - 1, 1, &last);
    if (rc == 0)
        *bytes = sizeof(header) + 1;
    return rc != 0 ? rc : replica_check(blob, name, span_of(header, sizeof(header)));
}

static int read_whole(const struct jobs_options *options, struct backend *backend, const Arca__Blob *blob,
                      const struct blob_name *name, const struct locator *locator, uint64_t size,
                      uint64_t *bytes) SUSPENDS
{
    struct block *block;
    int rc = block_create(options->budget, size, DEADLINE_NONE, &block);
    if (rc != 0)
        return rc;
    block->length = size;
    rc = backend->ops->get(backend, name, locator, 0, size, block->data);
    if (rc == 0) {
        *bytes = size;
        rc = verify_bytes(options, blob, name, span_of(block->data, size));
    }
    block_unref(block);
    return rc;
}

int verify_replica(const struct jobs_options *options, const Arca__Blob *blob, const struct blob_name *name,
                   const Arca__Replica *replica, bool headers_only, uint64_t *bytes) SUSPENDS
{
    uint64_t size = replica_size(blob, replica_extent(name)), unused;
    struct locator locator = {.length = (uint8_t)replica->locator.len};
    struct backend *backend;
    bytes = bytes != NULL ? bytes : &unused;
    *bytes = 0;
    if (size <= ENVELOPE_HEADER_SIZE)
        return ERR_FORMAT; /* it is the row that is wrong */
    if (replica->locator.len > LOCATOR_MAX)
        return ERR_CORRUPT;
    if (store_find_backend(options->store, replica->backend, &backend) != 0)
        return ERR_UNAVAILABLE;
    if (locator.length > 0)
        memcpy(locator.bytes, replica->locator.data, locator.length);
    return headers_only ? read_ends(backend, blob, name, &locator, size, bytes)
                        : read_whole(options, backend, blob, name, &locator, size, bytes);
}
