/* A source that digests what passes: MD5 always (it is the ETag), others as asked. MD5 of bodies in flight on the same
 * loop is computed side by side, a body a SIMD lane. */
#ifndef ARCA_HTTP_BODY_DIGEST_H
#define ARCA_HTTP_BODY_DIGEST_H

#include "base/arena.h"
#include "base/source.h"
#include "crypto/digest.h"

struct body_digest;

/* What the end of the body must match; absent ones are not checked. */
struct body_expectation {
    bool md5_given, sha256_given;
    uint8_t md5[16];    /* Content-MD5: ERR_BAD_DIGEST */
    uint8_t sha256[32]; /* x-amz-content-sha256: ERR_BAD_SHA256 */
    /* The checksum to compute besides (DIGEST_NONE: none) and where its expected value comes from: raw bytes, or a
     * function that is asked at the end (a trailer). ERR_BAD_CHECKSUM. */
    enum digest_kind checksum;
    struct span checksum_value; /* raw; ptr NULL: not given */
    int (*checksum_late)(void *arg, uint8_t *out, size_t *out_len); /* NULL: none. ERR_SYNTAX */
    void *late_arg;
};

/* ERR_NOMEM. In the arena; digest contexts are released by body_digest_free, which the owner calls. */
int body_digest_create(struct arena *arena, struct source *inner, const struct body_expectation *expectation,
                       struct body_digest **out);
void body_digest_free(struct body_digest *body); /* NULL is fine */
struct source *body_digest_source(struct body_digest *body);
/* After the end was seen: */
const uint8_t *body_digest_md5(const struct body_digest *body);            /* 16 bytes */
struct span body_digest_checksum(const struct body_digest *body);          /* raw; empty without one */

#endif
