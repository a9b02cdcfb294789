/* Any body of a change of a placement: what is taken keeps the promises of change.h. */
#include <stdlib.h>
#include <string.h>
#include "admin/change.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct change change;
    char why[256] = "";
    struct arena *arena = arena_create(1 << 20);
    if (arena == NULL)
        return 0;
    int rc = change_parse(span_of(data, size), arena, &change, why, sizeof(why));
    if (rc != 0 && (rc != ERR_INVALID || why[0] == '\0'))
        abort();
    if (rc == 0 && (change.count == 0 || change.count > CHANGE_BACKENDS_MAX))
        abort();
    for (size_t i = 0; rc == 0 && i < change.count; i++) {
        if (change.backends[i].len == 0 || memchr(change.backends[i].ptr, 0, change.backends[i].len) != NULL)
            abort();
        for (size_t j = 0; j < i; j++) {
            if (span_eq(change.backends[i], change.backends[j]))
                abort();
        }
    }
    arena_free(arena);
    return 0;
}
