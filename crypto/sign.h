/* AWS Signature Version 4: the part that signing and verifying share.
 * docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
#ifndef ARCA_CRYPTO_SIGN_H
#define ARCA_CRYPTO_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/span.h"

struct sign_header {
    struct span name;  /* any case */
    struct span value; /* untrimmed is fine */
};

struct sign_request {
    struct span method;
    struct span path;  /* still encoded as it goes over the wire; decoded and encoded again once, never normalised */
    struct span query; /* still encoded, without '?'; parameters are sorted here */
    const struct sign_header *headers; /* exactly those to be signed; names are lower-cased and sorted here, values of
                                        * equal names joined by ',' */
    size_t header_count;
    struct span payload_hash;  /* the text: a hex digest or UNSIGNED-PAYLOAD, ... */
    struct span skip_parameter; /* "X-Amz-Signature" is left out of a presigned query; else empty */
};

/* The hex SHA-256 of the canonical request. ERR_SYNTAX (broken %-escape), ERR_NOMEM (arena). */
int sign_canonical_hash(const struct sign_request *request, struct arena *arena, char out[65]);

/* The signing key: HMAC chain over "AWS4"+secret, date (YYYYMMDD), region, service. */
void sign_key(struct span secret, struct span date, struct span region, struct span service, uint8_t out[32]);

/* The signature over "AWS4-HMAC-SHA256\n<timestamp>\n<scope>\n<hash>", as 64 lower-case hex digits. */
void sign_signature(const uint8_t key[32], struct span timestamp, struct span scope, const char canonical_hash[65],
                    char out[65]);

/* Who signs, and when and for where. */
struct sign_client {
    struct span access_key, secret;
    struct span timestamp; /* YYYYMMDDTHHMMSSZ, as the x-amz-date header among the signed ones has it */
    struct span region, service;
};
/* The value of an Authorization header for a request all of whose `headers` are signed, allocated in the arena.
 * ERR_SYNTAX, ERR_TOO_LARGE (over SIGN_CLIENT_HEADERS headers), ERR_NOMEM. */
#define SIGN_CLIENT_HEADERS 32
int sign_authorization(const struct sign_request *request, const struct sign_client *client, struct arena *arena,
                       struct span *out);

/* The chain of chunk signatures. Plain data; wipe with sign_chain_wipe. */
struct sign_chain {
    uint8_t key[32];
    char timestamp[17];  /* YYYYMMDDTHHMMSSZ */
    char scope[128];     /* date/region/s3/aws4_request */
    char previous[65];   /* the seed's, then the last chunk's */
};
/* The signature of the next chunk with that SHA-256 of its data; moves the chain on. */
void sign_chunk(struct sign_chain *chain, const uint8_t data_sha256[32], char out[65]);
/* The signature of the trailers. */
void sign_trailer(struct sign_chain *chain, const uint8_t trailer_sha256[32], char out[65]);
void sign_chain_wipe(struct sign_chain *chain);

/* Constant-time comparison of two signatures of 64 hex digits. */
bool sign_equal(struct span given, const char expected[65]);

#endif
