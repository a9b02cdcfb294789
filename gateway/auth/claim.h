/* What a request says about who signed it, before anything of it is believed. */
#ifndef ARCA_AUTH_CLAIM_H
#define ARCA_AUTH_CLAIM_H

#include "base/arena.h"
#include "base/span.h"
#include "http/http.h"

/* The headers that matter here, found in one pass. */
struct claim_headers {
    struct span authorization, amz_date, date, content_sha256;
    unsigned authorizations, amz_dates, dates, content_sha256s; /* how many */
};

enum claim_kind { CLAIM_NONE, CLAIM_HEADER, CLAIM_QUERY, CLAIM_V2_HEADER, CLAIM_V2_QUERY };

struct claim {
    enum claim_kind kind;
    struct span access_key;
    struct span signature; /* hex; of V2: whatever was given */
    /* Signature Version 4 only */
    struct span date, region, service; /* of the scope */
    struct span signed_headers;        /* "host;x-amz-date" */
    /* Queries only; decoded */
    struct span timestamp;      /* X-Amz-Date; of V2: Expires as it was given */
    struct span content_sha256; /* ptr NULL: not given; of V2: always */
    uint64_t expires;           /* seconds after the timestamp; of V2: unix seconds */
};

void claim_find_headers(const struct http_request *request, struct claim_headers *out);

/* ERR_INVALID (two kinds at once), ERR_UNSUPPORTED, ERR_AUTH_HEADER, ERR_AUTH_QUERY, ERR_DENIED (half of a V2 query),
 * ERR_SYNTAX, ERR_NOMEM. */
int claim_parse(const struct http_request *request, const struct claim_headers *headers, struct arena *arena,
                struct claim *out);

#endif
