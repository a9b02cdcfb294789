/* A source over bytes in memory; with `rc` set it fails where they end. */
#ifndef ARCA_TEST_MEMORY_SOURCE_H
#define ARCA_TEST_MEMORY_SOURCE_H

#include "base/list.h"
#include "base/source.h"
#include "base/span.h"

struct memory_source {
    struct source source;
    struct span rest;
    int rc;
};

static inline int memory_read(struct source *source, uint8_t *dst, size_t capacity, size_t *got)
{
    struct memory_source *memory = LIST_ENTRY(source, struct memory_source, source);
    *got = capacity < memory->rest.len ? capacity : memory->rest.len;
    if (*got < capacity && memory->rc != 0)
        return memory->rc;
    if (*got > 0)
        memcpy(dst, memory->rest.ptr, *got);
    memory->rest = span_skip(memory->rest, *got);
    return 0;
}

static inline struct memory_source memory_source_of(struct span bytes, int64_t length)
{
    return (struct memory_source){.source = {.read = memory_read, .length = length}, .rest = bytes};
}

#endif
