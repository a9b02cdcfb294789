/* What a backend returns is not believed: no damaged byte is handed out, and another replica is read instead. */
#include "fixture.h"

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
TEST(foreign_row)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_byte, setup, teardown_files),
        cmocka_unit_test_setup_teardown(test_segments, setup, teardown_files),
        cmocka_unit_test_setup_teardown(test_swapped, setup, teardown_files),
        cmocka_unit_test_setup_teardown(test_other_replica, setup, teardown_files),
        cmocka_unit_test_setup_teardown(test_foreign_row, setup, teardown_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
