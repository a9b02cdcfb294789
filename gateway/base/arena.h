/* A region that is freed at once: one per request. Not thread-safe; moves between threads only as a whole. */
#ifndef ARCA_BASE_ARENA_H
#define ARCA_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>
#include "base/span.h"

struct arena;
struct ProtobufCAllocator;

/* `limit` is the most bytes it will ever hold; an allocation beyond it fails like malloc. NULL when out of memory. */
struct arena *arena_create(size_t limit);
void arena_free(struct arena *arena);

/* Forgets all allocations; the first block is kept for the next use. */
void arena_reset(struct arena *arena);

/* Aligned for any type, not cleared. NULL when out of memory or over the limit. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_zalloc(struct arena *arena, size_t size);

/* Copies; the result is also NUL-terminated behind its end. On failure the result's ptr is NULL. */
struct span arena_dup(struct arena *arena, struct span s);
char *arena_strdup(struct arena *arena, struct span s);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For protobuf-c: lives as long as the arena; its free does nothing. */
struct ProtobufCAllocator *arena_protobuf(struct arena *arena);

/* Bytes handed out so far, with what aligns them. */
size_t arena_used(const struct arena *arena);

#endif
