/* An index in a folder of its own, and short ways to change it. */
#ifndef ARCA_TEST_INDEX_KIT_H
#define ARCA_TEST_INDEX_KIT_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "index/index.h"
#include "index/private.h"
#include "on_fiber.h"
#include "unit.h"

#define KIT_MAP (1ULL << 30)

struct kit {
    char folder[256];
    struct index_options options;
    struct index *index;
    struct arena *arena;
    uint64_t bucket, uploads; /* nodes of the bucket "bucket" */
    uint64_t blobs;           /* made so far */
};

static inline int kit_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void kit_remove(const char *folder)
{
    nftw(folder, kit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void kit_open(struct kit *kit)
{
    assert_int_equal(index_open(&kit->options, &kit->index), 0);
}

static inline void kit_close(struct kit *kit)
{
    index_close(kit->index);
    kit->index = NULL;
}

static inline void kit_init(struct kit *kit)
{
    const char *tmp = getenv("TMPDIR");
    memset(kit, 0, sizeof(*kit));
    snprintf(kit->folder, sizeof(kit->folder), "%s/arca-index-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(kit->folder));
    kit->options = (struct index_options){
        .path = kit->folder, .map_size = KIT_MAP, .segment_size = 1 << 20, .boot_id = "boot-1"};
    kit->arena = arena_create(256U << 20);
    assert_non_null(kit->arena);
}

static inline void kit_free(struct kit *kit)
{
    index_close(kit->index);
    arena_free(kit->arena);
    kit_remove(kit->folder);
}

static inline ProtobufCBinaryData kit_data(const void *bytes, size_t len)
{
    return (ProtobufCBinaryData){len, (uint8_t *)bytes};
}

static inline ProtobufCBinaryData kit_span(struct span s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)s.ptr};
}

static inline Arca__Mutation *kit_mutation(struct kit *kit, int op)
{
    Arca__Mutation *mutation = arena_alloc(kit->arena, sizeof(*mutation));
    arca__mutation__init(mutation);
    mutation->time_ms = 1000 + (int64_t)++kit->blobs;
    mutation->op_case = (Arca__Mutation__OpCase)op;
    return mutation;
}

/* A message in the arena, initialised: KIT_NEW(kit, Arca__Blob, arca__blob) */
#define KIT_NEW(kit, type, prefix)                                                                                    \
    __extension__({                                                                                                   \
        type *message_ = arena_alloc((kit)->arena, sizeof(type));                                                     \
        prefix##__init(message_);                                                                                     \
        message_;                                                                                                     \
    })

static inline ProtobufCBinaryData kit_blob_id(struct kit *kit, uint64_t number)
{
    uint8_t *id = arena_zalloc(kit->arena, 16);
    memcpy(id, "lease-01", 8);
    for (int i = 0; i < 8; i++)
        id[8 + i] = (uint8_t)(number >> (56 - 8 * i));
    return kit_data(id, 16);
}

static inline Arca__NewBlob *kit_new_blob(struct kit *kit, uint64_t size, uint32_t extents)
{
    Arca__NewBlob *blob = KIT_NEW(kit, Arca__NewBlob, arca__new_blob);
    blob->blob = KIT_NEW(kit, Arca__Blob, arca__blob);
    blob->blob->id = kit_blob_id(kit, ++kit->blobs);
    blob->blob->size = size;
    blob->blob->key_id = 7;
    blob->blob->wrapped_key = kit_data("wrapped-wrapped-wrapped-wrapped-wrapped-", 40);
    blob->blob->extent_count = extents;
    Arca__Replica *replica = KIT_NEW(kit, Arca__Replica, arca__replica);
    replica->backend = "disk";
    replica->locator = kit_data("0123456789abcdef", 16);
    Arca__Replica **replicas = arena_alloc(kit->arena, sizeof(*replicas));
    replicas[0] = replica;
    if (extents == 1) {
        blob->blob->n_replicas = 1;
        blob->blob->replicas = replicas;
        return blob;
    }
    blob->n_extents = extents;
    blob->extents = arena_alloc(kit->arena, extents * sizeof(*blob->extents));
    for (uint32_t i = 0; i < extents; i++) {
        blob->extents[i] = KIT_NEW(kit, Arca__Extent, arca__extent);
        blob->extents[i]->number = i;
        blob->extents[i]->n_replicas = 1;
        blob->extents[i]->replicas = replicas;
    }
    return blob;
}

static inline Arca__Object *kit_object(struct kit *kit, uint64_t size, const char *etag)
{
    Arca__Object *object = KIT_NEW(kit, Arca__Object, arca__object);
    object->size = size;
    object->modified_ms = 5000;
    object->etag = (char *)etag;
    object->headers = KIT_NEW(kit, Arca__Headers, arca__headers);
    object->headers->content_type = "application/octet-stream";
    object->owner_id = "owner";
    object->owner_name = "Owner";
    return object;
}

/* A PUT of 10 bytes; with `etag` "" an empty object without blob. */
static inline Arca__Mutation *kit_put(struct kit *kit, struct span key, const char *etag)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_PUT_OBJECT);
    Arca__PutObject *put = mutation->put_object = KIT_NEW(kit, Arca__PutObject, arca__put_object);
    put->bucket_id = kit->bucket;
    put->key = kit_span(key);
    put->object = kit_object(kit, *etag != '\0' ? 10 : 0, etag);
    if (*etag != '\0') {
        put->blob = kit_new_blob(kit, 10, 1);
        put->object->blob_id = put->blob->blob->id;
    }
    return mutation;
}

static inline Arca__Mutation *kit_delete(struct kit *kit, struct span key)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_DELETE_OBJECT);
    mutation->delete_object = KIT_NEW(kit, Arca__DeleteObject, arca__delete_object);
    mutation->delete_object->bucket_id = kit->bucket;
    mutation->delete_object->key = kit_span(key);
    return mutation;
}

static inline Arca__Mutation *kit_create_bucket(struct kit *kit, const char *name, const char *owner, uint64_t key_id)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_CREATE_BUCKET);
    Arca__CreateBucket *create = mutation->create_bucket = KIT_NEW(kit, Arca__CreateBucket, arca__create_bucket);
    create->bucket = KIT_NEW(kit, Arca__Bucket, arca__bucket);
    create->bucket->name = (char *)name;
    create->bucket->owner_id = (char *)owner;
    create->key = KIT_NEW(kit, Arca__BucketKey, arca__bucket_key);
    create->key->id = key_id;
    create->key->root_generation = 1;
    create->key->wrapped = kit_data("wrapped", 7);
    return mutation;
}

static inline Arca__Mutation *kit_delete_bucket(struct kit *kit, const char *name)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_DELETE_BUCKET);
    mutation->delete_bucket = KIT_NEW(kit, Arca__DeleteBucket, arca__delete_bucket);
    mutation->delete_bucket->name = (char *)name;
    return mutation;
}

/* On a fiber: makes the bucket "bucket" if it is not there. */
static inline void kit_bucket(struct kit *kit)
{
    Arca__Bucket *bucket;
    int rc = index_apply(kit->index, kit_create_bucket(kit, "bucket", "owner", 7));
    assert_true(rc == 0 || rc == ERR_BUCKET_OWNED);
    assert_int_equal(index_bucket_get(kit->index, SPAN_LITERAL("bucket"), kit->arena, &bucket), 0);
    kit->bucket = bucket->id;
    kit->uploads = bucket->uploads_node;
}

/* On a fiber: the placement consists of these backends, all of them MEMBER. */
static inline void kit_placement(struct kit *kit, const char *name, char *const *backends, size_t count)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_SET_PLACEMENT);
    Arca__Placement *row = KIT_NEW(kit, Arca__Placement, arca__placement);
    mutation->set_placement = KIT_NEW(kit, Arca__SetPlacement, arca__set_placement);
    mutation->set_placement->placement = row;
    row->name = (char *)name;
    row->write_quorum = 1;
    row->n_members = count;
    row->members = arena_alloc(kit->arena, count * sizeof(*row->members));
    for (size_t i = 0; i < count; i++) {
        row->members[i] = KIT_NEW(kit, Arca__Member, arca__member);
        row->members[i]->backend = backends[i];
    }
    assert_int_equal(index_apply(kit->index, mutation), 0);
}

/* All rows of all tables. */
static inline void kit_dump(struct index *index, struct buf *out)
{
    struct txn *txn;
    out->cap = 1U << 30;
    out->len = 0;
    assert_int_equal(view_read(index_view(index), &txn), 0);
    for (int table = 0; table < TABLE_COUNT; table++) {
        struct span key = SPAN_NONE, value;
        int rc = txn_seek(txn, (enum table)table, MDB_FIRST, &key, &value);
        for (; rc == 0; rc = txn_seek(txn, (enum table)table, MDB_NEXT, &key, &value)) {
            buf_printf(out, "\n%s %zu %zu ", table_name((enum table)table), key.len, value.len);
            buf_append(out, key);
            buf_append(out, value);
        }
        assert_int_equal(rc, ERR_NOT_FOUND);
    }
    view_read_end(txn);
    assert_int_equal(out->failed, 0);
}

static inline void kit_assert_same(const struct buf *a, const struct buf *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->ptr, b->ptr, a->len);
}

static inline void kit_print_finding(const char *line, void *arg)
{
    (void)arg;
    print_error("%s\n", line);
}

/* The index must be closed. Its view is trusted by index_check only under the boot id it was written with, or clean. */
static inline void kit_check(struct kit *kit)
{
    uint64_t findings = 0;
    assert_int_equal(index_check(kit->folder, kit_print_finding, NULL, &findings), 0);
    assert_int_equal(findings, 0);
}

/* Each scenario leaves an index that checks, and that the journal makes again. */
static inline void kit_scenario(void (*fn)(void *arg))
{
    struct kit kit;
    struct buf before = {0}, after = {0};
    char state_file[300];
    kit_init(&kit);
    kit_open(&kit);
    on_fiber(fn, &kit);
    kit_dump(kit.index, &before);
    kit_close(&kit);
    kit_check(&kit);
    snprintf(state_file, sizeof(state_file), "%s/state", kit.folder);
    assert_int_equal(unlink(state_file), 0);
    kit_open(&kit);
    kit_dump(kit.index, &after);
    kit_assert_same(&before, &after);
    kit_free(&kit);
    buf_free(&before);
    buf_free(&after);
}

/* A program that runs the scenarios of `list` (a macro that calls its argument with each name) as tests, and others after
 * them. */
#define KIT_MAIN(list, ...)                                                                                           \
    list(KIT_TEST_) int main(void)                                                                                    \
    {                                                                                                                 \
        log_setup(LOG_ERROR, LOG_TEXT);                                                                               \
        const struct CMUnitTest tests[] = {list(KIT_ENTRY_) __VA_ARGS__};                                             \
        return cmocka_run_group_tests(tests, NULL, NULL);                                                             \
    }
#define KIT_TEST_(name)                                                                                               \
    static void test_##name(void **state)                                                                             \
    {                                                                                                                 \
        (void)state;                                                                                                  \
        kit_scenario(name);                                                                                           \
    }
#define KIT_ENTRY_(name) cmocka_unit_test(test_##name),

#endif
