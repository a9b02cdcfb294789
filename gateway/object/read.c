#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "object/aside.h"
#include "object/engine_private.h"
#include "store/store.h"

#define CHUNK_SEGMENTS 8  /* read and decrypted at a time: half a MiB stays in the cache between the steps */
#define EXTENTS_BATCH  16 /* rows looked up at a time */
#define ROWS_LIMIT     ((size_t)1 << 20)

/* Some verified plaintext, in a block of the budget or in the reader's own memory. */
struct chunk {
    struct block *block;
    struct span spans[CHUNK_SEGMENTS];
    size_t count;
};

/* One of two fibers moves on through the object: object_read's caller, or the one that reads ahead. Never both. */
struct object_reader {
    struct engine *engine;
    struct arena *arena;
    const Arca__Object *object;
    const Arca__Blob *only;   /* NULL for empty and multipart objects */
    struct store_reader mark; /* while `marked`, garbage collection waits */
    bool marked;
    uint64_t next, end; /* in the object: the next byte to fetch, and where to stop */
    /* the blob that `next` is in */
    const Arca__Blob *blob;
    uint64_t blob_offset; /* in the object */
    struct data_key *key;
    Arca__Extent **extents; /* rows of several extents: a batch of them */
    uint32_t extents_first, extents_count;
    struct arena *part_rows;   /* NULL until needed; forgotten at every part */
    struct arena *extent_rows; /* and at every batch */
    struct arena *moved_rows;  /* and whenever replicas are looked for again */
    /* what is handed out */
    struct chunk current, ahead;
    size_t given; /* spans of current */
    bool reading_ahead;
    struct aside aside;
    uint8_t *own; /* of a source: the memory for one segment */
};

/* --- where the bytes are --- */

static int rows_arena(struct arena **arena)
{
    if (*arena != NULL)
        arena_reset(*arena);
    else
        *arena = arena_create(ROWS_LIMIT);
    return *arena != NULL ? 0 : ERR_NOMEM;
}

/* The index and what a backend keeps disagree, or the index is not whole: the object cannot be read. */
static int damaged(const Arca__Blob *blob, const char *what)
{
    char hex[2 * BLOB_ID_SIZE + 1] = "";
    if (blob->id.len == BLOB_ID_SIZE)
        text_hex(span_of_bytes(blob->id), hex);
    metrics_add(METRIC_DAMAGED_READS, 1);
    log_error("damaged", "blob %s: %s", hex, what);
    return ERR_CORRUPT;
}

/* Takes up a blob, whose row others may have damaged. */
static int enter_blob(struct object_reader *r, const Arca__Blob *blob, uint64_t offset, uint64_t size) SUSPENDS
{
    const struct bucket_key *bucket_key;
    if (blob->id.len != BLOB_ID_SIZE || blob->size == 0 || blob->size != size || blob->extent_size == 0 ||
        blob->extent_size % ENVELOPE_SEGMENT != 0 || blob->extent_count != (blob->size - 1) / blob->extent_size + 1)
        return damaged(blob, "its row in the index contradicts itself");
    int rc = engine_bucket_key(r->engine, blob->key_id, r->arena, &bucket_key);
    if (rc != 0)
        return rc;
    data_key_free(r->key);
    r->key = NULL;
    rc = data_key_open(bucket_key, (enum envelope_suite)blob->suite, blob->id.data, span_of_bytes(blob->wrapped_key),
                       &r->key);
    if (rc != 0)
        return rc == ERR_NOMEM ? rc : damaged(blob, "its data key does not open");
    r->blob = blob;
    r->blob_offset = offset;
    r->extents_count = 0;
    return 0;
}

static int enter_part(struct object_reader *r) SUSPENDS
{
    Arca__Part *part;
    Arca__Blob *blob;
    struct index *index = r->engine->options.index;
    r->blob = NULL; /* its row goes now */
    int rc = rows_arena(&r->part_rows);
    if (rc == 0)
        rc = index_part_at(index, span_of_bytes(r->object->manifest_id), r->next, r->part_rows, &part);
    if (rc == 0)
        rc = index_blob_get(index, span_of_bytes(part->blob_id), r->part_rows, &blob);
    if (rc == 0 && (part->offset > r->next || r->next - part->offset >= part->size))
        rc = ERR_CORRUPT;
    if (rc == 0)
        return enter_blob(r, blob, part->offset, part->size);
    if (rc == ERR_NOMEM || rc == ERR_CANCELED)
        return rc;
    log_error("damaged", "a part of a multipart object is not in the index: %s", err_text(rc));
    return ERR_CORRUPT;
}

/* Sees to it that r->blob is the one that has the next byte. An object's only blob is entered as late as this because
 * many who open an object never read it. */
static int enter(struct object_reader *r) SUSPENDS
{
    if (r->blob != NULL && r->next - r->blob_offset < r->blob->size)
        return 0;
    if (r->object->manifest_id.len > 0)
        return enter_part(r);
    if (r->only != NULL)
        return enter_blob(r, r->only, 0, r->object->size);
    log_error("damaged", "an object with bytes has no blob");
    return ERR_CORRUPT;
}

static int find_replicas(struct object_reader *r, uint32_t number, Arca__Replica ***replicas, size_t *count) SUSPENDS
{
    const Arca__Blob *blob = r->blob;
    if (blob->extent_count == 1) {
        *replicas = blob->replicas;
        *count = blob->n_replicas;
        return 0;
    }
    if (number < r->extents_first || number - r->extents_first >= r->extents_count) {
        uint32_t batch = blob->extent_count - number < EXTENTS_BATCH ? blob->extent_count - number : EXTENTS_BATCH;
        r->extents_count = 0;
        int rc = rows_arena(&r->extent_rows);
        if (rc == 0)
            rc = index_extents_get(r->engine->options.index, span_of_bytes(blob->id), number, batch, r->extent_rows,
                                   &r->extents);
        if (rc != 0)
            return rc == ERR_NOT_FOUND ? damaged(blob, "extents are missing in the index") : rc;
        r->extents_first = number;
        r->extents_count = batch;
    }
    const Arca__Extent *extent = r->extents[number - r->extents_first];
    *replicas = extent->replicas;
    *count = extent->n_replicas;
    return 0;
}

static bool has_replica(Arca__Replica *const *replicas, size_t count, const Arca__Replica *replica)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(replicas[i]->backend, replica->backend) == 0 &&
            span_eq(span_of_bytes(replicas[i]->locator), span_of_bytes(replica->locator)))
            return true;
    }
    return false;
}

/* As the index has them now, whose row may have changed since it was read. They stay until this is called again. */
static int find_fresh(struct object_reader *r, uint32_t number, Arca__Replica ***replicas, size_t *count) SUSPENDS
{
    struct index *index = r->engine->options.index;
    Arca__Extent **extents = NULL;
    Arca__Blob *blob = NULL;
    int rc = rows_arena(&r->moved_rows);
    if (rc == 0 && r->blob->extent_count == 1)
        rc = index_blob_get(index, span_of_bytes(r->blob->id), r->moved_rows, &blob);
    else if (rc == 0)
        rc = index_extents_get(index, span_of_bytes(r->blob->id), number, 1, r->moved_rows, &extents);
    if (rc != 0)
        return rc;
    *replicas = blob != NULL ? blob->replicas : extents[0]->replicas;
    *count = blob != NULL ? blob->n_replicas : extents[0]->n_replicas;
    return 0;
}

/* While a placement changes, what a row of a moment ago names may be elsewhere by now. True: there are others, which
 * take the place of those that failed. */
static bool find_moved(struct object_reader *r, uint32_t number, Arca__Replica ***replicas, size_t *count) SUSPENDS
{
    Arca__Replica **fresh;
    size_t fresh_count;
    bool others = false;
    if (find_fresh(r, number, &fresh, &fresh_count) != 0)
        return false;
    for (size_t i = 0; i < fresh_count; i++)
        others = others || !has_replica(*replicas, *count, fresh[i]);
    if (others) {
        *replicas = fresh;
        *count = fresh_count;
    }
    return others;
}

/* --- a chunk is read --- */

/* Some segments of one extent. */
struct window {
    uint32_t extent;
    uint64_t stored;        /* bytes of the whole extent */
    uint64_t first, count;  /* segments */
    uint64_t begin, length; /* stored bytes to read; with the header when they begin with segment 0 */
    uint64_t skip, plain;   /* plaintext that is wanted: behind `skip` bytes of the first segment */
};

static void choose_window(const struct object_reader *r, struct window *out)
{
    const Arca__Blob *blob = r->blob;
    enum envelope_suite suite = (enum envelope_suite)blob->suite;
    uint64_t in_blob = r->next - r->blob_offset;
    uint64_t extent = in_blob / blob->extent_size;
    uint64_t rest = blob->size - extent * blob->extent_size;
    uint64_t extent_plain = rest < blob->extent_size ? rest : blob->extent_size;
    uint64_t at = in_blob - extent * blob->extent_size;
    uint64_t most = r->own != NULL ? 1 : CHUNK_SEGMENTS;
    *out = (struct window){
        .extent = (uint32_t)extent,
        .stored = envelope_extent_size(suite, extent_plain),
        .first = at / ENVELOPE_SEGMENT,
        .skip = at % ENVELOPE_SEGMENT,
        .plain = extent_plain - at,
    };
    if (out->plain > r->end - r->next)
        out->plain = r->end - r->next;
    if (out->plain > most * ENVELOPE_SEGMENT - out->skip)
        out->plain = most * ENVELOPE_SEGMENT - out->skip;
    out->count = (out->skip + out->plain - 1) / ENVELOPE_SEGMENT + 1;
    out->begin = out->first == 0 ? 0 : envelope_segment_offset(suite, out->first);
    uint64_t behind = envelope_segment_offset(suite, out->first + out->count);
    out->length = (behind < out->stored ? behind : out->stored) - out->begin;
}

/* Decrypts what was read, in place, and tells where the wanted bytes are. */
static int open_window(const struct object_reader *r, const struct window *window, uint8_t *data, struct chunk *chunk)
{
    struct extent_opener opener;
    enum envelope_suite suite = (enum envelope_suite)r->blob->suite;
    size_t tag = envelope_tag_size(suite);
    uint64_t skip = window->skip, plain = window->plain;
    int rc = extent_open_begin(&opener, r->key, window->extent, window->stored);
    if (rc != 0)
        return rc;
    if (window->first == 0)
        rc = extent_check_header(&opener, span_of(data, ENVELOPE_HEADER_SIZE));
    for (uint64_t i = 0; rc == 0 && i < window->count; i++) {
        uint64_t offset = envelope_segment_offset(suite, window->first + i) - window->begin;
        uint64_t length = window->length - offset;
        if (length > ENVELOPE_SEGMENT + tag)
            length = ENVELOPE_SEGMENT + tag;
        rc = extent_open_segment(&opener, window->first + i, data + offset, (size_t)length);
        uint64_t wanted = length - tag - skip < plain ? length - tag - skip : plain;
        chunk->spans[i] = span_of(data + offset + skip, (size_t)wanted);
        plain -= wanted;
        skip = 0;
    }
    extent_open_end(&opener);
    chunk->count = rc == 0 ? (size_t)window->count : 0;
    return rc;
}

static void tell_damage(struct object_reader *r, const struct window *window, Arca__Replica *const *replicas,
                        size_t count, uint32_t tried_before, uint32_t tried)
{
    char hex[2 * BLOB_ID_SIZE + 1];
    text_hex(span_of_bytes(r->blob->id), hex);
    metrics_add(METRIC_DAMAGED_READS, 1);
    store_suspect_read(r->engine->options.store, replicas, count, r->blob->id.data, window->extent, tried_before,
                       tried);
    log_error("damaged", "blob %s, extent %u, segments %llu to %llu: a replica does not verify", hex,
              (unsigned)window->extent, (unsigned long long)window->first,
              (unsigned long long)(window->first + window->count - 1));
}

/* Backends have lost some of them; what a change of its placement has taken away meanwhile is no loss. */
static void tell_lost(struct object_reader *r, const struct window *window, Arca__Replica *const *replicas, size_t count,
                      uint32_t lost, bool moved) SUSPENDS
{
    Arca__Replica **fresh = NULL;
    size_t fresh_count = 0;
    if (!moved && find_fresh(r, window->extent, &fresh, &fresh_count) != 0)
        return;
    for (size_t i = 0; i < count && i < 8 * sizeof(lost); i++) {
        if ((lost >> i & 1) && (moved || has_replica(fresh, fresh_count, replicas[i])))
            metrics_add(METRIC_DAMAGED_READS, 1);
    }
}

/* From the first replica whose bytes verify. */
static int read_window(struct object_reader *r, const struct window *window, uint8_t *data,
                       struct chunk *chunk) SUSPENDS
{
    Arca__Replica **replicas = NULL;
    size_t count = 0;
    struct store_tried tried = {0};
    bool looked = false, moved = false, opened = false;
    int rc = find_replicas(r, window->extent, &replicas, &count);
    for (size_t attempt = 0; rc == 0 && !opened && attempt <= count; attempt++) {
        uint32_t tried_before = tried.all;
        rc = store_get_extent(r->engine->options.store, replicas, count, r->blob->id.data, window->extent,
                              window->begin, window->length, data, &tried);
        bool read = rc == 0;
        rc = read ? open_window(r, window, data, chunk) : rc;
        opened = rc == 0;
        if (opened || (rc != ERR_CORRUPT && rc != ERR_NOT_FOUND && rc != ERR_UNAVAILABLE))
            break;
        if (!looked && find_moved(r, window->extent, &replicas, &count)) {
            moved = true;
            tried = (struct store_tried){0};
            attempt = 0;
            rc = 0;
        } else if (read) {
            tell_damage(r, window, replicas, count, tried_before, tried.all);
            rc = 0;
        }
        looked = true;
    }
    if (rc == ERR_NOT_FOUND)
        return damaged(r->blob, "no backend has it");
    if (tried.lost != 0)
        tell_lost(r, window, replicas, count, tried.lost, moved);
    return opened || rc != 0 ? rc : ERR_CORRUPT;
}

static void chunk_release(struct chunk *chunk)
{
    block_unref(chunk->block);
    chunk->block = NULL;
    chunk->count = 0;
}

/* The next bytes of the range. */
static int fetch(struct object_reader *r, struct chunk *chunk, int64_t deadline_ms) SUSPENDS
{
    struct window window;
    if (!r->marked)
        store_reader_enter(r->engine->options.store, &r->mark);
    r->marked = true;
    int rc = enter(r);
    if (rc != 0)
        return rc;
    choose_window(r, &window);
    uint8_t *data = r->own;
    if (data == NULL) {
        rc = block_create(r->engine->options.budget, (size_t)window.length, deadline_ms, &chunk->block);
        if (rc != 0)
            return rc;
        chunk->block->length = (size_t)window.length;
        data = chunk->block->data;
    }
    rc = read_window(r, &window, data, chunk);
    if (rc != 0)
        chunk_release(chunk);
    else
        r->next += window.plain;
    return rc;
}

static int fetch_ahead(void *arg) SUSPENDS
{
    struct object_reader *r = arg;
    return fetch(r, &r->ahead, DEADLINE_NONE);
}

/* --- reading --- */

int object_open(struct engine *engine, struct arena *arena, const Arca__Bucket *bucket, struct span key,
                Arca__Object **out, struct object_reader **reader) SUSPENDS
{
    Arca__Blob *blob = NULL;
    struct object_reader *r = arena_zalloc(arena, sizeof(*r));
    if (r == NULL)
        return ERR_NOMEM;
    r->mark.since_ms = clock_wall_ms();
    int rc = index_object_get(engine->options.index, bucket->id, key, arena, out, &blob);
    if (rc != 0)
        return rc;
    r->engine = engine;
    r->arena = arena;
    r->object = *out;
    r->end = r->object->size;
    r->only = blob;
    *reader = r;
    return 0;
}

void object_reader_range(struct object_reader *reader, uint64_t offset, uint64_t length)
{
    uint64_t size = reader->object->size;
    reader->next = offset < size ? offset : size;
    reader->end = length < size - reader->next ? reader->next + length : size;
}

/* The next chunk becomes the current one; it has no spans at the end. No block is held while waiting for one: readers
 * do not wait for each other in a circle. */
static int advance(struct object_reader *r, int64_t deadline_ms) SUSPENDS
{
    int rc = 0;
    chunk_release(&r->current);
    r->given = 0;
    if (r->reading_ahead) {
        if ((rc = aside_wait(&r->aside, deadline_ms)) != 0)
            return rc;
        rc = r->aside.rc;
        r->reading_ahead = false;
        r->current = r->ahead;
        r->ahead = (struct chunk){0};
    } else if (r->next < r->end) {
        rc = fetch(r, &r->current, deadline_ms);
    }
    if (rc == 0 && r->next < r->end && r->own == NULL) {
        r->reading_ahead = true;
        aside_start(&r->aside, fetch_ahead, r);
    }
    return rc;
}

int object_read(struct object_reader *reader, struct span *spans, size_t max, size_t *count,
                int64_t deadline_ms) SUSPENDS
{
    *count = 0;
    if (reader->given == reader->current.count) {
        int rc = advance(reader, deadline_ms);
        if (rc != 0)
            return rc;
    }
    size_t n = reader->current.count - reader->given;
    *count = n < max ? n : max;
    if (*count > 0)
        memcpy(spans, reader->current.spans + reader->given, *count * sizeof(*spans));
    reader->given += *count;
    return 0;
}

void object_reader_close(struct object_reader *reader) SUSPENDS
{
    if (reader == NULL)
        return;
    aside_cancel(&reader->aside);
    if (reader->marked)
        store_reader_leave(reader->engine->options.store, &reader->mark);
    reader->marked = false;
    chunk_release(&reader->current);
    chunk_release(&reader->ahead);
    data_key_free(reader->key);
    if (reader->part_rows != NULL)
        arena_free(reader->part_rows);
    if (reader->extent_rows != NULL)
        arena_free(reader->extent_rows);
    if (reader->moved_rows != NULL)
        arena_free(reader->moved_rows);
}

/* --- as a source --- */

struct reader_source {
    struct source source; /* first: what the caller sees */
    struct object_reader *reader;
    struct span rest; /* of the segment read last */
    int failed;
};

static int read_source(struct source *source, uint8_t *dst, size_t capacity, size_t *got) SUSPENDS
{
    struct reader_source *s = (struct reader_source *)source;
    *got = 0;
    while (*got < capacity && s->failed == 0) {
        if (s->rest.len == 0) {
            size_t count;
            s->failed = object_read(s->reader, &s->rest, 1, &count, DEADLINE_NONE);
            if (s->failed != 0 || count == 0)
                break;
        }
        struct span piece = span_take(s->rest, capacity - *got);
        memcpy(dst + *got, piece.ptr, piece.len);
        *got += piece.len;
        s->rest = span_skip(s->rest, piece.len);
    }
    return s->failed;
}

struct source *object_reader_source(struct object_reader *reader, struct arena *arena)
{
    struct reader_source *s = arena_zalloc(arena, sizeof(*s));
    reader->own = arena_alloc(arena, ENVELOPE_HEADER_SIZE + ENVELOPE_SEGMENT + ENVELOPE_TAG_MAX);
    if (s == NULL || reader->own == NULL)
        return NULL;
    s->source.read = read_source;
    s->source.length = (int64_t)(reader->end - reader->next);
    s->reader = reader;
    return &s->source;
}
