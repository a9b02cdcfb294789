#include <stdio.h>
#include <sys/random.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "object/engine_private.h"

#define PARTS_PAGE 500
#define PAGE_LIMIT ((size_t)4 << 20)
#define MD5_SIZE   16
#define ETAG_SIZE  64

int upload_create(struct engine *engine, struct arena *arena, const Arca__Bucket *bucket, struct span key,
                  Arca__Upload *upload) SUSPENDS
{
    uint8_t *id = arena_alloc(arena, UPLOAD_ID_SIZE);
    if (id == NULL)
        return ERR_NOMEM;
    if (getentropy(id, UPLOAD_ID_SIZE) != 0)
        return ERR_IO;
    upload->id = bytes_of(id, UPLOAD_ID_SIZE);
    upload->key = bytes_of(key.ptr, key.len);
    upload->created_ms = clock_wall_ms();
    Arca__CreateUpload create = ARCA__CREATE_UPLOAD__INIT;
    create.bucket_id = bucket->id;
    create.upload = upload;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_CREATE_UPLOAD;
    mutation.create_upload = &create;
    return engine_apply(engine, &mutation);
}

int upload_abort(struct engine *engine, struct arena *arena, const Arca__Bucket *bucket, struct span key,
                 struct span upload_id) SUSPENDS
{
    (void)arena;
    Arca__AbortUpload abort = ARCA__ABORT_UPLOAD__INIT;
    abort.bucket_id = bucket->id;
    abort.key = bytes_of(key.ptr, key.len);
    abort.upload_id = bytes_of(upload_id.ptr, upload_id.len);
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_ABORT_UPLOAD;
    mutation.abort_upload = &abort;
    return engine_apply(engine, &mutation);
}

/* --- completion --- */

/* The ETag follows from what the client lists alone, so that a repeated completion can be told from another one. */
static int etag_of_parts(const struct upload_complete *complete, char out[ETAG_SIZE])
{
    struct digest *md5;
    uint8_t raw[DIGEST_MAX];
    uint32_t last = 0;
    if (complete->part_count == 0 || complete->part_count > PART_NUMBER_MAX)
        return ERR_INVALID_PART;
    int rc = digest_create(DIGEST_MD5, &md5);
    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < complete->part_count; i++) {
        const Arca__CompletedPart *part = complete->parts[i];
        if (part->number <= last)
            rc = ERR_PART_ORDER;
        else if (text_unhex(span_str(part->etag), raw, MD5_SIZE) != 0)
            rc = ERR_INVALID_PART;
        else
            digest_update(md5, span_of(raw, MD5_SIZE));
        last = part->number;
    }
    digest_final(md5, raw);
    digest_free(md5);
    text_hex(span_of(raw, MD5_SIZE), out);
    snprintf(out + 2 * MD5_SIZE, ETAG_SIZE - 2 * MD5_SIZE, "-%zu", complete->part_count);
    return rc;
}

/* What grows while the parts are walked. */
struct whole {
    enum digest_kind kind; /* DIGEST_NONE: no checksum */
    bool full;             /* of all bytes, else of the parts' checksums */
    uint64_t size;
    uint8_t crc[DIGEST_MAX];
    struct digest *digest;
};

static int add_checksum(struct whole *whole, const Arca__Part *part, bool first)
{
    for (size_t i = 0; i < part->n_checksums; i++) {
        const Arca__Checksum *checksum = part->checksums[i];
        if (checksum->kind != (uint32_t)whole->kind || checksum->value.len != digest_size(whole->kind))
            continue;
        if (!whole->full)
            digest_update(whole->digest, span_of_bytes(checksum->value));
        else if (first)
            memcpy(whole->crc, checksum->value.data, checksum->value.len);
        else
            return digest_crc_combine(whole->kind, whole->crc, checksum->value.data, part->size);
        return 0;
    }
    return ERR_INVALID_PART; /* it was uploaded without the checksum that the upload was created for */
}

static int add_part(struct whole *whole, const struct upload_complete *complete, size_t i, const Arca__Part *part)
{
    if (part->number != complete->parts[i]->number ||
        !span_eq(span_str(part->etag), span_str(complete->parts[i]->etag)))
        return ERR_INVALID_PART;
    if (__builtin_add_overflow(whole->size, part->size, &whole->size) || whole->size > OBJECT_SIZE_MAX)
        return ERR_TOO_LARGE;
    return whole->kind != DIGEST_NONE ? add_checksum(whole, part, i == 0) : 0;
}

/* Walks the upload's parts beside the client's list, a page at a time. Parts that are not listed are passed over. Sizes
 * of parts are judged by the index, when it applies the completion. */
static int walk_parts(struct engine *engine, const struct upload_complete *complete, struct whole *whole) SUSPENDS
{
    struct arena *page = arena_create(PAGE_LIMIT);
    if (page == NULL)
        return ERR_NOMEM;
    size_t i = 0;
    int rc = 0;
    while (rc == 0 && i < complete->part_count) {
        Arca__Part **parts;
        size_t count;
        arena_reset(page);
        rc = index_part_list(engine->options.index, complete->upload_id, complete->parts[i]->number - 1, PARTS_PAGE,
                             page, &parts, &count);
        if (rc == 0 && count == 0)
            rc = ERR_INVALID_PART;
        for (size_t k = 0; rc == 0 && k < count && i < complete->part_count; k++) {
            if (parts[k]->number < complete->parts[i]->number)
                continue;
            rc = add_part(whole, complete, i, parts[k]);
            i++;
        }
    }
    arena_free(page);
    return rc;
}

/* The object's checksum, compared with the client's. */
static int seal_checksum(struct whole *whole, struct arena *arena, const struct upload_complete *complete)
{
    Arca__Object *object = complete->object;
    if (whole->kind == DIGEST_NONE)
        return complete->checksum.len > 0 ? ERR_BAD_CHECKSUM : 0;
    if (!whole->full)
        digest_final(whole->digest, whole->crc);
    struct span value = arena_dup(arena, span_of(whole->crc, digest_size(whole->kind)));
    Arca__Checksum *checksum = arena_alloc(arena, sizeof(*checksum));
    object->checksums = arena_alloc(arena, sizeof(*object->checksums));
    if (value.ptr == NULL || checksum == NULL || object->checksums == NULL)
        return ERR_NOMEM;
    arca__checksum__init(checksum);
    checksum->kind = (uint32_t)whole->kind;
    checksum->value = bytes_of(value.ptr, value.len);
    checksum->composite = !whole->full;
    object->checksums[0] = checksum;
    object->n_checksums = 1;
    return complete->checksum.len > 0 && !span_eq(complete->checksum, value) ? ERR_BAD_CHECKSUM : 0;
}

static int describe_whole(struct engine *engine, struct arena *arena, const struct upload_complete *complete,
                          const Arca__Upload *upload) SUSPENDS
{
    Arca__Object *object = complete->object;
    struct whole whole = {.kind = (enum digest_kind)upload->checksum_kind, .full = upload->checksum_full};
    int rc = 0;
    if (digest_size(whole.kind) == 0)
        whole.kind = DIGEST_NONE;
    if (whole.kind != DIGEST_NONE && !whole.full)
        rc = digest_create(whole.kind, &whole.digest);
    if (rc == 0)
        rc = walk_parts(engine, complete, &whole);
    if (rc == 0 && complete->size != 0 && complete->size != whole.size)
        rc = ERR_INVALID;
    if (rc == 0)
        rc = seal_checksum(&whole, arena, complete);
    digest_free(whole.digest);
    object->size = whole.size;
    object->headers = upload->headers;
    object->owner_id = upload->owner_id;
    object->owner_name = upload->owner_name;
    return rc;
}

static int commit(struct engine *engine, const struct upload_complete *complete) SUSPENDS
{
    Arca__CompleteUpload op = ARCA__COMPLETE_UPLOAD__INIT;
    op.bucket_id = complete->bucket->id;
    op.key = bytes_of(complete->key.ptr, complete->key.len);
    op.upload_id = bytes_of(complete->upload_id.ptr, complete->upload_id.len);
    op.parts = complete->parts;
    op.n_parts = complete->part_count;
    op.object = complete->object;
    op.precondition = complete->precondition;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_COMPLETE_UPLOAD;
    mutation.complete_upload = &op;
    return engine_apply(engine, &mutation);
}

/* Completed before, with this very list: what the object says is told again as long as it still is that object. */
static int repeat(struct engine *engine, struct arena *arena, const struct upload_complete *complete,
                  const Arca__Upload *upload) SUSPENDS
{
    Arca__Object *present;
    if (!span_eq(span_str(upload->completed_etag), span_str(complete->object->etag)))
        return ERR_NO_SUCH_UPLOAD;
    int rc = index_object_get(engine->options.index, complete->bucket->id, complete->key, arena, &present, NULL);
    if (rc == 0 && span_eq(span_str(present->etag), span_str(complete->object->etag)))
        *complete->object = *present;
    return rc == ERR_NO_SUCH_KEY ? 0 : rc;
}

int upload_complete(struct engine *engine, struct arena *arena, struct upload_complete *complete) SUSPENDS
{
    Arca__Upload *upload;
    Arca__Object *object = complete->object;
    int rc = index_upload_get(engine->options.index, complete->bucket->uploads_node, complete->key, complete->upload_id,
                              arena, &upload);
    if (rc != 0)
        return rc;
    object->etag = arena_alloc(arena, ETAG_SIZE);
    if (object->etag == NULL)
        return ERR_NOMEM;
    if ((rc = etag_of_parts(complete, object->etag)) != 0)
        return rc;
    object->part_count = (uint32_t)complete->part_count;
    object->manifest_id = bytes_of(complete->upload_id.ptr, complete->upload_id.len);
    object->modified_ms = clock_wall_ms();
    if (upload->completed_etag[0] != '\0')
        return repeat(engine, arena, complete, upload);
    rc = describe_whole(engine, arena, complete, upload);
    return rc != 0 ? rc : commit(engine, complete);
}
