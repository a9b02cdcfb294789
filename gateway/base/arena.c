#include "base/arena.h"
#include <protobuf-c/protobuf-c.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/asan.h"

#define FIRST_SIZE ((size_t)4096)
#define CHUNK_MAX  ((size_t)256 << 10)
#define ALIGNMENT  alignof(max_align_t)

struct chunk {
    struct chunk *next;
    size_t size; /* bytes at data */
    size_t used;
    alignas(max_align_t) uint8_t data[];
};

struct arena {
    struct chunk *first;
    struct chunk *last; /* where allocations come from */
    size_t limit;
    size_t used;
    ProtobufCAllocator protobuf;
};

static struct chunk *chunk_create(size_t size)
{
    struct chunk *chunk = malloc(sizeof(*chunk) + size);
    if (chunk == NULL)
        return NULL;
    chunk->next = NULL;
    chunk->size = size;
    chunk->used = 0;
    ASAN_POISON(chunk->data, chunk->size);
    return chunk;
}

static void chunk_free(struct chunk *chunk)
{
    ASAN_UNPOISON(chunk->data, chunk->size);
    free(chunk);
}

static void *protobuf_alloc(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void protobuf_free(void *arena, void *pointer)
{
    (void)arena;
    (void)pointer;
}

struct arena *arena_create(size_t limit)
{
    struct arena *arena = malloc(sizeof(*arena));
    if (arena == NULL)
        return NULL;
    arena->first = arena->last = chunk_create(FIRST_SIZE);
    if (arena->first == NULL) {
        free(arena);
        return NULL;
    }
    arena->limit = limit;
    arena->used = 0;
    arena->protobuf = (ProtobufCAllocator){protobuf_alloc, protobuf_free, arena};
    return arena;
}

static void free_after(struct chunk *first)
{
    for (struct chunk *chunk = first->next, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        chunk_free(chunk);
    }
    first->next = NULL;
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    free_after(arena->first);
    chunk_free(arena->first);
    free(arena);
}

void arena_reset(struct arena *arena)
{
    free_after(arena->first);
    arena->last = arena->first;
    arena->first->used = 0;
    arena->used = 0;
    ASAN_POISON(arena->first->data, arena->first->size);
}

/* A new last chunk with room for `size` bytes. */
static struct chunk *grow(struct arena *arena, size_t size)
{
    size_t next = arena->last->size < CHUNK_MAX ? arena->last->size * 2 : CHUNK_MAX;
    struct chunk *chunk = chunk_create(size > next ? size : next);
    if (chunk == NULL)
        return NULL;
    arena->last->next = chunk;
    arena->last = chunk;
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t rounded;
    struct chunk *chunk = arena->last;
    if (__builtin_add_overflow(size, ALIGNMENT - 1, &rounded))
        return NULL;
    rounded = rounded > ALIGNMENT ? rounded & ~(ALIGNMENT - 1) : ALIGNMENT;
    if (rounded > arena->limit - arena->used)
        return NULL;
    if (rounded > chunk->size - chunk->used) {
        chunk = grow(arena, rounded);
        if (chunk == NULL)
            return NULL;
    }
    uint8_t *place = chunk->data + chunk->used;
    chunk->used += rounded;
    arena->used += rounded;
    ASAN_UNPOISON(place, size);
    return place;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    void *place = arena_alloc(arena, size);
    if (place != NULL)
        memset(place, 0, size);
    return place;
}

char *arena_strdup(struct arena *arena, struct span s)
{
    char *copy = s.len < SIZE_MAX ? arena_alloc(arena, s.len + 1) : NULL;
    if (copy == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

struct span arena_dup(struct arena *arena, struct span s)
{
    char *copy = arena_strdup(arena, s);
    return copy != NULL ? span_of(copy, s.len) : SPAN_NONE;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length >= 0 ? arena_alloc(arena, (size_t)length + 1) : NULL;
    if (text == NULL)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}

struct ProtobufCAllocator *arena_protobuf(struct arena *arena)
{
    return &arena->protobuf;
}

size_t arena_used(const struct arena *arena)
{
    return arena->used;
}
