#include "index/tally.h"

#include <stdlib.h>
#include "base/err.h"

#define ARENA_LIMIT (64U << 20)
#define ARENA_SOME  (1U << 20) /* more than this is not kept over transactions */

struct holding {
    struct holding *next;
    const char *backend;
    uint64_t replicas, bytes; /* the row's, with the changes */
    bool changed;
};

struct placement {
    struct placement *next;
    const char *name;
    bool known;
    const Arca__Placement *set; /* once known; NULL: it has no row */
    struct holding *holdings;
};

struct tally {
    struct arena *arena;
    struct placement *placements;
};

struct tally *tally_create(void)
{
    struct tally *tally = calloc(1, sizeof(*tally));
    if (tally != NULL && (tally->arena = arena_create(ARENA_LIMIT)) == NULL) {
        free(tally);
        return NULL;
    }
    return tally;
}

void tally_free(struct tally *tally)
{
    if (tally == NULL)
        return;
    arena_free(tally->arena);
    free(tally);
}

void tally_reset(struct tally *tally)
{
    tally->placements = NULL;
    arena_reset(tally->arena);
}

/* --- sets --- */

static struct placement *find_placement(const struct tally *tally, const char *name)
{
    struct placement *placement = tally->placements;
    while (placement != NULL && strcmp(placement->name, name) != 0)
        placement = placement->next;
    return placement;
}

static int get_placement(struct tally *tally, const char *name, struct placement **out)
{
    struct placement *placement = *out = find_placement(tally, name);
    if (placement != NULL)
        return 0;
    if (strlen(name) > NAME_LENGTH_MAX)
        return ERR_CORRUPT;
    placement = arena_zalloc(tally->arena, sizeof(*placement));
    if (placement == NULL || (placement->name = arena_strdup(tally->arena, span_str(name))) == NULL)
        return ERR_NOMEM;
    placement->next = tally->placements;
    *out = tally->placements = placement;
    return 0;
}

int tally_set(struct tally *tally, struct txn *txn, const char *name, const Arca__Placement **out)
{
    struct placement *placement;
    *out = NULL;
    if (name[0] == '\0')
        return 0;
    int rc = get_placement(tally, name, &placement);
    if (rc != 0)
        return rc;
    if (!placement->known) {
        Arca__Placement *row = NULL;
        rc = record_get(txn, TABLE_PLACEMENTS, span_str(name), &arca__placement__descriptor, tally->arena, &row);
        if (rc != 0 && rc != ERR_NOT_FOUND)
            return rc;
        placement->set = row;
        placement->known = true;
    }
    *out = placement->set;
    return 0;
}

void tally_forget_set(struct tally *tally, const char *name)
{
    struct placement *placement = find_placement(tally, name);
    if (placement != NULL)
        placement->known = false;
}

/* --- holdings --- */

size_t holding_key(const char *placement, const char *backend, uint8_t out[HOLDING_KEY_MAX])
{
    size_t first = strlen(placement), second = strlen(backend);
    memcpy(out, placement, first);
    out[first] = 0;
    memcpy(out + first + 1, backend, second);
    return first + 1 + second;
}

static int get_holding(struct tally *tally, struct txn *txn, struct placement *placement, const char *backend,
                       struct holding **out)
{
    uint8_t key[HOLDING_KEY_MAX];
    Arca__Holding *row = NULL;
    struct holding *holding = placement->holdings;
    while (holding != NULL && strcmp(holding->backend, backend) != 0)
        holding = holding->next;
    *out = holding;
    if (holding != NULL)
        return 0;
    if (strlen(backend) > NAME_LENGTH_MAX)
        return ERR_CORRUPT;
    int rc = record_get(txn, TABLE_HOLDINGS, span_of(key, holding_key(placement->name, backend, key)),
                        &arca__holding__descriptor, tally->arena, &row);
    if (rc != 0 && rc != ERR_NOT_FOUND)
        return rc;
    holding = arena_zalloc(tally->arena, sizeof(*holding));
    if (holding == NULL || (holding->backend = arena_strdup(tally->arena, span_str(backend))) == NULL)
        return ERR_NOMEM;
    if (row != NULL) {
        holding->replicas = row->replicas;
        holding->bytes = row->bytes;
    }
    holding->next = placement->holdings;
    *out = placement->holdings = holding;
    return 0;
}

int tally_add(struct tally *tally, struct txn *txn, const char *name, const char *backend, int64_t replicas,
              uint64_t bytes_each)
{
    struct placement *placement;
    struct holding *holding;
    int rc = get_placement(tally, name, &placement);
    if (rc != 0 || (rc = get_holding(tally, txn, placement, backend, &holding)) != 0)
        return rc;
    /* Modulo 2^64: what was added can be taken away again, whatever a row claims. */
    holding->replicas += (uint64_t)replicas;
    holding->bytes += (uint64_t)replicas * bytes_each;
    holding->changed = true;
    return 0;
}

void tally_each(const struct tally *tally,
                void (*holding)(const char *placement, const char *backend, uint64_t replicas, uint64_t bytes,
                                void *arg),
                void *arg)
{
    for (const struct placement *placement = tally->placements; placement != NULL; placement = placement->next)
        for (const struct holding *h = placement->holdings; h != NULL; h = h->next)
            holding(placement->name, h->backend, h->replicas, h->bytes, arg);
}

/* A row that came to nothing goes, so that the rows do not depend on where transactions ended. */
static int write_holding(struct txn *txn, const char *placement, struct holding *holding)
{
    uint8_t bytes[HOLDING_KEY_MAX];
    struct span key = span_of(bytes, holding_key(placement, holding->backend, bytes));
    holding->changed = false;
    if (holding->replicas == 0) {
        int rc = txn_delete(txn, TABLE_HOLDINGS, key);
        return rc == ERR_NOT_FOUND ? 0 : rc;
    }
    Arca__Holding row = ARCA__HOLDING__INIT;
    row.placement = (char *)(uintptr_t)placement;
    row.backend = (char *)(uintptr_t)holding->backend;
    row.replicas = holding->replicas;
    row.bytes = holding->bytes;
    return record_put(txn, TABLE_HOLDINGS, key, &row);
}

int tally_write(struct tally *tally, struct txn *txn)
{
    for (struct placement *placement = tally->placements; placement != NULL; placement = placement->next) {
        for (struct holding *holding = placement->holdings; holding != NULL; holding = holding->next) {
            int rc = holding->changed ? write_holding(txn, placement->name, holding) : 0;
            if (rc != 0)
                return rc;
        }
    }
    if (arena_used(tally->arena) > ARENA_SOME)
        tally_reset(tally);
    return 0;
}
