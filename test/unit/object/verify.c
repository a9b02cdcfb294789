/* Whether stored bytes are what was sealed: what scrub and copies ask. */
#include "fixture.h"

#include "store/replicas.h"
#include "store/store.h"

#define SIZE (EXTENT + 70000) /* two extents */

struct stored_extent {
    Arca__Blob *blob;
    uint8_t *bytes;
    size_t size;
};

static struct stored_extent read_stored(uint32_t number)
{
    struct stored_extent stored;
    Arca__Object *object;
    Arca__Replica **replicas;
    struct blob_name name;
    size_t count;
    struct store_tried tried = {0};
    assert_int_equal(index_object_get(fx.index, fx.bucket->id, SPAN_LITERAL("key"), fx.arena, &object, NULL), 0);
    replica_name(object->blob_id.data, number, &name);
    assert_int_equal(replicas_find(fx.index, &name, fx.arena, &stored.blob, &replicas, &count), 0);
    stored.size = (size_t)replica_size(stored.blob, number);
    stored.bytes = malloc(stored.size);
    assert_non_null(stored.bytes);
    assert_int_equal(store_get_extent(fx.store, replicas, count, name.bytes, number, 0, stored.size, stored.bytes, &tried),
                     0);
    return stored;
}

static int verify(const struct stored_extent *stored, uint32_t number, size_t size)
{
    return engine_verify(fx.engine, stored->blob, number, span_of(stored->bytes, size));
}

static void each_part_matters(void *arg)
{
    (void)arg;
    make_all();
    assert_int_equal(put_pattern("key", 1, SIZE), 0);
    struct stored_extent stored = read_stored(1);
    uint8_t *before = malloc(stored.size);
    assert_non_null(before);
    memcpy(before, stored.bytes, stored.size);
    assert_int_equal(verify(&stored, 1, stored.size), 0);
    assert_memory_equal(stored.bytes, before, stored.size);
    /* the header, the first segment, the last one, its tag */
    const size_t places[] = {0, 20, ENVELOPE_HEADER_SIZE, stored.size - 100, stored.size - 1};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        stored.bytes[places[i]] ^= 1;
        assert_int_equal(verify(&stored, 1, stored.size), ERR_CORRUPT);
        stored.bytes[places[i]] ^= 1;
    }
    assert_int_equal(verify(&stored, 1, stored.size - 1), ERR_CORRUPT);
    assert_int_equal(verify(&stored, 0, stored.size), ERR_CORRUPT);
    assert_memory_equal(stored.bytes, before, stored.size);
    free(before);
    free(stored.bytes);
}

/* A row or a key that is wrong says nothing of the bytes: they are not called damaged. */
static void rows_that_lie(void *arg)
{
    (void)arg;
    make_all();
    assert_int_equal(put_pattern("key", 1, SIZE), 0);
    struct stored_extent stored = read_stored(0);
    stored.blob->wrapped_key.data[3] ^= 1;
    assert_int_equal(verify(&stored, 0, stored.size), ERR_WRONG_KEY);
    stored.blob->wrapped_key.data[3] ^= 1;
    stored.blob->key_id ^= 1;
    assert_int_equal(verify(&stored, 0, stored.size), ERR_WRONG_KEY);
    stored.blob->key_id ^= 1;
    assert_int_equal(verify(&stored, 0, stored.size), 0);
    free(stored.bytes);
}

TEST(each_part_matters)
TEST(rows_that_lie)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_part_matters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows_that_lie, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
