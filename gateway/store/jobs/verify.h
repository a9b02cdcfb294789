/* Whether what a backend holds is what was sealed. Used before a replica is copied, and by who looks for damage. */
#ifndef ARCA_STORE_JOBS_VERIFY_H
#define ARCA_STORE_JOBS_VERIFY_H

#include "store/jobs/jobs.h"

/* The whole stored extent: header, and with options->verify all tags. ERR_CORRUPT: these bytes are not the extent.
 * Other errors (ERR_WRONG_KEY, ERR_NOMEM, ERR_CANCELED, the index's) say nothing about them. */
int verify_bytes(const struct jobs_options *options, const Arca__Blob *blob, const struct blob_name *name,
                 struct span stored) SUSPENDS;

/* Reads one replica from its backend and looks at it: whole, or (`headers_only`) its header and that its last byte is
 * there, which needs no key. *bytes, if it is not NULL, gets how many were given. ERR_CORRUPT, ERR_NOT_FOUND: it is
 * damaged or missing. Everything else says nothing about it: ERR_DOWN, ERR_UNAVAILABLE (there is no such backend),
 * ERR_IO, ERR_TIMEOUT, ... */
int verify_replica(const struct jobs_options *options, const Arca__Blob *blob, const struct blob_name *name,
                   const Arca__Replica *replica, bool headers_only, uint64_t *bytes) SUSPENDS;

#endif
