/* Makes an index from what one backend holds of it. */
#ifndef ARCA_STORE_SHIP_REBUILD_H
#define ARCA_STORE_SHIP_REBUILD_H

#include "config/config.h"
#include "crypto/keyring.h"

/* In the folder of an index that was rebuilt: the leases of its former life in hex, a line each. What backends hold
 * under them and the index does not name may be newer than what it was made from, and is nobody's error. */
#define REBUILT_FILE "rebuilt"

enum rebuild_line {
    REBUILD_PROGRESS, /* replaces the one before */
    REBUILD_NOTE,
    REBUILD_FINDING, /* something is wrong: only `force` goes on */
    REBUILD_ERROR,   /* why it fails */
};

struct rebuild_options {
    const struct config *config;
    struct keyring *keyring;
    const char *from; /* a backend's name */
    bool force;       /* findings do not end it */
    void (*tell)(void *arg, enum rebuild_line kind, const char *line);
    void *arg;
};

struct rebuild_result {
    uint64_t sequence; /* of the last mutation */
    int64_t time_ms;   /* when it was shipped, since 1970 */
    uint64_t buckets, objects, uploads;
    uint64_t newer; /* extents on the backend that were written after that: they stay, and nothing refers to them */
    unsigned findings;
};

/* The index's folder must not exist, or be empty; it appears as a whole at the end. Not on a fiber; blocks until it is
 * done. 0; ERR_CONFLICT: there are findings and no `force`, and nothing was made. ERR_EXISTS (the folder),
 * ERR_NOT_FOUND (no such backend, or nothing on it makes an index), ERR_LOCKED (arcad runs), ERR_WRONG_KEY (another
 * keyring's pieces alone), and what reading and writing can fail with; all but ERR_CONFLICT are told. */
int rebuild(const struct rebuild_options *options, struct rebuild_result *out);

#endif
