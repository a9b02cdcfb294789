#include "memory_backend.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/list.h"

struct stored {
    struct blob_name name;
    uint64_t size;
    uint8_t data[];
};

struct place {
    struct list link;
    void *blobs; /* a tree of <search.h> */
    char name[];
};

struct memory {
    struct backend backend;
    struct place *place;
};

static struct list places = {&places, &places};

static int by_name(const void *a, const void *b)
{
    return memcmp(a, b, BLOB_NAME_SIZE); /* the first member */
}

static struct place *of(struct backend *backend)
{
    return ((struct memory *)(void *)backend)->place;
}

static struct stored *find(struct backend *backend, const struct blob_name *name)
{
    struct stored **node = tfind(name, &of(backend)->blobs, by_name);
    return node != NULL ? *node : NULL;
}

static int remove_blob(struct backend *backend, const struct blob_name *name, const struct locator *locator)
{
    (void)locator;
    struct stored *stored = find(backend, name);
    if (stored != NULL)
        tdelete(stored, &of(backend)->blobs, by_name);
    free(stored);
    return 0;
}

/* Lets others run, as a store far away does; a put that is cancelled before it is sent stores nothing. */
static int put(struct backend *backend, const struct blob_name *name, struct block *data, struct locator *out)
{
    fiber_yield();
    if (fiber_canceled(fiber_self()))
        return ERR_CANCELED;
    struct stored *stored = malloc(sizeof(*stored) + data->length);
    if (stored == NULL)
        return ERR_NOMEM;
    stored->name = *name;
    stored->size = data->length;
    memcpy(stored->data, data->data, data->length);
    remove_blob(backend, name, out);
    if (tsearch(stored, &of(backend)->blobs, by_name) == NULL) {
        free(stored);
        return ERR_NOMEM;
    }
    out->length = 0;
    return 0;
}

static int get(struct backend *backend, const struct blob_name *name, const struct locator *locator, uint64_t offset,
               uint64_t length, uint8_t *dst)
{
    const struct stored *stored = find(backend, name);
    if (stored == NULL)
        return ERR_NOT_FOUND;
    if (locator->length != 0)
        return ERR_NOT_FOUND;
    if (offset > stored->size || length > stored->size - offset)
        return ERR_CORRUPT;
    memcpy(dst, stored->data + offset, length);
    return 0;
}

/* In the order of names; the cursor is the last one told. */
struct listing {
    const struct blob_cursor *cursor;
    struct blob_batch *out;
    bool more;
};

static void list_one(const void *node, VISIT visit, void *arg)
{
    const struct stored *stored = *(struct stored *const *)node;
    struct listing *listing = arg;
    bool told = listing->cursor->length > 0 && memcmp(&stored->name, listing->cursor->bytes, BLOB_NAME_SIZE) <= 0;
    if ((visit != postorder && visit != leaf) || told)
        return;
    if (listing->out->count == BLOB_BATCH) {
        listing->more = true;
        return;
    }
    listing->out->entries[listing->out->count++] = (struct blob_entry){.name = stored->name, .size = stored->size};
}

static int list(struct backend *backend, struct blob_cursor *cursor, struct blob_batch *out)
{
    struct listing listing = {.cursor = cursor, .out = out};
    if (cursor->length != 0 && cursor->length != BLOB_NAME_SIZE)
        return ERR_INVALID;
    out->count = 0;
    twalk_r(of(backend)->blobs, list_one, &listing);
    cursor->end = !listing.more;
    if (out->count > 0) {
        cursor->length = BLOB_NAME_SIZE;
        memcpy(cursor->bytes, &out->entries[out->count - 1].name, BLOB_NAME_SIZE);
    }
    return 0;
}

static int probe(struct backend *backend, struct backend_health *out)
{
    (void)backend;
    *out = (struct backend_health){.state = BACKEND_HEALTHY, .free = UINT64_MAX};
    return 0;
}

static void close_memory(struct backend *backend)
{
    free(backend);
}

static const struct backend_ops memory_ops = {
    .driver = "memory",
    .put = put,
    .get = get,
    .remove = remove_blob,
    .list = list,
    .probe = probe,
    .close = close_memory,
};

static struct place *find_place(const char *name)
{
    LIST_EACH(node, &places) {
        struct place *place = LIST_ENTRY(node, struct place, link);
        if (strcmp(place->name, name) == 0)
            return place;
    }
    struct place *place = calloc(1, sizeof(*place) + strlen(name) + 1);
    if (place != NULL) {
        strcpy(place->name, name);
        list_append(&places, &place->link);
    }
    return place;
}

int memory_open(const char *name, const char *place, struct backend **out)
{
    struct memory *memory = calloc(1, sizeof(*memory));
    if (memory == NULL || (memory->place = find_place(place)) == NULL) {
        free(memory);
        return ERR_NOMEM;
    }
    snprintf(memory->backend.name, sizeof(memory->backend.name), "%s", name);
    memory->backend.ops = &memory_ops;
    *out = &memory->backend;
    return 0;
}

void memory_forget(void)
{
    for (struct list *node; (node = list_shift(&places)) != NULL;) {
        struct place *place = LIST_ENTRY(node, struct place, link);
        tdestroy(place->blobs, free);
        free(place);
    }
}
