/* The index against a sorted array: random writes and deletions, and every listing compared with the definition of what S3
 * lists, computed the slow way. */
#include "index_kit.h"
#include "on_fiber.h"
#include "base/log.h"

#define KEYS_MAX 4000

struct model {
    struct kit kit;
    struct span keys[KEYS_MAX]; /* sorted */
    char etags[KEYS_MAX][8];
    size_t count;
    uint64_t seed;
};

static uint64_t random_below(struct model *model, uint64_t n)
{
    model->seed = model->seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (model->seed >> 33) % n;
}

/* Lengths around the places where a key continues in a child node. */
static struct span random_key(struct model *model, uint8_t *out)
{
    static const uint8_t alphabet[] = {'a', 'b', '/', '-', 0x01, 0xff};
    static const size_t shared[] = {0, 0, 0, 1, 400, 484, 485, 486, 487, 500, 970, 971, 972, 973, 1015};
    size_t base = shared[random_below(model, sizeof(shared) / sizeof(shared[0]))];
    memset(out, 'a', base);
    if (base > 20 && random_below(model, 2) == 0)
        out[10] = '/';
    size_t more = 1 + random_below(model, 9);
    for (size_t i = 0; i < more; i++)
        out[base + i] = alphabet[random_below(model, sizeof(alphabet))];
    return span_of(out, base + more);
}

static size_t lower_bound(const struct model *model, struct span key)
{
    size_t low = 0, high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (span_cmp(model->keys[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void model_put(struct model *model, struct span key, const char *etag)
{
    size_t at = lower_bound(model, key);
    if (at == model->count || !span_eq(model->keys[at], key)) {
        assert_true(model->count < KEYS_MAX);
        memmove(&model->keys[at + 1], &model->keys[at], (model->count - at) * sizeof(model->keys[0]));
        memmove(&model->etags[at + 1], &model->etags[at], (model->count - at) * sizeof(model->etags[0]));
        uint8_t *copy = malloc(key.len);
        memcpy(copy, key.ptr, key.len);
        model->keys[at] = span_of(copy, key.len);
        model->count++;
    }
    snprintf(model->etags[at], sizeof(model->etags[at]), "%s", etag);
}

static void model_delete(struct model *model, struct span key)
{
    size_t at = lower_bound(model, key);
    if (at == model->count || !span_eq(model->keys[at], key))
        return;
    free((void *)model->keys[at].ptr);
    model->count--;
    memmove(&model->keys[at], &model->keys[at + 1], (model->count - at) * sizeof(model->keys[0]));
    memmove(&model->etags[at], &model->etags[at + 1], (model->count - at) * sizeof(model->etags[0]));
}

static void compare_listing(struct model *model, const struct index_list_query *query)
{
    struct index_listing listing;
    struct span last = SPAN_NONE;
    size_t n = 0;
    bool more = false;
    assert_int_equal(index_list(model->kit.index, query, model->kit.arena, &listing), 0);
    for (size_t i = 0; i < model->count; i++) {
        struct span key = model->keys[i], item = key;
        if (!span_starts(key, query->prefix))
            continue;
        ptrdiff_t at =
            query->delimiter.len != 0 ? span_find(span_skip(key, query->prefix.len), query->delimiter) : -1;
        if (at >= 0)
            item = span_take(key, query->prefix.len + (size_t)at + query->delimiter.len);
        if (span_cmp(item, query->start_after) <= 0 || (last.ptr != NULL && span_eq(item, last)))
            continue;
        if (n == query->max) {
            more = true;
            break;
        }
        assert_true(n < listing.count);
        assert_true(span_eq(listing.entries[n].key, item));
        if (at >= 0)
            assert_null(listing.entries[n].object);
        else
            assert_string_equal(listing.entries[n].object->etag, model->etags[i]);
        last = item;
        n++;
    }
    assert_int_equal(listing.count, n);
    assert_int_equal(listing.truncated, query->max != 0 && more);
}

static struct span random_piece(struct model *model, uint8_t *out)
{
    struct span key = model->count != 0 && random_below(model, 2) == 0
                          ? model->keys[random_below(model, model->count)]
                          : random_key(model, out);
    return span_take(key, random_below(model, key.len + 1));
}

static void random_listing(struct model *model)
{
    static const struct span delimiters[] = {{NULL, 0}, {(const uint8_t *)"/", 1}, {(const uint8_t *)"a", 1},
                                             {(const uint8_t *)"-/", 2}, {(const uint8_t *)"\xff", 1},
                                             {(const uint8_t *)"aa", 2}};
    uint8_t prefix[1100], after[1100];
    struct index_list_query query = {.node = model->kit.bucket, .max = random_below(model, 30)};
    if (random_below(model, 3) != 0)
        query.prefix = random_piece(model, prefix);
    if (random_below(model, 3) != 0)
        query.start_after = random_piece(model, after);
    if (random_below(model, 10) == 0)
        query.max = SIZE_MAX;
    query.delimiter = delimiters[random_below(model, sizeof(delimiters) / sizeof(delimiters[0]))];
    compare_listing(model, &query);
}

/* Key by key, as a client pages. */
static void page_through(struct model *model, size_t page)
{
    struct index_list_query query = {.node = model->kit.bucket, .max = page};
    struct index_listing listing;
    size_t seen = 0;
    do {
        assert_int_equal(index_list(model->kit.index, &query, model->kit.arena, &listing), 0);
        for (size_t i = 0; i < listing.count; i++, seen++)
            assert_true(span_eq(listing.entries[i].key, model->keys[seen]));
        if (listing.count != 0)
            query.start_after = listing.entries[listing.count - 1].key;
    } while (listing.truncated);
    assert_int_equal(seen, model->count);
}

static void random_batch(struct model *model)
{
    const Arca__Mutation *mutations[40];
    int results[40];
    uint8_t bytes[1100];
    char etag[8];
    size_t count = 1 + random_below(model, 40);
    for (size_t i = 0; i < count; i++) {
        struct span key = random_key(model, bytes);
        bool del = random_below(model, 5) < 2;
        if (model->count != 0 && random_below(model, 3) == 0)
            key = model->keys[random_below(model, model->count)];
        key = arena_dup(model->kit.arena, key);
        snprintf(etag, sizeof(etag), "e%u", (unsigned)random_below(model, 10000));
        mutations[i] = del ? kit_delete(&model->kit, key)
                           : kit_put(&model->kit, key, arena_strdup(model->kit.arena, span_str(etag)));
        if (del)
            model_delete(model, key);
        else
            model_put(model, key, etag);
    }
    index_apply_all(model->kit.index, mutations, count, results);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(results[i], 0);
}

static void compare_gets(struct model *model)
{
    uint8_t bytes[1100];
    Arca__Object *object;
    Arca__Blob *blob;
    for (int i = 0; i < 200; i++) {
        struct span key = random_key(model, bytes);
        size_t at = lower_bound(model, key);
        int rc = index_object_get(model->kit.index, model->kit.bucket, key, model->kit.arena, &object, &blob);
        if (at < model->count && span_eq(model->keys[at], key)) {
            assert_int_equal(rc, 0);
            assert_string_equal(object->etag, model->etags[at]);
            assert_non_null(blob);
        } else {
            assert_int_equal(rc, ERR_NO_SUCH_KEY);
        }
    }
}

static void play(void *arg)
{
    struct model *model = arg;
    kit_bucket(&model->kit);
    for (int round = 0; round < 120; round++) {
        arena_reset(model->kit.arena);
        random_batch(model);
        for (int i = 0; i < 12; i++)
            random_listing(model);
    }
    compare_gets(model);
    page_through(model, 7);
    page_through(model, 1000);
}

static void empty_all(void *arg)
{
    struct model *model = arg;
    while (model->count != 0) {
        arena_reset(model->kit.arena);
        struct span key = arena_dup(model->kit.arena, model->keys[model->count / 2]);
        assert_int_equal(index_apply(model->kit.index, kit_delete(&model->kit, key)), 0);
        model_delete(model, key);
        if (model->count % 50 == 0)
            random_listing(model);
    }
    assert_int_equal(index_apply(model->kit.index, kit_delete_bucket(&model->kit, "bucket")), 0);
}

static void test_model(void **state)
{
    (void)state;
    struct model *model = calloc(1, sizeof(*model));
    struct buf before = {0}, after = {0};
    model->seed = 20261124;
    kit_init(&model->kit);
    kit_open(&model->kit);
    on_fiber(play, model);
    kit_dump(model->kit.index, &before);
    kit_close(&model->kit);
    kit_check(&model->kit);

    /* The view thrown away and made again from the journal is the same, row by row. */
    model->kit.options.boot_id = "boot-2";
    char state_file[300];
    snprintf(state_file, sizeof(state_file), "%s/state", model->kit.folder);
    assert_int_equal(unlink(state_file), 0);
    kit_open(&model->kit);
    kit_dump(model->kit.index, &after);
    kit_assert_same(&before, &after);

    on_fiber(empty_all, model);
    kit_close(&model->kit);
    kit_check(&model->kit);
    buf_free(&before);
    buf_free(&after);
    kit_free(&model->kit);
    free(model);
}

/* Keys and query parts that no stored key can equal. */
static void odd(void *arg)
{
    struct kit *kit = arg;
    struct index_listing listing;
    uint8_t longest[2000];
    memset(longest, 'a', sizeof(longest));
    kit_bucket(kit);
    assert_int_equal(index_apply(kit->index, kit_put(kit, span_of("a\0b", 3), "e")), ERR_INVALID);
    assert_int_equal(index_apply(kit->index, kit_put(kit, SPAN_LITERAL(""), "e")), ERR_INVALID);
    assert_int_equal(index_apply(kit->index, kit_put(kit, span_of(longest, 1025), "e")), ERR_KEY_TOO_LONG);
    assert_int_equal(index_apply(kit->index, kit_put(kit, span_of(longest, 1024), "e")), 0);
    assert_int_equal(index_apply(kit->index, kit_put(kit, SPAN_LITERAL("a"), "e")), 0);
    assert_int_equal(index_apply(kit->index, kit_put(kit, SPAN_LITERAL("b"), "e")), 0);

    struct index_list_query query = {.node = kit->bucket, .max = 10, .start_after = span_of("a\0zzz", 5)};
    assert_int_equal(index_list(kit->index, &query, kit->arena, &listing), 0);
    assert_int_equal(listing.count, 2);
    query.start_after = span_of(longest, 2000);
    assert_int_equal(index_list(kit->index, &query, kit->arena, &listing), 0);
    assert_int_equal(listing.count, 1);
    query = (struct index_list_query){.node = kit->bucket, .max = 10, .prefix = span_of(longest, 2000)};
    assert_int_equal(index_list(kit->index, &query, kit->arena, &listing), 0);
    assert_int_equal(listing.count, 0);
    query.prefix = span_of("a\0", 2);
    assert_int_equal(index_list(kit->index, &query, kit->arena, &listing), 0);
    assert_int_equal(listing.count, 0);
}

static void test_odd_keys(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit);
    kit_open(&kit);
    on_fiber(odd, &kit);
    kit_free(&kit);
}

int main(void)
{
    log_setup(LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model), cmocka_unit_test(test_odd_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
