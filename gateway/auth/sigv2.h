/* Signature Version 2: docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html. It signs the method, the path,
 * the x-amz-* headers, Content-MD5, Content-Type, the date, and the parameters of sign_v2_covers; not the host, and not
 * the other headers and parameters. Its times are HTTP dates, or an end in unix seconds as far ahead as one likes. */
#ifndef ARCA_AUTH_SIGV2_H
#define ARCA_AUTH_SIGV2_H

#include "auth/claim.h"
#include "auth/credentials.h"

/* Whether `who` made the claim of one of the V2 kinds. ERR_DENIED (no date, or several), ERR_SKEWED, ERR_EXPIRED,
 * ERR_INVALID (a signed header or parameter is repeated or ambiguous), ERR_SIGNATURE, ERR_SYNTAX, ERR_NOMEM. */
int sigv2_check(const struct http_request *request, struct span host_bucket, const struct claim *claim,
                const struct claim_headers *headers, const struct credential *who, struct arena *arena, int64_t now);

#endif
