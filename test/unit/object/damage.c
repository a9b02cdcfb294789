/* What a backend returns is not believed: no damaged byte is handed out, and another replica is read instead. */
#include "fixture.h"

#include "base/metrics.h"
#include "store/replicas.h"

static int files[BACKENDS] = {-1, -1};

/* Where an extent of an object begins in a backend's first segment file. */
static off_t find_extent(size_t backend, const char *key, uint8_t number)
{
    static const char magic[] = "ARCAEXTN";
    static uint8_t bytes[8 << 20];
    Arca__Object *object;
    char path[160];
    assert_int_equal(index_object_get(fx.index, fx.bucket->id, span_str(key), fx.arena, &object, NULL), 0);
    snprintf(path, sizeof(path), "%s/segments/00000001.seg", fx.paths[backend]);
    if (files[backend] >= 0)
        close(files[backend]);
    files[backend] = open(path, O_RDWR);
    assert_true(files[backend] >= 0);
    ssize_t size = pread(files[backend], bytes, sizeof(bytes), 0);
    assert_true(size > 0);
    for (const uint8_t *at = bytes;; at++) {
        at = memmem(at, (size_t)(bytes + size - at), magic, sizeof(magic) - 1);
        assert_non_null(at);
        /* FORMAT.md: the extent's number (below 256 here) at 12, the blob id at 16 */
        if ((at[12] | at[15]) == number && memcmp(at + 16, object->blob_id.data, BLOB_ID_SIZE) == 0)
            return at - bytes;
    }
}

static void flip(size_t backend, off_t offset)
{
    uint8_t byte;
    assert_int_equal(pread(files[backend], &byte, 1, offset), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(files[backend], &byte, 1, offset), 1);
}

static void swap(off_t a, off_t b, size_t length)
{
    uint8_t *first = malloc(length), *second = malloc(length);
    assert_int_equal(pread(files[0], first, length, a), length);
    assert_int_equal(pread(files[0], second, length, b), length);
    assert_int_equal(pwrite(files[0], first, length, b), length);
    assert_int_equal(pwrite(files[0], second, length, a), length);
    free(first);
    free(second);
}

/* Every byte of a small object's extent matters: header, ciphertext, tag. */
static void every_byte(void *arg)
{
    (void)arg;
    make_all();
    assert_int_equal(put_pattern("key", 1, 100), 0);
    off_t begin = find_extent(0, "key", 0);
    off_t end = begin + (off_t)envelope_extent_size(SUITE_AES_256_GCM, 100);
    for (off_t at = begin; at < end; at++) {
        flip(0, at);
        assert_int_equal(check_whole("key", 1, 100), ERR_CORRUPT);
        flip(0, at);
    }
    assert_int_equal(check_whole("key", 1, 100), 0);
}

/* Only the segments that a range needs are read, and bytes before the damage are good. */
static void segments(void *arg)
{
    const uint64_t size = 20 * SEGMENT - 5;
    Arca__Object *object;
    struct object_reader *reader;
    struct span spans[32];
    size_t count;
    (void)arg;
    make_all();
    assert_int_equal(put_pattern("key", 1, size), 0); /* two extents: 16 and 4 segments */
    off_t begin = find_extent(0, "key", 0);
    flip(0, begin + (off_t)envelope_segment_offset(SUITE_AES_256_GCM, 9) + 3);
    assert_int_equal(check_range("key", 1, 0, 9 * SEGMENT), 0);
    assert_int_equal(check_range("key", 1, 10 * SEGMENT, size - 10 * SEGMENT), 0);
    assert_int_equal(check_range("key", 1, 10 * SEGMENT - 1, 1), ERR_CORRUPT);
    assert_int_equal(check_range("key", 1, 0, size), ERR_CORRUPT);

    assert_int_equal(object_open(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("key"), &object, &reader), 0);
    assert_int_equal(object_read(reader, spans, 32, &count, DEADLINE_NONE), 0);
    assert_true(count > 0);
    assert_int_equal(object_read(reader, spans, 32, &count, DEADLINE_NONE), ERR_CORRUPT);
    assert_int_equal(count, 0);
    assert_int_equal(object_read(reader, spans, 32, &count, DEADLINE_NONE), ERR_CORRUPT);
    object_reader_close(reader);
}

/* Sound bytes in the wrong place: segments of one extent, extents of one blob, blobs of one bucket. */
static void swapped(void *arg)
{
    const size_t stored = (size_t)envelope_extent_size(SUITE_AES_256_GCM, EXTENT);
    const size_t segment = SEGMENT + envelope_tag_size(SUITE_AES_256_GCM);
    (void)arg;
    make_all();
    assert_int_equal(put_pattern("key", 1, 2 * EXTENT), 0);
    assert_int_equal(put_pattern("other", 2, EXTENT), 0);
    off_t extents[3] = {find_extent(0, "key", 0), find_extent(0, "key", 1), find_extent(0, "other", 0)};
    off_t second = extents[0] + (off_t)envelope_segment_offset(SUITE_AES_256_GCM, 1);
    swap(second, second + (off_t)segment, segment);
    assert_int_equal(check_range("key", 1, SEGMENT, 1), ERR_CORRUPT);
    assert_int_equal(check_range("key", 1, 2 * SEGMENT, 1), ERR_CORRUPT);
    swap(second, second + (off_t)segment, segment);
    for (int with = 1; with < 3; with++) {
        swap(extents[0], extents[with], stored);
        assert_int_equal(check_range("key", 1, 0, 1), ERR_CORRUPT);
        assert_int_equal(check_range("key", 1, SEGMENT, 1), ERR_CORRUPT);
        swap(extents[0], extents[with], stored);
    }
    assert_int_equal(check_whole("key", 1, 2 * EXTENT), 0);
    assert_int_equal(check_whole("other", 2, EXTENT), 0);
}

static void other_replica(void *arg)
{
    const uint64_t size = 12 * SEGMENT;
    (void)arg;
    make_all();
    fx.bucket = make_bucket("d", "double");
    assert_int_equal(put_pattern("key", 1, size), 0);
    off_t places[BACKENDS] = {find_extent(0, "key", 0), find_extent(1, "key", 0)};
    for (size_t i = 0; i < BACKENDS; i++) {
        flip(i, places[i] + 1000);
        assert_int_equal(check_whole("key", 1, size), 0);
        flip(i, places[i] + 1000);
    }
    flip(0, places[0] + 1000);
    flip(1, places[1] + 2 * (off_t)SEGMENT);
    /* Both are damaged, each elsewhere, within what is read at a time. */
    assert_int_equal(check_range("key", 1, 0, 4 * SEGMENT), ERR_CORRUPT);
    assert_int_equal(check_range("key", 1, 0, 1), 0);
    assert_int_equal(check_range("key", 1, 8 * SEGMENT, 4 * SEGMENT), 0);
}

static unsigned long damaged_reads(void)
{
    static const char name[] = "\narca_damaged_reads_total ";
    struct buf text = {.cap = 1 << 20};
    metrics_render(&text);
    buf_append(&text, span_of("", 1));
    const char *line = strstr((const char *)text.ptr, name);
    assert_non_null(line);
    unsigned long count = strtoul(line + sizeof(name) - 1, NULL, 10);
    buf_free(&text);
    return count;
}

/* What a backend has lost is counted, although another has it. */
static void missing_replica(void *arg)
{
    Arca__Object *object;
    Arca__Blob *blob;
    (void)arg;
    make_all();
    fx.bucket = make_bucket("d", "double");
    assert_int_equal(put_pattern("key", 1, 100), 0);
    assert_int_equal(index_object_get(fx.index, fx.bucket->id, SPAN_LITERAL("key"), fx.arena, &object, &blob), 0);
    assert_int_equal(blob->n_replicas, 2);
    unsigned long before = damaged_reads();
    assert_int_equal(check_whole("key", 1, 100), 0);
    assert_int_equal(damaged_reads(), before);
    assert_int_equal(store_remove_extent(fx.store, &blob->replicas[0], 1, blob->id.data, 0), 0);
    assert_int_equal(check_whole("key", 1, 100), 0);
    assert_int_equal(damaged_reads(), before + 1);
    assert_int_equal(store_remove_extent(fx.store, &blob->replicas[1], 1, blob->id.data, 0), 0);
    assert_int_equal(check_whole("key", 1, 100), ERR_CORRUPT);
    assert_int_equal(damaged_reads(), before + 2); /* that it is nowhere */
}

/* The wrapped data key of another blob, or sizes that do not fit: the index is not believed either. */
static void foreign_row(void *arg)
{
    Arca__Object *object;
    Arca__Blob *blob;
    (void)arg;
    make_all();
    assert_int_equal(put_pattern("key", 1, 100), 0);
    assert_int_equal(put_pattern("longer", 1, 200), 0);
    assert_int_equal(index_object_get(fx.index, fx.bucket->id, SPAN_LITERAL("key"), fx.arena, &object, &blob), 0);
    object->size = 200;
    assert_int_equal(object_copy(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("wrong"), object, NULL), 0);
    assert_int_equal(check_whole("wrong", 1, 200), ERR_CORRUPT);
    object->size = 100;
    object->blob_id = (ProtobufCBinaryData){0, NULL};
    assert_int_equal(object_copy(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("wrong"), object, NULL), 0);
    assert_int_equal(check_whole("wrong", 1, 100), ERR_CORRUPT);
}

/* The object's extents are put on the other backend, too, and taken off the first, which its rows still name. */
static void move_all(const char *key, uint32_t extents)
{
    Arca__Object *object;
    Arca__Blob *blob;
    struct backend *one = store_backend(fx.store, 0), *two = store_backend(fx.store, 1);
    assert_int_equal(index_object_get(fx.index, fx.bucket->id, span_str(key), fx.arena, &object, &blob), 0);
    for (uint32_t i = 0; i < extents; i++) {
        struct blob_name name;
        struct locator locator = {0};
        struct block *block;
        Arca__Extent **rows;
        Arca__Replica **replicas = blob->replicas;
        if (extents > 1) {
            assert_int_equal(index_extents_get(fx.index, span_of(blob->id.data, blob->id.len), i, 1, fx.arena, &rows), 0);
            replicas = rows[0]->replicas;
        }
        locator.length = (uint8_t)replicas[0]->locator.len;
        memcpy(locator.bytes, replicas[0]->locator.data, locator.length);
        replica_name(blob->id.data, i, &name);
        assert_int_equal(block_create(fx.budget, replica_size(blob, i), DEADLINE_NONE, &block), 0);
        block->length = replica_size(blob, i);
        struct locator moved;
        assert_int_equal(one->ops->get(one, &name, &locator, 0, block->length, block->data), 0);
        assert_int_equal(two->ops->put(two, &name, block, &moved), 0);
        assert_int_equal(replica_adopt(fx.index, two, &name, &moved, NULL), 0);
        assert_int_equal(one->ops->remove(one, &name, &locator), 0);
        block_unref(block);
    }
}

/* Between the rows and the bytes a placement may have changed: who has the rows already reads on. */
static void moved_meanwhile(void *arg)
{
    static const struct {
        const char *key;
        uint64_t size;
        uint32_t extents;
    } cases[] = {{"small", 100, 1}, {"large", 3 * EXTENT - 1, 3}};
    (void)arg;
    make_all();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Arca__Object *object;
        struct object_reader *reader;
        struct span spans[SPANS];
        size_t count = 1;
        uint64_t at = 0;
        assert_int_equal(put_pattern(cases[i].key, 1, cases[i].size), 0);
        assert_int_equal(object_open(fx.engine, fx.arena, fx.bucket, span_str(cases[i].key), &object, &reader), 0);
        object_reader_range(reader, 0, cases[i].size);
        if (cases[i].extents > 1) { /* the rows of all are there with the first bytes */
            assert_int_equal(object_read(reader, spans, 1, &count, DEADLINE_NONE), 0);
            at = spans[0].len;
        }
        move_all(cases[i].key, cases[i].extents);
        while (count > 0) {
            assert_int_equal(object_read(reader, spans, SPANS, &count, DEADLINE_NONE), 0);
            for (size_t j = 0; j < count; j++) {
                for (size_t k = 0; k < spans[j].len; k++)
                    assert_int_equal(spans[j].ptr[k], pattern(1, at++));
            }
        }
        assert_int_equal(at, cases[i].size);
        object_reader_close(reader);
    }
}

static int teardown_files(void **state)
{
    for (size_t i = 0; i < BACKENDS; i++) {
        if (files[i] >= 0)
            close(files[i]);
        files[i] = -1;
    }
    return teardown(state);
}

TEST(every_byte)
TEST(segments)
TEST(swapped)
TEST(other_replica)
TEST(missing_replica)
TEST(foreign_row)
TEST(moved_meanwhile)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_byte, setup, teardown_files),
        cmocka_unit_test_setup_teardown(test_segments, setup, teardown_files),
        cmocka_unit_test_setup_teardown(test_swapped, setup, teardown_files),
        cmocka_unit_test_setup_teardown(test_other_replica, setup, teardown_files),
        cmocka_unit_test_setup_teardown(test_missing_replica, setup, teardown_files),
        cmocka_unit_test_setup_teardown(test_foreign_row, setup, teardown_files),
        cmocka_unit_test_setup_teardown(test_moved_meanwhile, setup, teardown_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
