#include "places.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "crypto/envelope.h"
#include "holdings.h"
#include "private.h"
#include "replicas.h"

#define ARENA_LIMIT  ((size_t)64 << 20)
#define ROWS_MAX     100000 /* blobs looked at */
#define FAILURES_MAX 3      /* of a backend, before it is not asked any more */

int64_t places_patience_ms = 5000;

struct sample {
    struct blob_name name;
    struct locator locator;
    uint32_t suite;
};

/* Some of all that were offered, each with the same chance. */
struct choice {
    struct sample kept[PLACES_WANTED];
    uint32_t offered;
};

struct look;

/* A backend that is looked at. */
struct asked {
    struct look *look;
    struct backend *backend;
    struct fiber *fiber; /* NULL: not begun, or over */
    bool done;
    struct choice sole, others;
    struct sample samples[PLACES_WANTED];
    struct place result;
};

/* Shared by the caller and a fiber for each backend. The last one out frees it: what hangs on a disk cannot be ended,
 * and may outlive the caller's patience. */
struct look {
    unsigned references;
    struct index *index;
    struct fiber *caller;       /* NULL once it has left */
    struct completion *drained; /* who waits for the last fiber */
    unsigned active;
    bool all;
    size_t count;
    struct asked asked[];
};

static void look_unref(struct look *look)
{
    if (--look->references == 0)
        free(look);
}

/* --- what to ask for --- */

static void offer(struct choice *choice, const struct sample *sample)
{
    uint32_t at = choice->offered < PLACES_WANTED ? choice->offered : randombytes_uniform(choice->offered + 1);
    if (at < PLACES_WANTED)
        choice->kept[at] = *sample;
    choice->offered++;
}

static void offer_extent(struct look *look, const Arca__Blob *blob, uint32_t extent, Arca__Replica *const *replicas,
                         size_t count)
{
    struct sample sample = {.suite = blob->suite};
    size_t good = 0;
    replica_name(blob->id.data, extent, &sample.name);
    for (size_t i = 0; i < count; i++)
        good += replicas[i]->state == ARCA__REPLICA__STATE__GOOD;
    for (size_t i = 0; i < count; i++) {
        const Arca__Replica *replica = replicas[i];
        if (replica->state != ARCA__REPLICA__STATE__GOOD || replica->locator.len > LOCATOR_MAX)
            continue;
        sample.locator.length = (uint8_t)replica->locator.len;
        if (replica->locator.len > 0)
            memcpy(sample.locator.bytes, replica->locator.data, replica->locator.len);
        for (size_t k = 0; k < look->count; k++) {
            struct asked *asked = &look->asked[k];
            if (strcmp(asked->backend->name, replica->backend) == 0)
                offer(good == 1 ? &asked->sole : &asked->others, &sample);
        }
    }
}

/* For the walk: all that are looked at, and an arena for extents. */
struct offering {
    struct look *look;
    struct arena *arena;
};

static int offer_blob(void *arg, const Arca__Blob *blob) SUSPENDS
{
    struct offering *offering = arg;
    struct look *look = offering->look;
    Arca__Extent **extents;
    if (blob->id.len != BLOB_ID_SIZE || blob->extent_count == 0)
        return 0;
    if (blob->extent_count == 1) {
        offer_extent(look, blob, 0, blob->replicas, blob->n_replicas);
        return 0;
    }
    uint32_t extent = randombytes_uniform(blob->extent_count);
    arena_reset(offering->arena);
    int rc = index_extents_get(look->index, span_of(blob->id.data, BLOB_ID_SIZE), extent, 1, offering->arena, &extents);
    if (rc == 0)
        offer_extent(look, blob, extent, extents[0]->replicas, extents[0]->n_replicas);
    return rc == ERR_NOT_FOUND ? 0 : rc; /* it went meanwhile */
}

static int offer_all(struct look *look) SUSPENDS
{
    struct offering offering = {look, arena_create(ARENA_LIMIT)};
    uint64_t total;
    int rc = offering.arena != NULL ? index_blob_count(look->index, &total) : ERR_NOMEM;
    if (rc == 0)
        rc = holdings_walk(look->index, ROWS_MAX, total / ROWS_MAX * HOLDINGS_BATCH, offer_blob, &offering);
    if (offering.arena != NULL)
        arena_free(offering.arena);
    return rc;
}

static unsigned take(struct asked *asked, const struct choice *choice, unsigned count)
{
    for (uint32_t i = 0; i < choice->offered && i < PLACES_WANTED && count < PLACES_WANTED; i++)
        asked->samples[count++] = choice->kept[i];
    return count;
}

static int choose_samples(struct look *look) SUSPENDS
{
    int rc = offer_all(look);
    for (size_t i = 0; i < look->count; i++) {
        struct asked *asked = &look->asked[i];
        asked->result.wanted = take(asked, &asked->others, take(asked, &asked->sole, 0));
    }
    return rc;
}

/* --- asking --- */

static int read_header(const struct asked *asked, const struct sample *sample) SUSPENDS
{
    uint8_t header[ENVELOPE_HEADER_SIZE];
    Arca__Blob blob = ARCA__BLOB__INIT;
    struct backend *backend = asked->backend;
    int rc = backend->ops->get(backend, &sample->name, &sample->locator, 0, sizeof(header), header);
    blob.suite = sample->suite;
    return rc != 0 ? rc : replica_check(&blob, &sample->name, span_of(header, sizeof(header)));
}

enum listed { NOTHING, FOREIGN, OWN };

/* Whether the index says that something of what it lists first is there. For a backend that began anew and has not got
 * back what it is asked for, or of which all that is damaged; and for disks that were mixed up, where all that is asked
 * for looks damaged. */
static int list_some(const struct asked *asked, enum listed *out) SUSPENDS
{
    struct backend *backend = asked->backend;
    struct blob_batch *batch = calloc(1, sizeof(*batch));
    struct arena *arena = arena_create(ARENA_LIMIT);
    struct blob_cursor cursor = {0};
    int rc = batch != NULL && arena != NULL ? 0 : ERR_NOMEM;
    while (rc == 0 && batch->count == 0 && !cursor.end)
        rc = backend->ops->list(backend, &cursor, batch);
    *out = rc == 0 && batch->count > 0 ? FOREIGN : NOTHING;
    for (size_t i = 0; rc == 0 && i < batch->count && *out != OWN; i++) {
        const struct blob_entry *entry = &batch->entries[i];
        arena_reset(arena);
        int named = replica_is_named(asked->look->index, backend, &entry->name, &entry->locator, arena);
        if (named > 0)
            *out = OWN;
        rc = named < 0 ? named : 0;
    }
    if (arena != NULL)
        arena_free(arena);
    free(batch);
    return rc;
}

static void ask(struct asked *asked) SUSPENDS
{
    struct place *result = &asked->result;
    unsigned failures = 0, damaged = 0;
    for (unsigned i = 0; i < result->wanted && failures < FAILURES_MAX; i++) {
        int rc = read_header(asked, &asked->samples[i]);
        result->found += rc == 0;
        result->missing += rc == ERR_NOT_FOUND || rc == ERR_CORRUPT;
        damaged += rc == ERR_CORRUPT;
        if (rc != 0 && rc != ERR_NOT_FOUND && rc != ERR_CORRUPT) {
            failures++;
            result->why = rc;
        }
        if (rc == ERR_CANCELED || (rc == 0 && !asked->look->all))
            break;
    }
    if (result->found > 0)
        result->verdict = PLACE_SAME;
    if (result->missing == 0 || result->found > 0 || failures > 0)
        return;
    enum listed listed;
    result->why = list_some(asked, &listed);
    if (result->why == 0 && listed == NOTHING && damaged > 0)
        result->why = ERR_CORRUPT; /* all of it may have rotted */
    else if (result->why == 0)
        result->verdict = listed == OWN ? PLACE_SAME : PLACE_OTHER;
}

static void run_ask(void *arg) SUSPENDS
{
    struct asked *asked = arg;
    struct look *look = asked->look;
    ask(asked);
    asked->done = true;
    asked->fiber = NULL;
    look->active--;
    if (look->drained == NULL && look->caller != NULL)
        fiber_wake(look->caller);
    else if (look->drained != NULL && look->active == 0)
        completion_post(look->drained, 0);
    look_unref(look);
}

/* The fibers that are left end; the caller's may be cancelled. */
static void drain(struct look *look) SUSPENDS
{
    struct completion drained;
    if (look->active == 0)
        return;
    completion_init(&drained);
    look->drained = &drained;
    completion_wait(&drained);
    look->drained = NULL;
}

static int ask_all(struct look *look) SUSPENDS
{
    int64_t deadline_ms = loop_now_ms() + places_patience_ms;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < look->count; i++) {
        struct asked *asked = &look->asked[i];
        if ((rc = fiber_spawn(fiber_loop(look->caller), run_ask, asked, &asked->fiber)) != 0)
            break;
        look->references++;
        look->active++;
    }
    while (rc == 0 && look->active > 0)
        rc = fiber_wait(deadline_ms);
    for (size_t i = 0; i < look->count; i++) {
        if (look->asked[i].fiber != NULL)
            fiber_cancel(look->asked[i].fiber);
    }
    if (look->all)
        drain(look);
    return rc == ERR_TIMEOUT ? 0 : rc;
}

int places_look(struct index *index, struct place *places, size_t count, bool all) SUSPENDS
{
    struct look *look = calloc(1, sizeof(*look) + count * sizeof(look->asked[0]));
    if (look == NULL)
        return ERR_NOMEM;
    *look = (struct look){.references = 1, .index = index, .caller = fiber_self(), .all = all, .count = count};
    for (size_t i = 0; i < count; i++) {
        look->asked[i].look = look;
        look->asked[i].backend = places[i].backend;
    }
    int rc = choose_samples(look);
    if (rc == 0)
        rc = ask_all(look);
    look->caller = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct asked *asked = &look->asked[i];
        struct backend *backend = places[i].backend;
        places[i] = asked->result;
        places[i].backend = backend;
        if (!asked->done || asked->result.why == ERR_CANCELED)
            places[i].why = ERR_TIMEOUT;
    }
    look_unref(look);
    return rc;
}

/* --- at a start --- */

struct check {
    struct index *index;
    const struct config *config;
    struct place *places;
    size_t count;
    char *why;
    size_t why_size;
};

static bool stays(const void *arg, const char *backend)
{
    const struct check *check = arg;
    for (size_t i = 0; i < check->count; i++) {
        if (strcmp(check->places[i].backend->name, backend) == 0)
            return check->places[i].verdict != PLACE_OTHER;
    }
    return config_find_backend(check->config, backend) != NULL;
}

static int judge_other(const struct check *check, const struct place *place, uint64_t replicas, bool lost) SUSPENDS
{
    const char *name = place->backend->name;
    uint64_t sole;
    int rc = holdings_sole(check->index, name, stays, check, &sole);
    if (rc != 0)
        return rc;
    if (sole > 0 && !lost)
        return err_refuse(
            check->why, check->why_size,
            "backend %s is another place, or was emptied: it is to have %llu replicas, of %llu extents the "
            "only one, and has none of the %u that were looked for. Give this name the place back that it "
            "had; a new place gets a name of its own, and the placement changes to it. If what was there "
            "is lost for good, start once with --accept-lost %s",
            name, (unsigned long long)replicas, (unsigned long long)sole, place->wanted, name);
    log_error(
        "backend_emptied",
        "backend %s is another place, or was emptied: it has none of the %u replicas that were looked for, and is "
        "used as it is. It was to have %llu; %s",
        name, place->wanted, (unsigned long long)replicas,
        sole > 0 ? "what was on it alone is given up" : "all are elsewhere too: scrub and repair bring them back");
    if (sole > 0)
        log_error("backend_lost", "backend %s: %llu extents are lost", name, (unsigned long long)sole);
    return 0;
}

static int judge(const struct check *check, const struct place *place, uint64_t replicas, bool lost) SUSPENDS
{
    const char *name = place->backend->name;
    if (place->verdict == PLACE_OTHER)
        return judge_other(check, place, replicas, lost);
    if (place->verdict == PLACE_UNKNOWN && place->why != 0)
        log_warn("backend_place", "backend %s: it cannot be told whether it is where its data are: %s", name,
                 err_text(place->why));
    if (lost)
        log_warn("backend_place", "backend %s: nothing of it is given up", name);
    return 0;
}

static bool is_among(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* Those that hold something. */
static int find_places(struct check *check, const struct store *store, Arca__Holding *const *holdings, size_t count)
{
    for (size_t i = 0; i < check->config->backend_count; i++) {
        const char *name = check->config->backends[i].name;
        struct place *place = &check->places[check->count];
        if (holdings_on(holdings, count, name) == 0)
            continue;
        int rc = store_find_backend(store, name, &place->backend);
        if (rc != 0)
            return rc;
        check->count++;
    }
    return 0;
}

int places_check(struct store *store, struct index *index, const struct config *config, const char *const *lost,
                 size_t lost_count, char *why, size_t why_size) SUSPENDS
{
    struct check check = {.index = index, .config = config, .why = why, .why_size = why_size};
    Arca__Holding **holdings;
    size_t count;
    for (size_t i = 0; i < lost_count; i++) {
        if (config_find_backend(config, lost[i]) == NULL)
            return err_refuse(why, why_size, "--accept-lost %s: the configuration has no such backend", lost[i]);
    }
    struct arena *arena = arena_create(ARENA_LIMIT);
    if (arena == NULL)
        return ERR_NOMEM;
    check.places = arena_zalloc(arena, (config->backend_count + 1) * sizeof(*check.places));
    int rc = check.places != NULL ? index_holding_list(index, arena, &holdings, &count) : ERR_NOMEM;
    if (rc == 0)
        rc = find_places(&check, store, holdings, count);
    if (rc == 0)
        rc = places_look(index, check.places, check.count, false);
    for (size_t i = 0; rc == 0 && i < check.count; i++) {
        const char *name = check.places[i].backend->name;
        rc = judge(&check, &check.places[i], holdings_on(holdings, count, name), is_among(lost, lost_count, name));
    }
    arena_free(arena);
    return rc;
}
