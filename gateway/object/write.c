#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "object/aside.h"
#include "object/engine_private.h"
#include "store/store.h"

#define RUN_SEGMENTS 16 /* read at once: for fewer system calls, and that bodies meet where they are digested */

/* A body on its way into the store. At most two blocks: one being filled, one being stored. While it waits for a block,
 * it holds none but the one that is on its way out, so that writers never wait for each other in a circle. */
struct body_write {
    struct engine *engine;
    struct arena *arena;
    const Arca__Bucket *bucket;
    struct source *source;
    struct write_seal seal;
    uint64_t size_max;
    int64_t deadline_ms;
    /* what comes out */
    char *etag;
    Arca__Checksum **checksums;
    size_t checksum_count;
    Arca__NewBlob new_blob;
    Arca__Blob blob; /* size 0: an empty body, no blob */
    uint8_t *id;     /* in the arena: the object's record refers to it */
    uint8_t wrapped[WRAPPED_KEY_SIZE];
    /* on the way */
    struct data_key *key; /* NULL until there is a first byte */
    Arca__Extent **extents;
    size_t extent_count, extents_size;
    struct aside aside;
    struct block *flying;
    Arca__Extent *flying_extent;
    struct store_body stored;
};

/* --- an extent is filled --- */

static int begin_blob(struct body_write *w) SUSPENDS
{
    const struct bucket_key *bucket_key;
    enum envelope_suite suite = w->engine->options.suite;
    int rc = engine_bucket_key(w->engine, w->bucket->key_id, w->arena, &bucket_key);
    if (rc != 0)
        return rc;
    if ((w->id = arena_alloc(w->arena, BLOB_ID_SIZE)) == NULL)
        return ERR_NOMEM;
    engine_blob_id(w->engine, w->id);
    if ((rc = data_key_create(bucket_key, suite, w->id, w->wrapped, &w->key)) != 0)
        return rc;
    w->blob.id = bytes_of(w->id, BLOB_ID_SIZE);
    w->blob.suite = suite;
    w->blob.extent_size = w->engine->options.extent_size;
    w->blob.key_id = w->bucket->key_id;
    w->blob.wrapped_key = bytes_of(w->wrapped, WRAPPED_KEY_SIZE);
    return 0;
}

/* A row for the next extent, made before its bytes are stored: what is stored can then always be told. */
static int add_extent(struct body_write *w, Arca__Extent **out)
{
    if (w->extent_count == w->extents_size) {
        size_t size = w->extents_size * 2;
        if (size == 0) {
            uint64_t extent_size = w->engine->options.extent_size;
            size = w->source->length > 0 ? (size_t)((uint64_t)(w->source->length - 1) / extent_size + 1) : 8;
        }
        Arca__Extent **extents = arena_alloc(w->arena, size * sizeof(Arca__Extent *));
        if (extents == NULL)
            return ERR_NOMEM;
        if (w->extent_count > 0)
            memcpy(extents, w->extents, w->extent_count * sizeof(Arca__Extent *));
        w->extents = extents;
        w->extents_size = size;
    }
    Arca__Extent *extent = arena_alloc(w->arena, sizeof(*extent));
    if (extent == NULL)
        return ERR_NOMEM;
    arca__extent__init(extent);
    extent->number = (uint32_t)w->extent_count;
    w->extents[w->extent_count++] = extent;
    *out = extent;
    return 0;
}

/* Reads plaintext into its place behind the `filled` bytes that are there, up to `room` in all and RUN_SEGMENTS
 * segments. *more: there may be more. */
static int fill_run(struct body_write *w, struct block *block, uint64_t filled, uint64_t room, size_t *got,
                    bool *more) SUSPENDS
{
    struct iovec iov[RUN_SEGMENTS];
    size_t want = 0;
    int count = 0;
    for (uint64_t n = filled / ENVELOPE_SEGMENT; count < RUN_SEGMENTS && filled + want < room; n++, count++) {
        uint64_t left = room - filled - want;
        iov[count].iov_base = block->data + envelope_segment_offset(w->engine->options.suite, n);
        iov[count].iov_len = left < ENVELOPE_SEGMENT ? (size_t)left : ENVELOPE_SEGMENT;
        want += iov[count].iov_len;
    }
    int rc = source_readv(w->source, iov, count, got);
    if (rc == 0 && *got < want && w->source->length >= 0)
        return ERR_INCOMPLETE_BODY;
    *more = *got == want && filled + want < room;
    return rc;
}

/* Reads up to `room` bytes and seals them. A segment is sealed when the next one is there, since the last one carries
 * the final flag. *plain is 0 when the source has no more. */
static int fill_extent(struct body_write *w, struct block *block, uint64_t room, uint64_t *plain) SUSPENDS
{
    struct extent_sealer sealer;
    uint64_t filled = 0, sealed = 0;
    size_t got;
    bool more;
    *plain = 0;
    int rc = fill_run(w, block, 0, room, &got, &more);
    if (rc != 0 || got == 0)
        return rc;
    if (w->key == NULL && (rc = begin_blob(w)) != 0)
        return rc;
    if ((rc = extent_seal_begin(&sealer, w->key, (uint32_t)w->extent_count, block->data)) != 0)
        return rc;
    for (;;) {
        filled += got;
        while (filled - sealed > ENVELOPE_SEGMENT || (!more && filled > sealed)) {
            size_t length = filled - sealed < ENVELOPE_SEGMENT ? (size_t)(filled - sealed) : ENVELOPE_SEGMENT;
            sealed += length;
            extent_seal_segment(&sealer, length, !more && sealed == filled);
        }
        if (!more || (rc = fill_run(w, block, filled, room, &got, &more)) != 0)
            break;
    }
    extent_seal_end(&sealer);
    *plain = filled;
    block->length = rc == 0 ? (size_t)envelope_extent_size(w->engine->options.suite, filled) : 0;
    return rc;
}

/* The source must say that this is the end: then all that it can check held. */
static int finish_source(struct body_write *w) SUSPENDS
{
    uint8_t beyond;
    size_t got;
    int rc = source_read(w->source, &beyond, 1, &got);
    if (rc == 0 && got > 0)
        rc = ERR_TOO_LARGE;
    if (rc == 0 && w->seal.described != NULL)
        rc = w->seal.described(w->seal.arg, &w->etag, &w->checksums, &w->checksum_count);
    return rc;
}

/* The next sealed extent, or *out NULL and *last when there is none. */
static int next_extent(struct body_write *w, struct block **out, bool *last) SUSPENDS
{
    struct block *block = NULL;
    uint64_t extent_size = w->engine->options.extent_size;
    uint64_t room = extent_size, plain = 0;
    int rc = 0;
    if (w->source->length >= 0 && (uint64_t)w->source->length - w->blob.size < room)
        room = (uint64_t)w->source->length - w->blob.size;
    if (room > 0) {
        rc = block_create(w->engine->options.budget, (size_t)envelope_extent_size(w->engine->options.suite, room),
                          w->deadline_ms, &block);
        if (rc == 0)
            rc = fill_extent(w, block, room, &plain);
    }
    w->blob.size += plain;
    if (rc == 0 && w->blob.size > w->size_max)
        rc = ERR_TOO_LARGE;
    *last = w->source->length >= 0 ? w->blob.size == (uint64_t)w->source->length : plain < extent_size;
    if (rc == 0 && *last)
        rc = finish_source(w);
    if (rc != 0 || plain == 0) {
        block_unref(block);
        block = NULL;
    }
    *out = block;
    return rc;
}

/* --- an extent is stored --- */

static int store_extent(struct body_write *w, struct block *block, Arca__Extent *extent) SUSPENDS
{
    int rc = store_put_extent(w->engine->options.store, span_str(w->bucket->placement), w->id, extent->number, block,
                              w->arena, &w->stored, &extent->replicas, &extent->n_replicas);
    block_unref(block);
    if (rc != 0) {
        extent->n_replicas = 0;
        atomic_store(&w->engine->unaccounted, true);
    }
    return rc;
}

static int store_flying(void *arg) SUSPENDS
{
    struct body_write *w = arg;
    return store_extent(w, w->flying, w->flying_extent);
}

/* Every extent but the last is stored while the next one is filled. The last goes at once, beside the one before it:
 * they share a sync. */
static int send_extent(struct body_write *w, struct block *block, bool last) SUSPENDS
{
    Arca__Extent *extent;
    int rc = last ? 0 : aside_join(&w->aside);
    if (rc == 0)
        rc = add_extent(w, &extent);
    if (rc != 0) {
        block_unref(block);
        return rc;
    }
    if (last)
        return store_extent(w, block, extent);
    w->flying = block;
    w->flying_extent = extent;
    aside_start(&w->aside, store_flying, w);
    return 0;
}

static void describe_blob(struct body_write *w)
{
    int64_t repair_delay_ms = store_body_gather(&w->stored);
    bool whole = true;
    for (size_t i = 0; i < w->extent_count; i++)
        whole = whole && w->extents[i]->n_replicas >= w->stored.wanted;
    w->blob.extent_count = (uint32_t)w->extent_count;
    w->blob.placement = w->bucket->placement;
    arca__new_blob__init(&w->new_blob);
    w->new_blob.blob = &w->blob;
    if (!whole)
        w->new_blob.repair_ms = clock_wall_ms() + repair_delay_ms;
    if (w->extent_count == 1) {
        w->blob.replicas = w->extents[0]->replicas;
        w->blob.n_replicas = w->extents[0]->n_replicas;
    } else {
        w->new_blob.extents = w->extents;
        w->new_blob.n_extents = w->extent_count;
    }
}

/* Stores the whole body and has it described. Whatever this returns, nothing is under way any more, and body_abandon is
 * called unless the blob gets into the index. */
static int body_store(struct body_write *w) SUSPENDS
{
    bool last = false;
    int rc = 0;
    arca__blob__init(&w->blob);
    if (w->source->length > 0 && (uint64_t)w->source->length > w->size_max)
        return ERR_TOO_LARGE;
    while (rc == 0 && !last) {
        struct block *block;
        rc = next_extent(w, &block, &last);
        if (rc == 0 && block != NULL)
            rc = send_extent(w, block, last);
    }
    int stored = aside_join(&w->aside);
    data_key_free(w->key);
    describe_blob(w);
    return rc != 0 ? rc : stored;
}

/* The blob is in the index, and so will be what is still being stored of it. */
static void body_committed(struct body_write *w)
{
    store_body_settle(&w->stored, w->engine->options.index);
}

/* What was stored becomes garbage. Extents that failed have rows without replicas. */
static void body_abandon(struct body_write *w) SUSPENDS
{
    bool stored = false;
    store_body_settle(&w->stored, NULL);
    for (size_t i = 0; i < w->extent_count; i++)
        stored = stored || w->extents[i]->n_replicas > 0;
    if (!stored)
        return;
    Arca__AddGarbage garbage = ARCA__ADD_GARBAGE__INIT;
    garbage.blob = &w->new_blob;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_ADD_GARBAGE;
    mutation.add_garbage = &garbage;
    int rc = engine_apply(w->engine, &mutation);
    if (rc == 0)
        return;
    char hex[2 * BLOB_ID_SIZE + 1];
    text_hex(span_of(w->id, BLOB_ID_SIZE), hex);
    atomic_store(&w->engine->unaccounted, true);
    log_warn("garbage_add", "blob %s of an abandoned write is not noted as garbage: %s", hex, err_text(rc));
}

/* --- objects and parts --- */

/* An empty body needs no backend. */
static int check_store(struct engine *engine, const Arca__Bucket *bucket, const struct source *body,
                       unsigned *retry_after_s)
{
    if (body->length == 0)
        return 0;
    return store_writable(engine->options.store, span_str(bucket->placement), retry_after_s);
}

/* A write that cannot succeed is refused before its body is read. */
static int check_early(struct engine *engine, struct arena *arena, const struct object_put *put) SUSPENDS
{
    Arca__Object *present;
    if (put->precondition == NULL)
        return 0;
    int rc = index_object_get(engine->options.index, put->bucket->id, put->key, arena, &present, NULL);
    if (rc != 0 && rc != ERR_NO_SUCH_KEY)
        return rc;
    return index_precondition(put->precondition, rc == 0 ? present : NULL);
}

/* The course of every write: refused early, stored, committed, or given up. `commit` names the body in the index. */
static int body_write(struct body_write *w, unsigned *retry_after_s,
                      int (*commit)(struct body_write *w, void *put) SUSPENDS, void *put) SUSPENDS
{
    int rc = check_store(w->engine, w->bucket, w->source, retry_after_s);
    if (rc != 0)
        return rc;
    rc = body_store(w);
    if (rc == 0)
        rc = commit(w, put);
    if (rc == 0 || rc == ERR_UNSHIPPED)
        body_committed(w);
    else
        body_abandon(w);
    return rc;
}

static int commit_object(struct body_write *w, void *arg) SUSPENDS
{
    struct object_put *put = arg;
    Arca__Object *object = put->object;
    object->size = w->blob.size;
    object->modified_ms = clock_wall_ms();
    object->etag = w->etag != NULL ? w->etag : object->etag;
    object->checksums = w->checksums;
    object->n_checksums = w->checksum_count;
    object->blob_id = w->blob.id;
    Arca__PutObject op = ARCA__PUT_OBJECT__INIT;
    op.bucket_id = put->bucket->id;
    op.key = bytes_of(put->key.ptr, put->key.len);
    op.object = object;
    op.blob = w->blob.size > 0 ? &w->new_blob : NULL;
    op.precondition = put->precondition;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_PUT_OBJECT;
    mutation.put_object = &op;
    return engine_apply(w->engine, &mutation);
}

int object_put(struct engine *engine, struct arena *arena, struct object_put *put) SUSPENDS
{
    int rc = check_early(engine, arena, put);
    if (rc != 0)
        return rc;
    struct body_write w = {
        .engine = engine,
        .arena = arena,
        .bucket = put->bucket,
        .source = put->body,
        .seal = put->seal,
        .size_max = put->size_max,
        .deadline_ms = put->deadline_ms,
    };
    return body_write(&w, &put->retry_after_s, commit_object, put);
}

static int commit_part(struct body_write *w, void *arg) SUSPENDS
{
    struct part_put *put = arg;
    Arca__Part *part = put->part;
    part->size = w->blob.size;
    part->modified_ms = clock_wall_ms();
    part->etag = w->etag != NULL ? w->etag : part->etag;
    part->checksums = w->checksums;
    part->n_checksums = w->checksum_count;
    part->blob_id = w->blob.id;
    Arca__PutPart op = ARCA__PUT_PART__INIT;
    op.bucket_id = put->bucket->id;
    op.key = bytes_of(put->key.ptr, put->key.len);
    op.upload_id = bytes_of(put->upload_id.ptr, put->upload_id.len);
    op.part = part;
    op.blob = w->blob.size > 0 ? &w->new_blob : NULL;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_PUT_PART;
    mutation.put_part = &op;
    return engine_apply(w->engine, &mutation);
}

int part_put(struct engine *engine, struct arena *arena, struct part_put *put) SUSPENDS
{
    Arca__Upload *upload;
    int rc =
        index_upload_get(engine->options.index, put->bucket->uploads_node, put->key, put->upload_id, arena, &upload);
    if (rc == 0 && upload->completed_etag[0] != '\0')
        rc = ERR_NO_SUCH_UPLOAD;
    if (rc != 0)
        return rc;
    struct body_write w = {
        .engine = engine,
        .arena = arena,
        .bucket = put->bucket,
        .source = put->body,
        .seal = put->seal,
        .size_max = PART_SIZE_MAX,
        .deadline_ms = put->deadline_ms,
    };
    return body_write(&w, &put->retry_after_s, commit_part, put);
}
