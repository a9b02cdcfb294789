#include "store/ship/chain.h"

#include <stdlib.h>
#include <string.h>
#include "base/err.h"

#define NONE SIZE_MAX

/* Pieces of the journal by their first mutation; `before` is the place of the one that leads to it. */
struct link {
    const struct piece *piece;
    size_t number; /* in the list */
    size_t before; /* in the links; NONE: it begins a history */
    bool reached;
};

struct links {
    struct link *all;
    size_t count;
};

static int compare(const void *a, const void *b)
{
    const struct piece *x = ((const struct link *)a)->piece, *y = ((const struct link *)b)->piece;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    if (x->last != y->last) /* the longer ones first: fewer are needed */
        return x->last > y->last ? -1 : 1;
    return 0;
}

static int links_make(const struct stored_list *pieces, struct links *out)
{
    out->count = 0;
    out->all = calloc(pieces->count + 1, sizeof(*out->all));
    if (out->all == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < pieces->count; i++)
        if (pieces->all[i].piece.kind == PIECE_JOURNAL)
            out->all[out->count++] = (struct link){.piece = &pieces->all[i].piece, .number = i};
    qsort(out->all, out->count, sizeof(*out->all), compare);
    return 0;
}

/* The first link whose piece begins with a mutation of at least `first`. */
static size_t links_find(const struct links *links, uint64_t first)
{
    size_t low = 0, high = links->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (links->all[middle].piece->first < first)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Marks all that is reached from the beginning of a segment which holds the mutation after `snapshot`, and returns the
 * newest end: NONE when no piece reaches beyond the snapshot. */
static size_t links_walk(struct links *links, uint64_t snapshot)
{
    size_t best = NONE;
    for (size_t i = 0; i < links->count; i++) {
        links->all[i].reached = links->all[i].piece->offset == 0 && links->all[i].piece->file <= snapshot + 1;
        links->all[i].before = NONE;
    }
    for (size_t i = 0; i < links->count; i++) {
        const struct piece *piece = links->all[i].piece;
        if (!links->all[i].reached)
            continue;
        for (size_t j = links_find(links, piece->last + 1);
             j < links->count && links->all[j].piece->first == piece->last + 1; j++) {
            /* One that begins a segment may stand for itself; led to from here, it has a past, too. */
            if (links->all[j].before == NONE && stored_follows(piece, links->all[j].piece)) {
                links->all[j].before = i;
                links->all[j].reached = true;
            }
        }
        if (piece->last >= snapshot &&
            (best == NONE || piece->time_ms > links->all[best].piece->time_ms ||
             (piece->time_ms == links->all[best].piece->time_ms && piece->last > links->all[best].piece->last)))
            best = i;
    }
    return best;
}

/* --- snapshots --- */

static bool same_snapshot(const struct piece *a, const struct piece *b)
{
    return a->file == b->file && a->size == b->size && memcmp(a->before, b->before, INDEX_HASH_SIZE) == 0;
}

static int compare_offsets(const void *a, const void *b)
{
    const struct piece *x = *(const struct piece *const *)a, *y = *(const struct piece *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Whether its parts, that may be there twice, cover all of a snapshot. */
static int is_whole(const struct stored_list *pieces, const struct piece *of, bool *whole)
{
    const struct piece **parts = calloc(pieces->count, sizeof(*parts));
    size_t count = 0;
    uint64_t end = 0;
    if (parts == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < pieces->count; i++)
        if (pieces->all[i].piece.kind == PIECE_SNAPSHOT && same_snapshot(&pieces->all[i].piece, of))
            parts[count++] = &pieces->all[i].piece;
    qsort(parts, count, sizeof(*parts), compare_offsets);
    for (size_t i = 0; i < count && parts[i]->offset <= end; i++)
        end = parts[i]->offset + parts[i]->length > end ? parts[i]->offset + parts[i]->length : end;
    free(parts);
    *whole = end == of->size;
    return 0;
}

/* The next one downwards that is whole; *out NULL: there is none. */
static int next_snapshot(const struct stored_list *pieces, uint64_t below, const struct piece **out)
{
    bool whole = false;
    for (;;) {
        const struct piece *best = NULL;
        for (size_t i = 0; i < pieces->count; i++) {
            const struct piece *piece = &pieces->all[i].piece;
            if (piece->kind == PIECE_SNAPSHOT && piece->file < below && (best == NULL || piece->file > best->file))
                best = piece;
        }
        *out = best;
        int rc = best != NULL ? is_whole(pieces, best, &whole) : 0;
        if (rc != 0 || best == NULL || whole)
            return rc;
        below = best->file;
    }
}

/* --- the choice --- */

static int take(const struct stored_list *pieces, struct links *links, const struct piece *snapshot, struct chain *out)
{
    size_t end = links_walk(links, snapshot != NULL ? snapshot->file : 0);
    if (end == NONE && snapshot == NULL)
        return ERR_NOT_FOUND;
    *out = (struct chain){.parts = calloc(pieces->count + 1, sizeof(size_t)),
                          .pieces = calloc(pieces->count + 1, sizeof(size_t))};
    if (out->parts == NULL || out->pieces == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; snapshot != NULL && i < pieces->count; i++) {
        const struct piece *piece = &pieces->all[i].piece;
        if (piece->kind != PIECE_SNAPSHOT || !same_snapshot(piece, snapshot))
            continue;
        out->parts[out->part_count++] = i;
        out->time_ms = piece->time_ms;
    }
    if (snapshot != NULL) {
        out->snapshot = out->last = snapshot->file;
        memcpy(out->sum, snapshot->before, INDEX_HASH_SIZE);
    }
    if (end == NONE)
        return 0;
    out->last = links->all[end].piece->last;
    out->time_ms = links->all[end].piece->time_ms;
    memcpy(out->hash, links->all[end].piece->after, INDEX_HASH_SIZE);
    for (size_t i = end; i != NONE; i = links->all[i].before)
        out->piece_count++;
    for (size_t i = end, n = out->piece_count; i != NONE; i = links->all[i].before)
        out->pieces[--n] = links->all[i].number;
    /* What lies before the segment that the snapshot ends in is not needed. */
    size_t first = 0;
    for (size_t i = 0; i < out->piece_count; i++) {
        const struct piece *piece = &pieces->all[out->pieces[i]].piece;
        if (piece->offset == 0 && piece->file <= out->snapshot + 1)
            first = i;
    }
    out->piece_count -= first;
    memmove(out->pieces, out->pieces + first, out->piece_count * sizeof(size_t));
    return 0;
}

/* Names begin with the lease of the process that put them, and a process has one history. */
static bool same_writer(const struct stored_list *pieces, const struct chain *snapshot, const struct chain *chain)
{
    return memcmp(pieces->all[snapshot->parts[0]].name.bytes,
                  pieces->all[chain->pieces[chain->piece_count - 1]].name.bytes, 8) == 0;
}

static bool is_better(const struct stored_list *pieces, const struct chain *chain, const struct chain *than)
{
    if (chain->piece_count == 0 && than->piece_count != 0) /* the time of a snapshot is not that of what is in it */
        return chain->last > than->last && (chain->time_ms > than->time_ms || same_writer(pieces, chain, than));
    if (chain->piece_count != 0 && than->piece_count == 0 && chain->last < than->last &&
        same_writer(pieces, than, chain))
        return false;
    if (chain->time_ms != than->time_ms)
        return chain->time_ms > than->time_ms;
    return chain->last > than->last;
}

int chain_choose(const struct stored_list *pieces, uint64_t below, struct chain *out)
{
    struct links links;
    const struct piece *snapshot;
    bool found = false;
    int rc = links_make(pieces, &links);
    for (bool more = true; rc == 0 && more;) {
        struct chain chain = {0};
        if ((rc = next_snapshot(pieces, below, &snapshot)) != 0)
            break;
        rc = take(pieces, &links, snapshot, &chain);
        more = snapshot != NULL;
        below = more ? snapshot->file : 0;
        if (rc == 0 && (!found || is_better(pieces, &chain, out))) {
            if (found)
                chain_free(out);
            *out = chain;
            found = true;
        } else {
            chain_free(&chain);
        }
        rc = rc == ERR_NOT_FOUND ? 0 : rc;
    }
    free(links.all);
    if (rc != 0 && found)
        chain_free(out);
    return rc != 0 ? rc : found ? 0 : ERR_NOT_FOUND;
}

void chain_free(struct chain *chain)
{
    free(chain->parts);
    free(chain->pieces);
    *chain = (struct chain){0};
}

size_t chain_gap(const struct stored_list *pieces, const struct chain *chain)
{
    size_t gap = NONE;
    for (size_t i = 0; i < pieces->count; i++) {
        const struct piece *piece = &pieces->all[i].piece;
        if (piece->kind == PIECE_JOURNAL && piece->last > chain->last && piece->time_ms >= chain->time_ms &&
            (gap == NONE || piece->first < pieces->all[gap].piece.first))
            gap = i;
    }
    return gap;
}
