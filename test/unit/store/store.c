/* The store over two disk backends. */
#include "unit.h"

#include <fcntl.h>
#include "base/log.h"
#include "blobs.h"
#include "store/private.h"
#include "store/store.h"
#include "store/watched.h"

static char *folder;
static struct backend_settings disks[2];
static char *both[] = {"one", "two"};
static struct config_placement placements[2];
static struct config config;
static struct store *store;

static int setup(void **state)
{
    (void)state;
    folder = folder_make();
    for (int i = 0; i < 2; i++) {
        char *path;
        assert_true(asprintf(&path, "%s/%s", folder, both[i]) > 0);
        disks[i] = (struct backend_settings){.name = both[i], .driver = "disk", .path = path, .segment_size = 1 << 20};
    }
    placements[0] = (struct config_placement){.name = "single", .backends = both, .backend_count = 1, .write_quorum = 1};
    placements[1] = (struct config_placement){.name = "mirror", .backends = both, .backend_count = 2, .write_quorum = 2};
    config = (struct config){.backends = disks, .backend_count = 2, .placements = placements, .placement_count = 2};
    assert_int_equal(store_open(&config, &store), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(store);
    free(disks[0].path);
    free(disks[1].path);
    folder_remove(folder);
    return 0;
}

static const uint8_t BLOB[16] = "blob-id-16-bytes";
#define SIZE 70000

static void damage(const char *path)
{
    char file[4096];
    snprintf(file, sizeof(file), "%s/segments/00000001.seg", path);
    int fd = open(file, O_WRONLY);
    assert_int_equal(pwrite(fd, "damage", 6, 40), 6); /* in the record's header */
    close(fd);
}

static void put(const char *placement, struct arena *arena, Arca__Replica ***replicas, size_t *count)
{
    struct store_body body = {0};
    struct budget *budget = budget_create(1 << 20);
    struct block *block;
    assert_int_equal(block_create(budget, SIZE, DEADLINE_NONE, &block), 0);
    block->length = SIZE;
    blob_fill(block->data, SIZE, 1);
    assert_int_equal(store_put_extent(store, span_str(placement), BLOB, 3, block, arena, &body, replicas, count), 0);
    assert_null(body.open);
    assert_int_equal(atomic_load(&block->references), 1);
    block_unref(block);
    budget_free(budget);
}

static int get(Arca__Replica **replicas, size_t count, uint32_t extent, struct store_tried *tried)
{
    static uint8_t expected[SIZE], got[SIZE];
    blob_fill(expected, SIZE, 1);
    memset(got, 0, SIZE);
    int rc = store_get_extent(store, replicas, count, BLOB, extent, 0, SIZE, got, tried);
    if (rc == 0)
        assert_memory_equal(expected, got, SIZE);
    return rc;
}

static void single(void *arg)
{
    (void)arg;
    struct store_body body = {0};
    struct arena *arena = arena_create(1 << 20);
    Arca__Replica **replicas;
    size_t count;
    put("single", arena, &replicas, &count);
    assert_int_equal(count, 1);
    assert_string_equal(replicas[0]->backend, "one");
    struct store_tried tried = {0};
    assert_int_equal(get(replicas, count, 3, &tried), 0);
    assert_int_equal(get(replicas, count, 3, &tried), ERR_CORRUPT); /* the only one was found to be damaged */
    tried = (struct store_tried){0};
    assert_int_equal(get(replicas, count, 4, &tried), ERR_CORRUPT); /* another extent's name */
    tried = (struct store_tried){0};
    assert_int_equal(get(replicas, 0, 3, &tried), ERR_NOT_FOUND);
    replicas[0]->backend = "gone";
    assert_int_equal(get(replicas, count, 3, &tried), ERR_UNAVAILABLE);
    replicas[0]->backend = "one";
    assert_int_equal(store_remove_extent(store, replicas, count, BLOB, 3), 0);
    tried = (struct store_tried){0};
    assert_int_equal(get(replicas, count, 3, &tried), ERR_NOT_FOUND);
    assert_int_equal(store_put_extent(store, span_str("nowhere"), BLOB, 3, NULL, arena, &body, &replicas, &count),
                     ERR_NOT_FOUND);
    arena_free(arena);
}

static void mirror(void *arg)
{
    (void)arg;
    struct arena *arena = arena_create(1 << 20);
    Arca__Replica **replicas;
    size_t count;
    put("mirror", arena, &replicas, &count);
    assert_int_equal(count, 2);
    struct store_tried tried = {0};
    assert_int_equal(get(replicas, count, 3, &tried), 0);
    assert_int_equal(tried.all, 1);
    assert_int_equal(get(replicas, count, 3, &tried), 0);
    assert_int_equal(tried.all, 3);
    assert_int_equal(get(replicas, count, 3, &tried), ERR_CORRUPT);
    replicas[0]->state = ARCA__REPLICA__STATE__SUSPECT;
    tried = (struct store_tried){0};
    assert_int_equal(get(replicas, count, 3, &tried), 0);
    assert_int_equal(tried.all, 2);
    replicas[0]->state = ARCA__REPLICA__STATE__GOOD;
    struct suspect suspect[2];
    assert_int_equal(suspects_take(store_suspects(store), suspect, 2), 0);
    damage(disks[0].path);
    for (int i = 0; i < 2; i++) { /* it is noted once */
        tried = (struct store_tried){0};
        assert_int_equal(get(replicas, count, 3, &tried), 0);
        assert_int_equal(tried.all, 3);
    }
    assert_int_equal(suspects_take(store_suspects(store), suspect, 2), 1);
    assert_string_equal(suspect[0].backend, "one");
    store_suspect_read(store, replicas, count, BLOB, 3, 0, 3); /* one of two, and not known which */
    assert_int_equal(suspects_take(store_suspects(store), suspect, 2), 0);
    store_suspect_read(store, replicas, count, BLOB, 3, 1, 3);
    assert_int_equal(suspects_take(store_suspects(store), suspect, 2), 1);
    assert_string_equal(suspect[0].backend, "two");
    damage(disks[1].path);
    tried = (struct store_tried){0};
    assert_int_equal(get(replicas, count, 3, &tried), ERR_CORRUPT);
    char why[128] = "?";
    assert_int_equal(store_ready(store, why, sizeof(why)), 0);
    assert_string_equal(why, "");
    arena_free(arena);
}

static void hang(struct health *health)
{
    (void)health_probed(health, ERR_TIMEOUT, loop_now_ms());
    (void)health_probed(health, ERR_TIMEOUT, loop_now_ms());
    assert_int_equal(health_state(health, loop_now_ms()), HEALTH_DOWN);
}

static void down(void *arg)
{
    (void)arg;
    struct arena *arena = arena_create(1 << 20);
    struct health *one = watched_health(store_backend(store, 0)), *two = watched_health(store_backend(store, 1));
    struct store_body body = {0};
    struct block block = {.references = 1};
    Arca__Replica **replicas, **none;
    size_t count, no_count;
    unsigned retry_after_s = 0;
    struct store_tried tried = {0};
    char why[128];
    put("mirror", arena, &replicas, &count);
    assert_int_equal(store_writable(store, span_str("single"), &retry_after_s), 0);
    assert_int_equal(store_writable(store, span_str("nowhere"), &retry_after_s), ERR_NOT_FOUND);
    hang(one);
    assert_int_equal(store_writable(store, span_str("mirror"), &retry_after_s), ERR_UNAVAILABLE);
    assert_in_range(retry_after_s, 1, HEALTH_BACKOFF_MS / 1000 + 1);
    assert_int_equal(store_put_extent(store, span_str("single"), BLOB, 4, &block, arena, &body, &none, &no_count),
                     ERR_UNAVAILABLE);
    assert_int_equal(store_ready(store, why, sizeof(why)), ERR_UNAVAILABLE);
    assert_string_equal(why, "placement single cannot be written to: backend one: deadline passed");
    assert_int_equal(get(replicas, count, 3, &tried), 0);
    assert_int_equal(tried.all, 2); /* the first was not asked */
    hang(two);
    one->trial_ms = two->trial_ms = INT64_MAX; /* one read a second finds out, even when nothing probes: not yet, */
    tried = (struct store_tried){0};
    assert_int_equal(get(replicas, count, 3, &tried), ERR_UNAVAILABLE);
    one->trial_ms = loop_now_ms(); /* and now */
    tried = (struct store_tried){0};
    assert_int_equal(get(replicas, count, 3, &tried), 0);
    assert_int_equal(store_writable(store, span_str("single"), &retry_after_s), 0);
    assert_true(health_admit(one, HEALTH_PUT, loop_now_ms()));
    (void)health_done(one, HEALTH_PUT, ERR_READONLY, 0, loop_now_ms());
    assert_int_equal(store_writable(store, span_str("single"), &retry_after_s), ERR_READONLY);
    arena_free(arena);
}

/* What is read first: by cost, then as the placement names them. */
static void cheap(void *arg)
{
    (void)arg;
    struct arena *arena = arena_create(1 << 20);
    Arca__Replica **replicas;
    size_t count;
    struct store_tried tried = {0};
    put("mirror", arena, &replicas, &count);
    Arca__Replica *turned[] = {replicas[1], replicas[0]};
    assert_int_equal(get(turned, count, 3, &tried), 0);
    assert_int_equal(tried.all, disks[0].cost == 0 ? 2 : 1);
    arena_free(arena);
}

static void down_backends_are_not_asked(void **state)
{
    (void)state;
    on_fiber(down, NULL);
}

static void reads_have_preferences(void **state)
{
    (void)state;
    on_fiber(cheap, NULL);
    store_close(store);
    disks[0].cost = 3;
    assert_int_equal(store_open(&config, &store), 0);
    on_fiber(cheap, NULL);
}

static void single_backend(void **state)
{
    (void)state;
    on_fiber(single, NULL);
}

static void two_replicas(void **state)
{
    (void)state;
    on_fiber(mirror, NULL);
}

static void bad_configs_are_refused(void **state)
{
    (void)state;
    struct store *other;
    assert_true(store_has_placement(store, span_str("mirror")));
    assert_false(store_has_placement(store, span_str("mirrors")));
    assert_string_equal(store_backend(store, 1)->name, "two");
    assert_null(store_backend(store, 2));
    assert_int_equal(store_open(&config, &other), ERR_LOCKED);
    store_close(store);
    disks[1].driver = "tape";
    assert_int_equal(store_open(&config, &other), ERR_INVALID);
    disks[1].driver = "disk";
    char *de[] = {"DE", "EU"};
    placements[1].jurisdictions = de;
    placements[1].jurisdiction_count = 2;
    disks[0].jurisdiction = "de";
    assert_int_equal(store_open(&config, &other), ERR_INVALID); /* the other has no label at all */
    disks[1].jurisdiction = "US";
    assert_int_equal(store_open(&config, &other), ERR_INVALID);
    disks[1].jurisdiction = "EU";
    assert_int_equal(store_open(&config, &other), 0);
    store_close(other);
    placements[1].jurisdiction_count = 0;
    placements[1].write_quorum = 3;
    assert_int_equal(store_open(&config, &other), ERR_INVALID);
    placements[1].write_quorum = 2;
    config.backend_count = 1;
    assert_int_equal(store_open(&config, &other), ERR_INVALID);
    config.backend_count = 2;
    assert_int_equal(store_open(&config, &store), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(single_backend, setup, teardown),
        cmocka_unit_test_setup_teardown(two_replicas, setup, teardown),
        cmocka_unit_test_setup_teardown(down_backends_are_not_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_have_preferences, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_configs_are_refused, setup, teardown),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
