/* What the parts of index_check share. */
#ifndef ARCA_INDEX_CHECK_H
#define ARCA_INDEX_CHECK_H

#include "index/apply.h"

/* A multiset of ids of one width, sorted before it is asked. */
struct ids {
    uint8_t *bytes;
    size_t width, count, allocated;
    bool sorted;
};

struct check {
    void (*report)(const char *line, void *arg);
    void *arg;
    uint64_t findings;
    struct txn *txn;
    struct arena *arena;
    struct tally *tally; /* what the rows of holdings say, less what was found */
    struct ids blob_references;
    struct ids manifest_references;
    struct ids roots, children, nodes; /* of the tree that is walked */
    uint8_t manifest[UPLOAD_ID_SIZE];  /* whose parts are walked, if it is a manifest's */
    struct {
        uint64_t next_offset;
        uint32_t left;
    } parts;
};

void found(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
void found_id(struct check *check, const char *what, struct span id, const char *problem);
int exists(struct check *check, enum table table, struct span key, bool *out);
/* Each row of a table; one for which `row` returns ERR_CORRUPT is reported. */
int each(struct check *check, enum table table, int (*row)(struct check *check, struct span key, struct span value));

/* check_placement.c */
/* An extent, to be called once for each: who holds it, and whether it is up for repair if it has to be. */
int check_extent(struct check *check, const Arca__Blob *blob, uint32_t number, Arca__Replica *const *replicas,
                 size_t count);
/* After all extents: placements, jobs, and what backends hold. */
int check_placements(struct check *check);

#endif
