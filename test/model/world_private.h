/* What the files of the world share. */
#ifndef ARCA_TEST_WORLD_PRIVATE_H
#define ARCA_TEST_WORLD_PRIVATE_H

#include "store/jobs/jobs.h"
#include "world.h"

#define WORLD_LIARS 5 /* the first backends */

struct world {
    uint64_t seed;
    bool lies;
    unsigned opened; /* times */
    char folder[256], index_path[300], keyring_path[300];
    struct backend_settings settings[WORLD_BACKENDS];
    struct world_set configured[WORLD_PLACEMENTS];
    unsigned backends_opened; /* since the last start */
    struct keyring *keyring;
    struct index *index;
    struct budget *budget;
    struct store *store;
    struct loop *loop;
    struct engine *engine;
    struct jobs *jobs;
    struct prober *prober;
    enum weather weather;
    bool killed;
};

/* A config file, as it is at one moment. */
struct world_config {
    struct config config; /* refers to the rest */
    struct backend_settings settings[WORLD_BACKENDS];
    struct config_placement placements[WORLD_PLACEMENTS];
    char *members[WORLD_PLACEMENTS][WORLD_SET_MAX];
};
void world_config_of(const struct world *world, struct world_config *out);

void world_must(int rc, const char *what);
void world_pause_ms(int64_t ms) SUSPENDS;
uint64_t world_open_leases(struct world *world) SUSPENDS;
/* May lie about this blob. */
bool world_may_lie(const struct world *world, unsigned backend, const struct blob_name *name);
/* WORLD_BACKENDS: it is none. */
unsigned world_number_of(const char *backend);

#endif
