/* All XML bodies that clients send. */
#include <stdlib.h>
#include "s3/complete.h"
#include "s3/delete.h"
#include "s3/xml_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int opened(void *arg, unsigned depth, struct span name)
{
    (void)arg;
    if (depth < 1 || depth > XML_DEPTH_MAX || name.len == 0)
        abort();
    return 0;
}

static int closed(void *arg, unsigned depth, struct span name, struct span text)
{
    if (text.len > XML_TEXT_MAX)
        abort();
    return opened(arg, depth, name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span body = span_of(data, size);
    struct xml_reader reader = {.opened = opened, .closed = closed};
    struct delete_list keys;
    struct complete_list parts;
    struct arena *arena = arena_create(4 << 20);
    if (arena == NULL)
        return 0;
    xml_setup();
    (void)xml_in_parse(body, "CreateBucketConfiguration", &reader);
    if (delete_parse(body, arena, &keys) == 0) {
        for (size_t i = 0; i < keys.count; i++) {
            if (keys.entries[i].key.len == 0)
                abort();
        }
    }
    if (complete_parse(body, arena, &parts) == 0) {
        for (size_t i = 1; i < parts.count; i++) {
            if (parts.parts[i]->number <= parts.parts[i - 1]->number)
                abort();
        }
    }
    arena_free(arena);
    return 0;
}
