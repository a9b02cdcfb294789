#include "blob_key.h"

#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/text.h"

#define COUNTER_LOWEST 15 /* the blob id is lease (8), counter (8, big-endian) */

bool blob_key_prefix_valid(const char *prefix)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./";
    size_t length = strlen(prefix);
    if (length == 0)
        return true;
    /* A segment of dots alone would be resolved by clients on the way. */
    return length <= BLOB_KEY_PREFIX_MAX && strspn(prefix, allowed) == length && prefix[0] != '/' && prefix[0] != '.' &&
           prefix[length - 1] != '/' && strstr(prefix, "//") == NULL && strstr(prefix, "/.") == NULL;
}

void blob_key(const char *prefix, const struct blob_name *name, char out[BLOB_KEY_SIZE])
{
    char hex[2 * BLOB_NAME_SIZE + 1];
    text_hex(span_of(name->bytes, BLOB_NAME_SIZE), hex);
    snprintf(out, BLOB_KEY_SIZE, "%s%s%02x/%s", prefix, prefix[0] != '\0' ? "/" : "", name->bytes[COUNTER_LOWEST], hex);
}

int blob_key_range(const struct locator *locator, uint64_t offset, uint64_t length)
{
    if (locator->length != 0)
        return ERR_NOT_FOUND;
    return offset > INT64_MAX || length > INT64_MAX - offset ? ERR_CORRUPT : 0;
}

bool blob_key_parse(const char *prefix, struct span key, struct blob_name *out)
{
    char again[BLOB_KEY_SIZE];
    if (key.len < 2 * BLOB_NAME_SIZE ||
        text_unhex(span_skip(key, key.len - 2 * BLOB_NAME_SIZE), out->bytes, BLOB_NAME_SIZE) != 0)
        return false;
    blob_key(prefix, out, again);
    return span_eq_str(key, again);
}
