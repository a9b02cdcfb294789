/* The journal on its way to one backend. */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "store/ship/private.h"
#include "store/ship/survey.h"

#define IDLE_MS        1000 /* sync: it is woken for what is new */
#define BACKOFF_MS     250
#define BACKOFF_MAX_MS 5000
#define UPKEEP_MS      5000
#define CHECKS         8 /* at once */

/* --- where to begin --- */

struct seek {
    struct index *index;
    uint64_t sequence;
    struct index_position *at;
};

static int seek(void *arg)
{
    struct seek *seek = arg;
    return index_journal_seek(seek->index, seek->sequence, seek->at);
}

/* With what is on the backend already, if its journal broke off there; from the first mutation on; or from a snapshot.
 * ERR_BUSY: that is still to be put there. */
static int find_base(struct lane *lane) SUSPENDS
{
    struct ship *ship = lane->ship;
    struct index_position at;
    uint64_t snapshot = ledger_snapshot(&lane->ledger, UINT64_MAX);
    int rc = worker_call(ship->pool, seek, &(struct seek){ship->options.index, 1, &at});
    if (rc == ERR_NOT_FOUND && snapshot > 0)
        rc = worker_call(ship->pool, seek, &(struct seek){ship->options.index, snapshot + 1, &at});
    if (rc == ERR_NOT_FOUND) {
        lane_kick_upkeep(lane);
        return ERR_BUSY;
    }
    if (rc == 0) {
        lane->at = at;
        lane->based = lane->proven = true;
    }
    return rc;
}

/* Where the ledger ends. */
static void resume(struct lane *lane)
{
    const struct stored_list *journal = &lane->ledger.journal;
    if (journal->count == 0)
        return;
    const struct piece *last = &journal->all[journal->count - 1].piece;
    lane->last_ms = last->time_ms;
    lane->at = (struct index_position){last->file, last->offset + last->length, last->last, {0}};
    memcpy(lane->at.hash, last->after, INDEX_HASH_SIZE);
}

/* --- whether the ledger is right --- */

/* Everything is put anew. What the ledger named is removed when that is done, and with it whatever else is found. */
static int start_over(struct lane *lane, const char *why)
{
    struct ledger *ledger = &lane->ledger;
    log_warn("journal_ship", "backend %s gets the journal anew: %s", lane->backend->name, why);
    int rc = stored_move(&ledger->journal, 0, ledger->journal.count, &ledger->stale);
    if (rc == 0)
        rc = stored_move(&ledger->snapshots, 0, ledger->snapshots.count, &ledger->stale);
    lane->at = (struct index_position){0};
    lane->based = lane->proven = false;
    lane->safe_ms = 0;
    lane->sweep = true;
    lane->sweep_at = 0;
    return rc;
}

struct check {
    struct lane *lane;
    size_t missing;
};

static int check_one(void *arg, size_t i) SUSPENDS
{
    struct check *check = arg;
    const struct ledger *ledger = &check->lane->ledger;
    struct backend *backend = check->lane->backend;
    uint8_t bytes[ENVELOPE_HEADER_SIZE];
    struct stored stored =
        i < ledger->journal.count ? ledger->journal.all[i] : ledger->snapshots.all[i - ledger->journal.count];
    int rc = backend->ops->get(backend, &stored.name, &stored.locator, 0, sizeof(bytes), bytes);
    check->missing += survey_damage(rc);
    return survey_damage(rc) ? 0 : rc;
}

static uint64_t newest_of(const struct ledger *ledger)
{
    const struct stored_list *journal = &ledger->journal;
    uint64_t newest = journal->count > 0 ? journal->all[journal->count - 1].piece.last : 0;
    for (size_t i = 0; i < ledger->snapshots.count; i++)
        newest = ledger->snapshots.all[i].piece.last > newest ? ledger->snapshots.all[i].piece.last : newest;
    return newest;
}

/* The index's folder, or the backend, may have been put back to an older state: then the backend lacks pieces that were
 * gathered or replaced since, and what is built on them would be no index. */
static int check_ledger(struct lane *lane) SUSPENDS
{
    struct check check = {.lane = lane};
    struct index_mark mark;
    index_mark(lane->ship->options.index, &mark);
    lane->checking = true;
    int rc = survey_each(lane->ledger.journal.count + lane->ledger.snapshots.count, CHECKS, check_one, &check);
    if (rc == 0 && newest_of(&lane->ledger) > mark.sequence)
        rc = start_over(lane, "it has more than the index");
    else if (rc == 0 && check.missing > 0)
        rc = start_over(lane, "it lacks pieces that it was given");
    lane->checking = false;
    lane->checked = rc == 0;
    lane->based = rc == 0 && lane->ledger.journal.count > 0;
    return rc;
}

static int ship_new(struct lane *lane) SUSPENDS
{
    struct index_mark mark;
    int rc;
    index_mark(lane->ship->options.index, &mark);
    if (!lane->checked && (rc = check_ledger(lane)) != 0)
        return rc;
    if (!lane->based && (rc = find_base(lane)) != 0)
        return rc;
    while (lane->at.sequence < mark.sequence && !lane->ship->ended) {
        uint64_t before = lane->at.sequence;
        rc = put_journal(lane, &mark, &lane->at, 0, 0, SIZE_MAX);
        if (rc == ERR_NOT_FOUND) { /* it fell so far behind that a snapshot took the place of what it lacks */
            lane->based = false;
            lane->safe_ms = 0;
            lane_kick_upkeep(lane);
        } else if (rc == ERR_CORRUPT && !lane->proven) {
            rc = start_over(lane, "what it has does not lead on to this index");
        }
        if (rc != 0 || !lane->based)
            return rc != 0 ? rc : ERR_BUSY;
        if (lane->at.sequence == before)
            return ERR_BUG;
        lane->proven = true;
        ship_account(lane->ship);
        if (lane->ledger.journal.count % GATHER_COUNT == 0)
            lane_kick_upkeep(lane);
    }
    if (lane->at.sequence >= mark.sequence)
        lane->safe_ms = mark.safe_ms;
    return 0;
}

/* --- the fibers --- */

bool lane_ending(const struct lane *lane)
{
    return lane->ship->ended || fiber_canceled(fiber_self());
}

void lane_kick(struct lane *lane)
{
    lane->journal_due = true;
    if (lane->journal != NULL)
        fiber_wake(lane->journal);
}

void lane_kick_upkeep(struct lane *lane)
{
    lane->upkeep_due = true;
    if (lane->upkeep != NULL)
        fiber_wake(lane->upkeep);
}

/* Until something is due or the time has come. */
static void linger(const struct lane *lane, const bool *due, int64_t until_ms) SUSPENDS
{
    while (!lane_ending(lane) && !*due && loop_now_ms() < until_ms && fiber_wait(until_ms) != ERR_CANCELED)
        continue;
}

static void note_outcome(struct lane *lane, int rc)
{
    if (rc == ERR_CANCELED)
        return;
    if (rc != 0 && rc != lane->why && rc != ERR_BUSY)
        log_warn("journal_ship", "backend %s does not take the journal: %s", lane->backend->name, err_text(rc));
    else if (rc == 0 && lane->why != 0)
        log_info("journal_ship", "backend %s has the journal up to mutation %llu again", lane->backend->name,
                 (unsigned long long)lane->at.sequence);
    lane->why = rc;
    ship_account(lane->ship);
}

static void run_journal(void *arg) SUSPENDS
{
    struct lane *lane = arg;
    const struct ship_options *options = &lane->ship->options;
    int64_t backoff_ms = BACKOFF_MS;
    while (!lane_ending(lane)) {
        bool ending = atomic_load(&lane->ship->stop);
        lane->journal_due = false;
        int rc = lane->wanted ? ship_new(lane) : 0;
        lane->tried = ending;
        note_outcome(lane, rc);
        if (rc == 0) {
            backoff_ms = BACKOFF_MS;
            linger(lane, &lane->journal_due, loop_now_ms() + (options->sync ? IDLE_MS : options->interval_ms));
        } else { /* what is new does not make it work again */
            static const bool never = false;
            bool base = rc == ERR_BUSY;
            linger(lane, base || ending ? &lane->journal_due : &never, loop_now_ms() + backoff_ms);
            backoff_ms = backoff_ms * 2 < BACKOFF_MAX_MS ? backoff_ms * 2 : BACKOFF_MAX_MS;
        }
    }
    lane->journal = NULL;
    fiber_wake(lane->ship->fiber);
}

static void run_upkeep(void *arg) SUSPENDS
{
    struct lane *lane = arg;
    while (!lane_ending(lane)) {
        lane->upkeep_due = false;
        int rc = upkeep(lane);
        if (rc != 0 && rc != ERR_CANCELED && rc != ERR_DOWN && rc != lane->why)
            log_warn("journal_upkeep", "backend %s: %s", lane->backend->name, err_text(rc));
        linger(lane, &lane->upkeep_due, loop_now_ms() + UPKEEP_MS);
    }
    lane->upkeep = NULL;
    fiber_wake(lane->ship->fiber);
}

int lane_create(struct ship *ship, struct backend *backend, struct ledger *ledger, struct lane **out)
{
    struct lane *lane = calloc(1, sizeof(*lane));
    if (lane == NULL)
        return ERR_NOMEM;
    lane->ship = ship;
    lane->backend = backend;
    lane->wanted = true;
    lane->sweep = ledger == NULL || !ship->clean;
    if (ledger != NULL) {
        lane->ledger = *ledger;
        *ledger = (struct ledger){0};
    }
    memcpy(lane->ledger.backend, backend->name, sizeof(lane->ledger.backend));
    resume(lane);
    *out = lane;
    return 0;
}

void lane_free(struct lane *lane)
{
    ledger_free(&lane->ledger);
    free(lane);
}

int lane_start(struct lane *lane)
{
    int rc = fiber_spawn(lane->ship->loop, run_journal, lane, &lane->journal);
    return rc != 0 ? rc : fiber_spawn(lane->ship->loop, run_upkeep, lane, &lane->upkeep);
}
