/* Placements follow configs over a real index and three disks: what becomes of the rows, and what is refused. */
#include "disks.h"

#include "store/fanout.h"
#include "store/placements.h"
#include "store/topology.h"

/* --- configs --- */

#define BACKENDS 4

static char *all_names[BACKENDS] = {"one", "two", "three", "four"};
static char paths[BACKENDS][256];
static struct backend_settings backends[BACKENDS];
static char *chosen[BACKENDS];
static struct config_placement placement;
static struct config config;

static size_t choose(const char *letters, char **out)
{
    size_t count = 0;
    for (; *letters != '\0'; letters++)
        out[count++] = all_names[*letters - '1'];
    return count;
}

/* Digits are backends: those that there are, and those of the placement. */
static void configure(const char *there, const char *members, unsigned quorum)
{
    char *those[BACKENDS];
    size_t count = choose(there, those);
    for (size_t i = 0; i < count; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%s", folder, those[i]);
        backends[i] = (struct backend_settings){.name = those[i], .driver = "disk", .path = paths[i]};
    }
    placement = (struct config_placement){
        .name = "all", .backends = chosen, .backend_count = choose(members, chosen), .write_quorum = quorum};
    config =
        (struct config){.backends = backends, .backend_count = count, .placements = &placement, .placement_count = 1};
}

static char why[300];
static int followed;
static bool refollow; /* as a SIGHUP does */
static struct candidate *candidates;

static void run_follow(void *arg)
{
    (void)arg;
    followed = placements_follow(store, kit.index, &config, refollow ? candidates : NULL, why, sizeof(why));
}

static int follow(void)
{
    why[0] = '\0';
    if (refollow)
        assert_int_equal(store_candidates(store, &config, &candidates), 0);
    on_fiber(run_follow, NULL);
    if (refollow)
        store_candidates_free(candidates, config.backend_count);
    return followed;
}

/* As if it had been changed by other means, with nothing left to be done. */
static void run_set(void *arg)
{
    char *members[BACKENDS];
    size_t count = choose(arg, members);
    kit_placement(&kit, "all", members, count);
}

static void set_row(const char *members)
{
    on_fiber(run_set, (void *)(uintptr_t)members);
}

/* --- what there is --- */

static char row[64];
static Arca__Job__Step job_step_now;
static size_t configured;

static void read_row(void *arg)
{
    (void)arg;
    Arca__Placement *found;
    Arca__Job *job;
    assert_int_equal(index_placement_get(kit.index, SPAN_LITERAL("all"), kit.arena, &found), 0);
    int rc = index_job_get(kit.index, SPAN_LITERAL("placement all"), kit.arena, &job);
    job_step_now = rc == 0 ? job->step : ARCA__JOB__STEP__NONE;
    configured = found->n_configured;
    row[0] = '\0';
    for (size_t i = 0; i < found->n_members; i++) {
        strcat(row, i > 0 ? " " : "");
        strcat(row, found->members[i]->backend);
        strncat(row, &"\0+-!"[found->members[i]->role], 1);
    }
}

static void assert_row(const char *expected, Arca__Job__Step step)
{
    on_fiber(read_row, NULL);
    assert_string_equal(row, expected);
    assert_int_equal(job_step_now, step);
}

static void assert_wanted(size_t count, const char *first)
{
    struct backend *const *wanted;
    assert_int_equal(store_placement_backends(store, SPAN_LITERAL("all"), &wanted), count);
    assert_string_equal(wanted[0]->name, first);
}

/* --- the cases --- */

static void rows_follow(void **state)
{
    (void)state;
    refollow = false;
    configure("123", "123", 2);
    assert_int_equal(follow(), 0);
    assert_row("one two three", ARCA__JOB__STEP__NONE);
    assert_int_equal(configured, 3);
    refollow = true;
    configure("123", "321", 1); /* order and quorum alone */
    assert_int_equal(follow(), 0);
    assert_row("three two one", ARCA__JOB__STEP__NONE);
    assert_wanted(3, "three");
    configure("1234", "234", 2);
    assert_int_equal(follow(), 0);
    assert_row("two three four+ one-", ARCA__JOB__STEP__BACKFILL);
    assert_wanted(3, "two");
    assert_true(store_backend_used(store, "four"));
    struct backend *four = store_backend(store, 3);
    assert_int_equal(follow(), 0); /* nothing new: nothing is opened or begun again */
    assert_ptr_equal(store_backend(store, 3), four);
    assert_null(store_backend(store, 4));
    configure("123", "123", 2);
    assert_int_equal(follow(), 0);
    assert_row("one two three four!", ARCA__JOB__STEP__BACKFILL);
    assert_false(store_backend_used(store, "four"));
    configure("1234", "1234", 2); /* it comes back, and is the same */
    assert_int_equal(follow(), 0);
    assert_ptr_equal(store_backend(store, 3), four);
    assert_row("one two three four+", ARCA__JOB__STEP__BACKFILL);
}

static void a_change_that_was_lost_goes_on(void **state)
{
    (void)state;
    refollow = true;
    begin("GG-", 1);
    configure("123", "23", 1);
    set_row("23");
    assert_int_equal(follow(), 0);
    assert_row("two three one!", ARCA__JOB__STEP__BACKFILL);
}

static void refused(const char *expected)
{
    char before[sizeof(row)];
    on_fiber(read_row, NULL);
    strcpy(before, row);
    assert_int_equal(follow(), ERR_INVALID);
    assert_string_equal(why, expected);
    assert_row(before, job_step_now);
    assert_true(store_backend_used(store, "one"));
}

static void what_is_needed_is_not_dropped(void **state)
{
    (void)state;
    refollow = true;
    begin("G--", 2);
    configure("23", "23", 1);
    refused("backend one still has the only replica of 2 extents: keep it in the configuration until `arcactl jobs` "
            "shows the "
            "change as done");
    configure("123", "123", 1);
    assert_int_equal(follow(), 0);
    snprintf(paths[0], sizeof(paths[0]), "%s/elsewhere", folder);
    refused("backend one has 2 replicas and would be elsewhere (in another folder): give a new place a name of its own, "
            "and let the placement change to it");
    configure("13", "13", 1);
    assert_int_equal(follow(), 0); /* the second holds nothing */
    set_row("12");
    configure("13", "13", 1); /* as it is not configured any more */
    assert_int_equal(follow(), 0);
    on_fiber(delete_it, NULL);
    configure("3", "3", 1);
    assert_int_equal(follow(), 0); /* garbage is not needed */
}

static void labels_are_demanded(void **state)
{
    (void)state;
    char *germany[] = {"DE"};
    refollow = true;
    configure("123", "12", 1);
    assert_int_equal(follow(), 0);
    assert_row("one two three-", ARCA__JOB__STEP__BACKFILL);
    configure("123", "12", 1);
    backends[0].jurisdiction = backends[1].jurisdiction = "de";
    placement.jurisdictions = germany;
    placement.jurisdiction_count = 1;
    assert_int_equal(follow(), 0);
    const struct placement *place = topology_placement(store_topology(store), SPAN_LITERAL("all"));
    assert_int_equal(place->written.count, 2); /* the one that leaves lacks it, and gets nothing more */
    backends[1].jurisdiction = "us";
    refused("placement all: backend two lacks a label that is demanded");
}

/* A disk whose folder has another path is the same, and stays open. */
static void a_folder_may_be_renamed(void **state)
{
    (void)state;
    char old[256];
    refollow = true;
    begin("G--", 2);
    configure("123", "123", 1);
    struct backend *one = store_backend(store, 0);
    strcpy(old, paths[0]);
    snprintf(paths[0], sizeof(paths[0]), "%s/renamed", folder);
    assert_int_equal(rename(old, paths[0]), 0);
    assert_int_equal(follow(), 0);
    assert_ptr_equal(store_backend(store, 0), one);
    snprintf(paths[0], sizeof(paths[0]), "%s/linked", folder);
    assert_int_equal(symlink("renamed", paths[0]), 0);
    assert_int_equal(follow(), 0);
    assert_ptr_equal(store_backend(store, 0), one);
    assert_int_equal(follow(), 0);
    assert_ptr_equal(store_backend(store, 0), one);
    strcpy(paths[0], old); /* that is another one by now */
    refused(
        "backend one has 2 replicas and would be elsewhere (in another folder): give a new place a name of its own, "
        "and let the placement change to it");
}

/* A remote backend is opened anew when its way or its secrets are others, and under the same number. */
static void secrets_are_read_again(void **state)
{
    (void)state;
    char keys[300];
    refollow = true;
    configure("123", "123", 1);
    snprintf(keys, sizeof(keys), "%s/keys", folder);
    file_write_private(keys, "access_key_id: one\nsecret_access_key: two\n");
    backends[3] = (struct backend_settings){.name = "four",
                                            .driver = "s3",
                                            .endpoint = "http://127.0.0.1:1",
                                            .bucket = "bucket",
                                            .credentials_from = BACKEND_CREDENTIALS_FILE,
                                            .credentials = keys,
                                            .timeout_ms = 1000,
                                            .connections = 1,
                                            .signature = 4};
    config.backend_count = 4;
    assert_int_equal(follow(), 0);
    struct backend *first = store_backend(store, 3);
    assert_int_equal(follow(), 0);
    assert_ptr_equal(store_backend(store, 3), first);
    file_write_private(keys, "access_key_id: three\nsecret_access_key: four\n");
    assert_int_equal(follow(), 0);
    struct backend *second = store_backend(store, 3);
    assert_ptr_not_equal(second, first);
    assert_int_equal(store_backend_number(store, first), 3);
    backends[3].timeout_ms = 2000;
    assert_int_equal(follow(), 0);
    assert_ptr_not_equal(store_backend(store, 3), second);
    second = store_backend(store, 3);
    backends[3].cost = 5; /* how it is preferred needs no other connection */
    assert_int_equal(follow(), 0);
    assert_ptr_equal(store_backend(store, 3), second);
    assert_in_range(topology_member(store_topology(store), "four")->preference, 5 * PLACEMENT_MAX,
                    6 * PLACEMENT_MAX - 1);
}

/* --- writes that began under an older set --- */

static struct {
    struct budget *budget;
    struct arena *arena;
    struct block *block;
    struct store_body body;
    Arca__Replica **replicas;
    size_t count;
} writing;

static const uint8_t written_id[16] = "own-leas";

static void write_extent(uint32_t extent)
{
    assert_int_equal(store_put_extent(store, SPAN_LITERAL("all"), written_id, extent, writing.block, writing.arena,
                                      &writing.body, &writing.replicas, &writing.count),
                     0);
}

static void write_begin(void)
{
    memset(&writing, 0, sizeof(writing));
    writing.budget = budget_create(4 << 20);
    writing.arena = arena_create(1 << 20);
    assert_int_equal(block_create(writing.budget, PLAIN, DEADLINE_NONE, &writing.block), 0);
    writing.block->length = PLAIN;
    blob_fill(writing.block->data, PLAIN, 7);
    write_extent(0);
}

static void write_end(void)
{
    store_body_settle(&writing.body, NULL);
    block_unref(writing.block);
    arena_free(writing.arena);
    budget_free(writing.budget);
}

static void write_through(void *arg)
{
    (void)arg;
    write_begin();
    assert_int_equal(store_old_writes(store), 0);
    configure("123", "23", 1);
    run_follow(NULL);
    assert_int_equal(followed, 0);
    assert_int_equal(store_old_writes(store), 1);
    write_extent(1); /* all of a body goes to where its first extent went */
    assert_string_equal(writing.replicas[0]->backend, "one");
    write_end();
    for (int i = 0; i < 1000 && store_old_writes(store) > 0; i++)
        fiber_yield();
    assert_int_equal(store_old_writes(store), 0);
}

/* Its backend is dropped while it is under way: nothing was there to be counted yet. */
static void write_to_what_goes(void *arg)
{
    (void)arg;
    struct store_tried tried = {0};
    uint8_t back[PLAIN];
    write_begin();
    configure("23", "23", 1);
    run_follow(NULL);
    assert_int_equal(followed, 0);
    assert_false(store_backend_used(store, "one"));
    assert_int_equal(writing.count, 1);
    assert_string_equal(writing.replicas[0]->backend, "one");
    assert_int_equal(
        store_get_extent(store, writing.replicas, 1, written_id, 0, 0, sizeof(back), back, &tried), 0);
    assert_memory_equal(back, writing.block->data, sizeof(back));
    write_end();
}

static void begin_with_one(void)
{
    refollow = false;
    configure("123", "1", 1);
    assert_int_equal(follow(), 0);
    set_row("1");
    assert_int_equal(follow(), 0);
}

static void old_writes_are_known(void **state)
{
    (void)state;
    begin_with_one();
    on_fiber(write_through, NULL);
}

static void what_came_late_is_read_from_where_it_is(void **state)
{
    (void)state;
    begin_with_one();
    on_fiber(write_to_what_goes, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_that_was_lost_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_needed_is_not_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_may_be_renamed, setup, teardown),
        cmocka_unit_test_setup_teardown(labels_are_demanded, setup, teardown),
        cmocka_unit_test_setup_teardown(secrets_are_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(old_writes_are_known, setup, teardown),
        cmocka_unit_test_setup_teardown(what_came_late_is_read_from_where_it_is, setup, teardown),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
