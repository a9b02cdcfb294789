/* An engine over a real index and real disk backends in a folder of its own. */
#ifndef ARCA_TEST_OBJECT_FIXTURE_H
#define ARCA_TEST_OBJECT_FIXTURE_H

#include "unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "object/engine.h"
#include "on_fiber.h"
#include "store/placements.h"
#include "store/store.h"

#define UNUSED    __attribute__((unused))
#define EXTENT    ((uint64_t)1 << 20)
#define SEGMENT   ((uint64_t)ENVELOPE_SEGMENT)
#define BACKENDS  2
#define SPANS     3
#define IN_MS(ms) (clock_monotonic_ms() + (ms))

static char fixture_path[64];

static struct {
    char paths[BACKENDS + 2][96]; /* of the backends, the keyring, the index */
    struct backend_settings backends[BACKENDS];
    char *backend_names[BACKENDS];
    struct config_placement placements[2];
    struct config config;
    struct keyring *keyring;
    struct index *index;
    struct store *store;
    struct budget *budget;
    size_t budget_size;
    struct engine *engine;
    struct arena *arena;
    Arca__Bucket *bucket;
} fx;

#define KEYRING_SECRET SPAN_LITERAL("0123456789abcdef0123456789abcdef")

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void name_paths(void)
{
    static const char *const names[BACKENDS + 2] = {"one", "two", "keyring", "index"};
    for (int i = 0; i < BACKENDS + 2; i++)
        snprintf(fx.paths[i], sizeof(fx.paths[i]), "%s/%s", fixture_path, names[i]);
    for (int i = 0; i < BACKENDS; i++) {
        fx.backend_names[i] = (char *)names[i];
        fx.backends[i] =
            (struct backend_settings){.name = (char *)names[i], .driver = (char *)"disk", .path = fx.paths[i]};
    }
    for (unsigned i = 0; i < 2; i++)
        fx.placements[i] = (struct config_placement){.name = (char *)(i == 0 ? "single" : "double"),
                                                     .backends = fx.backend_names,
                                                     .backend_count = i + 1,
                                                     .write_quorum = i + 1};
    fx.config.backends = fx.backends;
    fx.config.backend_count = BACKENDS;
    fx.config.placements = fx.placements;
    fx.config.placement_count = 2;
    fx.config.default_placement = (char *)"single";
}

static void fixture_open(void)
{
    struct index_options options = {.path = fx.paths[3], .map_size = (uint64_t)64 << 20};
    assert_int_equal(keyring_open(fx.paths[2], KEYRING_KEY_FILE, KEYRING_SECRET, &fx.keyring), 0);
    assert_int_equal(index_open(&options, &fx.index), 0);
    assert_int_equal(store_open(&fx.config, &fx.store), 0);
    assert_non_null(fx.budget = budget_create(fx.budget_size));
    assert_non_null(fx.arena = arena_create((size_t)64 << 20));
}

static void fixture_close(void)
{
    engine_free(fx.engine);
    fx.engine = NULL;
    arena_free(fx.arena);
    budget_free(fx.budget);
    store_close(fx.store);
    index_close(fx.index);
    keyring_free(fx.keyring);
}

UNUSED static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    (void)state;
    memset(&fx, 0, sizeof(fx));
    snprintf(fixture_path, sizeof(fixture_path), "%s/arca-object-XXXXXX",
             tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
    assert_non_null(mkdtemp(fixture_path));
    log_setup(LOG_ERROR, LOG_TEXT);
    assert_int_equal(crypto_init(), 0);
    name_paths();
    fx.budget_size = (size_t)64 << 20;
    assert_int_equal(keyring_create(fx.paths[2], KEYRING_KEY_FILE, KEYRING_SECRET), 0);
    fixture_open();
    return 0;
}

UNUSED static int teardown(void **state)
{
    (void)state;
    fixture_close();
    nftw(fixture_path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

/* On the fiber: the engine and a bucket "b". */
UNUSED static int make_engine(void)
{
    struct engine_options options = {
        .index = fx.index,
        .store = fx.store,
        .keyring = fx.keyring,
        .budget = fx.budget,
        .suite = SUITE_AES_256_GCM,
        .extent_size = EXTENT,
    };
    char why[200];
    assert_int_equal(placements_follow(fx.store, fx.index, &fx.config, NULL, why, sizeof(why)), 0);
    return engine_create(&options, &fx.engine);
}

UNUSED static Arca__Bucket *make_bucket(const char *name, const char *placement)
{
    Arca__Bucket *bucket;
    assert_int_equal(bucket_create(fx.engine, fx.arena, span_str(name), span_str(placement), SPAN_LITERAL("owner"),
                                   SPAN_LITERAL("Owner")),
                     0);
    assert_int_equal(index_bucket_get(fx.index, span_str(name), fx.arena, &bucket), 0);
    return bucket;
}

UNUSED static void make_all(void)
{
    assert_int_equal(make_engine(), 0);
    fx.bucket = make_bucket("b", "");
}

/* --- bodies --- */

/* Byte i of body `seed`. */
static uint8_t pattern(uint32_t seed, uint64_t i)
{
    uint64_t x = (i / 8 + 1) * 0x9e3779b97f4a7c15u + seed;
    x ^= x >> 29;
    return (uint8_t)(x >> (8 * (i % 8)));
}

struct test_source {
    struct source source;
    uint32_t seed;
    uint64_t at, end;
    uint64_t fail_at; /* UINT64_MAX: never */
    int error;
    unsigned reads;
    void (*hook)(struct test_source *source) SUSPENDS; /* before each read */
};

static int read_pattern(struct source *source, uint8_t *dst, size_t capacity, size_t *got)
{
    struct test_source *s = (struct test_source *)source;
    s->reads++;
    if (s->hook != NULL)
        s->hook(s);
    uint64_t rest = s->end - s->at;
    *got = capacity < rest ? capacity : (size_t)rest;
    if (s->at + *got >= s->fail_at)
        return s->error;
    for (size_t i = 0; i < *got; i++)
        dst[i] = pattern(s->seed, s->at + i);
    s->at += *got;
    return 0;
}

UNUSED static struct test_source body_of(uint32_t seed, uint64_t size, bool known)
{
    return (struct test_source){
        .source = {read_pattern, known ? (int64_t)size : -1}, .seed = seed, .end = size, .fail_at = UINT64_MAX};
}

static int describe(void *arg, char **etag, Arca__Checksum ***checksums, size_t *count)
{
    (void)checksums;
    (void)count;
    *etag = arg;
    return 0;
}

UNUSED static int put_source(const Arca__Bucket *bucket, const char *key, struct test_source *source,
                             Arca__Precondition *precondition)
{
    Arca__Object *object = arena_alloc(fx.arena, sizeof(*object));
    arca__object__init(object);
    struct object_put put = {
        .bucket = bucket,
        .key = span_str(key),
        .object = object,
        .body = &source->source,
        .seal = {describe, (void *)(uintptr_t) "etag"},
        .precondition = precondition,
        .size_max = 100 * EXTENT,
        .deadline_ms = DEADLINE_NONE,
    };
    return object_put(fx.engine, fx.arena, &put);
}

UNUSED static int put_pattern(const char *key, uint32_t seed, uint64_t size)
{
    struct test_source source = body_of(seed, size, true);
    return put_source(fx.bucket, key, &source, NULL);
}

/* Reads a range and compares it with the pattern, whose byte 0 is byte 0 of the object. */
UNUSED static int check_range(const char *key, uint32_t seed, uint64_t offset, uint64_t length)
{
    Arca__Object *object;
    struct object_reader *reader;
    struct span spans[SPANS];
    size_t count;
    uint64_t at = offset;
    int rc = object_open(fx.engine, fx.arena, fx.bucket, span_str(key), &object, &reader);
    if (rc != 0)
        return rc;
    object_reader_range(reader, offset, length);
    while ((rc = object_read(reader, spans, SPANS, &count, IN_MS(60000))) == 0 && count > 0) {
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < spans[i].len; k++, at++) {
                if (spans[i].ptr[k] != pattern(seed, at))
                    fail_msg("%s: byte %llu differs", key, (unsigned long long)at);
            }
        }
    }
    if (rc == 0)
        assert_int_equal(at - offset, length);
    assert_int_equal(count, 0);
    object_reader_close(reader);
    return rc;
}

UNUSED static int check_whole(const char *key, uint32_t seed, uint64_t size)
{
    Arca__Object *object;
    int rc = index_object_get(fx.index, fx.bucket->id, span_str(key), fx.arena, &object, NULL);
    if (rc != 0)
        return rc;
    assert_int_equal(object->size, size);
    return check_range(key, seed, 0, size);
}

/* --- what is there --- */

/* Extents that a backend holds. */
UNUSED static size_t stored_extents(size_t backend)
{
    static struct blob_batch batch;
    struct blob_cursor cursor = {0};
    struct backend *b = store_backend(fx.store, backend);
    size_t all = 0;
    while (!cursor.end) {
        assert_int_equal(b->ops->list(b, &cursor, &batch), 0);
        all += batch.count;
    }
    return all;
}

/* Garbage blobs, and how many extents they hold together. */
UNUSED static size_t garbage_count(size_t *extents)
{
    Arca__Blob **blobs;
    size_t count, all = 0;
    assert_int_equal(index_garbage_list(fx.index, INT64_MAX, NULL, 1000, fx.arena, &blobs, &count), 0);
    for (size_t i = 0; i < count; i++) {
        Arca__Extent **rows;
        if (blobs[i]->extent_count == 1) {
            all += blobs[i]->n_replicas > 0;
            continue;
        }
        assert_int_equal(index_extents_get(fx.index, span_of(blobs[i]->id.data, blobs[i]->id.len), 0,
                                           blobs[i]->extent_count, fx.arena, &rows),
                         0);
        for (uint32_t k = 0; k < blobs[i]->extent_count; k++)
            all += rows[k]->n_replicas > 0;
    }
    if (extents != NULL)
        *extents = all;
    return count;
}

/* A cmocka test that runs the function of that name on a fiber. */
#define TEST(name)                        \
    static void test_##name(void **state) \
    {                                     \
        (void)state;                      \
        on_fiber(name, NULL);             \
    }

#endif
