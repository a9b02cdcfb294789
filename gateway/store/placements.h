/* The sets of placements: rows of the index, which follow the config, and which changes take from one set to another.
 */
#ifndef ARCA_STORE_PLACEMENTS_H
#define ARCA_STORE_PLACEMENTS_H

#include "base/arena.h"
#include "config/config.h"
#include "index/index.h"

struct store;
struct candidate;

/* --- one set, as a pure function: rows are made in the arena and refer to what `old` refers to --- */

/* What the set becomes that is to consist of these backends in this order: those that come are JOINING, those that go
 * are LEAVING, or DRAINING when they had not everything yet. `old` NULL: a new placement, which has them all at once.
 * *moves: a backend's role differs, so that something has to be copied or taken away. ERR_INVALID: no backend, one of
 * them twice, or a quorum that is not from 1 to their number. ERR_TOO_LARGE: with those that go there would be more
 * than PLACEMENT_MAX. ERR_NOMEM. */
int placement_aim(const Arca__Placement *old, const char *name, const struct span *backends, size_t count,
                  unsigned quorum, struct arena *arena, Arca__Placement **out, bool *moves);
/* JOINING ones have everything: they are MEMBER, and LEAVING ones are DRAINING. ERR_NOMEM */
int placement_promote(const Arca__Placement *old, struct arena *arena, Arca__Placement **out);
/* Without those that are DRAINING. ERR_NOMEM */
int placement_settle(const Arca__Placement *old, struct arena *arena, Arca__Placement **out);
/* Its member, or NULL: the backend is none. `placement` NULL has none. */
const Arca__Member *placement_member(const Arca__Placement *placement, struct span backend);
/* Something has to be copied or taken away: not all are MEMBER. */
bool placement_changing(const Arca__Placement *placement);

/* The row of the job that goes with a new row of its placement: one from the start when something moves, or the job of
 * a change was lost; else the one that there is; *out NULL: none. One that was paused stays so. In the arena. ERR_NOMEM,
 * the index's. */
#define CHANGE_PREFIX "placement " /* of its name */
int placement_job(struct index *index, const Arca__Placement *row, bool moves, struct arena *arena,
                  Arca__Job **out) SUSPENDS;
/* Both rows in one. The index's errors. */
int placement_set(struct index *index, Arca__Placement *row, Arca__Job *job) SUSPENDS;

/* --- all of them --- */

/* Makes the store follow the rows of the index as they are, with another config whose backends have their seats, or
 * (NULL) the present one: every write that begins from now on goes where they say. Each change of a row is followed by
 * it. ERR_INVALID (logged: a row names what the config has not), ERR_NOMEM, the index's. */
int placements_refresh(struct store *store, struct index *index, const struct config *config) SUSPENDS;

/* Who changes a set of the store is alone in that until placements_end. ERR_CANCELED */
int placements_begin(struct store *store) SUSPENDS;
void placements_end(struct store *store);

/* Makes rows and store follow a config; `candidates` are the store's for it, NULL: it is the one that the store was
 * opened with. What a placement's set was changed to otherwise stays until the config's changes. Refused, with nothing
 * changed: a backend or placement that is gone from the config and still needed, a backend that is elsewhere (places.h)
 * and is to hold something, a set that lacks a label. ERR_INVALID, and `why` says which, how much of it, and what to do.
 * Errors of the index. On a fiber of any loop, between placements_begin and placements_end or before jobs are there. */
int placements_follow(struct store *store, struct index *index, const struct config *config,
                      struct candidate *candidates, char *why, size_t why_size) SUSPENDS;

#endif
