/* AWS Signature Version 2 as S3 has it: what is signed, and its HMAC-SHA1. Pure.
 * docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html */
#ifndef ARCA_CRYPTO_SIGN_V2_H
#define ARCA_CRYPTO_SIGN_V2_H

#include "crypto/sign.h"

struct sign_v2_request {
    struct span method;
    struct span bucket; /* the one that the Host header names; empty for path style */
    struct span path;   /* as it goes over the wire: it is signed as it is */
    struct span query;  /* still encoded, without '?'; only the parameters of sign_v2_covers are signed */
    struct span content_md5, content_type; /* the headers' values; empty without one */
    struct span date;                      /* the Date header; empty beside x-amz-date; presigned: Expires */
    const struct sign_header *headers;     /* all x-amz-*; lower-cased, sorted and joined here as in sign.h, but runs
                                            * of spaces inside a value stay */
    size_t header_count;
};

/* Whether the parameter (decoded) is part of the signed resource. All others are free for anybody to change. */
bool sign_v2_covers(struct span parameter);

/* The text to be signed, in the arena. ERR_SYNTAX (a broken %-escape in the query), ERR_INVALID (a signed parameter
 * twice, or a value that reads like one more of them), ERR_TOO_LARGE, ERR_NOMEM. */
int sign_v2_string(const struct sign_v2_request *request, struct arena *arena, struct span *out);

#define SIGN_V2_SIZE 29 /* base64 of an HMAC-SHA1, and a NUL */

/* ERR_NOMEM. */
int sign_v2_signature(struct span secret, struct span string, char out[SIGN_V2_SIZE]);

/* Constant-time. */
bool sign_v2_equal(struct span given, const char expected[SIGN_V2_SIZE]);

#endif
