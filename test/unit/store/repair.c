/* Repair over three disks and a real index. */
#include "index_kit.h"

#include "base/clock.h"
#include "base/log.h"
#include "blobs.h"
#include "crypto/envelope.h"
#include "crypto/data_key.h"
#include "store/private.h"
#include "store/replicas.h"
#include "store/store.h"

#define DISKS       3
#define PLAIN       5000 /* of the last extent */
#define EXTENT      65536
#define OWN         ((const uint8_t *)"own-leas")
#define SUITE       SUITE_AES_256_GCM
#define GRACE_MS    (1LL << 45) /* the kit's times are those of 1970 */

static struct kit kit;
static char *folder;
static struct store *store;
static char *names[] = {"one", "two", "three"};

/* --- the place --- */

static int setup(void **state)
{
    (void)state;
    struct backend_settings disks[DISKS];
    struct config_placement all = {.name = "all", .backends = names, .backend_count = DISKS, .write_quorum = 2};
    struct config config = {.backends = disks, .backend_count = DISKS, .placements = &all, .placement_count = 1};
    folder = folder_make();
    for (int i = 0; i < DISKS; i++) {
        disks[i] = (struct backend_settings){.name = names[i], .driver = "disk"};
        assert_true(asprintf(&disks[i].path, "%s/%s", folder, names[i]) > 0);
    }
    all.name = "all";
    assert_int_equal(store_open(&config, &store), 0);
    for (int i = 0; i < DISKS; i++)
        free(disks[i].path);
    kit_init(&kit);
    kit_open(&kit);
    on_fiber((void (*)(void *))kit_bucket, &kit);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_free(&kit);
    store_close(store);
    folder_remove(folder);
    return 0;
}

/* --- blobs --- */

static struct backend *disk(int i)
{
    return store_backend(store, (size_t)i);
}

/* As an extent looks to who has no key. */
static struct block *make_block(struct budget *budget, const struct blob_name *name, size_t size)
{
    struct block *block;
    assert_int_equal(block_create(budget, size, DEADLINE_NONE, &block), 0);
    block->length = size;
    blob_fill(block->data, size, name->bytes[15]);
    memset(block->data, 0, HEADER_COMMITMENT);
    memcpy(block->data + HEADER_MAGIC, EXTENT_MAGIC, 8);
    block->data[HEADER_VERSION] = EXTENT_VERSION;
    block->data[HEADER_SUITE] = SUITE;
    block->data[HEADER_SEGMENT_LOG2] = 16;
    memcpy(block->data + HEADER_BLOB_ID, name->bytes, BLOB_ID_SIZE);
    memcpy(block->data + HEADER_EXTENT_NUMBER, name->bytes + BLOB_ID_SIZE, 4);
    return block;
}

static Arca__Replica *store_on(int i, const struct blob_name *name, size_t size, char how)
{
    Arca__Replica *replica = KIT_NEW(&kit, Arca__Replica, arca__replica);
    struct budget *budget = budget_create(4 << 20);
    struct block *block = make_block(budget, name, size);
    struct locator locator;
    if (how == 'F')
        block->data[HEADER_BLOB_ID] ^= 1;
    if (how == 'S')
        block->data[size - 1] ^= 1;
    assert_int_equal(disk(i)->ops->put(disk(i), name, block, &locator), 0);
    block_unref(block);
    budget_free(budget);
    replica->locator.data = arena_zalloc(kit.arena, LOCATOR_MAX);
    replica_fill(replica, disk(i), &locator);
    replica->state = how == 'S' ? ARCA__REPLICA__STATE__SUSPECT : ARCA__REPLICA__STATE__GOOD;
    return replica;
}

static size_t stored_size(uint32_t extent, uint32_t extents)
{
    return (size_t)envelope_extent_size(SUITE, extent + 1 < extents ? EXTENT : PLAIN);
}

static size_t store_all(const struct blob_name *name, size_t size, const char *disks, Arca__Replica ***out)
{
    size_t count = 0;
    *out = arena_alloc(kit.arena, DISKS * sizeof(**out));
    for (int i = 0; i < DISKS; i++) {
        if (disks[i] != '-')
            (*out)[count++] = store_on(i, name, size, disks[i]);
    }
    return count;
}

/* --- one case --- */

static struct {
    const char *disks; /* of each extent, what the first, second, third disk has: G good, S suspect, F good in the index
                        * but with a foreign header, - nothing */
    uint32_t extents;
    struct blob_name name;
    uint32_t failures; /* attempts that have to fail */
    /* afterwards */
    uint64_t pending;
    uint32_t attempts;
    char now[DISKS + 1]; /* of the last extent: G, S, - in the index */
    char held[DISKS + 1]; /* = the right bytes where the index says, ! other bytes, - nothing */
    unsigned blobs[DISKS]; /* on each disk */
} c;

static void make(void *arg)
{
    (void)arg;
    Arca__Mutation *put = kit_put(&kit, SPAN_LITERAL("key"), "e");
    Arca__NewBlob *new = put->put_object->blob = kit_new_blob(&kit, EXTENT * (c.extents - 1) + PLAIN, c.extents);
    Arca__Blob *blob = new->blob;
    put->put_object->object->blob_id = blob->id;
    put->put_object->object->size = blob->size;
    blob->suite = SUITE;
    blob->extent_size = EXTENT;
    blob->placement = "all";
    new->wanted_replicas = DISKS;
    new->repair_ms = 1;
    for (uint32_t i = 0; i < c.extents; i++) {
        replica_name(blob->id.data, i, &c.name);
        Arca__Replica **replicas;
        size_t count = store_all(&c.name, stored_size(i, c.extents), c.disks, &replicas);
        if (c.extents == 1) {
            blob->replicas = replicas;
            blob->n_replicas = count;
        } else {
            new->extents[i]->replicas = replicas;
            new->extents[i]->n_replicas = count;
        }
    }
    assert_int_equal(index_apply(kit.index, put), 0);
}

static void look_at(int i, const Arca__Replica *replica)
{
    size_t size = stored_size(c.extents - 1, c.extents);
    uint8_t *data = malloc(size);
    struct budget *budget = budget_create(4 << 20);
    struct block *right = make_block(budget, &c.name, size);
    struct locator at = {.length = (uint8_t)replica->locator.len};
    memcpy(at.bytes, replica->locator.data, at.length);
    c.now[i] = replica->state == ARCA__REPLICA__STATE__SUSPECT ? 'S' : 'G';
    int rc = disk(i)->ops->get(disk(i), &c.name, &at, 0, size, data);
    c.held[i] = rc != 0 ? '-' : memcmp(data, right->data, size) == 0 ? '=' : '!';
    block_unref(right);
    budget_free(budget);
    free(data);
}

static void look(void *arg)
{
    (void)arg;
    Arca__Repair **rows;
    Arca__Replica **replicas;
    Arca__Blob *blob;
    size_t count;
    static struct blob_batch batch;
    assert_int_equal(index_repair_count(kit.index, &c.pending), 0);
    assert_int_equal(index_repair_list(kit.index, INT64_MAX, NULL, 10, kit.arena, &rows, &count), 0);
    c.attempts = count > 0 ? rows[0]->attempts : 0;
    assert_int_equal(replicas_find(kit.index, &c.name, kit.arena, &blob, &replicas, &count), 0);
    memset(c.now, '-', DISKS);
    memset(c.held, '-', DISKS);
    for (int i = 0; i < DISKS; i++) {
        struct blob_cursor cursor = {0};
        c.blobs[i] = 0;
        while (!cursor.end) {
            assert_int_equal(disk(i)->ops->list(disk(i), &cursor, &batch), 0);
            c.blobs[i] += (unsigned)batch.count;
        }
        for (size_t k = 0; k < count; k++) {
            if (strcmp(replicas[k]->backend, names[i]) == 0)
                look_at(i, replicas[k]);
        }
    }
}

/* Runs repair until all is as expected: in the index, on the disks, rows that are left, blobs on all disks together. */
static void run_repair(const char *now, const char *held, uint64_t pending, unsigned copies)
{
    struct loop *loop;
    struct garbage *garbage;
    struct repair *repair;
    struct budget *budget = budget_create(4 << 20);
    assert_int_equal(loop_create(&(struct loop_options){.number = 1}, &loop), 0);
    assert_int_equal(garbage_start(store, kit.index, loop, OWN, GRACE_MS, &garbage), 0);
    struct repair_options options = {.store = store,
                                     .index = kit.index,
                                     .loop = loop,
                                     .budget = budget,
                                     .garbage = garbage,
                                     .rate = 1 << 30,
                                     .operations = 10000};
    assert_int_equal(repair_start(&options, &repair), 0);
    assert_int_equal(loop_start(loop), 0);
    for (int i = 0; i < 5000; i++) {
        on_fiber(look, NULL);
        if (strcmp(c.now, now) == 0 && strcmp(c.held, held) == 0 && c.pending == pending && c.attempts >= c.failures &&
            c.blobs[0] + c.blobs[1] + c.blobs[2] == copies && store_suspects(store)->count == 0)
            break;
        usleep(2000);
    }
    repair_stop(repair);
    garbage_stop(garbage);
    loop_stop(loop);
    loop_join(loop);
    loop_free(loop);
    repair_free(repair);
    garbage_free(garbage);
    budget_free(budget);
    assert_string_equal(c.now, now);
    assert_string_equal(c.held, held);
    assert_int_equal(c.pending, pending);
    assert_true(c.attempts >= c.failures);
    assert_int_equal(c.blobs[0] + c.blobs[1] + c.blobs[2], copies);
}

static void begin(const char *disks, uint32_t extents)
{
    memset(&c, 0, sizeof(c));
    c.disks = disks;
    c.extents = extents;
    on_fiber(make, NULL);
}

/* --- cases --- */

static void missing_replicas(void **state)
{
    (void)state;
    begin("-G-", 1);
    run_repair("GGG", "===", 0, 3);
    assert_false(store_leftovers(store));
}

static void several_extents(void **state)
{
    (void)state;
    begin("GG-", 3);
    run_repair("GGG", "===", 0, 9);
    assert_int_equal(c.blobs[2], 3);
}

/* The suspect copy goes when the new one is there. */
static void suspect_replica(void **state)
{
    (void)state;
    begin("SG-", 1);
    run_repair("GGG", "===", 0, 3);
    assert_int_equal(c.blobs[0], 1);
}

/* A reader found it. */
static void reported_replica(void **state)
{
    (void)state;
    Arca__Replica replica = ARCA__REPLICA__INIT;
    begin("GGG", 1);
    replica.backend = names[1];
    replica.locator = kit_data("elsewhere", 9);
    store_suspect(store, &replica, c.name.bytes, 0); /* of another time: nothing happens */
    run_repair("GGG", "===", 0, 3);
    assert_int_equal(c.blobs[1], 1);
}

/* What a replica holds is not this extent: that one is not copied, but healed. */
static void foreign_source(void **state)
{
    (void)state;
    begin("FG-", 1);
    run_repair("GGG", "===", 0, 3);
}

/* Without a good replica nothing is copied and nothing is thrown away. */
static void no_source(void **state)
{
    (void)state;
    begin("S-S", 1);
    c.failures = 1;
    run_repair("S-S", "!-!", 1, 2);
}

static void delete_it(void *arg)
{
    (void)arg;
    assert_int_equal(index_apply(kit.index, kit_delete(&kit, SPAN_LITERAL("key"))), 0);
}

static void deleted_blob(void **state)
{
    (void)state;
    begin("G--", 1);
    on_fiber(delete_it, NULL);
    struct blob_name first = c.name;
    begin("GG-", 1); /* its id is greater: it is looked at later */
    run_repair("GGG", "===", 1, 4);
    c.name = first;
    run_repair("G--", "=--", 1, 4);
}

static void leave_orphan(void *arg)
{
    (void)arg;
    struct blob_name name;
    Arca__Mutation *open = kit_mutation(&kit, ARCA__MUTATION__OP_OPEN_LEASE);
    open->open_lease = KIT_NEW(&kit, Arca__OpenLease, arca__open_lease);
    open->open_lease->lease = KIT_NEW(&kit, Arca__Lease, arca__lease);
    open->open_lease->lease->id = kit_data("lease-01", 8);
    assert_int_equal(index_apply(kit.index, open), 0);
    replica_name(kit_blob_id(&kit, 1000000).data, 0, &name);
    store_on(2, &name, stored_size(0, 1), 'G');
}

/* What the process before left behind goes; what repair puts there in the meantime stays. */
static void after_a_crash(void **state)
{
    (void)state;
    begin("GG-", 1);
    on_fiber(leave_orphan, NULL);
    run_repair("GGG", "===", 0, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(missing_replicas, setup, teardown),
        cmocka_unit_test_setup_teardown(several_extents, setup, teardown),
        cmocka_unit_test_setup_teardown(suspect_replica, setup, teardown),
        cmocka_unit_test_setup_teardown(reported_replica, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_source, setup, teardown),
        cmocka_unit_test_setup_teardown(no_source, setup, teardown),
        cmocka_unit_test_setup_teardown(deleted_blob, setup, teardown),
        cmocka_unit_test_setup_teardown(after_a_crash, setup, teardown),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
