/* What the files of this room share. All of it belongs to the one loop that ship.c makes, unless said otherwise. */
#ifndef ARCA_STORE_SHIP_PRIVATE_H
#define ARCA_STORE_SHIP_PRIVATE_H

#include <stdatomic.h>
#include "base/loop.h"
#include "base/worker.h"
#include "store/jobs/throttle.h"
#include "store/ship/ledger.h"
#include "store/ship/ship.h"

#define LANES_MAX 64

/* One backend. It gets everything by itself, at its own pace: what one lacks holds no other up. */
struct lane {
    struct ship *ship;
    struct backend *backend;
    struct fiber *journal, *upkeep; /* NULL: ended */
    bool journal_due, upkeep_due;   /* woken for a reason */
    bool wanted;                    /* it belongs to the placement; else what it holds is removed */
    bool checking, checked;         /* whether it holds what its ledger says */
    bool proven;                    /* `at` is a place in this journal: it was read on from there */
    bool based;                     /* what it holds makes an index as of `at` */
    struct index_position at;       /* of the journal: behind what it holds */
    int64_t safe_ms;                /* see index_mark */
    int64_t last_ms;                /* the time of its newest piece */
    bool tried;                     /* since the end was asked for */
    bool sweep;                     /* it may hold pieces that its ledger does not name */
    int64_t sweep_at;               /* loop_now_ms: not before */
    uint32_t flying;                /* the number of the piece that the journal's fiber puts; 0: none */
    int why;                        /* what failed last; 0: nothing */
    struct ledger ledger;
};

struct ship {
    struct ship_options options;
    char *strings; /* that the options refer to */
    struct loop *loop;
    struct worker_pool *pool;
    struct bucket_key *key;
    struct fiber *fiber;
    struct lane *lanes[LANES_MAX];
    size_t lane_count;
    unsigned quorum;
    struct throttle throttle; /* of snapshots that nobody waits for */
    uint32_t number;          /* of the last name */
    uint64_t shipped;         /* on a quorum */
    int64_t progress_ms;      /* loop_now_ms: when that last changed or had nothing to change for */
    bool clean;               /* the file of ledgers was, at the start */
    uint64_t save_asked, saved;
    int64_t saved_at; /* loop_now_ms */
    int save_why;     /* why the last one failed; 0: it did not */
    struct loop_signal grown, ending;
    atomic_bool stop;                    /* any thread */
    bool ended;                          /* lanes are to end */
    _Atomic int64_t lag_ms;              /* any thread */
    int64_t begun_ms;                    /* since 1970: how far everything is taken to be shipped until it is known */
    int64_t shown_sequence, shown_lag_s; /* in the metrics */
    atomic_int lag_why;                  /* any thread */
};

/* --- ship.c --- */
/* A lane got further, or found that it does not. */
void ship_account(struct ship *ship);
/* Returns when the file of ledgers has all that is in them now. */
int ship_save(struct ship *ship) SUSPENDS;

/* --- put.c --- */
/* Seals and puts the next records behind *at that lie before `mark`, and adds the piece to the lane's journal at
 * `place` (SIZE_MAX: at the end). *at moves; it stays when nothing was there. `tail`: the last of the pieces that the
 * new one is to stand for, which end with `mark`: ERR_CORRUPT if it would not; NULL: it stands for none. Errors of
 * index_journal_read, of backends; ERR_NOMEM. */
int put_journal(struct lane *lane, const struct index_mark *mark, struct index_position *at, uint32_t rank,
                const struct piece *tail, size_t place) SUSPENDS;
/* One part of a snapshot. */
int put_snapshot(struct lane *lane, const struct index_snapshot *snapshot, uint64_t offset) SUSPENDS;

/* --- lane.c --- */
int lane_create(struct ship *ship, struct backend *backend, struct ledger *ledger,
                struct lane **out); /* takes the ledger */
void lane_free(struct lane *lane);
int lane_start(struct lane *lane);
void lane_kick(struct lane *lane);        /* there is something to ship */
void lane_kick_upkeep(struct lane *lane); /* or to keep up */
bool lane_ending(const struct lane *lane);

/* --- upkeep.c --- */
/* What keeps the pieces of a backend few: gathers small ones, puts new snapshots, removes what these make superfluous.
 */
int upkeep(struct lane *lane) SUSPENDS;
#define GATHER_COUNT 64 /* pieces of a rank that are made one */

#endif
