/* Which of the pieces on a backend make the newest index. Pure. */
#ifndef ARCA_STORE_SHIP_CHAIN_H
#define ARCA_STORE_SHIP_CHAIN_H

#include "store/ship/ledger.h"

/* What an index is made from. */
struct chain {
    uint64_t snapshot; /* 0: the journal reaches back to the first mutation */
    uint8_t sum[INDEX_HASH_SIZE];
    size_t *parts; /* of the snapshot: numbers in the list that was given */
    size_t part_count;
    size_t *pieces; /* of the journal, each following the one before */
    size_t piece_count;
    uint64_t last;                 /* the last mutation */
    uint8_t hash[INDEX_HASH_SIZE]; /* of it; without pieces, only the snapshot knows it */
    int64_t time_ms;               /* of what was shipped last */
};

/* From snapshots of a mutation below `below`: the one that leads to the newest end. Of histories that part, the one
 * that was shipped last counts. ERR_NOT_FOUND: nothing makes an index. ERR_NOMEM. */
int chain_choose(const struct stored_list *pieces, uint64_t below, struct chain *out);
void chain_free(struct chain *chain);

/* A piece that was shipped after the chain's end and does not lead on from it: with the smallest `first`. SIZE_MAX:
 * none. */
size_t chain_gap(const struct stored_list *pieces, const struct chain *chain);

#endif
