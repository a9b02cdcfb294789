/* Who is asking: verifies the request's signature. SigV4 in the Authorization header and in the query (presigned);
 * docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html. Both forms of SigV2 too, as presigned
 * URLs of boto3 and aws-cli for us-east-1 still have it; sigv2.h. */
#ifndef ARCA_AUTH_AUTH_H
#define ARCA_AUTH_AUTH_H

#include <stdint.h>
#include "auth/credentials.h"
#include "crypto/sign.h"
#include "http/aws_chunked.h"
#include "http/http.h"

struct auth;

struct auth_options {
    const char *credentials_file;
    const char *region; /* the one that scopes must name */
};

/* ERR_* of credentials_load; `why` says what. `options` is copied. */
int auth_create(const struct auth_options *options, char *why, size_t why_size, struct auth **out);
/* Loads the credentials again. On failure the old ones stay. Any thread. */
int auth_reload(struct auth *auth, char *why, size_t why_size);
void auth_free(struct auth *auth);

enum auth_payload {
    AUTH_PAYLOAD_SHA256,                   /* a hex digest that the body must match */
    AUTH_PAYLOAD_UNSIGNED,                 /* UNSIGNED-PAYLOAD, and all presigned and SigV2 requests without a digest */
    AUTH_PAYLOAD_CHUNKED_SIGNED,           /* STREAMING-AWS4-HMAC-SHA256-PAYLOAD */
    AUTH_PAYLOAD_CHUNKED_SIGNED_TRAILER,   /* ...-TRAILER */
    AUTH_PAYLOAD_CHUNKED_UNSIGNED_TRAILER, /* STREAMING-UNSIGNED-PAYLOAD-TRAILER */
};

struct auth_identity {
    const struct credential *who; /* NULL: anonymous (no signature at all) */
    struct credentials *set;      /* the reference that keeps `who`; released by auth_release */
    bool presigned;
    enum auth_payload payload;
    uint8_t sha256[32];      /* AUTH_PAYLOAD_SHA256 */
    struct sign_chain chain; /* the chunked signed forms: seed signature, key, scope */
    const char *region;      /* for ERR_WRONG_REGION: the region to use */
};

#define AUTH_SKEW_SECONDS 900 /* docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html: RequestTimeTooSkewed */

/* Verifies the head against `now_wall_ms`. `host_bucket` is the bucket that the Host header names, as it stands there,
 * or SPAN_NONE (path style): SigV2 signs it. Any thread; the arena is used for scratch. On failure `out` holds nothing
 * to release, but `region` is set. Order and codes as S3:
 *   ERR_INVALID             two kinds of credentials, a chunked body that is presigned or SigV2, x-amz-content-sha256
 *                           missing (SigV4), repeated or unknown; what SigV2 signs is ambiguous
 *   ERR_UNSUPPORTED         SigV4A, other schemes
 *   ERR_AUTH_HEADER, ERR_AUTH_QUERY    malformed; a scope that is not S3's; a date in it that is not the request's
 *   ERR_WRONG_REGION, ERR_NO_SUCH_ACCESS_KEY
 *   ERR_DENIED              no date; host or an x-amz-* header is not signed; a signed header is absent; half of a
 *                           SigV2 query
 *   ERR_SKEWED              more than 15 minutes off (a presigned request: not valid yet)
 *   ERR_EXPIRED             presigned
 *   ERR_SIGNATURE, ERR_SYNTAX (a broken %-escape), ERR_NOMEM
 * All comparisons of secrets are constant-time. */
int auth_verify(struct auth *auth, const struct http_request *request, struct span host_bucket, struct arena *arena,
                int64_t now_wall_ms, struct auth_identity *out);
void auth_release(struct auth_identity *identity); /* wipes the chain's key */

/* A verifier for the identity's signed chunks; NULL functions for the unsigned form. In the arena, and it uses the
 * identity's chain: both outlive it. NULL when out of memory. */
struct aws_chunk_verifier *auth_chunk_verifier(struct auth_identity *identity, struct arena *arena);

#endif
