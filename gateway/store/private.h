/* What the files of this room share about a store. */
#ifndef ARCA_STORE_PRIVATE_H
#define ARCA_STORE_PRIVATE_H

#include "fanout.h"
#include "store.h"
#include "suspects.h"

/* Backends come while the store is served from: what is kept about each of them, by the number that store_backend takes, has
 * room for so many. Numbers are never given away twice, and stay with the name. */
#define STORE_BACKENDS_MAX 256

struct suspects *store_suspects(struct store *store);
struct fanout_shared *store_shared(struct store *store);

/* The backends that are to have a replica of what is under this placement, as of now: they stay while the store is open. 0:
 * there is no such placement. */
size_t store_placement_backends(const struct store *store, struct span name, struct backend *const **out);
int store_find_backend(const struct store *store, const char *name, struct backend **out); /* ERR_NOT_FOUND */
/* The number of a backend, also of one that another of its name has replaced: store_backend. */
size_t store_backend_number(const struct store *store, const struct backend *backend);
/* The config has a backend of this name. What it no longer has is not called any more, though store_backend gives it, but to
 * read what nothing else has. */
bool store_backend_used(const struct store *store, const char *name);

/* --- what it serves from: topology.h --- */
struct roster *store_roster(struct store *store);
/* `fresh` takes the place of `expected`, unless another has done so already: false, and it is still the caller's. */
bool store_swap(struct store *store, const struct topology *expected, struct topology *fresh);
atomic_bool *store_changing(struct store *store); /* placements_begin's */
/* The present one. What is stored by it is counted in store_old_writes when another has taken its place, until store_unpin. */
struct topology *store_pin(struct store *store);
void store_unpin(struct topology *topology);
/* Bodies, stragglers and copies that may still be stored as a set of long ago says. */
size_t store_old_writes(const struct store *store);

#endif
