#ifndef ARCA_STORE_SHIP_REBUILD_PRIVATE_H
#define ARCA_STORE_SHIP_REBUILD_PRIVATE_H

#include "store/ship/chain.h"
#include "store/ship/rebuild.h"
#include "store/ship/survey.h"
#include "store/store.h"

struct rebuild {
    const struct rebuild_options *options;
    struct rebuild_result *result;
    struct store *store;
    struct backend *backend; /* the one to rebuild from */
    struct survey survey;
    struct chain chain;
    struct index *index;
    const char *doing;
    int64_t told_at; /* monotonic ms: no progress before */
    size_t copied;
    bool dropped;    /* a piece of the chain is no good */
    char path[4096]; /* of the index that is being made */
};

void rebuild_tell(struct rebuild *rebuild, enum rebuild_line kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void rebuild_time(int64_t time_ms, char out[32]);
bool rebuild_stops(const struct rebuild *rebuild);
void rebuild_tell_survey(struct rebuild *rebuild, const struct survey *survey);

/* --- compare.c --- */
/* The chain is chosen: tells what the other backends have more, or in another way. ERR_NOMEM. */
int rebuild_compare(struct rebuild *rebuild) SUSPENDS;

/* --- adopt.c --- */
/* The index is open: compares it with what the backend holds, tells it that it was rebuilt, notes which pieces are
 * where. */
int rebuild_adopt(struct rebuild *rebuild) SUSPENDS;

#endif
