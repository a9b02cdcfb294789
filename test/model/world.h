/* The gateway without its network: engine, index, store and background work over backends that fail. All that the model
 * asks of their interfaces beyond the engine's operations is in world.c. */
#ifndef ARCA_TEST_WORLD_H
#define ARCA_TEST_WORLD_H

#include "backends/backend.h"
#include "object/engine.h"

/* Placements: "all" has several backends and a write quorum of two or more; most of them may lie. "lone" gets by with
 * one, and has such as never do. */
#define WORLD_PLACEMENTS 2
#define WORLD_BACKENDS   8
#define WORLD_SET_MAX    4
extern const char *const world_placements[WORLD_PLACEMENTS];
extern const char *const world_backends[WORLD_BACKENDS];
/* Those from the first number to before the second can be in the placement. */
extern const unsigned world_pools[WORLD_PLACEMENTS][2];

/* What a placement is to consist of: numbers of backends, in order. */
struct world_set {
    unsigned backends[WORLD_SET_MAX], count, quorum;
};

struct world;

struct world *world_create(uint64_t seed, bool lies);
/* Removes all of it. */
void world_destroy(struct world *world);

/* Opens everything over what is there; its backends are calm. */
enum weather {
    WEATHER_ROUGH, /* all faults */
    WEATHER_MILD,  /* those after which it is known what the backends hold: slowness, full disks */
    WEATHER_FINE,  /* now and then one, so that hardly any write fails as a whole */
    WEATHERS
};
void world_open(struct world *world, enum weather weather);
/* What the config has of a placement, from the next start or world_follow on. Once before the first. */
void world_configure(struct world *world, unsigned placement, const struct world_set *set);
/* The config has another timeout of a backend: it is opened anew. */
void world_touch(struct world *world, unsigned backend);
/* Runs fn(arg) on the first fiber of a new loop until no fiber is left. */
void world_run(struct world *world, void (*fn)(void *arg), void *arg);
void world_close(struct world *world);

struct loop *world_loop(struct world *world);
struct engine *world_engine(struct world *world);
struct index *world_index(struct world *world);
void world_calm(struct world *world, bool calm);

/* --- on the first fiber --- */
void world_start(struct world *world) SUSPENDS;
/* Begins what goes on in the background: scrub, repair, garbage collection, probes. */
void world_work(struct world *world, int64_t grace_ms) SUSPENDS;
/* Ends that, and waits for it; `closes`: as a process that ends in order. */
void world_stop(struct world *world, bool closes) SUSPENDS;
/* From now on nothing that the process does has an effect; its fibers are to end. */
void world_kill(struct world *world);
bool world_killed(const struct world *world);
/* The administrator's: another set, the config anew, a job paused or resumed. As jobs_change, jobs_follow and
 * jobs_pause; `why` has WORLD_WHY bytes. */
#define WORLD_WHY 200
int world_change(struct world *world, unsigned placement, const struct world_set *set, char *why) SUSPENDS;
int world_follow(struct world *world, char *why) SUSPENDS;
int world_pause(struct world *world, const char *job, bool paused) SUSPENDS;
void world_resume(struct world *world) SUSPENDS;
/* What the index says that a placement is to be. True: and is. */
bool world_is(struct world *world, unsigned placement, struct world_set *out) SUSPENDS;
/* A bit a backend: those that belong to it in whatever role. */
unsigned world_members(struct world *world, unsigned placement) SUSPENDS;
/* Changes that have not come to their end. */
unsigned world_changes(struct world *world) SUSPENDS;
/* A backend is down from now on, for so long. */
void world_outage(struct world *world, unsigned backend, int64_t ms);
/* Until all replicas were looked at, no change is under way, nothing is left to be repaired or collected, and no search
 * for orphans is due. False: it takes too long. */
bool world_converge(struct world *world) SUSPENDS;

/* --- after world_run, before world_close --- */
/* Compares what the index names with what the backends hold; `bytes`: also whether those are right. */
struct world_difference {
    uint64_t extents;
    uint64_t missing, damaged; /* replicas; damaged ones with `bytes` */
    uint64_t orphans;          /* blobs that no row names */
    uint64_t lost, strays;     /* of those missing, of live blobs, and of the orphans: that no lie explains */
    uint64_t open_leases;      /* none: the next start looks for no orphans */
    uint64_t outside;          /* replicas on backends that belong to the placement in no role at all */
    uint64_t elsewhere;        /* replicas and holdings of backends outside of the placement; those that backends in it
                                * lack; objects that are not in their bucket's placement. Until a change is done */
};
void world_compare(struct world *world, bool bytes, struct world_difference *out);

/* After world_close. Prints what `arcactl check` would find. */
uint64_t world_check(struct world *world);

#endif
