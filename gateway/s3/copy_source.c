#include "s3/copy_source.h"

#include "s3/error.h"
#include "s3/target.h"

static bool encoded_slash(struct span text)
{
    return span_ieq(span_take(text, 3), SPAN_LITERAL("%2F"));
}

/* "bucket%2Fkey", perhaps with one before: the whole is encoded. What stands behind the bucket. */
static struct span split_encoded(struct span header, struct span *bucket)
{
    if (encoded_slash(header))
        header = span_skip(header, 3);
    size_t at = 0;
    while (at < header.len && !encoded_slash(span_skip(header, at)))
        at++;
    *bucket = span_take(header, at);
    return span_skip(header, at + 3);
}

int copy_source_parse(struct span header, struct arena *arena, struct copy_source *out)
{
    *out = (struct copy_source){.version = SPAN_NONE};
    /* A '?' may stand in a key as it is: some clients do not encode it. */
    ptrdiff_t at = span_find(header, SPAN_LITERAL("?versionId="));
    if (at >= 0) {
        out->version = span_skip(header, (size_t)at + sizeof("?versionId=") - 1);
        header = span_take(header, (size_t)at);
    }
    if (header.len > 0 && header.ptr[0] == '/')
        header = span_skip(header, 1);
    struct span bucket, key = span_split(header, '/', &bucket);
    if (key.ptr == NULL)
        key = split_encoded(header, &bucket);
    int rc = target_decode(bucket, arena, &out->bucket);
    if (rc == 0)
        rc = target_decode(key, arena, &out->key);
    if (rc != 0)
        return rc;
    return out->bucket.len > 0 && out->key.len > 0 ? 0 : S3_INVALID_ARGUMENT;
}
