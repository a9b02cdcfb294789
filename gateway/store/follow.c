/* The placements follow the config: what its rows become, and what stands in the way. */
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "holdings.h"
#include "placements.h"
#include "places.h"
#include "private.h"
#include "roster.h"

#define ARENA_LIMIT ((size_t)64 << 20)
#define BUCKETS     500 /* looked at, at a time */

/* A placement of the config. */
struct followed {
    const struct config_placement *config;
    const Arca__Placement *old; /* its row; NULL: it has none yet */
    Arca__Placement *row;       /* what it becomes; NULL: it stays */
    bool moves;
};

struct follow {
    struct store *store;
    struct index *index;
    const struct config *config;
    struct arena *arena;
    Arca__Placement **rows;
    size_t row_count;
    Arca__Holding **holdings;
    size_t holding_count;
    struct followed *all; /* one for each placement of the config */
    char *why;
    size_t why_size;
};

#define REFUSE(follow, ...) err_refuse((follow)->why, (follow)->why_size, __VA_ARGS__)

/* --- what the rows become --- */

static const Arca__Placement *find_row(const struct follow *follow, const char *name)
{
    for (size_t i = 0; i < follow->row_count; i++) {
        if (strcmp(follow->rows[i]->name, name) == 0)
            return follow->rows[i];
    }
    return NULL;
}

static bool same_as_configured(const Arca__Placement *row, const struct config_placement *config)
{
    if (row->n_configured != config->backend_count || row->configured_quorum != config->write_quorum)
        return false;
    for (size_t i = 0; i < row->n_configured; i++) {
        if (strcmp(row->configured[i], config->backends[i]) != 0)
            return false;
    }
    return true;
}

static bool is_wanted(const Arca__Member *member)
{
    return member->role == ARCA__MEMBER__ROLE__MEMBER || member->role == ARCA__MEMBER__ROLE__JOINING;
}

/* That it was changed by other means than the config is worth a word. */
static void tell_otherwise(const Arca__Placement *row, const struct config_placement *config)
{
    size_t wanted = 0;
    bool same = true;
    for (size_t i = 0; i < row->n_members; i++)
        wanted += is_wanted(row->members[i]);
    for (size_t i = 0; i < config->backend_count; i++)
        same = same && placement_member(row, span_str(config->backends[i])) != NULL;
    if (!same || wanted != config->backend_count)
        log_warn("placement",
                 "placement %s was changed to other backends than the configuration has; they stay until the "
                 "configuration changes",
                 row->name);
}

static int aim_at_config(const struct follow *follow, struct followed *one)
{
    const struct config_placement *config = one->config;
    struct span *backends = arena_alloc(follow->arena, config->backend_count * sizeof(*backends));
    if (backends == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < config->backend_count; i++)
        backends[i] = span_str(config->backends[i]);
    int rc = placement_aim(one->old, config->name, backends, config->backend_count, config->write_quorum, follow->arena,
                           &one->row, &one->moves);
    if (rc == ERR_TOO_LARGE)
        return REFUSE(follow,
                      "placement %s would have more than %d backends, with those that are being left: wait until "
                      "`arcactl jobs` shows the change as done",
                      config->name, PLACEMENT_MAX);
    if (rc == ERR_INVALID)
        return REFUSE(follow, "placement %s: 1 to %d backends, and a write quorum of 1 to their number", config->name,
                      PLACEMENT_MAX);
    if (rc == 0) {
        one->row->configured = config->backends;
        one->row->n_configured = config->backend_count;
        one->row->configured_quorum = config->write_quorum;
    }
    return rc;
}

/* What is stored where it does not belong is taken away: a set that was lost track of. */
static int add_strays(const struct follow *follow, struct followed *one)
{
    for (size_t i = 0; i < follow->holding_count; i++) {
        const Arca__Holding *held = follow->holdings[i];
        const Arca__Placement *row = one->row != NULL ? one->row : one->old;
        if (strcmp(held->placement, row->name) != 0 || held->replicas == 0 ||
            placement_member(row, span_str(held->backend)) != NULL ||
            config_find_backend(follow->config, held->backend) == NULL || row->n_members >= PLACEMENT_MAX)
            continue;
        Arca__Placement *more = arena_alloc(follow->arena, sizeof(*more));
        Arca__Member **members = arena_alloc(follow->arena, (row->n_members + 1) * sizeof(*members));
        Arca__Member *stray = arena_alloc(follow->arena, sizeof(*stray));
        if (more == NULL || members == NULL || stray == NULL)
            return ERR_NOMEM;
        arca__member__init(stray);
        stray->backend = held->backend;
        stray->role = ARCA__MEMBER__ROLE__DRAINING;
        *more = *row;
        if (row->n_members > 0)
            memcpy(members, row->members, row->n_members * sizeof(*members));
        more->members = members;
        members[more->n_members++] = stray;
        one->row = more;
        one->moves = true;
    }
    return 0;
}

static int plan_rows(struct follow *follow)
{
    const struct config *config = follow->config;
    int rc = 0;
    follow->all = arena_zalloc(follow->arena, (config->placement_count + 1) * sizeof(*follow->all));
    if (follow->all == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < config->placement_count; i++) {
        struct followed *one = &follow->all[i];
        one->config = &config->placements[i];
        one->old = find_row(follow, one->config->name);
        if (one->old == NULL || !same_as_configured(one->old, one->config))
            rc = aim_at_config(follow, one);
        else
            tell_otherwise(one->old, one->config);
        if (rc == 0)
            rc = add_strays(follow, one);
    }
    return rc;
}

/* --- what stands in the way --- */

/* Those that stay or come are in the config, and have the labels that it demands. */
static int check_members(const struct follow *follow)
{
    for (size_t i = 0; i < follow->config->placement_count; i++) {
        const struct followed *one = &follow->all[i];
        const Arca__Placement *row = one->row != NULL ? one->row : one->old;
        for (size_t j = 0; j < row->n_members; j++) {
            struct config_placement alone = *one->config;
            alone.backends = &row->members[j]->backend;
            alone.backend_count = 1;
            if (!is_wanted(row->members[j]))
                continue;
            if (config_find_backend(follow->config, row->members[j]->backend) == NULL)
                return REFUSE(follow,
                              "placement %s was changed to have backend %s: keep it in the configuration, or change "
                              "the placement first",
                              row->name, row->members[j]->backend);
            if (config_unmet(follow->config, &alone) != NULL)
                return REFUSE(follow, "placement %s: backend %s lacks a label that is demanded", row->name,
                              row->members[j]->backend);
        }
    }
    return 0;
}

/* Buckets of one placement that is gone: how many they are, and the first. */
struct orphaned {
    const char *placement, *first; /* NULL: there are none */
    uint64_t count;
};

static int note_orphaned(const struct follow *follow, const Arca__Bucket *bucket, struct orphaned *out)
{
    if (bucket->placement[0] == '\0' || config_find_placement(follow->config, bucket->placement) != NULL ||
        (out->placement != NULL && strcmp(out->placement, bucket->placement) != 0))
        return 0;
    if (out->count++ > 0)
        return 0;
    out->placement = arena_strdup(follow->arena, span_str(bucket->placement));
    out->first = arena_strdup(follow->arena, span_str(bucket->name));
    return out->placement != NULL && out->first != NULL ? 0 : ERR_NOMEM;
}

static int find_orphaned(const struct follow *follow, struct arena *batch, struct orphaned *out) SUSPENDS
{
    const char *last = "";
    size_t count = BUCKETS;
    int rc = 0;
    while (rc == 0 && count == BUCKETS) {
        Arca__Bucket **buckets;
        arena_reset(batch);
        rc = index_bucket_list(follow->index, span_str(last), BUCKETS, batch, &buckets, &count);
        for (size_t i = 0; rc == 0 && i < count; i++)
            rc = note_orphaned(follow, buckets[i], out);
        if (rc == 0 && count > 0 && (last = arena_strdup(follow->arena, span_str(buckets[count - 1]->name))) == NULL)
            rc = ERR_NOMEM;
        fiber_yield();
    }
    return rc;
}

static int check_placements(const struct follow *follow) SUSPENDS
{
    struct orphaned gone = {0};
    struct arena *batch = arena_create(ARENA_LIMIT);
    if (batch == NULL)
        return ERR_NOMEM;
    int rc = find_orphaned(follow, batch, &gone);
    arena_free(batch);
    if (rc != 0 || gone.count == 0)
        return rc;
    return REFUSE(follow, "placement %s is that of %llu buckets (%s%s): keep it in the configuration", gone.placement,
                  (unsigned long long)gone.count, gone.first, gone.count > 1 ? ", ..." : "");
}

static bool is_configured(const void *config, const char *backend)
{
    return config_find_backend(config, backend) != NULL;
}

/* Backends that hold something and are gone. */
static int check_backends(const struct follow *follow) SUSPENDS
{
    for (size_t i = 0; i < follow->holding_count; i++) {
        const char *backend = follow->holdings[i]->backend;
        bool seen = config_find_backend(follow->config, backend) != NULL || follow->holdings[i]->replicas == 0;
        for (size_t j = 0; j < i; j++)
            seen = seen || strcmp(follow->holdings[j]->backend, backend) == 0;
        uint64_t sole;
        int rc = seen ? 0 : holdings_sole(follow->index, backend, is_configured, follow->config, &sole);
        if (rc != 0)
            return rc;
        if (seen)
            continue;
        if (sole > 0)
            return REFUSE(follow,
                          "backend %s still has the only replica of %llu extents: keep it in the configuration until "
                          "`arcactl jobs` shows the change as done",
                          backend, (unsigned long long)sole);
        log_warn("backend_gone", "backend %s is not in the configuration any more: %llu replicas on it are given up",
                 backend, (unsigned long long)holdings_on(follow->holdings, follow->holding_count, backend));
    }
    return 0;
}

/* A place that is asked while it serves must have all that it is asked for: in a copy, what came last would be lost. A
 * folder need not be asked, since the roster knows the old one when it sees it. */
static int check_place(const struct follow *follow, const struct candidate *candidate, uint64_t replicas) SUSPENDS
{
    const char *name = candidate->backend->name;
    struct place place = {.backend = candidate->backend};
    char reason[100] = "in another folder";
    if (candidate->folder.inode == 0) {
        int rc = places_look(follow->index, &place, 1, true);
        if (rc != 0)
            return rc;
        if (place.verdict == PLACE_SAME && place.missing == 0) {
            log_info("backend_moved",
                     "backend %s has another address and is the same: it has the %u replicas looked for", name,
                     place.found);
            return 0;
        }
        if (place.verdict == PLACE_UNKNOWN)
            snprintf(reason, sizeof(reason), "it cannot be told what is there: %s",
                     place.why != 0 ? err_text(place.why) : "nothing of it is in use");
        else
            snprintf(reason, sizeof(reason), "of %u replicas looked for %u are not there", place.wanted, place.missing);
    }
    return REFUSE(
        follow,
        "backend %s has %llu replicas and would be elsewhere (%s): give a new place a name of its own, and let "
        "the placement change to it",
        name, (unsigned long long)replicas, reason);
}

static int check_moved(const struct follow *follow, const struct candidate *candidates) SUSPENDS
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && candidates != NULL && i < follow->config->backend_count; i++) {
        const char *name = follow->config->backends[i].name;
        uint64_t replicas = candidates[i].moved ? holdings_on(follow->holdings, follow->holding_count, name) : 0;
        if (replicas > 0)
            rc = check_place(follow, &candidates[i], replicas);
    }
    return rc;
}

/* --- it is done --- */

/* A change that is under way goes on where it is, unless there is something new for it to do. */
static int set_row(const struct follow *follow, const struct followed *one) SUSPENDS
{
    Arca__Job *job;
    if (one->row == NULL)
        return 0;
    int rc = placement_job(follow->index, one->row, one->moves, follow->arena, &job);
    if (rc == 0)
        rc = placement_set(follow->index, one->row, job);
    if (rc == 0 && one->moves)
        log_info("placement", "placement %s changes: its backends are being filled and drained", one->row->name);
    return rc;
}

static int apply(const struct follow *follow, struct candidate *candidates) SUSPENDS
{
    int rc = candidates != NULL ? roster_seat(store_roster(follow->store), follow->config, candidates) : 0;
    for (size_t i = 0; rc == 0 && i < follow->config->placement_count; i++)
        rc = set_row(follow, &follow->all[i]);
    return rc == 0 ? placements_refresh(follow->store, follow->index, follow->config) : rc;
}

int placements_follow(struct store *store, struct index *index, const struct config *config,
                      struct candidate *candidates, char *why, size_t why_size) SUSPENDS
{
    struct follow follow = {.store = store, .index = index, .config = config, .why = why, .why_size = why_size};
    follow.arena = arena_create(ARENA_LIMIT);
    int rc = follow.arena != NULL ? 0 : ERR_NOMEM;
    if (rc == 0)
        rc = index_placement_list(index, follow.arena, &follow.rows, &follow.row_count);
    if (rc == 0)
        rc = index_holding_list(index, follow.arena, &follow.holdings, &follow.holding_count);
    if (rc == 0)
        rc = plan_rows(&follow);
    if (rc == 0)
        rc = check_members(&follow);
    if (rc == 0)
        rc = check_moved(&follow, candidates);
    if (rc == 0)
        rc = check_placements(&follow);
    if (rc == 0)
        rc = check_backends(&follow);
    if (rc == 0)
        rc = apply(&follow, candidates);
    if (follow.arena != NULL)
        arena_free(follow.arena);
    return rc;
}
