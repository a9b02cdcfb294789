/* A backend's operations called from a test's own thread, and temporary folders. */
#ifndef ARCA_TEST_BLOBS_H
#define ARCA_TEST_BLOBS_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "backends/backend.h"
#include "base/err.h"
#include "on_fiber.h"

/* --- folders --- */

static inline char *folder_make(void)
{
    const char *tmp = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/arca-test-XXXXXX", tmp != NULL ? tmp : "/tmp") < 0 || mkdtemp(path) == NULL)
        abort();
    return path;
}

static inline int folder_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void folder_remove(char *path)
{
    nftw(path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}

/* As files of keys must be: only its owner may read it. */
static inline void file_write_private(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (file == NULL || fchmod(fileno(file), 0600) != 0 || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
}

/* --- blobs with contents that tell what they are --- */

static inline struct blob_name blob_name_of(uint64_t number)
{
    struct blob_name name = {{'t', 'e', 's', 't'}};
    memcpy(name.bytes + 8, &number, sizeof(number));
    return name;
}

static inline void blob_fill(uint8_t *data, size_t length, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < length; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (uint8_t)x;
    }
}

/* --- operations, each on a fiber of its own --- */

struct blob_op {
    struct backend *backend;
    struct blob_name name;
    struct block *data;
    struct locator *locator;
    uint64_t offset;
    uint64_t length;
    uint8_t *dst;
    struct blob_cursor *cursor;
    struct blob_batch *batch;
    struct backend_health *health;
    int rc;
};

static inline void blob_run_put(void *arg)
{
    struct blob_op *op = arg;
    op->rc = op->backend->ops->put(op->backend, &op->name, op->data, op->locator);
}

static inline void blob_run_get(void *arg)
{
    struct blob_op *op = arg;
    op->rc = op->backend->ops->get(op->backend, &op->name, op->locator, op->offset, op->length, op->dst);
}

static inline void blob_run_remove(void *arg)
{
    struct blob_op *op = arg;
    op->rc = op->backend->ops->remove(op->backend, &op->name, op->locator);
}

static inline void blob_run_list(void *arg)
{
    struct blob_op *op = arg;
    op->rc = op->backend->ops->list(op->backend, op->cursor, op->batch);
}

static inline void blob_run_probe(void *arg)
{
    struct blob_op *op = arg;
    op->rc = op->backend->ops->probe(op->backend, op->health);
}

static inline int blob_put(struct backend *backend, uint64_t number, const void *data, size_t length,
                           struct locator *locator)
{
    struct block block = {.references = 1, .capacity = length, .length = length,
                          .data = (uint8_t *)(uintptr_t)data};
    struct blob_op op = {.backend = backend, .name = blob_name_of(number), .data = &block, .locator = locator};
    on_fiber(blob_run_put, &op);
    return op.rc;
}

/* Of `length` bytes that the number tells, aligned as blocks are. */
static inline int blob_put_filled(struct backend *backend, uint64_t number, size_t length, struct locator *locator)
{
    uint8_t *data = aligned_alloc(4096, length / 4096 * 4096 + 4096);
    if (data == NULL)
        abort();
    blob_fill(data, length, number);
    int rc = blob_put(backend, number, data, length, locator);
    free(data);
    return rc;
}

static inline int blob_get(struct backend *backend, uint64_t number, const struct locator *locator, uint64_t offset,
                           uint64_t length, void *dst)
{
    struct locator copy = *locator;
    struct blob_op op = {.backend = backend, .name = blob_name_of(number), .locator = &copy, .offset = offset,
                         .length = length, .dst = dst};
    on_fiber(blob_run_get, &op);
    return op.rc;
}

/* 0 if the whole blob is there as blob_put_filled stored it; ERR_BUG if it differs. */
static inline int blob_check(struct backend *backend, uint64_t number, size_t length, const struct locator *locator)
{
    uint8_t *expected = malloc(length + 1);
    uint8_t *data = malloc(length + 1);
    if (expected == NULL || data == NULL)
        abort();
    blob_fill(expected, length, number);
    int rc = blob_get(backend, number, locator, 0, length, data);
    if (rc == 0 && memcmp(data, expected, length) != 0)
        rc = ERR_BUG;
    free(expected);
    free(data);
    return rc;
}

static inline int blob_remove(struct backend *backend, uint64_t number, const struct locator *locator)
{
    struct locator copy = *locator;
    struct blob_op op = {.backend = backend, .name = blob_name_of(number), .locator = &copy};
    on_fiber(blob_run_remove, &op);
    return op.rc;
}

static inline int blob_probe(struct backend *backend, struct backend_health *out)
{
    struct blob_op op = {.backend = backend, .health = out};
    on_fiber(blob_run_probe, &op);
    return op.rc;
}

/* How many of the blobs first..first+count-1 a whole listing has; each one's entry (may be NULL). Others are counted in
 * *strangers (may be NULL). */
static inline int blob_list(struct backend *backend, uint64_t first, size_t count, struct blob_entry *entries,
                            size_t *strangers, size_t *found)
{
    struct blob_batch *batch = malloc(sizeof(*batch));
    struct blob_cursor cursor = {0};
    size_t others = 0;
    *found = 0;
    int rc = batch != NULL ? 0 : ERR_NOMEM;
    while (rc == 0 && !cursor.end) {
        struct blob_op op = {.backend = backend, .cursor = &cursor, .batch = batch};
        on_fiber(blob_run_list, &op);
        rc = op.rc;
        for (size_t i = 0; rc == 0 && i < batch->count; i++) {
            uint64_t number;
            memcpy(&number, batch->entries[i].name.bytes + 8, sizeof(number));
            if (number < first || number >= first + count) {
                others++;
                continue;
            }
            (*found)++;
            if (entries != NULL)
                entries[number - first] = batch->entries[i];
        }
    }
    if (strangers != NULL)
        *strangers = others;
    free(batch);
    return rc;
}

#endif
