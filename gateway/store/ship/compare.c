/* What the other backends know more than the one to rebuild from: then that one lags behind, or was put back to an
 * older state. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "store/ship/rebuild_private.h"

/* What another backend would be rebuilt to. */
struct other {
    struct backend *backend;
    bool known;       /* it was asked; else it may have anything */
    uint64_t last;    /* its last mutation; 0: it has nothing */
    int64_t time_ms;  /* when that was shipped */
    int64_t since_ms; /* when the first was that is not in the chain */
    uint64_t shipped; /* a quorum had this one already: what was acknowledged reaches at least so far */
    bool parted;      /* its history is another one */
};

struct others {
    struct other *all;
    size_t count;
};

/* Whether two pieces name one mutation with different hashes. */
static bool disagree(const struct piece *a, const struct piece *b)
{
    return (a->last == b->last && memcmp(a->after, b->after, INDEX_HASH_SIZE) != 0) ||
           (a->first == b->first && memcmp(a->before, b->before, INDEX_HASH_SIZE) != 0) ||
           (a->first == b->last + 1 && memcmp(a->before, b->after, INDEX_HASH_SIZE) != 0) ||
           (b->first == a->last + 1 && memcmp(b->before, a->after, INDEX_HASH_SIZE) != 0);
}

static bool disagrees(const struct rebuild *rebuild, const struct piece *piece)
{
    const struct chain *chain = &rebuild->chain;
    bool found = false;
    for (size_t i = 0; i < chain->piece_count && !found; i++)
        found = disagree(piece, &rebuild->survey.pieces.all[chain->pieces[i]].piece);
    return found;
}

static void measure(const struct rebuild *rebuild, const struct stored_list *pieces, const struct chain *chain,
                    struct other *out)
{
    out->last = chain->last;
    out->time_ms = out->since_ms = chain->time_ms;
    for (size_t i = chain->piece_count; i > 0; i--) {
        const struct piece *piece = &pieces->all[chain->pieces[i - 1]].piece;
        if (piece->last > rebuild->chain.last)
            out->since_ms = piece->time_ms;
        out->parted = out->parted || disagrees(rebuild, piece);
    }
    for (size_t i = 0; i < pieces->count; i++)
        out->shipped = pieces->all[i].piece.shipped > out->shipped ? pieces->all[i].piece.shipped : out->shipped;
}

static int ask(struct rebuild *rebuild, struct other *out) SUSPENDS
{
    struct survey survey = {.backend = out->backend};
    struct stored_list listed = {0};
    struct chain chain;
    int rc = survey_list(out->backend, &listed);
    if (rc == 0)
        rc = survey_open(&survey, &listed, rebuild->options->keyring, NULL, NULL);
    free(listed.all);
    if (rc == 0)
        rc = chain_choose(&survey.pieces, UINT64_MAX, &chain);
    out->known = rc == 0 || rc == ERR_NOT_FOUND;
    if (rc == 0) {
        measure(rebuild, &survey.pieces, &chain, out);
        chain_free(&chain);
    }
    survey_free(&survey);
    if (!out->known)
        rebuild_tell(rebuild, REBUILD_NOTE, "%s cannot be asked whether it has something newer: %s", out->backend->name,
                     err_text(rc));
    return rc == ERR_NOMEM ? rc : 0;
}

/* Without sync everything was acknowledged that a backend has. With it, what a quorum has: a backend that could not be
 * asked may have it, and one that is behind may have had it and been put back, which tells from what a quorum had by
 * then. */
static bool was_acknowledged(const struct rebuild *rebuild, const struct others *others, uint64_t sequence)
{
    const struct config_placement *placement = rebuild->options->config->journal.placement;
    bool acknowledged = placement == NULL || !rebuild->options->config->journal.sync;
    unsigned have = 0;
    for (size_t i = 0; !acknowledged && i < placement->backend_count; i++) {
        const char *name = placement->backends[i];
        const struct other *found = NULL;
        for (size_t j = 0; j < others->count; j++)
            found = strcmp(others->all[j].backend->name, name) == 0 ? &others->all[j] : found;
        if (strcmp(name, rebuild->backend->name) != 0)
            have += found == NULL || !found->known || found->last >= sequence;
    }
    for (size_t i = 0; i < others->count; i++)
        acknowledged = acknowledged || others->all[i].shipped >= sequence;
    return acknowledged || have >= placement->write_quorum;
}

static void tell(struct rebuild *rebuild, const struct others *others, const struct other *other)
{
    const struct chain *chain = &rebuild->chain;
    const char *name = other->backend->name, *from = rebuild->backend->name;
    char since[32], when[32];
    rebuild_time(other->since_ms, since);
    rebuild_time(other->time_ms, when);
    if (other->time_ms <= chain->time_ms) {
        if (other->parted) /* given up for what is taken now */
            rebuild_tell(rebuild, REBUILD_NOTE,
                         "%s has another history up to mutation %" PRIu64 ", shipped %s, which is older", name,
                         other->last, when);
        else if (other->last > chain->last)
            rebuild_tell(rebuild, REBUILD_FINDING,
                         "%s has mutations up to %" PRIu64 ", shipped %s, and %s only up to %" PRIu64
                         ", shipped later: the former were given up once, or the clock was put back",
                         name, other->last, when, from, chain->last);
    } else if (other->parted) {
        rebuild_tell(rebuild, REBUILD_FINDING,
                     "fork: %s has another history up to mutation %" PRIu64 ", shipped %s: "
                     "another gateway went on from the same index",
                     name, other->last, when);
    } else if (other->last > chain->last && was_acknowledged(rebuild, others, chain->last + 1)) {
        rebuild_tell(rebuild, REBUILD_FINDING,
                     "%s has mutations up to %" PRIu64 ", shipped %s, and %s only up to %" PRIu64
                     ": rebuild from %s instead, or the %" PRIu64 " that were shipped from %s on are lost",
                     name, other->last, when, from, chain->last, name, other->last - chain->last, since);
    } else if (other->last > chain->last) {
        rebuild_tell(rebuild, REBUILD_NOTE,
                     "%s has %" PRIu64 " mutations more, shipped from %s on. No client was told that "
                     "they are done: too few backends have them",
                     name, other->last - chain->last, since);
    }
}

int rebuild_compare(struct rebuild *rebuild) SUSPENDS
{
    struct others others = {0};
    struct backend *backend;
    int rc = 0;
    while (store_backend(rebuild->store, others.count) != NULL)
        others.count++;
    if ((others.all = calloc(others.count + 1, sizeof(*others.all))) == NULL)
        return ERR_NOMEM;
    others.count = 0;
    for (size_t i = 0; rc == 0 && (backend = store_backend(rebuild->store, i)) != NULL; i++) {
        if (backend == rebuild->backend)
            continue;
        others.all[others.count].backend = backend;
        rc = ask(rebuild, &others.all[others.count++]);
    }
    for (size_t i = 0; rc == 0 && i < others.count; i++) {
        if (others.all[i].known)
            tell(rebuild, &others, &others.all[i]);
    }
    free(others.all);
    return rc;
}
