/* What a store serves from as of one moment: the backends in use and the sets of the placements. It is never changed:
 * another one takes its place. Old ones are kept until the store is closed; who began under one ends under it. */
#ifndef ARCA_STORE_TOPOLOGY_H
#define ARCA_STORE_TOPOLOGY_H

#include <stdatomic.h>
#include "config/config.h"
#include "fanout.h"
#include "index/index.h"

struct roster;
struct store;

struct member {
    struct backend *backend; /* watched */
    unsigned preference;     /* of reads, the lowest first */
    bool gone;               /* the config has it no more */
};

struct placement {
    const char *name;
    bool configured;           /* the config has it; else only rows of the index do, and what is stored under it */
    struct fanout_set written; /* members, and those that join or leave */
    struct backend
        *wanted[PLACEMENT_MAX]; /* members, and those that join: what is under it is to have a replica there */
    size_t wanted_count;
};

struct topology {
    struct arena *arena;
    struct topology *older; /* the store's, for its end */
    struct config config;   /* backends, placements and default_placement: a copy that outlives the original */
    struct member *members; /* one for each of the config's backends, and behind them those that are gone */
    size_t member_count, gone_count;
    struct placement *placements;
    size_t placement_count;
    atomic_size_t writes; /* bodies and stragglers that began under this one and have not ended */
};

/* From a config whose backends all have their seats, and the index's rows (count 0: none yet; a placement without a row
 * has the config's set). ERR_INVALID (a set that cannot be: logged), ERR_NOMEM. */
int topology_create(const struct config *config, const struct roster *roster, Arca__Placement *const *rows,
                    size_t count, struct topology **out);
void topology_free(struct topology *topology); /* NULL is fine */

/* The present one, which lives as long as the store. Any thread. */
struct topology *store_topology(const struct store *store);

const struct member *topology_member(const struct topology *topology, const char *backend);    /* NULL */
/* The same, or one that is gone: a write that began before may have stored there alone. NULL */
const struct member *topology_holder(const struct topology *topology, const char *backend);
const struct placement *topology_placement(const struct topology *topology, struct span name); /* NULL */

#endif
