/* Whether a backend is where the index thinks it is: three disks and a real index. */
#include "disks.h"
#include "refusals.h"

#include "base/byteorder.h"
#include "config/config.h"
#include "store/places.h"

static struct backend_settings backends[DISKS];
static struct config config;
static struct place places[DISKS];
static char why[1024];
static int checked;

/* --- looking --- */

static void run_look(void *all)
{
    for (int i = 0; i < DISKS; i++)
        places[i] = (struct place){.backend = disk(i)};
    assert_int_equal(places_look(kit.index, places, DISKS, all != NULL), 0);
}

/* = the same, ! another, - unknown: of each disk */
static void assert_places(const char *expected)
{
    on_fiber(run_look, NULL);
    for (int i = 0; i < DISKS; i++)
        assert_int_equal(expected[i], "-=!"[places[i].verdict]);
}

static void one_that_is_there_tells(void **state)
{
    (void)state;
    assert_places("---"); /* nothing to ask for */
    begin("GM-", 1);
    assert_places("=!-");
    assert_int_equal(places[0].wanted, 1);
    assert_int_equal(places[0].found, 1);
    assert_int_equal(places[1].missing, 1);
    assert_int_equal(places[2].wanted, 0);
    assert_int_equal(places[2].why, 0);
}

static void garbage_tells_nothing(void **state)
{
    (void)state;
    begin("M--", 1);
    assert_places("!--");
    on_fiber(delete_it, NULL);
    assert_places("---");
    assert_int_equal(places[0].why, 0);
}

static void suspects_are_not_asked_for(void **state)
{
    (void)state;
    begin("S-G", 1);
    assert_places("--=");
}

static void an_extent_of_several(void **state)
{
    (void)state;
    begin("MG-", 3);
    assert_places("!=-");
}

/* Damaged, but listed under its name at its place. */
static void damage_is_no_other_place(void **state)
{
    (void)state;
    begin("F-G", 1);
    assert_places("=-=");
    assert_int_equal(places[0].missing, 1);
}

/* --- what the index says is on a disk is all gone, and something else is there --- */

static void store_foreign(void *arg)
{
    struct blob_name name = {"foreign."};
    store_on((int)(intptr_t)arg, &name, PLAIN, 'G');
}

static void what_is_anothers_is_listed(void **state)
{
    (void)state;
    begin("MG-", 1);
    on_fiber(store_foreign, (void *)0);
    assert_places("!=-");
}

/* Two disks whose paths were mixed up: locators point at what is another's. */
static void move_locators(void *arg)
{
    (void)arg;
    struct blob_name foreign = {"foreign."};
    Arca__Mutation *put = kit_put(&kit, SPAN_LITERAL("moved"), "e");
    Arca__Blob *blob = put->put_object->blob->blob;
    Arca__Replica *replica = store_on(0, &foreign, PLAIN, 'G');
    blob->replicas = arena_alloc(kit.arena, sizeof(*blob->replicas));
    blob->replicas[0] = replica;
    blob->n_replicas = 1;
    blob->suite = SUITE;
    blob->extent_size = EXTENT;
    blob->placement = "all";
    assert_int_equal(index_apply(kit.index, put), 0);
}

static void disks_that_were_mixed_up(void **state)
{
    (void)state;
    memset(&c, 0, sizeof(c));
    on_fiber(move_locators, NULL);
    assert_places("!--");
    assert_int_equal(places[0].missing, 1);
}

static int rotten_get(struct backend *backend, const struct blob_name *name, const struct locator *locator,
                      uint64_t offset, uint64_t length, uint8_t *dst)
{
    (void)backend, (void)name, (void)locator, (void)offset, (void)length, (void)dst;
    return ERR_CORRUPT;
}

static void all_of_it_rotten(void **state)
{
    (void)state;
    begin("M--", 1); /* nothing is listed */
    begin_refusing(0, true, false);
    refusals.with.get = rotten_get;
    assert_places("---");
    assert_int_equal(places[0].why, ERR_CORRUPT);
    end_refusing();
}

/* --- what cannot be told --- */

static void errors_tell_nothing(void **state)
{
    (void)state;
    begin("G-G", 1);
    begin_refusing(0, true, false);
    assert_places("--=");
    assert_int_equal(places[0].why, ERR_UNAVAILABLE);
    end_refusing();
    assert_places("=-=");
}

static int refusing_list(struct backend *backend, struct blob_cursor *cursor, struct blob_batch *out)
{
    (void)backend, (void)cursor, (void)out;
    return ERR_DENIED;
}

static void a_listing_that_fails_tells_nothing(void **state)
{
    (void)state;
    begin("M-G", 1);
    begin_refusing(0, false, false);
    refusals.with.get = refusals.ops->get;
    refusals.with.list = refusing_list;
    assert_places("--=");
    assert_int_equal(places[0].why, ERR_DENIED);
    end_refusing();
}

static int hanging_get(struct backend *backend, const struct blob_name *name, const struct locator *locator,
                       uint64_t offset, uint64_t length, uint8_t *dst)
{
    (void)backend, (void)name, (void)locator, (void)offset, (void)length, (void)dst;
    int rc = 0;
    while (rc == 0)
        rc = fiber_wait(DEADLINE_NONE);
    refusals.count++;
    return rc;
}

static void look_at_hanging(void *all)
{
    run_look(all);
    assert_int_equal(refusals.count, all != NULL ? 1 : 0); /* it may go on when it is over, or has ended */
}

static void one_that_hangs_is_not_waited_for(void **state)
{
    (void)state;
    int64_t patience_ms = places_patience_ms;
    begin("G-G", 1);
    begin_refusing(0, true, false);
    refusals.with.get = hanging_get;
    for (places_patience_ms = 50;; places_patience_ms *= 2) { /* the other one has to answer within it */
        refusals.count = 0;
        on_fiber(look_at_hanging, NULL);
        assert_int_equal(places[0].verdict, PLACE_UNKNOWN);
        assert_int_equal(places[0].why, ERR_TIMEOUT);
        if (places[2].verdict == PLACE_SAME)
            break;
        assert_true(places_patience_ms < 10000);
    }
    refusals.count = 0;
    on_fiber(look_at_hanging, (void *)1);
    assert_int_equal(places[0].why, ERR_TIMEOUT);
    places_patience_ms = patience_ms;
    end_refusing();
}

/* --- many --- */

static void put_many(void *arg)
{
    for (int i = 0; i < 40; i++) {
        char *key = arena_alloc(kit.arena, 16);
        snprintf(key, 16, "key%d", i);
        Arca__Mutation *put = kit_put(&kit, span_str(key), "e");
        Arca__Blob *blob = put->put_object->blob->blob;
        struct blob_name name;
        replica_name(blob->id.data, 0, &name);
        blob->suite = SUITE;
        blob->extent_size = EXTENT;
        blob->placement = "all";
        /* The first has one of four alone, and lost all that the second has too. */
        blob->n_replicas = store_all(&name, PLAIN, i % 4 == 0 ? arg : "MG-", &blob->replicas);
        assert_int_equal(index_apply(kit.index, put), 0);
    }
}

static void only_ones_are_asked_for_first(void **state)
{
    (void)state;
    on_fiber(put_many, "G--");
    on_fiber(run_look, (void *)1);
    assert_int_equal(places[0].verdict, PLACE_SAME);
    assert_int_equal(places[0].wanted, PLACES_WANTED);
    assert_int_equal(places[0].found, 10);
    assert_int_equal(places[0].missing, PLACES_WANTED - 10);
    assert_int_equal(places[1].found, PLACES_WANTED);
    assert_places("==-");
    assert_int_equal(places[1].found, 1);
}

/* It began anew, and what is asked for are those that it lost for good. */
static void what_was_stored_since_is_listed(void **state)
{
    (void)state;
    on_fiber(put_many, "M--");
    assert_places("!=-");
    begin("GG-", 1);
    for (int i = 0; i < 5; i++)
        assert_places("==-");
}

/* --- a start --- */

static void run_check(void *lost)
{
    const char *names_lost[] = {lost};
    why[0] = '\0';
    for (int i = 0; i < DISKS; i++)
        backends[i] = (struct backend_settings){.name = names[i], .driver = "disk"};
    config = (struct config){.backends = backends, .backend_count = config.backend_count};
    checked = places_check(store, kit.index, &config, names_lost, lost != NULL, why, sizeof(why));
}

static int check(size_t backend_count, const char *lost)
{
    config.backend_count = backend_count;
    on_fiber(run_check, (void *)(uintptr_t)lost);
    return checked;
}

static void a_start_is_refused_when_something_is_lost(void **state)
{
    (void)state;
    assert_int_equal(check(3, NULL), 0);
    begin("M--", 2);
    assert_int_equal(check(3, NULL), ERR_INVALID);
    assert_string_equal(
        why,
        "backend one is another place, or was emptied: it is to have 2 replicas, of 2 extents the only one, and has "
        "none of the 1 that were looked for. Give this name the place back that it had; a new place gets a name of "
        "its own, and the placement changes to it. If what was there is lost for good, start once with "
        "--accept-lost one");
    assert_int_equal(check(3, "two"), ERR_INVALID); /* that is another one */
    assert_int_equal(check(3, "four"), ERR_INVALID);
    assert_string_equal(why, "--accept-lost four: the configuration has no such backend");
    assert_int_equal(check(3, "one"), 0);
}

static void what_is_elsewhere_too_comes_back(void **state)
{
    (void)state;
    begin("MG-", 2);
    assert_int_equal(check(3, NULL), 0);
    assert_int_equal(check(1, NULL), ERR_INVALID); /* the other one is not in the config */
}

static void what_is_emptied_or_damaged_elsewhere_is_lost(void **state)
{
    (void)state;
    begin("MM-", 1);
    assert_int_equal(check(3, NULL), ERR_INVALID);
    assert_non_null(strstr(why, "of 1 extents the only one"));
    on_fiber(delete_it, NULL);
    begin("MS-", 1);
    assert_int_equal(check(3, NULL), ERR_INVALID);
}

static void garbage_that_is_there_tells_when_nothing_else_does(void **state)
{
    (void)state;
    begin("GG-", 1);
    on_fiber(delete_it, NULL);
    begin("M--", 1);
    assert_places("=--");
}

static void what_cannot_be_told_starts(void **state)
{
    (void)state;
    begin("M--", 1);
    begin_refusing(0, true, false);
    assert_int_equal(check(3, NULL), 0);
    end_refusing();
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(one_that_is_there_tells),
        CASE(garbage_tells_nothing),
        CASE(suspects_are_not_asked_for),
        CASE(an_extent_of_several),
        CASE(damage_is_no_other_place),
        CASE(what_is_anothers_is_listed),
        CASE(disks_that_were_mixed_up),
        CASE(all_of_it_rotten),
        CASE(errors_tell_nothing),
        CASE(a_listing_that_fails_tells_nothing),
        CASE(one_that_hangs_is_not_waited_for),
        CASE(only_ones_are_asked_for_first),
        CASE(what_was_stored_since_is_listed),
        CASE(a_start_is_refused_when_something_is_lost),
        CASE(what_is_elsewhere_too_comes_back),
        CASE(what_is_emptied_or_damaged_elsewhere_is_lost),
        CASE(garbage_that_is_there_tells_when_nothing_else_does),
        CASE(what_cannot_be_told_starts),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
