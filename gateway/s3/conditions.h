/* Conditional requests: RFC 9110 13.1 and the precedence of 13.2.2, as S3 applies them. */
#ifndef ARCA_S3_CONDITIONS_H
#define ARCA_S3_CONDITIONS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "http/http.h"
#include "records.pb-c.h"

struct conditions {
    struct span if_match, if_none_match; /* ptr NULL: absent */
    bool has_modified_since, has_unmodified_since;
    int64_t modified_since, unmodified_since; /* unix seconds */
};

/* Reads If-Match and its kin, or x-amz-copy-source-if-* when `copy_source`. Dates that cannot be read are ignored. */
void conditions_read(const struct http_request *request, bool copy_source, struct conditions *out);

/* Against what is there. 0, ERR_PRECONDITION, or ERR_NOT_MODIFIED. */
int conditions_check(const struct conditions *conditions, struct span etag, int64_t modified_ms);

/* Whether a list of entity tags ("a", W/"b", or *) names this one. Quotes may be missing: clients forget them. */
bool conditions_etag_listed(struct span list, struct span etag);
/* An entity tag without its quotes. */
struct span conditions_etag_bare(struct span etag);

/* What If-Range says: whether the Range header counts. An absent header: yes. */
bool conditions_if_range(struct span header, struct span etag, int64_t modified_ms);

/* The conditions of a write, for the index to check when it applies; *out NULL when there are none. ERR_NOMEM. */
int conditions_precondition(const struct conditions *conditions, struct arena *arena, Arca__Precondition **out);

#endif
