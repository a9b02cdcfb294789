/* Start and stop: the keyring's binding, rotation, leases. */
#include "fixture.h"

/* Those that are open. */
static size_t leases(void)
{
    Arca__Lease **list;
    size_t count, open = 0;
    assert_int_equal(index_lease_list(fx.index, fx.arena, &list, &count), 0);
    for (size_t i = 0; i < count; i++)
        open += list[i]->closed_ms == 0;
    return open;
}

static void restart_engine(void)
{
    engine_free(fx.engine);
    fx.engine = NULL;
    assert_int_equal(make_engine(), 0);
}

static void lease(void *arg)
{
    uint8_t first[LEASE_ID_SIZE], second[LEASE_ID_SIZE];
    Arca__Object *object;
    (void)arg;
    make_all();
    assert_int_equal(leases(), 1);
    engine_lease(fx.engine, first);
    assert_int_equal(put_pattern("key", 1, 1), 0);
    assert_int_equal(index_object_get(fx.index, fx.bucket->id, SPAN_LITERAL("key"), fx.arena, &object, NULL), 0);
    assert_int_equal(object->blob_id.len, BLOB_ID_SIZE);
    assert_memory_equal(object->blob_id.data, first, LEASE_ID_SIZE);
    assert_int_equal(engine_quiesce(fx.engine), 0);
    assert_int_equal(leases(), 0);
    restart_engine();
    engine_lease(fx.engine, second);
    assert_memory_not_equal(first, second, LEASE_ID_SIZE);
    assert_int_equal(check_whole("key", 1, 1), 0);
}

static int failing_put(struct backend *backend, const struct blob_name *name, struct block *data, struct locator *out)
{
    (void)backend;
    (void)name;
    (void)data;
    (void)out;
    return ERR_IO;
}

/* A store that fails may keep something: the next start has to look. */
static void unaccounted(void *arg)
{
    (void)arg;
    make_all();
    struct backend *backend = store_backend(fx.store, 0);
    const struct backend_ops *ops = backend->ops;
    struct backend_ops failing = *ops;
    failing.put = failing_put;
    backend->ops = &failing;
    for (uint64_t size = 10; size < 4 * EXTENT; size += 3 * EXTENT) {
        struct test_source source = body_of(1, size, true);
        assert_int_equal(put_source(fx.bucket, "key", &source, NULL), ERR_UNAVAILABLE);
    }
    backend->ops = ops;
    assert_int_equal(budget_used(fx.budget), 0);
    assert_int_equal(engine_quiesce(fx.engine), 0);
    assert_int_equal(leases(), 1);
}

static void buckets(void *arg)
{
    (void)arg;
    make_all();
    assert_int_equal(bucket_create(fx.engine, fx.arena, SPAN_LITERAL("x"), SPAN_LITERAL("nowhere"),
                                   SPAN_LITERAL("owner"), SPAN_LITERAL("Owner")),
                     ERR_NOT_FOUND);
    assert_int_equal(
        bucket_create(fx.engine, fx.arena, SPAN_LITERAL("b"), SPAN_NONE, SPAN_LITERAL("owner"), SPAN_LITERAL("Owner")),
        ERR_BUCKET_OWNED);
    assert_int_equal(
        bucket_create(fx.engine, fx.arena, SPAN_LITERAL("b"), SPAN_NONE, SPAN_LITERAL("other"), SPAN_LITERAL("Other")),
        ERR_BUCKET_EXISTS);
    assert_string_equal(fx.bucket->placement, "single");
    assert_int_equal(put_pattern("key", 1, 1), 0);
    assert_int_equal(bucket_delete(fx.engine, fx.arena, SPAN_LITERAL("b")), ERR_BUCKET_NOT_EMPTY);
    assert_int_equal(object_delete(fx.engine, fx.arena, fx.bucket, SPAN_LITERAL("key"), NULL), 0);
    assert_int_equal(bucket_delete(fx.engine, fx.arena, SPAN_LITERAL("b")), 0);
    assert_int_equal(bucket_delete(fx.engine, fx.arena, SPAN_LITERAL("b")), ERR_NO_SUCH_BUCKET);
}

/* More buckets than one batch of rewrapping and than the first table of the key cache. */
#define BUCKETS 130

static void rotated(void *arg)
{
    Arca__BucketKey *key, **older;
    size_t count;
    char name[16];
    Arca__Bucket *all[BUCKETS];
    (void)arg;
    make_all();
    for (int i = 0; i < BUCKETS; i++) {
        snprintf(name, sizeof(name), "b%03d", i);
        all[i] = fx.bucket = make_bucket(name, "");
        assert_int_equal(put_pattern("key", (uint32_t)i, 20), 0);
    }
    assert_int_equal(keyring_rotate(fx.keyring, fx.paths[2], KEYRING_KEY_FILE, KEYRING_SECRET), 0);
    assert_int_equal(index_key_get(fx.index, all[0]->key_id, fx.arena, &key), 0);
    assert_int_equal(key->root_generation, 1);
    restart_engine();
    assert_int_equal(index_key_get(fx.index, all[0]->key_id, fx.arena, &key), 0);
    assert_int_equal(key->root_generation, 2);
    assert_int_equal(index_key_list_older(fx.index, 2, 1000, fx.arena, &older, &count), 0);
    assert_int_equal(count, 0);
    for (int i = 0; i < BUCKETS; i++) {
        fx.bucket = all[i];
        assert_int_equal(check_whole("key", (uint32_t)i, 20), 0);
    }
}

/* Another keyring opens nothing here: it is refused before anything is served or changed. */
static void wrong_keyring(void *arg)
{
    struct keyring *right = fx.keyring;
    char path[128];
    (void)arg;
    make_all();
    assert_int_equal(engine_quiesce(fx.engine), 0);
    engine_free(fx.engine);
    fx.engine = NULL;
    snprintf(path, sizeof(path), "%s-other", fx.paths[2]);
    assert_int_equal(keyring_create(path, KEYRING_KEY_FILE, KEYRING_SECRET), 0);
    assert_int_equal(keyring_open(path, KEYRING_KEY_FILE, KEYRING_SECRET, &fx.keyring), 0);
    assert_int_equal(make_engine(), ERR_WRONG_KEY);
    assert_int_equal(leases(), 0);
    keyring_free(fx.keyring);
    fx.keyring = right;
    assert_int_equal(make_engine(), 0);
}

TEST(lease)
TEST(unaccounted)
TEST(buckets)
TEST(rotated)
TEST(wrong_keyring)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unaccounted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_buckets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_keyring, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
