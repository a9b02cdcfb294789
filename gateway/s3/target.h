/* What a request is about: bucket and key out of Host and path, parameters out of the query. Pure. */
#ifndef ARCA_S3_TARGET_H
#define ARCA_S3_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/span.h"

struct s3_param {
    struct span name, value; /* decoded */
    bool has_value;          /* there was a '=' */
};

struct s3_target {
    struct span bucket;      /* empty: the service */
    struct span key;         /* empty: the bucket */
    struct span host_bucket; /* the bucket as the host names it; SPAN_NONE: it is in the path */
    struct s3_param *params;
    size_t param_count;
};

/* The rules of docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html. */
bool target_bucket_name_valid(struct span name);

/* Decodes a key or bucket once and normalises nothing. S3_INVALID_URI (broken escape, NUL, not UTF-8), S3_KEY_TOO_LONG,
 * ERR_NOMEM. */
int target_decode(struct span text, struct arena *arena, struct span *out);

/* `host` with or without port; a host below one of the domains names the bucket. `path` and `query` as on the wire.
 * Errors of target_decode. Everything in *out is in the arena. */
int target_parse(struct span host, struct span path, struct span query, char *const *domains, size_t domain_count,
                 struct arena *arena, struct s3_target *out);

/* The value of the first parameter of that name; SPAN_NONE without one (an empty value has a ptr). */
struct span target_param(const struct s3_target *target, const char *name);

#endif
