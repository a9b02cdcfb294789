#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "backends/registry.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "dice.h"
#include "fault_backend.h"
#include "memory_backend.h"
#include "simulated.h"
#include "store/placements.h"
#include "world_private.h"

#define WHY_SIZE      200
#define EXTENT        ENVELOPE_SEGMENT /* the smallest there is */
#define BUDGET        ((size_t)256 << 20)
#define SECRET        SPAN_LITERAL("0123456789abcdef0123456789abcdef")
#define SCRUB_MS      5000
#define STEP_MS       500
#define STEPS_MAX     1200
#define FIBERS_MAX    4096

const char *const world_placements[WORLD_PLACEMENTS] = {"all", "lone"};
const char *const world_backends[WORLD_BACKENDS] = {"one", "two", "three", "four", "five", "six", "seven", "eight"};
const unsigned world_pools[WORLD_PLACEMENTS][2] = {{0, 7}, {WORLD_LIARS, WORLD_BACKENDS}};

static struct world *opening; /* whose backends are being opened */

/* Of a million operations. */
static const unsigned HONEST[WEATHERS][FAULT_COUNT] = {
    [WEATHER_ROUGH] = {[FAULT_ERROR_BEFORE] = 20000, [FAULT_ERROR_AFTER] = 10000, [FAULT_TORN_PUT] = 5000,
                       [FAULT_DELAY] = 100000, [FAULT_OUTAGE] = 500, [FAULT_LIST] = 300000},
    [WEATHER_MILD] = {[FAULT_DELAY] = 300000, [FAULT_OUTAGE] = 1000, [FAULT_LIST] = 300000},
    [WEATHER_FINE] = {[FAULT_ERROR_BEFORE] = 500, [FAULT_ERROR_AFTER] = 1000, [FAULT_TORN_PUT] = 500,
                      [FAULT_DELAY] = 300000},
};
static const unsigned INDEX[WEATHERS] = {[WEATHER_ROUGH] = 2000, [WEATHER_MILD] = 200};
static const unsigned LIES[FAULT_COUNT] = {
    [FAULT_LYING_PUT] = 10000, [FAULT_LYING_GET] = 10000, [FAULT_ROT] = 5000, [FAULT_ROLL_BACK] = 500};

void world_must(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "model: %s: %s\n", what, err_text(rc));
    abort();
}

unsigned world_number_of(const char *backend)
{
    unsigned number = 0;
    while (number < WORLD_BACKENDS && strcmp(world_backends[number], backend) != 0)
        number++;
    return number;
}

/* In the place of the registry's: the linker takes this one. */
int backend_open(const struct backend_settings *settings, struct backend **out)
{
    struct world *world = opening;
    unsigned number = world_number_of(settings->name);
    struct backend *inner;
    struct fault_options options = {
        .seed = world->seed + world->opened + dice_mix(world->backends_opened++),
        .number = number,
        .liars = world->lies ? WORLD_LIARS : 0,
        .delay_ms = 40,
        .outage_ms = 4000,
        .full_only = world->weather == WEATHER_MILD,
    };
    for (size_t i = 0; i < FAULT_COUNT; i++)
        options.per_million[i] = HONEST[world->weather][i] + LIES[i];
    int rc = memory_open(settings->name, settings->name, &inner);
    if (rc == 0 && (rc = fault_create(inner, &options, out)) != 0)
        inner->ops->close(inner);
    return rc;
}

bool world_may_lie(const struct world *world, unsigned backend, const struct blob_name *name)
{
    return fault_may_lie(backend, world->lies ? WORLD_LIARS : 0, name);
}

/* --- life --- */

struct world *world_create(uint64_t seed, bool lies)
{
    const char *tmp = getenv("TMPDIR");
    struct world *world = calloc(1, sizeof(*world));
    if (world == NULL)
        abort();
    world->seed = seed;
    world->lies = lies;
    snprintf(world->folder, sizeof(world->folder), "%s/arca-model-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(world->folder) == NULL)
        abort();
    snprintf(world->index_path, sizeof(world->index_path), "%s/index", world->folder);
    snprintf(world->keyring_path, sizeof(world->keyring_path), "%s/keyring", world->folder);
    for (unsigned i = 0; i < WORLD_BACKENDS; i++) {
        char *name = (char *)(uintptr_t)world_backends[i];
        world->settings[i] = (struct backend_settings){.name = name, .driver = "disk", .path = name};
    }
    world_must(crypto_init(), "crypto");
    world_must(keyring_create(world->keyring_path, KEYRING_KEY_FILE, SECRET), "keyring");
    return world;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void world_destroy(struct world *world)
{
    nftw(world->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    memory_forget();
    fault_forget();
    free(world);
}

void world_open(struct world *world, enum weather weather)
{
    struct index_options options = {
        .path = world->index_path,
        .map_size = (uint64_t)1 << 30,
        .snapshot_min = (uint64_t)256 << 20,
        .boot_id = "boot",
    };
    struct world_config config;
    world->opened++;
    world->weather = weather;
    world->killed = false;
    world->backends_opened = 0;
    fault_calm(true);
    fault_freeze(false);
    simulated_index_freeze(false);
    world_must(keyring_open(world->keyring_path, KEYRING_KEY_FILE, SECRET, &world->keyring), "keyring");
    world_must(index_open(&options, &world->index), "index");
    opening = world;
    world_config_of(world, &config);
    world_must(store_open(&config.config, &world->store), "store");
    world->budget = budget_create(BUDGET);
    world_must(world->budget != NULL ? 0 : ERR_NOMEM, "budget");
}

void world_run(struct world *world, void (*fn)(void *arg), void *arg)
{
    world_must(loop_create(&(struct loop_options){.fibers_max = FIBERS_MAX}, &world->loop), "loop");
    world_must(fiber_spawn(world->loop, fn, arg, NULL), "fiber");
    loop_stop(world->loop);
    loop_run(world->loop);
    loop_free(world->loop);
    world->loop = NULL;
}

void world_close(struct world *world)
{
    jobs_free(world->jobs);
    prober_free(world->prober);
    engine_free(world->engine);
    world->jobs = NULL;
    world->prober = NULL;
    world->engine = NULL;
    store_close(world->store);
    index_close(world->index);
    budget_free(world->budget);
    keyring_free(world->keyring);
}

struct loop *world_loop(struct world *world)
{
    return world->loop;
}

struct engine *world_engine(struct world *world)
{
    return world->engine;
}

struct index *world_index(struct world *world)
{
    return world->index;
}

void world_calm(struct world *world, bool calm)
{
    fault_calm(calm);
    simulated_index_faults(calm ? 0 : INDEX[world->weather]);
}

/* --- on the first fiber --- */

void world_start(struct world *world) SUSPENDS
{
    struct engine_options options = {
        .index = world->index,
        .store = world->store,
        .keyring = world->keyring,
        .budget = world->budget,
        .suite = SUITE_AES_256_GCM,
        .extent_size = EXTENT,
    };
    struct world_config config;
    char why[WHY_SIZE] = "";
    world_config_of(world, &config);
    world_must(placements_follow(world->store, world->index, &config.config, NULL, why, sizeof(why)), "placements");
    world_must(engine_create(&options, &world->engine), "engine");
}

static int verify(void *arg, const Arca__Blob *blob, uint32_t extent, struct span stored) SUSPENDS
{
    struct world *world = arg;
    return engine_verify(world->engine, blob, extent, stored);
}

void world_work(struct world *world, int64_t grace_ms) SUSPENDS
{
    struct jobs_options options = {
        .store = world->store,
        .index = world->index,
        .loop = world->loop,
        .budget = world->budget,
        .grace_ms = grace_ms,
        .repair = {(uint64_t)1 << 30, 10000},
        .scrub = {(uint64_t)1 << 30, 10000},
        .scrub_interval_ms = SCRUB_MS,
        .verify = verify,
        .verify_arg = world,
    };
    engine_lease(world->engine, options.own_lease);
    world_must(jobs_start(&options, &world->jobs), "jobs");
    world_must(prober_start(world->store, world->loop, &world->prober), "prober");
}

void world_pause_ms(int64_t ms) SUSPENDS
{
    int64_t until_ms = loop_now_ms() + ms;
    while (loop_now_ms() < until_ms && fiber_wait(until_ms) == 0)
        continue;
}

void world_stop(struct world *world, bool closes) SUSPENDS
{
    jobs_stop(world->jobs);
    prober_stop(world->prober);
    if (world->killed)
        return;
    while (loop_fibers(world->loop) > 1) /* stragglers */
        world_pause_ms(10);
    if (closes)
        (void)engine_quiesce(world->engine); /* what the index refuses leaves the lease open */
}

void world_kill(struct world *world)
{
    world->killed = true;
    simulated_index_freeze(true);
    fault_freeze(true);
    loop_cancel_fibers(world->loop);
}

bool world_killed(const struct world *world)
{
    return world->killed;
}

/* --- convergence --- */

uint64_t world_open_leases(struct world *world) SUSPENDS
{
    struct arena *arena = arena_create((size_t)64 << 20);
    Arca__Lease **leases;
    size_t count;
    uint64_t open = 0;
    world_must(index_lease_list(world->index, arena, &leases, &count), "leases");
    for (size_t i = 0; i < count; i++)
        open += leases[i]->closed_ms == 0;
    arena_free(arena);
    return open;
}

/* A round of scrub that began since then is over. */
static bool is_scrubbed(struct world *world, int64_t since_ms)
{
    struct job_view views[JOBS_VIEW_MAX];
    size_t count = jobs_view(world->jobs, views, JOBS_VIEW_MAX);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(views[i].name, "scrub") == 0)
            return views[i].state == JOB_IDLE && views[i].started_ms >= since_ms;
    }
    return false;
}

static bool has_converged(struct world *world) SUSPENDS
{
    struct arena *arena = arena_create((size_t)1 << 20);
    Arca__Blob **blobs;
    size_t garbage;
    uint64_t repairs;
    world_must(index_repair_count(world->index, &repairs), "repairs");
    world_must(index_garbage_list(world->index, INT64_MAX, NULL, 1, arena, &blobs, &garbage), "garbage");
    arena_free(arena);
    return repairs == 0 && garbage == 0 && world_open_leases(world) == 1 && world_changes(world) == 0;
}

bool world_converge(struct world *world) SUSPENDS
{
    int64_t since_ms = clock_wall_ms();
    bool done = false;
    for (int i = 0; i < STEPS_MAX && !done; i++) {
        world_resume(world);
        world_pause_ms(STEP_MS);
        done = is_scrubbed(world, since_ms) && has_converged(world);
    }
    return done;
}

static void print_finding(const char *line, void *arg)
{
    (void)arg;
    fprintf(stderr, "model: the index: %s\n", line);
}

uint64_t world_check(struct world *world)
{
    uint64_t findings = 0;
    world_must(index_check(world->index_path, print_finding, NULL, &findings), "index_check");
    return findings;
}
