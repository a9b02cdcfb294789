/* What each mutation does, and what it refuses. */
#include "index_kit.h"
#include "on_fiber.h"

#define MIB  (1ULL << 20)
#define KEY  SPAN_LITERAL("some/key")
#define UPID "upload-id-012345"

static int apply(struct kit *kit, const Arca__Mutation *mutation)
{
    return index_apply(kit->index, mutation);
}

static Arca__Precondition *condition(struct kit *kit, Arca__Mutation *mutation)
{
    Arca__Precondition *precondition = KIT_NEW(kit, Arca__Precondition, arca__precondition);
    if (mutation->op_case == ARCA__MUTATION__OP_PUT_OBJECT)
        mutation->put_object->precondition = precondition;
    else if (mutation->op_case == ARCA__MUTATION__OP_DELETE_OBJECT)
        mutation->delete_object->precondition = precondition;
    else
        mutation->complete_upload->precondition = precondition;
    return precondition;
}

static Arca__Object *object_now(struct kit *kit, struct span key)
{
    Arca__Object *object;
    int rc = index_object_get(kit->index, kit->bucket, key, kit->arena, &object, NULL);
    assert_true(rc == 0 || rc == ERR_NO_SUCH_KEY);
    return rc == 0 ? object : NULL;
}

static Arca__Blob *blob_now(struct kit *kit, ProtobufCBinaryData id)
{
    Arca__Blob *blob;
    int rc = index_blob_get(kit->index, span_of(id.data, id.len), kit->arena, &blob);
    assert_true(rc == 0 || rc == ERR_NOT_FOUND);
    return rc == 0 ? blob : NULL;
}

static size_t garbage_now(struct kit *kit, Arca__Blob ***blobs)
{
    size_t count;
    assert_int_equal(index_garbage_list(kit->index, INT64_MAX, NULL, SIZE_MAX, kit->arena, blobs, &count), 0);
    return count;
}

/* --- buckets --- */

static void buckets(void *arg)
{
    struct kit *kit = arg;
    Arca__Bucket *bucket, **list;
    Arca__BucketKey *key;
    size_t count;
    kit_bucket(kit);
    assert_int_equal(apply(kit, kit_create_bucket(kit, "bucket", "owner", 8)), ERR_BUCKET_OWNED);
    assert_int_equal(apply(kit, kit_create_bucket(kit, "bucket", "other", 8)), ERR_BUCKET_EXISTS);
    assert_int_equal(apply(kit, kit_create_bucket(kit, "another", "other", 7)), ERR_EXISTS);
    assert_int_equal(apply(kit, kit_create_bucket(kit, "another", "other", 9)), 0);
    assert_int_equal(apply(kit, kit_create_bucket(kit, "zebra", "other", 10)), 0);
    assert_int_equal(index_bucket_list(kit->index, SPAN_NONE, 10, kit->arena, &list, &count), 0);
    assert_int_equal(count, 3);
    assert_string_equal(list[0]->name, "another");
    assert_int_equal(index_bucket_list(kit->index, SPAN_LITERAL("another"), 1, kit->arena, &list, &count), 0);
    assert_int_equal(count, 1);
    assert_string_equal(list[0]->name, "bucket");
    assert_int_equal(index_bucket_get(kit->index, SPAN_LITERAL("nothing"), kit->arena, &bucket), ERR_NO_SUCH_BUCKET);

    assert_int_equal(apply(kit, kit_put(kit, KEY, "e")), 0);
    assert_int_equal(apply(kit, kit_delete_bucket(kit, "bucket")), ERR_BUCKET_NOT_EMPTY);
    assert_int_equal(apply(kit, kit_delete(kit, KEY)), 0);
    assert_int_equal(apply(kit, kit_delete_bucket(kit, "bucket")), 0);
    assert_int_equal(apply(kit, kit_delete_bucket(kit, "bucket")), ERR_NO_SUCH_BUCKET);
    assert_int_equal(apply(kit, kit_put(kit, KEY, "e")), ERR_NO_SUCH_BUCKET);
    assert_int_equal(index_key_get(kit->index, 7, kit->arena, &key), 0);
    assert_int_equal(index_key_get(kit->index, 8, kit->arena, &key), ERR_NOT_FOUND);
}

/* --- objects --- */

static void replaced(void *arg)
{
    struct kit *kit = arg;
    Arca__Blob **garbage;
    kit_bucket(kit);
    Arca__Mutation *first = kit_put(kit, KEY, "one"), *second = kit_put(kit, KEY, "two");
    assert_int_equal(apply(kit, first), 0);
    assert_int_equal(garbage_now(kit, &garbage), 0);
    assert_int_equal(apply(kit, first), ERR_EXISTS);
    assert_int_equal(apply(kit, second), 0);
    assert_string_equal(object_now(kit, KEY)->etag, "two");
    assert_int_equal(garbage_now(kit, &garbage), 1);
    assert_memory_equal(garbage[0]->id.data, first->put_object->object->blob_id.data, 16);
    assert_int_equal(apply(kit, kit_put(kit, KEY, "")), 0);
    assert_int_equal(garbage_now(kit, &garbage), 2);
    assert_int_equal(apply(kit, kit_delete(kit, KEY)), 0);
    assert_int_equal(apply(kit, kit_delete(kit, KEY)), 0);
    assert_null(object_now(kit, KEY));
    size_t count;
    assert_int_equal(index_garbage_list(kit->index, second->time_ms - 1, NULL, 10, kit->arena, &garbage, &count), 0);
    assert_int_equal(count, 0);
}

/* Page by page, whatever became of the row that the last one ended with. */
static void garbage_in_pages(void *arg)
{
    struct kit *kit = arg;
    Arca__Blob **garbage, after = ARCA__BLOB__INIT;
    size_t count, seen = 0;
    kit_bucket(kit);
    for (int i = 0; i < 6; i++) /* five of them are replaced */
        assert_int_equal(apply(kit, kit_put(kit, KEY, "e")), 0);
    assert_int_equal(garbage_now(kit, &garbage), 5);
    int64_t until_ms = garbage[3]->garbage_ms;
    uint8_t *ids[5];
    for (int i = 0; i < 5; i++)
        ids[i] = garbage[i]->id.data;
    for (bool first = true; first || count == 2; first = false) {
        const Arca__Blob *behind = first ? NULL : &after;
        assert_int_equal(index_garbage_list(kit->index, until_ms, behind, 2, kit->arena, &garbage, &count), 0);
        for (size_t i = 0; i < count; i++, seen++)
            assert_memory_equal(garbage[i]->id.data, ids[seen], 16);
        if (count > 0)
            after = *garbage[count - 1];
    }
    assert_int_equal(seen, 4);
    after.id = kit_data("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
    after.garbage_ms = 0; /* it is not there */
    assert_int_equal(index_garbage_list(kit->index, INT64_MAX, &after, 10, kit->arena, &garbage, &count), 0);
    assert_int_equal(count, 5);
    after.id.len = 15;
    assert_int_equal(index_garbage_list(kit->index, INT64_MAX, &after, 10, kit->arena, &garbage, &count), ERR_CORRUPT);
}

/* Copies share a body, which is garbage only after the last of them is gone. */
static void copies(void *arg)
{
    struct kit *kit = arg;
    Arca__Blob **garbage;
    kit_bucket(kit);
    Arca__Mutation *put = kit_put(kit, KEY, "one");
    ProtobufCBinaryData id = put->put_object->object->blob_id;
    assert_int_equal(apply(kit, put), 0);
    Arca__Mutation *copy = kit_put(kit, SPAN_LITERAL("copy"), "one");
    copy->put_object->blob = NULL;
    copy->put_object->object->blob_id = id;
    assert_int_equal(apply(kit, copy), 0);
    assert_int_equal(blob_now(kit, id)->references, 2);
    copy->put_object->key = kit_span(KEY); /* onto itself */
    assert_int_equal(apply(kit, copy), 0);
    assert_int_equal(blob_now(kit, id)->references, 2);
    assert_int_equal(apply(kit, kit_delete(kit, KEY)), 0);
    assert_int_equal(garbage_now(kit, &garbage), 0);
    assert_int_equal(apply(kit, kit_delete(kit, SPAN_LITERAL("copy"))), 0);
    assert_int_equal(garbage_now(kit, &garbage), 1);
    assert_int_equal(apply(kit, copy), ERR_NOT_FOUND);

    Arca__Mutation *collected = kit_mutation(kit, ARCA__MUTATION__OP_COLLECTED);
    collected->collected = KIT_NEW(kit, Arca__Collected, arca__collected);
    collected->collected->n_blob_ids = 1;
    collected->collected->blob_ids = &id;
    assert_int_equal(apply(kit, collected), 0);
    assert_int_equal(apply(kit, collected), 0);
    assert_null(blob_now(kit, id));
    assert_int_equal(garbage_now(kit, &garbage), 0);

    Arca__Mutation *used = kit_put(kit, KEY, "two");
    assert_int_equal(apply(kit, used), 0);
    collected->collected->blob_ids = &used->put_object->object->blob_id;
    assert_int_equal(apply(kit, collected), ERR_INVALID);
}

static void conditions(void *arg)
{
    struct kit *kit = arg;
    char *wrong[] = {"x", "y"}, *right[] = {"x", "one"};
    kit_bucket(kit);
    Arca__Mutation *put = kit_put(kit, KEY, "two");
    Arca__Precondition *p = condition(kit, put);
    p->must_exist = true;
    assert_int_equal(apply(kit, put), ERR_NO_SUCH_KEY);
    *p = (Arca__Precondition)ARCA__PRECONDITION__INIT;
    p->n_if_match = 2;
    p->if_match = right;
    assert_int_equal(apply(kit, put), ERR_NO_SUCH_KEY);
    Arca__Mutation *first = kit_put(kit, KEY, "one");
    condition(kit, first)->must_not_exist = true;
    assert_int_equal(apply(kit, first), 0);

    p->if_match = wrong;
    assert_int_equal(apply(kit, put), ERR_PRECONDITION);
    *p = (Arca__Precondition)ARCA__PRECONDITION__INIT;
    p->must_not_exist = true;
    assert_int_equal(apply(kit, put), ERR_PRECONDITION);
    p->must_not_exist = false;
    p->n_if_none_match = 2;
    p->if_none_match = right;
    assert_int_equal(apply(kit, put), ERR_PRECONDITION);
    p->n_if_none_match = 0;
    p->has_unmodified_since = true;
    p->unmodified_since = 4;
    assert_int_equal(apply(kit, put), ERR_PRECONDITION);
    assert_string_equal(object_now(kit, KEY)->etag, "one");
    p->unmodified_since = 5;
    p->n_if_match = 2;
    p->if_match = right;
    assert_int_equal(apply(kit, put), 0);

    Arca__Mutation *del = kit_delete(kit, KEY);
    p = condition(kit, del);
    p->has_size = true;
    p->size = 11;
    assert_int_equal(apply(kit, del), ERR_PRECONDITION);
    p->size = 10;
    p->has_modified_exact = true;
    p->modified_exact = 6;
    assert_int_equal(apply(kit, del), ERR_PRECONDITION);
    p->modified_exact = 5;
    assert_int_equal(apply(kit, del), 0);
    assert_int_equal(apply(kit, del), ERR_NO_SUCH_KEY);
}

/* What does not hold together is refused and changes nothing; the rest of its batch goes on. */
static void invalid(void *arg)
{
    struct kit *kit = arg;
    int results[5];
    Arca__Meta *before, *after;
    kit_bucket(kit);
    Arca__Mutation *other_blob = kit_put(kit, KEY, "a"), *no_object = kit_put(kit, KEY, "b");
    Arca__Mutation *no_op = kit_mutation(kit, ARCA__MUTATION__OP__NOT_SET);
    Arca__Mutation *no_body = kit_mutation(kit, ARCA__MUTATION__OP_PUT_PART);
    other_blob->put_object->object->blob_id = kit_blob_id(kit, 999999);
    no_object->put_object->object = NULL;
    const Arca__Mutation *all[] = {other_blob, no_object, no_op, no_body, kit_put(kit, KEY, "good")};
    assert_int_equal(index_meta_get(kit->index, kit->arena, &before), 0);
    index_apply_all(kit->index, all, 5, results);
    assert_int_equal(index_meta_get(kit->index, kit->arena, &after), 0);
    assert_int_equal(results[0], ERR_INVALID);
    assert_int_equal(results[1], ERR_INVALID);
    assert_int_equal(results[2], ERR_UNSUPPORTED);
    assert_int_equal(results[3], ERR_INVALID);
    assert_int_equal(results[4], 0);
    assert_int_equal(after->sequence, before->sequence + 1);
}

static void extents(void *arg)
{
    struct kit *kit = arg;
    Arca__Extent **rows;
    Arca__Mutation *put = kit_put(kit, KEY, "e");
    kit_bucket(kit);
    put->put_object->bucket_id = kit->bucket;
    put->put_object->blob = kit_new_blob(kit, 100, 50);
    ProtobufCBinaryData id = put->put_object->object->blob_id = put->put_object->blob->blob->id;
    struct span blob_id = span_of(id.data, id.len);
    assert_int_equal(apply(kit, put), 0);
    assert_int_equal(index_extents_get(kit->index, blob_id, 45, 5, kit->arena, &rows), 0);
    assert_int_equal(rows[4]->number, 49);
    assert_int_equal(index_extents_get(kit->index, blob_id, 45, 6, kit->arena, &rows), ERR_NOT_FOUND);
    assert_int_equal(apply(kit, kit_delete(kit, KEY)), 0);
    Arca__Mutation *collected = kit_mutation(kit, ARCA__MUTATION__OP_COLLECTED);
    collected->collected = KIT_NEW(kit, Arca__Collected, arca__collected);
    collected->collected->n_blob_ids = 1;
    collected->collected->blob_ids = &id;
    assert_int_equal(index_extents_get(kit->index, blob_id, 0, 1, kit->arena, &rows), 0);
    assert_int_equal(apply(kit, collected), 0);
    assert_int_equal(index_extents_get(kit->index, blob_id, 0, 1, kit->arena, &rows), ERR_NOT_FOUND);
}

/* --- uploads --- */

static Arca__Mutation *create_upload(struct kit *kit, struct span key, const char *id)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_CREATE_UPLOAD);
    mutation->create_upload = KIT_NEW(kit, Arca__CreateUpload, arca__create_upload);
    mutation->create_upload->bucket_id = kit->bucket;
    Arca__Upload *upload = mutation->create_upload->upload = KIT_NEW(kit, Arca__Upload, arca__upload);
    upload->id = kit_data(id, 16);
    upload->key = kit_span(key);
    return mutation;
}

static Arca__Mutation *put_part(struct kit *kit, struct span key, const char *id, uint32_t number, uint64_t size)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_PUT_PART);
    Arca__PutPart *put = mutation->put_part = KIT_NEW(kit, Arca__PutPart, arca__put_part);
    put->bucket_id = kit->bucket;
    put->key = kit_span(key);
    put->upload_id = kit_data(id, 16);
    put->part = KIT_NEW(kit, Arca__Part, arca__part);
    put->part->number = number;
    put->part->size = size;
    put->part->etag = arena_printf(kit->arena, "etag-%u", number);
    if (size != 0) {
        put->blob = kit_new_blob(kit, size, 1);
        put->part->blob_id = put->blob->blob->id;
    }
    return mutation;
}

/* Parts `step` apart: step, 2 * step, ... */
static Arca__Mutation *complete(struct kit *kit, struct span key, const char *id, uint32_t parts, uint32_t step,
                                uint64_t size)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_COMPLETE_UPLOAD);
    Arca__CompleteUpload *done = mutation->complete_upload =
        KIT_NEW(kit, Arca__CompleteUpload, arca__complete_upload);
    done->bucket_id = kit->bucket;
    done->key = kit_span(key);
    done->upload_id = kit_data(id, 16);
    done->n_parts = parts;
    done->parts = arena_alloc(kit->arena, (parts + 1) * sizeof(*done->parts));
    for (uint32_t i = 0; i < parts; i++) {
        done->parts[i] = KIT_NEW(kit, Arca__CompletedPart, arca__completed_part);
        done->parts[i]->number = (i + 1) * step;
        done->parts[i]->etag = arena_printf(kit->arena, "etag-%u", (i + 1) * step);
    }
    done->object = kit_object(kit, size, "whole-2");
    done->object->part_count = parts;
    return mutation;
}

static Arca__Mutation *abort_upload(struct kit *kit, struct span key, const char *id)
{
    Arca__Mutation *mutation = kit_mutation(kit, ARCA__MUTATION__OP_ABORT_UPLOAD);
    mutation->abort_upload = KIT_NEW(kit, Arca__AbortUpload, arca__abort_upload);
    mutation->abort_upload->bucket_id = kit->bucket;
    mutation->abort_upload->key = kit_span(key);
    mutation->abort_upload->upload_id = kit_data(id, 16);
    return mutation;
}

static void multipart(void *arg)
{
    struct kit *kit = arg;
    Arca__Blob **garbage;
    Arca__Upload *upload;
    Arca__Part *part, **parts;
    size_t count;
    struct span id = SPAN_LITERAL(UPID);
    kit_bucket(kit);
    assert_int_equal(apply(kit, put_part(kit, KEY, UPID, 1, 5 * MIB)), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(apply(kit, create_upload(kit, KEY, UPID)), 0);
    assert_int_equal(apply(kit, create_upload(kit, KEY, UPID)), ERR_EXISTS);
    assert_int_equal(apply(kit, put_part(kit, KEY, UPID, 10, 5 * MIB)), 0);
    assert_int_equal(apply(kit, put_part(kit, KEY, UPID, 10, 6 * MIB)), 0); /* once more */
    assert_int_equal(garbage_now(kit, &garbage), 1);
    assert_int_equal(apply(kit, put_part(kit, KEY, UPID, 5, 5 * MIB)), 0);
    assert_int_equal(apply(kit, put_part(kit, KEY, UPID, 7, 5 * MIB)), 0);
    assert_int_equal(apply(kit, put_part(kit, KEY, UPID, 15, 100)), 0);
    assert_int_equal(apply(kit, put_part(kit, KEY, UPID, 0, 100)), ERR_INVALID);
    assert_int_equal(apply(kit, put_part(kit, KEY, UPID, 10001, 100)), ERR_INVALID);
    assert_int_equal(apply(kit, put_part(kit, SPAN_LITERAL("other"), UPID, 1, 100)), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(index_part_list(kit->index, id, 5, 2, kit->arena, &parts, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(parts[0]->number, 7);
    assert_int_equal(parts[1]->number, 10);

    uint64_t size = 11 * MIB + 100;
    assert_int_equal(apply(kit, complete(kit, KEY, UPID, 4, 5, size)), ERR_INVALID_PART);
    assert_int_equal(apply(kit, complete(kit, KEY, UPID, 0, 5, 0)), ERR_INVALID_PART);
    assert_int_equal(apply(kit, complete(kit, KEY, UPID, 3, 5, size + 1)), ERR_INVALID);
    Arca__Mutation *done = complete(kit, KEY, UPID, 3, 5, size);
    done->complete_upload->parts[1]->etag = "other";
    assert_int_equal(apply(kit, done), ERR_INVALID_PART);
    done->complete_upload->parts[1]->etag = "etag-10";
    done->complete_upload->parts[1]->number = 5;
    assert_int_equal(apply(kit, done), ERR_PART_ORDER);
    done->complete_upload->parts[1]->number = 10;
    condition(kit, done)->must_exist = true;
    assert_int_equal(apply(kit, done), ERR_NO_SUCH_KEY);
    done->complete_upload->precondition = NULL;
    assert_int_equal(apply(kit, done), 0);
    assert_int_equal(apply(kit, done), 0);
    done->complete_upload->object->etag = "whole-3"; /* another list, which lost the race */
    assert_int_equal(apply(kit, done), ERR_NO_SUCH_UPLOAD);
    done->complete_upload->object->etag = "whole-2";
    assert_int_equal(garbage_now(kit, &garbage), 2); /* part 7 was not listed */

    Arca__Object *object = object_now(kit, KEY);
    assert_int_equal(object->part_count, 3);
    assert_memory_equal(object->manifest_id.data, UPID, 16);
    assert_int_equal(index_upload_get(kit->index, kit->uploads, KEY, id, kit->arena, &upload), 0);
    assert_string_equal(upload->completed_etag, "whole-2");
    assert_int_equal(apply(kit, abort_upload(kit, KEY, UPID)), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(apply(kit, put_part(kit, KEY, UPID, 1, 100)), ERR_NO_SUCH_UPLOAD);

    assert_int_equal(index_part_at(kit->index, id, 0, kit->arena, &part), 0);
    assert_int_equal(part->number, 5);
    assert_int_equal(index_part_at(kit->index, id, 5 * MIB - 1, kit->arena, &part), 0);
    assert_int_equal(part->number, 5);
    assert_int_equal(index_part_at(kit->index, id, 5 * MIB, kit->arena, &part), 0);
    assert_int_equal(part->number, 10);
    assert_int_equal(index_part_at(kit->index, id, size - 1, kit->arena, &part), 0);
    assert_int_equal(part->number, 15);
    assert_int_equal(index_part_at(kit->index, id, size, kit->arena, &part), ERR_RANGE);
    assert_int_equal(index_part_get(kit->index, id, 10, kit->arena, &part), 0);
    assert_int_equal(index_part_get(kit->index, id, 7, kit->arena, &part), ERR_INVALID_PART);

    Arca__Mutation *forget = kit_mutation(kit, ARCA__MUTATION__OP_FORGET_UPLOADS);
    forget->forget_uploads = KIT_NEW(kit, Arca__ForgetUploads, arca__forget_uploads);
    forget->forget_uploads->completed_before_ms = done->time_ms;
    assert_int_equal(apply(kit, forget), 0);
    assert_int_equal(index_upload_get(kit->index, kit->uploads, KEY, id, kit->arena, &upload), 0);
    forget->forget_uploads->completed_before_ms = done->time_ms + 1;
    assert_int_equal(apply(kit, forget), 0);
    assert_int_equal(index_upload_get(kit->index, kit->uploads, KEY, id, kit->arena, &upload), ERR_NO_SUCH_UPLOAD);
}

/* A reader that began before the deletion finds its parts until the garbage is collected. */
static void manifest_garbage(void *arg)
{
    struct kit *kit = arg;
    Arca__Blob **garbage;
    Arca__Part *part;
    struct span id = SPAN_LITERAL(UPID);
    kit_bucket(kit);
    assert_int_equal(apply(kit, create_upload(kit, KEY, UPID)), 0);
    assert_int_equal(apply(kit, put_part(kit, KEY, UPID, 1, 5 * MIB)), 0);
    assert_int_equal(apply(kit, put_part(kit, KEY, UPID, 2, 5 * MIB)), 0);
    assert_int_equal(apply(kit, put_part(kit, KEY, UPID, 3, 0)), 0);
    assert_int_equal(apply(kit, complete(kit, KEY, UPID, 3, 1, 10 * MIB)), 0);
    Arca__Mutation *copy = kit_put(kit, SPAN_LITERAL("copy"), "");
    copy->put_object->object->manifest_id = kit_span(id);
    copy->put_object->object->size = 10 * MIB;
    assert_int_equal(apply(kit, copy), 0);
    assert_int_equal(apply(kit, kit_delete(kit, KEY)), 0);
    assert_int_equal(garbage_now(kit, &garbage), 0);
    assert_int_equal(apply(kit, kit_delete(kit, SPAN_LITERAL("copy"))), 0);
    assert_int_equal(garbage_now(kit, &garbage), 2);
    assert_int_equal(index_part_at(kit->index, id, 5 * MIB, kit->arena, &part), 0);
    assert_int_equal(apply(kit, copy), ERR_NOT_FOUND);

    Arca__Mutation *collected = kit_mutation(kit, ARCA__MUTATION__OP_COLLECTED);
    collected->collected = KIT_NEW(kit, Arca__Collected, arca__collected);
    ProtobufCBinaryData ids[] = {garbage[0]->id, garbage[1]->id};
    collected->collected->n_blob_ids = 2;
    collected->collected->blob_ids = ids;
    assert_int_equal(apply(kit, collected), 0);
    assert_int_equal(index_part_at(kit->index, id, 0, kit->arena, &part), ERR_RANGE);
    assert_int_equal(garbage_now(kit, &garbage), 0);
}

/* A listing takes the same memory whatever the clients have put into the headers. */
static void listed_uploads(void *arg)
{
    struct kit *kit = arg;
    struct index_listing listing;
    struct arena *small = arena_create(64 << 10);
    char *long_header = arena_zalloc(kit->arena, 40001);
    memset(long_header, 'x', 40000);
    kit_bucket(kit);
    for (int i = 0; i < 50; i++) {
        Arca__Mutation *mutation = create_upload(kit, KEY, arena_printf(kit->arena, "upload-%09d", i));
        Arca__Upload *upload = mutation->create_upload->upload;
        upload->headers = KIT_NEW(kit, Arca__Headers, arca__headers);
        upload->headers->cache_control = long_header;
        upload->headers->storage_class = "STANDARD_IA";
        upload->owner_name = "Owner";
        upload->created_ms = 1234567890123;
        upload->checksum_kind = 2;
        upload->checksum_full = true;
        assert_int_equal(apply(kit, mutation), 0);
    }
    struct index_list_query query = {.node = kit->uploads, .max = 1000};
    assert_int_equal(index_list(kit->index, &query, small, &listing), 0);
    assert_int_equal(listing.count, 50);
    const Arca__Upload *last = listing.entries[49].upload;
    assert_memory_equal(last->id.data, "upload-000000049", 16);
    assert_string_equal(last->headers->storage_class, "STANDARD_IA");
    assert_string_equal(last->owner_name, "Owner");
    assert_int_equal(last->created_ms, 1234567890123);
    assert_int_equal(last->checksum_kind, 2);
    assert_true(last->checksum_full);
    arena_free(small);
}

static void aborted(void *arg)
{
    struct kit *kit = arg;
    Arca__Blob **garbage;
    Arca__Upload *upload;
    struct index_listing listing;
    kit_bucket(kit);
    for (int i = 0; i < 6; i++) {
        struct span key = span_str(arena_printf(kit->arena, "key-%d", i / 2));
        char *id = arena_printf(kit->arena, "upload-%09d", i);
        assert_int_equal(apply(kit, create_upload(kit, key, id)), 0);
        assert_int_equal(apply(kit, put_part(kit, key, id, 1, 100)), 0);
    }
    struct index_list_query query = {.node = kit->uploads, .max = 3};
    assert_int_equal(index_list(kit->index, &query, kit->arena, &listing), 0);
    assert_int_equal(listing.count, 3);
    assert_true(listing.truncated);
    assert_memory_equal(listing.entries[2].upload->id.data, "upload-000000002", 16);
    query.start_after = SPAN_LITERAL("key-1");
    query.upload_after = SPAN_LITERAL("upload-000000002");
    assert_int_equal(index_list(kit->index, &query, kit->arena, &listing), 0);
    assert_int_equal(listing.count, 3);
    assert_false(listing.truncated);
    assert_memory_equal(listing.entries[0].upload->id.data, "upload-000000003", 16);
    query.upload_after = SPAN_NONE;
    assert_int_equal(index_list(kit->index, &query, kit->arena, &listing), 0);
    assert_int_equal(listing.count, 2);

    assert_int_equal(apply(kit, abort_upload(kit, SPAN_LITERAL("key-0"), "upload-000000000")), 0);
    assert_int_equal(apply(kit, abort_upload(kit, SPAN_LITERAL("key-0"), "upload-000000000")), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(garbage_now(kit, &garbage), 1);
    assert_int_equal(index_upload_get(kit->index, kit->uploads, SPAN_LITERAL("key-0"), SPAN_LITERAL("upload-000000000"),
                                      kit->arena, &upload),
                     ERR_NO_SUCH_UPLOAD);
    /* The bucket takes its unfinished uploads with it. */
    assert_int_equal(apply(kit, kit_delete_bucket(kit, "bucket")), 0);
    assert_int_equal(garbage_now(kit, &garbage), 6);
}

/* --- the rest --- */

static void leases_and_keys(void *arg)
{
    struct kit *kit = arg;
    Arca__Lease **leases;
    Arca__BucketKey **keys;
    Arca__Meta *meta;
    size_t count;
    kit_bucket(kit);
    Arca__Mutation *open = kit_mutation(kit, ARCA__MUTATION__OP_OPEN_LEASE);
    open->open_lease = KIT_NEW(kit, Arca__OpenLease, arca__open_lease);
    open->open_lease->lease = KIT_NEW(kit, Arca__Lease, arca__lease);
    open->open_lease->lease->id = kit_data("lease-01", 8);
    assert_int_equal(apply(kit, open), 0);
    assert_int_equal(apply(kit, open), ERR_EXISTS);
    assert_int_equal(index_lease_list(kit->index, kit->arena, &leases, &count), 0);
    assert_int_equal(count, 1);
    Arca__Mutation *close = kit_mutation(kit, ARCA__MUTATION__OP_CLOSE_LEASES);
    close->close_leases = KIT_NEW(kit, Arca__CloseLeases, arca__close_leases);
    close->close_leases->n_ids = 1;
    close->close_leases->ids = &open->open_lease->lease->id;
    assert_int_equal(leases[0]->closed_ms, 0);
    close->time_ms = 1234;
    assert_int_equal(apply(kit, close), 0);
    assert_int_equal(apply(kit, close), 0);
    assert_int_equal(index_lease_list(kit->index, kit->arena, &leases, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(leases[0]->closed_ms, 1234);
    close->close_leases->ids = &(ProtobufCBinaryData){8, (uint8_t *)(uintptr_t)"unknown!"};
    assert_int_equal(apply(kit, close), 0);

    assert_int_equal(apply(kit, kit_create_bucket(kit, "second", "owner", 20)), 0);
    assert_int_equal(index_key_list_older(kit->index, 2, 10, kit->arena, &keys, &count), 0);
    assert_int_equal(count, 2);
    Arca__Mutation *rewrap = kit_mutation(kit, ARCA__MUTATION__OP_REWRAP_KEYS);
    rewrap->rewrap_keys = KIT_NEW(kit, Arca__RewrapKeys, arca__rewrap_keys);
    rewrap->rewrap_keys->n_keys = 1;
    rewrap->rewrap_keys->keys = keys;
    keys[0]->root_generation = 2;
    assert_int_equal(apply(kit, rewrap), 0);
    keys[0]->id = 12345;
    assert_int_equal(apply(kit, rewrap), ERR_NOT_FOUND);
    assert_int_equal(index_key_list_older(kit->index, 2, 10, kit->arena, &keys, &count), 0);
    assert_int_equal(count, 1);

    Arca__Mutation *keyring = kit_mutation(kit, ARCA__MUTATION__OP_SET_KEYRING);
    keyring->set_keyring = KIT_NEW(kit, Arca__SetKeyring, arca__set_keyring);
    keyring->set_keyring->keyring_id = kit_data("keyring-a", 9);
    assert_int_equal(apply(kit, keyring), 0);
    assert_int_equal(apply(kit, keyring), 0);
    keyring->set_keyring->keyring_id = kit_data("keyring-b", 9);
    assert_int_equal(apply(kit, keyring), ERR_WRONG_KEY);
    assert_int_equal(index_meta_get(kit->index, kit->arena, &meta), 0);
    assert_memory_equal(meta->keyring_id.data, "keyring-a", 9);
    assert_int_equal(index_ready(kit->index), 0);
}

static void abandoned(void *arg)
{
    struct kit *kit = arg;
    Arca__Blob **garbage;
    kit_bucket(kit);
    Arca__Mutation *add = kit_mutation(kit, ARCA__MUTATION__OP_ADD_GARBAGE);
    add->add_garbage = KIT_NEW(kit, Arca__AddGarbage, arca__add_garbage);
    add->add_garbage->blob = kit_new_blob(kit, 30, 3);
    assert_int_equal(apply(kit, add), 0);
    assert_int_equal(apply(kit, add), ERR_EXISTS);
    assert_int_equal(garbage_now(kit, &garbage), 1);
    assert_int_equal(garbage[0]->extent_count, 3);
}

#define SCENARIOS(X)                                                                                                  \
    X(buckets) X(replaced) X(garbage_in_pages) X(copies) X(conditions) X(invalid) X(extents) X(multipart) X(manifest_garbage) X(aborted)  \
    X(listed_uploads)                                                                                                 \
    X(leases_and_keys) X(abandoned)

KIT_MAIN(SCENARIOS)
