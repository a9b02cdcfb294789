/* An empty object whose name sorts behind all blobs. libs3 takes a listing that was cut for one that has ended; with the mark,
 * a listing has ended when it has shown the mark, and not before. */
#ifndef ARCA_BACKENDS_LIBS3_END_MARK_H
#define ARCA_BACKENDS_LIBS3_END_MARK_H

#include <stdio.h>
#include "backends/remote/blob_key.h"

#define END_MARK "~end" /* '~' is behind all hex digits */

static inline void end_mark_key(const char *prefix, char out[BLOB_KEY_SIZE])
{
    snprintf(out, BLOB_KEY_SIZE, "%s%s" END_MARK, prefix, prefix[0] != '\0' ? "/" : "");
}

static inline bool end_mark_is(const char *prefix, struct span key)
{
    char mark[BLOB_KEY_SIZE];
    end_mark_key(prefix, mark);
    return span_eq_str(key, mark);
}

#endif
