/* The sets of placements: the config's, and what an administrator does to them. */
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "fault_backend.h"
#include "store/placements.h"
#include "world_private.h"

#define ARENA_LIMIT ((size_t)1 << 20)
#define TIMEOUT_MS  1000 /* of backends; which of these it is makes no difference to them */

void world_configure(struct world *world, unsigned placement, const struct world_set *set)
{
    world->configured[placement] = *set;
}

void world_touch(struct world *world, unsigned backend)
{
    world->settings[backend].timeout_ms = TIMEOUT_MS + (world->settings[backend].timeout_ms + 1) % TIMEOUT_MS;
}

void world_config_of(const struct world *world, struct world_config *out)
{
    *out = (struct world_config){
        .config = {.backends = out->settings,
                   .backend_count = WORLD_BACKENDS,
                   .placements = out->placements,
                   .placement_count = WORLD_PLACEMENTS,
                   .default_placement = (char *)(uintptr_t)world_placements[0]},
    };
    memcpy(out->settings, world->settings, sizeof(out->settings));
    for (unsigned p = 0; p < WORLD_PLACEMENTS; p++) {
        const struct world_set *set = &world->configured[p];
        for (unsigned i = 0; i < set->count; i++)
            out->members[p][i] = (char *)(uintptr_t)world_backends[set->backends[i]];
        out->placements[p] = (struct config_placement){.name = (char *)(uintptr_t)world_placements[p],
                                                       .backends = out->members[p],
                                                       .backend_count = set->count,
                                                       .write_quorum = set->quorum};
    }
}

/* --- the administrator --- */

int world_change(struct world *world, unsigned placement, const struct world_set *set, char *why) SUSPENDS
{
    struct span backends[WORLD_SET_MAX];
    for (unsigned i = 0; i < set->count; i++)
        backends[i] = span_str(set->backends[i] < WORLD_BACKENDS ? world_backends[set->backends[i]] : "nobody");
    return jobs_change(world->jobs, span_str(world_placements[placement]), backends, set->count, set->quorum, why,
                       WORLD_WHY);
}

int world_follow(struct world *world, char *why) SUSPENDS
{
    struct world_config config;
    struct candidate *candidates;
    world_config_of(world, &config);
    int rc = store_candidates(world->store, &config.config, &candidates);
    if (rc != 0)
        return rc;
    rc = jobs_follow(world->jobs, &config.config, candidates, why, WORLD_WHY);
    store_candidates_free(candidates, WORLD_BACKENDS);
    return rc;
}

int world_pause(struct world *world, const char *job, bool paused) SUSPENDS
{
    return jobs_pause(world->jobs, span_str(job), paused);
}

void world_resume(struct world *world) SUSPENDS
{
    struct arena *arena = arena_create(ARENA_LIMIT);
    Arca__Job **jobs;
    size_t count;
    world_must(index_job_list(world->index, arena, &jobs, &count), "jobs");
    for (size_t i = 0; i < count; i++) {
        int rc = jobs[i]->paused ? world_pause(world, jobs[i]->name, false) : 0;
        world_must(rc == ERR_NOT_FOUND ? 0 : rc, "a job"); /* it has not begun yet */
    }
    arena_free(arena);
}

void world_outage(struct world *world, unsigned backend, int64_t ms)
{
    (void)world;
    fault_outage(world_backends[backend], ms);
}

/* --- what has come of it --- */

bool world_is(struct world *world, unsigned placement, struct world_set *out) SUSPENDS
{
    struct arena *arena = arena_create(ARENA_LIMIT);
    Arca__Placement *row;
    world_must(index_placement_get(world->index, span_str(world_placements[placement]), arena, &row), "a placement");
    *out = (struct world_set){.quorum = row->write_quorum};
    for (size_t i = 0; i < row->n_members; i++) {
        const Arca__Member *member = row->members[i];
        bool wanted = member->role == ARCA__MEMBER__ROLE__MEMBER || member->role == ARCA__MEMBER__ROLE__JOINING;
        if (wanted && out->count < WORLD_SET_MAX)
            out->backends[out->count++] = world_number_of(member->backend);
    }
    bool is = !placement_changing(row);
    arena_free(arena);
    return is;
}

unsigned world_members(struct world *world, unsigned placement) SUSPENDS
{
    struct arena *arena = arena_create(ARENA_LIMIT);
    Arca__Placement *row;
    unsigned members = 0;
    world_must(index_placement_get(world->index, span_str(world_placements[placement]), arena, &row), "a placement");
    for (size_t i = 0; i < row->n_members; i++)
        members |= 1U << world_number_of(row->members[i]->backend);
    arena_free(arena);
    return members;
}

unsigned world_changes(struct world *world) SUSPENDS
{
    struct arena *arena = arena_create(ARENA_LIMIT);
    Arca__Job **jobs;
    size_t count;
    unsigned changes = 0;
    world_must(index_job_list(world->index, arena, &jobs, &count), "jobs");
    for (size_t i = 0; i < count; i++)
        changes += strncmp(jobs[i]->name, CHANGE_PREFIX, strlen(CHANGE_PREFIX)) == 0;
    arena_free(arena);
    for (unsigned p = 0; p < WORLD_PLACEMENTS; p++) {
        struct world_set set;
        changes += !world_is(world, p, &set);
    }
    return changes;
}
