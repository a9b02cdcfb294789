/* Three disks, a real index, and one extent on them that is in some state. */
#ifndef ARCA_TEST_STORE_DISKS_H
#define ARCA_TEST_STORE_DISKS_H

#include "await.h"
#include "index_kit.h"

#include "base/clock.h"
#include "base/log.h"
#include "blobs.h"
#include "crypto/envelope.h"
#include "crypto/data_key.h"
#include "store/jobs/jobs.h"
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

static void set_up_index(void *arg)
{
    (void)arg;
    kit_bucket(&kit);
    kit_placement(&kit, "all", names, DISKS);
}

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
    on_fiber(set_up_index, NULL);
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
    if (how == 'S' || how == 'R')
        block->data[size - 1] ^= 1;
    assert_int_equal(disk(i)->ops->put(disk(i), name, block, &locator), 0);
    block_unref(block);
    budget_free(budget);
    replica->locator.data = arena_zalloc(kit.arena, LOCATOR_MAX);
    replica_fill(replica, disk(i), &locator);
    if (how == 'M')
        assert_int_equal(disk(i)->ops->remove(disk(i), name, &locator), 0);
    replica->state = how == 'S' || how == 'W' ? ARCA__REPLICA__STATE__SUSPECT : ARCA__REPLICA__STATE__GOOD;
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

/* Instead of tags: all bytes are what they were. */
static int verify_bytes_of(void *arg, const Arca__Blob *blob, uint32_t extent, struct span stored)
{
    (void)arg;
    struct blob_name name;
    replica_name(blob->id.data, extent, &name);
    struct budget *budget = budget_create(4 << 20);
    struct block *right = make_block(budget, &name, stored.len);
    int rc = memcmp(right->data, stored.ptr, stored.len) == 0 ? 0 : ERR_CORRUPT;
    block_unref(right);
    budget_free(budget);
    return rc;
}

/* --- one case --- */

static struct {
    /* of each extent, what the first, second, third disk has: G good, S suspect and damaged, W suspect but whole, -
     * nothing; good in the index but: F with a foreign header, R rotten behind its header, M missing */
    const char *disks;
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

/* As after a start; the budget is the caller's. */
static struct jobs_options options_of(struct loop *loop, struct budget *budget)
{
    struct jobs_options options = {.store = store,
                                   .index = kit.index,
                                   .loop = loop,
                                   .budget = budget,
                                   .grace_ms = GRACE_MS,
                                   .repair = {1 << 30, 10000},
                                   .verify = verify_bytes_of};
    memcpy(options.own_lease, OWN, sizeof(options.own_lease));
    return options;
}

#define ANY 0xFFFFFFFFU /* number of copies */

static bool is_reached(const char *now, const char *held, uint64_t pending, unsigned copies)
{
    on_fiber(look, NULL);
    return strcmp(c.now, now) == 0 && strcmp(c.held, held) == 0 && c.pending == pending && c.attempts >= c.failures &&
           (copies == ANY || c.blobs[0] + c.blobs[1] + c.blobs[2] == copies) && store_suspects(store)->count == 0;
}

struct running {
    struct loop *loop;
    struct budget *budget;
    struct jobs *jobs;
};

/* `how`: scrub and verify of it, if it is not NULL. */
static inline void start_jobs(const struct jobs_options *how, struct running *out)
{
    out->budget = budget_create(4 << 20);
    assert_int_equal(loop_create(&(struct loop_options){.number = 1}, &out->loop), 0);
    static struct jobs_options options;
    options = options_of(out->loop, out->budget);
    if (how != NULL) {
        options.scrub = how->scrub;
        options.scrub_headers_only = how->scrub_headers_only;
        options.scrub_interval_ms = how->scrub_interval_ms;
        options.doubt_ms = how->doubt_ms;
        options.verify = how->verify != NULL ? how->verify : options.verify;
    }
    assert_int_equal(jobs_start(&options, &out->jobs), 0);
    assert_int_equal(loop_start(out->loop), 0);
}

static inline void stop_jobs(struct running *running)
{
    jobs_stop(running->jobs);
    loop_stop(running->loop);
    loop_join(running->loop);
    loop_free(running->loop);
    jobs_free(running->jobs);
    budget_free(running->budget);
}

/* Until all is as expected: in the index, on the disks, rows that are left, blobs on all disks together; and `more`
 * holds, if it is not NULL. */
static inline void await_jobs(struct running *running, const char *now, const char *held, uint64_t pending,
                              unsigned copies, bool (*more)(struct jobs *jobs))
{
    bool reached = AWAIT(is_reached(now, held, pending, copies) && (more == NULL || more(running->jobs)));
    if (!reached)
        stop_jobs(running); /* what they use goes with the test that fails */
    assert_string_equal(c.now, now);
    assert_string_equal(c.held, held);
    assert_int_equal(c.pending, pending);
    assert_true(c.attempts >= c.failures);
    if (copies != ANY)
        assert_int_equal(c.blobs[0] + c.blobs[1] + c.blobs[2], copies);
    assert_true(reached);
}

static inline void run_jobs(const struct jobs_options *how, const char *now, const char *held, uint64_t pending,
                            unsigned copies, bool (*more)(struct jobs *jobs))
{
    struct running running;
    start_jobs(how, &running);
    await_jobs(&running, now, held, pending, copies, more);
    stop_jobs(&running);
}

static inline void begin(const char *disks, uint32_t extents)
{
    memset(&c, 0, sizeof(c));
    c.disks = disks;
    c.extents = extents;
    on_fiber(make, NULL);
}

static inline void delete_it(void *arg)
{
    (void)arg;
    assert_int_equal(index_apply(kit.index, kit_delete(&kit, SPAN_LITERAL("key"))), 0);
}

#endif
