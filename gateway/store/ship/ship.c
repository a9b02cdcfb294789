/* Lanes, one a backend, and the fiber that looks after them: which backends there are, what a quorum of them has, the
 * file of ledgers. */
#include "store/ship/ship.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/placements.h"
#include "store/ship/private.h"

#define TICK_MS       250
#define FOLLOW_MS     1000
#define SAVE_MS       30000
#define SAVE_RETRY_MS 5000
#define PATIENCE_MS   30000 /* how long a client's change waits to be shipped */
#define STALL_MS      5000  /* without progress: changes are refused */
#define LAST_MS       10000 /* what an end may take */
#define BEHIND_MS     (5 * 60 * 1000)
#define THREADS       2
#define LEDGERS_MAX   LANES_MAX
#define ARENA_LIMIT   ((size_t)1 << 20)

/* --- what a quorum has --- */

/* The quorum-th greatest of the lanes' values. */
static uint64_t quorum_of(const struct ship *ship, uint64_t (*value)(const struct lane *lane))
{
    uint64_t values[LANES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < ship->lane_count; i++) {
        const struct lane *lane = ship->lanes[i];
        if (!lane->wanted)
            continue;
        uint64_t mine = value(lane);
        size_t at = count++;
        for (; at > 0 && values[at - 1] < mine; at--)
            values[at] = values[at - 1];
        values[at] = mine;
    }
    return ship->quorum > 0 && count >= ship->quorum ? values[ship->quorum - 1] : 0;
}

static uint64_t lane_sequence(const struct lane *lane)
{
    return lane->based ? lane->at.sequence : 0;
}

static uint64_t lane_safe(const struct lane *lane)
{
    return (uint64_t)lane->safe_ms;
}

static void show(struct ship *ship, int64_t lag_ms)
{
    lag_ms = lag_ms > 0 ? lag_ms : 0;
    int64_t lag_s = lag_ms / 1000;
    int why = 0;
    for (size_t i = 0; i < ship->lane_count; i++)
        why = ship->lanes[i]->wanted && ship->lanes[i]->why != 0 ? ship->lanes[i]->why : why;
    metrics_add(METRIC_JOURNAL_SHIPPED_SEQUENCE, (int64_t)ship->shipped - ship->shown_sequence);
    metrics_add(METRIC_JOURNAL_SHIP_LAG, lag_s - ship->shown_lag_s);
    ship->shown_sequence = (int64_t)ship->shipped;
    ship->shown_lag_s = lag_s;
    atomic_store(&ship->lag_ms, lag_ms);
    atomic_store(&ship->lag_why, why);
}

void ship_account(struct ship *ship)
{
    struct index_mark mark;
    index_mark(ship->options.index, &mark);
    uint64_t shipped = quorum_of(ship, lane_sequence);
    int64_t safe_ms = (int64_t)quorum_of(ship, lane_safe);
    bool even = shipped >= mark.sequence;
    if (shipped != ship->shipped || even)
        ship->progress_ms = loop_now_ms();
    ship->shipped = shipped;
    index_shipped(ship->options.index, shipped, safe_ms, loop_now_ms() - ship->progress_ms > STALL_MS);
    show(ship, even ? 0 : mark.safe_ms - (safe_ms != 0 ? safe_ms : ship->begun_ms));
}

bool ship_behind(struct ship *ship, char *why, size_t why_size)
{
    int64_t lag_ms = ship != NULL ? atomic_load(&ship->lag_ms) : 0;
    int error = lag_ms > BEHIND_MS ? atomic_load(&ship->lag_why) : 0;
    if (lag_ms <= BEHIND_MS)
        return false;
    snprintf(why, why_size, "the journal is shipped up to %lld minutes ago only%s%s", (long long)lag_ms / 60000,
             error != 0 ? ": " : "", error != 0 ? err_text(error) : "");
    return true;
}

/* --- which backends --- */

static struct backend *find_backend(const struct ship *ship, const char *name)
{
    struct backend *backend;
    for (size_t i = 0; (backend = store_backend(ship->options.store, i)) != NULL; i++) {
        if (strcmp(backend->name, name) == 0)
            return backend;
    }
    return NULL;
}

static struct lane *find_lane(const struct ship *ship, const char *name)
{
    for (size_t i = 0; i < ship->lane_count; i++) {
        if (strcmp(ship->lanes[i]->backend->name, name) == 0)
            return ship->lanes[i];
    }
    return NULL;
}

static int add_lane(struct ship *ship, const char *name, struct ledger *ledger)
{
    struct lane *lane;
    struct backend *backend = find_backend(ship, name);
    if (backend == NULL || ship->lane_count == LANES_MAX)
        return ERR_NOT_FOUND;
    int rc = lane_create(ship, backend, ledger, &lane);
    if (rc == 0)
        ship->lanes[ship->lane_count++] = lane;
    return rc;
}

/* A backend that the placement got, or has no more. */
static void follow_member(struct ship *ship, const char *name, bool wanted)
{
    struct lane *lane = find_lane(ship, name);
    if (lane == NULL && wanted) {
        int rc = add_lane(ship, name, NULL);
        if (rc == 0)
            rc = lane_start(ship->lanes[ship->lane_count - 1]);
        if (rc != 0)
            log_warn("journal_ship", "backend %s does not get the journal: %s", name, err_text(rc));
    } else if (lane != NULL && lane->wanted != wanted) {
        lane->wanted = wanted;
        lane_kick(lane);
        lane_kick_upkeep(lane);
    }
}

static void follow_row(struct ship *ship, const Arca__Placement *row)
{
    for (size_t i = 0; i < row->n_members; i++)
        follow_member(ship, row->members[i]->backend, row->members[i]->role != ARCA__MEMBER__ROLE__DRAINING);
    for (size_t i = 0; i < ship->lane_count; i++) {
        const char *name = ship->lanes[i]->backend->name;
        if (placement_member(row, span_str(name)) == NULL)
            follow_member(ship, name, false);
    }
    ship->quorum = row->write_quorum;
}

/* A backend that was opened anew, with other credentials, say: the former one lives on for what is under way. */
static void follow_backends(struct ship *ship)
{
    for (size_t i = 0; i < ship->lane_count; i++) {
        struct lane *lane = ship->lanes[i];
        struct backend *backend = find_backend(ship, lane->backend->name);
        if (backend == NULL || backend == lane->backend)
            continue;
        lane->backend = backend;
        lane_kick(lane);
        lane_kick_upkeep(lane);
    }
}

static void follow(struct ship *ship) SUSPENDS
{
    follow_backends(ship);
    struct arena *arena = arena_create(ARENA_LIMIT);
    Arca__Placement *row;
    if (arena == NULL)
        return;
    if (index_placement_get(ship->options.index, span_str(ship->options.placement), arena, &row) == 0)
        follow_row(ship, row);
    arena_free(arena);
}

/* --- the file of ledgers --- */

struct writing {
    const char *folder;
    struct span bytes;
};

static int write_ledgers(void *arg)
{
    struct writing *writing = arg;
    return ledgers_write(writing->folder, writing->bytes);
}

static int encode(const struct ship *ship, bool clean, struct buf *out)
{
    const struct ledger *all[LANES_MAX];
    for (size_t i = 0; i < ship->lane_count; i++)
        all[i] = &ship->lanes[i]->ledger;
    return ledgers_encode(all, ship->lane_count, clean, out);
}

static void save(struct ship *ship) SUSPENDS
{
    struct buf bytes = {0};
    uint64_t asked = ship->save_asked;
    int rc = encode(ship, false, &bytes);
    if (rc == 0)
        rc = worker_call(ship->pool, write_ledgers, &(struct writing){ship->options.folder, buf_span(&bytes)});
    buf_free(&bytes);
    ship->saved_at = loop_now_ms();
    if (rc != 0 && rc != ship->save_why)
        log_warn("journal_ship", "what backends have is not noted: %s", err_text(rc));
    ship->save_why = rc;
    ship->saved = rc == 0 ? asked : ship->saved;
    for (size_t i = 0; i < ship->lane_count; i++)
        if (ship->lanes[i]->upkeep != NULL)
            fiber_wake(ship->lanes[i]->upkeep);
}

static bool save_due(const struct ship *ship)
{
    int64_t since_ms = loop_now_ms() - ship->saved_at;
    if (ship->save_why != 0)
        return since_ms >= SAVE_RETRY_MS;
    return ship->save_asked > ship->saved || since_ms >= SAVE_MS;
}

int ship_save(struct ship *ship) SUSPENDS
{
    uint64_t ticket = ++ship->save_asked;
    fiber_wake(ship->fiber);
    while (ship->saved < ticket) {
        if (ship->ended || fiber_wait(DEADLINE_NONE) == ERR_CANCELED)
            return ERR_CANCELED;
    }
    return 0;
}

static void save_last(struct ship *ship)
{
    struct buf bytes = {0};
    bool clean = true;
    for (size_t i = 0; i < ship->lane_count; i++)
        clean = clean && !ship->lanes[i]->sweep;
    int rc = encode(ship, clean, &bytes);
    if (rc == 0)
        rc = ledgers_write(ship->options.folder, buf_span(&bytes));
    buf_free(&bytes);
    if (rc != 0)
        log_warn("journal_ship", "what backends have is not noted: %s", err_text(rc));
}

/* --- the fiber --- */

static void kick_all(struct ship *ship)
{
    for (size_t i = 0; i < ship->lane_count; i++)
        lane_kick(ship->lanes[i]);
}

/* On the loop, after each batch of the index. */
static void grown(void *arg)
{
    struct ship *ship = arg;
    kick_all(ship);
}

/* On the writer's thread. */
static void tell_grown(void *arg)
{
    struct ship *ship = arg;
    loop_signal(ship->loop, &ship->grown);
}

static void wake(void *arg)
{
    struct ship *ship = arg;
    if (ship->fiber != NULL)
        fiber_wake(ship->fiber);
}

static bool is_even(const struct ship *ship, const struct index_mark *mark)
{
    bool even = true;
    for (size_t i = 0; i < ship->lane_count; i++) {
        const struct lane *lane = ship->lanes[i];
        even = even && (!lane->wanted || lane_sequence(lane) >= mark->sequence || (lane->tried && lane->why != 0));
    }
    return even;
}

/* What is new is shipped, unless a backend does not take it. */
static void finish(struct ship *ship) SUSPENDS
{
    struct index_mark mark;
    int64_t until_ms = loop_now_ms() + LAST_MS;
    index_mark(ship->options.index, &mark);
    kick_all(ship);
    while (!is_even(ship, &mark) && loop_now_ms() < until_ms && fiber_wait(loop_now_ms() + TICK_MS / 5) != ERR_CANCELED)
        ship_account(ship);
    if (ship->shipped < mark.sequence)
        log_warn("journal_ship", "stops with the journal shipped up to mutation %llu of %llu",
                 (unsigned long long)ship->shipped, (unsigned long long)mark.sequence);
}

static bool lanes_left(const struct ship *ship)
{
    bool left = false;
    for (size_t i = 0; i < ship->lane_count; i++)
        left = left || ship->lanes[i]->journal != NULL || ship->lanes[i]->upkeep != NULL;
    return left;
}

static void end_lanes(struct ship *ship) SUSPENDS
{
    ship->ended = true;
    for (size_t i = 0; i < ship->lane_count; i++) {
        if (ship->lanes[i]->journal != NULL)
            fiber_cancel(ship->lanes[i]->journal);
        if (ship->lanes[i]->upkeep != NULL)
            fiber_cancel(ship->lanes[i]->upkeep);
    }
    while (lanes_left(ship))
        (void)fiber_wait(loop_now_ms() + TICK_MS);
}

static void run(void *arg) SUSPENDS
{
    struct ship *ship = arg;
    int64_t follow_at = 0;
    ship->fiber = fiber_self();
    ship->progress_ms = ship->saved_at = loop_now_ms();
    ship->begun_ms = clock_wall_ms();
    for (size_t i = 0; i < ship->lane_count; i++) {
        int rc = lane_start(ship->lanes[i]);
        if (rc != 0)
            log_error("journal_ship", "backend %s: %s", ship->lanes[i]->backend->name, err_text(rc));
    }
    save(ship);
    while (!atomic_load(&ship->stop)) {
        if (loop_now_ms() >= follow_at) {
            follow(ship);
            follow_at = loop_now_ms() + FOLLOW_MS;
        }
        ship_account(ship);
        if (save_due(ship))
            save(ship);
        (void)fiber_wait(loop_now_ms() + TICK_MS);
    }
    finish(ship);
    end_lanes(ship);
    index_shipping_end(ship->options.index);
    ship->fiber = NULL;
}

/* --- start and end --- */

static void free_ledgers(struct ledger *ledgers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ledger_free(&ledgers[i]);
    free(ledgers);
}

/* A lane for each backend of the placement, and for each that holds something. */
static int make_lanes(struct ship *ship)
{
    struct ledger *ledgers = NULL;
    size_t count = 0;
    int rc = ledgers_read(ship->options.folder, &ledgers, &count, &ship->clean);
    if (rc == ERR_NOMEM || rc == ERR_IO)
        return rc;
    if (rc != 0 && rc != ERR_NOT_FOUND)
        log_warn("journal_ship", "what backends have of the journal is looked up anew: %s", err_text(rc));
    rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (find_backend(ship, ledgers[i].backend) == NULL)
            continue; /* it is gone, and what it had with it */
        if ((rc = add_lane(ship, ledgers[i].backend, &ledgers[i])) == 0)
            ship->lanes[ship->lane_count - 1]->wanted = false;
    }
    for (size_t i = 0; i < ship->options.backend_count && rc == 0; i++) {
        struct lane *lane = find_lane(ship, ship->options.backends[i]);
        if (lane != NULL)
            lane->wanted = true;
        else
            rc = add_lane(ship, ship->options.backends[i], NULL);
    }
    free_ledgers(ledgers, count);
    return rc;
}

static void ship_free(struct ship *ship)
{
    for (size_t i = 0; i < ship->lane_count; i++)
        lane_free(ship->lanes[i]);
    if (ship->loop != NULL)
        loop_free(ship->loop);
    if (ship->pool != NULL)
        worker_pool_free(ship->pool);
    bucket_key_free(ship->key);
    free(ship->strings);
    free(ship);
}

/* The caller's strings need not outlive the call; backends' names are used while it lasts alone. */
static int copy_strings(struct ship *ship, const struct ship_options *options)
{
    size_t folder = strlen(options->folder) + 1, placement = strlen(options->placement) + 1;
    ship->strings = malloc(folder + placement);
    if (ship->strings == NULL)
        return ERR_NOMEM;
    memcpy(ship->strings, options->folder, folder);
    memcpy(ship->strings + folder, options->placement, placement);
    ship->options.folder = ship->strings;
    ship->options.placement = ship->strings + folder;
    return 0;
}

static int open_parts(struct ship *ship, const struct ship_options *options)
{
    struct loop_options loop = {.number = options->loop_number};
    int rc = copy_strings(ship, options);
    if (rc == 0)
        rc = journal_key_open(options->keyring, keyring_generation(options->keyring), &ship->key);
    if (rc == 0)
        rc = worker_pool_create("arca-ship", THREADS, &ship->pool);
    if (rc == 0)
        rc = make_lanes(ship);
    if (rc == 0)
        rc = loop_create(&loop, &ship->loop);
    return rc;
}

int ship_start(const struct ship_options *options, struct ship **out)
{
    struct fiber *fiber;
    struct ship *ship = calloc(1, sizeof(*ship));
    if (ship == NULL)
        return ERR_NOMEM;
    ship->options = *options;
    ship->quorum = options->quorum;
    ship->throttle.rate = options->rate;
    ship->grown = (struct loop_signal){.fn = grown, .arg = ship};
    ship->ending = (struct loop_signal){.fn = wake, .arg = ship};
    int rc = open_parts(ship, options);
    if (rc == 0)
        rc = fiber_spawn(ship->loop, run, ship, &fiber);
    if (rc != 0) {
        ship_free(ship);
        return rc;
    }
    ship->fiber = fiber;
    struct index_shipping shipping = {.sync = options->sync, .patience_ms = PATIENCE_MS};
    if (options->sync) {
        shipping.grown = tell_grown;
        shipping.arg = ship;
    }
    index_shipping_begin(options->index, &shipping);
    if ((rc = loop_start(ship->loop)) != 0) {
        index_shipping_end(options->index);
        ship_free(ship);
        return rc;
    }
    *out = ship;
    return 0;
}

void ship_stop(struct ship *ship)
{
    if (ship == NULL)
        return;
    atomic_store(&ship->stop, true);
    loop_signal(ship->loop, &ship->ending);
    loop_stop(ship->loop);
    loop_join(ship->loop);
    save_last(ship);
    ship_free(ship);
}
