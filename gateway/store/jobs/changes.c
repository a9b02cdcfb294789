/* Changes of placements as a whole: which are under way, and what begins one. */
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "change.h"
#include "store/placements.h"
#include "store/private.h"
#include "store/topology.h"

#define ARENA_LIMIT ((size_t)4 << 20)

/* All that the index has rows of and that is not at work. */
static int start_all(struct jobs *jobs) SUSPENDS
{
    const size_t prefix = strlen(CHANGE_PREFIX);
    struct arena *arena = arena_create(ARENA_LIMIT);
    Arca__Job **rows;
    size_t count = 0;
    int rc = arena != NULL ? index_job_list(jobs->options.index, arena, &rows, &count) : ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (strncmp(rows[i]->name, CHANGE_PREFIX, prefix) != 0)
            continue;
        rc = change_start(jobs, rows[i]->name + prefix);
        rc = rc == ERR_BUSY || rc == ERR_CANCELED ? 0 : rc;
    }
    if (arena != NULL)
        arena_free(arena);
    if (rc != 0)
        log_error("placement", "changes of placements do not go on: %s", err_text(rc));
    return rc;
}

/* Not while a set is being changed: its job would go on from the row of before. */
static void run_start(void *arg) SUSPENDS
{
    struct jobs *jobs = arg;
    if (placements_begin(jobs->options.store) != 0)
        return;
    (void)start_all(jobs);
    placements_end(jobs->options.store);
}

static void begin_start(void *arg)
{
    struct jobs *jobs = arg;
    int rc = fiber_spawn(jobs->options.loop, run_start, jobs, NULL);
    if (rc != 0)
        log_error("placement", "changes of placements do not go on: %s", err_text(rc));
}

int changes_start(struct jobs *jobs)
{
    return loop_post(jobs->options.loop, begin_start, jobs);
}

/* A job that ends writes its row for the last time: a new one must not come before that. Whoever asks for a change may
 * be cancelled, and it has to go on all the same. */
static int stop_change(struct jobs *jobs, const char *placement) SUSPENDS
{
    char name[80];
    snprintf(name, sizeof(name), CHANGE_PREFIX "%s", placement);
    struct job *job = jobs_find(jobs, span_str(name));
    return job == NULL || job_ended(job) ? 0 : job_end(job);
}

/* --- what starts a change --- */

/* Each is a backend of the config that may have what is under this placement. */
static int check_aim(const struct jobs *jobs, const char *placement, const struct span *backends, size_t count,
                     char *why, size_t why_size)
{
    const struct config *config = &store_topology(jobs->options.store)->config;
    const struct config_placement *found = config_find_placement(config, placement);
    if (found == NULL)
        return ERR_NOT_FOUND;
    for (size_t i = 0; i < count; i++) {
        char name[40];
        snprintf(name, sizeof(name), "%.*s", SPAN_FMT(backends[i]));
        struct config_placement alone = *found;
        alone.backends = (char *[]){name};
        alone.backend_count = 1;
        if (!store_backend_used(jobs->options.store, name))
            return err_refuse(why, why_size, "there is no backend %s: add it to the configuration first (SIGHUP)",
                              name);
        if (config_unmet(config, &alone) != NULL)
            return err_refuse(why, why_size, "backend %s lacks a label that placement %s demands", name, placement);
    }
    return 0;
}

static int change_row(struct jobs *jobs, const char *placement, const struct span *backends, size_t count,
                      unsigned quorum, struct arena *arena, char *why, size_t why_size) SUSPENDS
{
    struct index *index = jobs->options.index;
    Arca__Placement *old, *row;
    Arca__Job *job;
    bool moves;
    int rc = index_placement_get(index, span_str(placement), arena, &old);
    if (rc != 0)
        return rc;
    quorum = quorum != 0 ? quorum : old->write_quorum;
    rc = placement_aim(old, placement, backends, count, quorum, arena, &row, &moves);
    if (rc == ERR_TOO_LARGE)
        return err_refuse(why, why_size,
                          "with those that are being left there would be more than %d backends: wait until the "
                          "change that is under way is done",
                          PLACEMENT_MAX);
    if (rc == ERR_INVALID)
        return err_refuse(why, why_size,
                          "1 to %d backends, each once, and a write quorum of 1 to their number (it would be %u)",
                          PLACEMENT_MAX, quorum);
    if (rc == 0)
        rc = placement_job(index, row, moves, arena, &job);
    if (rc == 0)
        rc = placement_set(index, row, job);
    return rc == 0 ? placements_refresh(jobs->options.store, index, NULL) : rc;
}

int jobs_change(struct jobs *jobs, struct span placement, const struct span *backends, size_t count, unsigned quorum,
                char *why, size_t why_size) SUSPENDS
{
    struct arena *arena = arena_create(ARENA_LIMIT);
    char *name = arena != NULL ? arena_strdup(arena, placement) : NULL;
    int rc = name != NULL ? placements_begin(jobs->options.store) : ERR_NOMEM;
    if (rc == 0) {
        rc = check_aim(jobs, name, backends, count, why, why_size);
        if (rc == 0)
            rc = stop_change(jobs, name);
        if (rc == 0)
            rc = change_row(jobs, name, backends, count, quorum, arena, why, why_size);
        int started = start_all(jobs);
        rc = rc == 0 ? started : rc;
        placements_end(jobs->options.store);
    }
    if (arena != NULL)
        arena_free(arena);
    return rc;
}

/* --- another config --- */

/* Rows of placements that it drops, as they were. */
struct dropped {
    Arca__Placement **rows;
    size_t count;
    struct arena *arena;
};

static int set_row(struct jobs *jobs, Arca__Placement *row, struct arena *arena) SUSPENDS
{
    Arca__Job *job;
    int rc = placement_job(jobs->options.index, row, false, arena, &job);
    return rc == 0 ? placement_set(jobs->options.index, row, job) : rc;
}

/* Before it is looked whether a bucket is under one of them: the index makes none any more, whoever asked for it. */
static int close_dropped(struct jobs *jobs, const struct config *config, struct dropped *dropped) SUSPENDS
{
    Arca__Placement **all = NULL;
    size_t count = 0;
    int rc = index_placement_list(jobs->options.index, dropped->arena, &all, &count);
    dropped->rows = all;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        Arca__Placement *row;
        if (all[i]->n_configured == 0 || config_find_placement(config, all[i]->name) != NULL)
            continue;
        rc = stop_change(jobs, all[i]->name);
        if (rc == 0)
            rc = index_placement_get(jobs->options.index, span_str(all[i]->name), dropped->arena, &row);
        if (rc != 0)
            return rc;
        Arca__Placement closed = *row;
        closed.n_configured = closed.configured_quorum = 0;
        dropped->rows[dropped->count++] = row;
        rc = set_row(jobs, &closed, dropped->arena);
    }
    return rc;
}

/* The config that has them stays. */
static void reopen(struct jobs *jobs, const struct dropped *dropped) SUSPENDS
{
    for (size_t i = 0; i < dropped->count; i++) {
        int rc = set_row(jobs, dropped->rows[i], dropped->arena);
        if (rc != 0)
            log_error("placement", "placement %s takes no new buckets until a config is followed: %s",
                      dropped->rows[i]->name, err_text(rc));
    }
}

int jobs_follow(struct jobs *jobs, const struct config *config, struct candidate *candidates, char *why,
                size_t why_size) SUSPENDS
{
    struct dropped dropped = {.arena = arena_create(ARENA_LIMIT)};
    int rc = dropped.arena != NULL ? placements_begin(jobs->options.store) : ERR_NOMEM;
    if (rc == 0) {
        for (size_t i = 0; rc == 0 && i < config->placement_count; i++)
            rc = stop_change(jobs, config->placements[i].name);
        if (rc == 0)
            rc = close_dropped(jobs, config, &dropped);
        if (rc == 0)
            rc = placements_follow(jobs->options.store, jobs->options.index, config, candidates, why, why_size);
        if (rc != 0)
            reopen(jobs, &dropped);
        int started = start_all(jobs);
        rc = rc == 0 ? started : rc;
        placements_end(jobs->options.store);
    }
    if (dropped.arena != NULL)
        arena_free(dropped.arena);
    return rc;
}
