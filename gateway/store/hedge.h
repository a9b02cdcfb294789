/* One read of two backends: the second is asked when the first takes longer than most of its reads do. */
#ifndef ARCA_STORE_HEDGE_H
#define ARCA_STORE_HEDGE_H

#include "backends/backend.h"

struct hedge_side {
    struct backend *backend; /* made by watched_create */
    struct locator locator;
    int rc; /* out: 0, or why it cannot give it; ERR_BUSY: it was not asked, or has not answered */
};

/* Reads into dst from sides[0]; from sides[1], too, when sides[0] is slow and the budget has room for it, or when
 * sides[0] fails or is found to be down meanwhile. Who answers first wins; the other is cancelled, and what it reads is
 * dropped. 0 and *winner, or what sides[0] failed with; ERR_CANCELED; ERR_NOMEM, ERR_BUSY: none was asked, because
 * there is no memory or fiber for it. */
int hedge_get(struct hedge_side sides[2], const struct blob_name *name, uint64_t offset, uint64_t length, uint8_t *dst,
              int *winner) SUSPENDS;

#endif
