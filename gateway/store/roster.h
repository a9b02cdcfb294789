/* All backends that a store has opened, each with a number that it keeps: what a store serves from (topology.h) refers
 * to them. Nothing is closed while the store is open, since an operation that began long ago may still use it. */
#ifndef ARCA_STORE_ROSTER_H
#define ARCA_STORE_ROSTER_H

#include <stdatomic.h>
#include "backends/backend.h"
#include "base/arena.h"
#include "config/config.h"
#include "private.h"

#define OPENED_MAX (4 * STORE_BACKENDS_MAX) /* with those that others of the same name have replaced */

/* What a file was when it was read. */
struct file_mark {
    uint64_t device, inode, size;
    int64_t changed_ns;
};

struct seat {
    struct backend *_Atomic backend; /* watched; the newest of its name */
    struct backend_settings settings;
    struct file_mark credentials, ca_file, folder; /* folder: device and inode alone, of a disk */
};

struct roster {
    struct arena *arena;
    struct seat seats[STORE_BACKENDS_MAX];
    atomic_size_t count;
    struct backend *opened[OPENED_MAX];
    size_t opened_count;
};

int roster_init(struct roster *roster);  /* ERR_NOMEM */
void roster_fini(struct roster *roster); /* closes all; zeroed is fine */

/* A backend of a config. */
struct candidate {
    struct backend *backend;
    bool fresh;   /* it was opened for this, and is the caller's until it is seated */
    bool moved;   /* the one of its name was elsewhere, as far as settings tell */
    bool renamed; /* it is the one of its name, whose folder has another path now */
    struct file_mark credentials, ca_file, folder;
    /* Of one that is fresh or renamed, when it is seated: */
    size_t number;                    /* of its seat, */
    struct backend_settings settings; /* and a copy for there */
};
/* Finds or opens each backend of the config; out has room for all. One whose place, or way there, or secrets in files
 * have changed is opened anew; a folder that only has another path stays open. Blocks; one caller at a time. Errors of
 * the drivers, ERR_INVALID (an unknown driver), ERR_NOMEM; logged. Nothing is left open then. */
int roster_open(struct roster *roster, const struct config *config, struct candidate *out);
/* Closes the fresh ones of `count`. Not on a fiber. */
void roster_reject(struct candidate *candidates, size_t count);
/* Fresh ones get a seat, or that of the one of their name. Any thread, one at a time. ERR_BUSY (too many came and went;
 * logged), ERR_NOMEM: none has got one. */
int roster_seat(struct roster *roster, const struct config *config, struct candidate *candidates);

/* The number of the seat, or -1. Any thread. */
int roster_find(const struct roster *roster, const char *name);

/* Deep. ERR_NOMEM */
int settings_copy(struct arena *arena, const struct backend_settings *from, struct backend_settings *to);

#endif
