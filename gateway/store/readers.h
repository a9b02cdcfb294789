/* Who reads extents whose rows may go meanwhile, and since when: garbage collection waits for them. */
#ifndef ARCA_STORE_READERS_H
#define ARCA_STORE_READERS_H

#include <stdatomic.h>
#include <stdint.h>
#include "base/loop.h"
#include "store/store.h"

struct readers {
    struct {
        _Atomic int64_t oldest_ms;         /* of `first`; INT64_MAX: there is none */
        struct store_reader *first, *last; /* in the order in which they came; of the loop's thread */
        char apart[104];                   /* loops do not write to each other's cache lines */
    } loops[LOOPS_MAX];
};

void readers_init(struct readers *readers);
void readers_enter(struct readers *readers, struct store_reader *reader);
void readers_leave(struct readers *readers, struct store_reader *reader);
/* Any thread. */
int64_t readers_oldest_ms(const struct readers *readers);

#endif
