/* Lanes: an index on its way to two disks, one of which comes late, and the way back from each. */
#include "await.h"
#include "index_kit.h"

#include "base/block.h"
#include "base/clock.h"
#include "base/log.h"
#include "blobs.h"
#include "store/ship/rebuild.h"
#include "store/ship/ship.h"
#include "store/ship/survey.h"
#include "store/store.h"


static struct kit kit;
static char *folder;
static struct store *store;
static struct keyring *keyring;
static struct budget *budget;
static struct backend_settings disks[2];
static char *names[] = {"early", "late"};
static struct config_placement placement = {.name = "journal", .backends = names, .write_quorum = 1};
static struct config config = {.backends = disks, .backend_count = 2, .placements = &placement, .placement_count = 1};
static char index_path[300];

static int setup(void **state)
{
    char path[300];
    struct span secret = SPAN_LITERAL("a secret of at least thirty-two bytes");
    (void)state;
    assert_int_equal(crypto_init(), 0);
    folder = folder_make();
    for (int i = 0; i < 2; i++) {
        disks[i] = (struct backend_settings){.name = names[i], .driver = "disk"};
        assert_true(asprintf(&disks[i].path, "%s/%s", folder, names[i]) > 0);
    }
    placement.backend_count = 2;
    assert_int_equal(store_open(&config, &store), 0);
    snprintf(path, sizeof(path), "%s/keyring", folder);
    assert_int_equal(keyring_create(path, KEYRING_KEY_FILE, secret), 0);
    assert_int_equal(keyring_open(path, KEYRING_KEY_FILE, secret, &keyring), 0);
    budget = budget_create(64U << 20);
    kit_init(&kit);
    kit.options.segment_size = 32 << 10;
    kit.options.snapshot_min = 128 << 10;
    kit_open(&kit);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(store);
    kit_free(&kit);
    keyring_free(keyring);
    budget_free(budget);
    for (int i = 0; i < 2; i++)
        free(disks[i].path);
    kit_remove(folder);
    free(folder);
    return 0;
}

static void make_bucket(void *arg)
{
    (void)arg;
    kit_bucket(&kit);
}

static void put_many(void *arg)
{
    static unsigned number;
    unsigned count = *(unsigned *)arg;
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "key-%06u", number++);
        assert_int_equal(index_apply(kit.index, kit_put(&kit, span_str(key), "")), 0);
    }
}

static void put(unsigned count)
{
    on_fiber(put_many, &count);
}

static struct ship *start(const char *epoch, size_t backends, unsigned quorum, bool sync)
{
    struct ship *ship;
    struct ship_options options = {.index = kit.index,
                                   .store = store,
                                   .keyring = keyring,
                                   .budget = budget,
                                   .suite = SUITE_AES_256_GCM,
                                   .folder = kit.folder,
                                   .placement = "journal",
                                   .backends = names,
                                   .backend_count = backends,
                                   .quorum = quorum,
                                   .sync = sync,
                                   .interval_ms = 20,
                                   .loop_number = 5};
    memcpy(options.epoch, epoch, 8);
    assert_int_equal(ship_start(&options, &ship), 0);
    return ship;
}

/* Until all that was made by now is shipped. */
static void wait_even(void)
{
    int64_t now_ms = clock_wall_ms();
    assert_true(AWAIT(index_safe_ms(kit.index) >= now_ms));
}

/* A whole life of a gateway: it makes so many more objects, and all there is is shipped. */
static void live(const char *epoch, size_t backends, bool sync, unsigned objects)
{
    struct ship *ship = start(epoch, backends, (unsigned)backends, sync);
    put(objects);
    wait_even();
    ship_stop(ship);
}

static struct stored_list listed;
static struct backend *asked;

static void list_pieces(void *arg)
{
    (void)arg;
    listed.count = 0;
    assert_int_equal(survey_list(asked, &listed), 0);
}

static size_t pieces_on(size_t i)
{
    asked = store_backend(store, i);
    on_fiber(list_pieces, NULL);
    return listed.count;
}

static size_t pieces_of(size_t i, const char *epoch)
{
    size_t count = 0;
    (void)pieces_on(i);
    for (size_t n = 0; n < listed.count; n++)
        count += memcmp(listed.all[n].name.bytes, epoch, 8) == 0;
    return count;
}

static bool snapshot_on(size_t i)
{
    bool found = false;
    (void)pieces_on(i);
    for (size_t n = 0; n < listed.count; n++)
        found = found || name_is_snapshot(&listed.all[n].name);
    return found;
}

static void tell(void *arg, enum rebuild_line kind, const char *line)
{
    char *last = arg;
    if (kind == REBUILD_FINDING || kind == REBUILD_ERROR)
        snprintf(last, 512, "%s", line);
}

/* Of what was told, `last` gets the last finding or error. */
static int rebuild_from(const char *from, bool force, struct rebuild_result *result, char last[512])
{
    last[0] = '\0';
    snprintf(index_path, sizeof(index_path), "%s/rebuilt", folder);
    config.index_path = index_path;
    struct rebuild_options options = {
        .config = &config, .keyring = keyring, .from = from, .force = force, .tell = tell, .arg = last};
    store_close(store); /* the disks are locked */
    int rc = rebuild(&options, result);
    assert_int_equal(store_open(&config, &store), 0);
    return rc;
}

static void assert_rebuilds(const char *from, uint64_t objects)
{
    char last[512];
    struct rebuild_result result;
    struct index_mark mark;
    index_mark(kit.index, &mark);
    int rc = rebuild_from(from, false, &result, last);
    assert_string_equal(last, "");
    assert_int_equal(rc, 0);
    assert_int_equal(result.sequence, mark.sequence);
    assert_int_equal(result.objects, objects);
    kit_remove(index_path);
}

/* What is on the disks is not known any more. */
static void lose_note(void)
{
    char note[300], old[300];
    snprintf(note, sizeof(note), "%s/shipped", kit.folder);
    snprintf(old, sizeof(old), "%s/shipped", folder);
    assert_int_equal(rename(note, old), 0);
}

/* A copy of it, which is whole and clean. */
static void keep_note(void)
{
    char note[300], old[300];
    snprintf(note, sizeof(note), "%s/shipped", kit.folder);
    snprintf(old, sizeof(old), "%s/shipped", folder);
    assert_int_equal(link(note, old), 0); /* it is never written in place */
}

static void put_note_back(void)
{
    char note[300], old[300];
    snprintf(note, sizeof(note), "%s/shipped", kit.folder);
    snprintf(old, sizeof(old), "%s/shipped", folder);
    assert_int_equal(rename(old, note), 0);
}

static void both_disks_make_the_index(void **state)
{
    (void)state;
    on_fiber(make_bucket, NULL);
    struct ship *ship = start("epoch--1", 2, 2, false);
    put(300);
    wait_even();
    put(300);
    ship_stop(ship); /* which ships the rest */
    assert_rebuilds("early", 600);
    assert_rebuilds("late", 600);
}

/* The journal's beginning is gone when the second disk comes: it starts with a snapshot. */
static void a_disk_that_comes_late_begins_with_a_snapshot(void **state)
{
    struct index_position at;
    (void)state;
    on_fiber(make_bucket, NULL);
    struct ship *ship = start("epoch--1", 1, 1, false);
    for (int i = 0; i < 200 && index_journal_seek(kit.index, 1, &at) == 0; i++)
        put(200);
    assert_int_equal(index_journal_seek(kit.index, 1, &at), ERR_NOT_FOUND);
    wait_even();
    ship_stop(ship);
    size_t before = pieces_on(1);
    assert_int_equal(before, 0);
    live("epoch--2", 2, false, 10);
    assert_true(pieces_on(1) > 0);
    struct index_mark mark;
    index_mark(kit.index, &mark);
    assert_rebuilds("late", mark.sequence - 1);
    assert_rebuilds("early", mark.sequence - 1);
}

/* Sync: each change is a piece, of which few stay. When the note of where they are is lost, all goes there anew. */
static void pieces_stay_few(void **state)
{
    (void)state;
    on_fiber(make_bucket, NULL);
    struct ship *ship = start("lease-01", 2, 2, true);
    put(500);
    wait_even();
    (void)AWAIT(pieces_on(0) <= 200);
    assert_in_range(pieces_on(0), 1, 200);
    ship_stop(ship);
    lose_note();
    live("epoch--2", 2, true, 5);
    assert_rebuilds("early", 505);
    assert_rebuilds("late", 505);
}

/* The index's folder, or the disk, was put back to an older state: the pieces that the note names were gathered since.
 */
static void a_note_that_is_older_than_the_disk(void **state)
{
    (void)state;
    kit_close(&kit);
    kit.options.segment_size = 1 << 20; /* pieces need not meet again where a segment ends */
    kit_open(&kit);
    on_fiber(make_bucket, NULL);
    live("lease-01", 2, true, 100);
    keep_note();
    struct ship *ship = start("epoch--2", 2, 2, true);
    put(400);
    wait_even();
    assert_true(AWAIT(pieces_on(0) <= 200 && pieces_on(1) <= 200));
    ship_stop(ship);
    put_note_back();
    put(3); /* its lane goes on with one piece of all that it lacks */
    live("epoch--3", 2, true, 2);
    assert_rebuilds("early", 505);
    assert_rebuilds("late", 505);
}

/* What one disk has more lies in a piece that begins with what both have. */
static void what_another_disk_has_more_is_told(void **state)
{
    char last[512];
    struct rebuild_result result;
    (void)state;
    on_fiber(make_bucket, NULL);
    live("epoch--1", 2, false, 20);
    lose_note();
    put(7);
    live("epoch--2", 1, false, 0);
    assert_int_equal(rebuild_from("late", false, &result, last), ERR_CONFLICT);
    assert_non_null(strstr(last, "early has mutations up to 28"));
    assert_non_null(strstr(last, "late only up to 21: rebuild from early instead"));
    assert_int_equal(rebuild_from("late", true, &result, last), 0);
    assert_int_equal(result.objects, 20);
    kit_remove(index_path);
    assert_rebuilds("early", 27);
}

/* The index that was rebuilt is the kit's from now on. */
static void live_on(void)
{
    kit_close(&kit);
    kit_remove(kit.folder);
    assert_int_equal(rename(index_path, kit.folder), 0);
    kit_open(&kit);
}

/* On the disk that it was not rebuilt from; the leases of that life are forgotten. */
static void what_a_former_life_shipped_is_removed(void **state)
{
    char last[512];
    struct rebuild_result result;
    (void)state;
    on_fiber(make_bucket, NULL);
    live("epoch--1", 2, false, 20);
    assert_true(pieces_of(0, "epoch--1") > 0);
    assert_int_equal(rebuild_from("late", false, &result, last), 0);
    live_on();
    struct ship *ship = start("epoch--2", 2, 2, false);
    put(20);
    wait_even();
    assert_true(AWAIT(pieces_of(0, "epoch--1") == 0));
    ship_stop(ship);
    assert_rebuilds("early", 40);
    assert_rebuilds("late", 40);
}

/* A snapshot of a history that was given up lies among the pieces of the one that went on, which is longer by now. */
static void a_snapshot_of_a_history_that_was_given_up(void **state)
{
    char last[512];
    struct index_position at;
    struct rebuild_result result;
    struct index_mark before, after;
    (void)state;
    on_fiber(make_bucket, NULL);
    live("epoch--1", 2, false, 50);
    lose_note();
    struct ship *ship = start("epoch--2", 1, 1, false);
    for (int i = 0; i < 200 && index_journal_seek(kit.index, 1, &at) == 0; i++)
        put(200);
    wait_even();
    assert_true(AWAIT(snapshot_on(0)));
    index_mark(kit.index, &before);
    ship_stop(ship);
    assert_int_equal(rebuild_from("late", true, &result, last), 0);
    kit.options.snapshot_min = 1U << 30;
    live_on();
    ship = start("epoch--3", 2, 2, false);
    do {
        put(200);
        index_mark(kit.index, &after);
    } while (after.sequence <= before.sequence);
    wait_even();
    ship_stop(ship);
    assert_rebuilds("late", after.sequence - 1);
    assert_rebuilds("early", after.sequence - 1);
}

int main(void)
{
    log_setup(LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_disks_make_the_index, setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_comes_late_begins_with_a_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(pieces_stay_few, setup, teardown),
        cmocka_unit_test_setup_teardown(a_note_that_is_older_than_the_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(what_another_disk_has_more_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_former_life_shipped_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_of_a_history_that_was_given_up, setup, teardown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(listed.all);
    return failed;
}
