/* The MD5 of a loop's bodies, side by side. Private to http/. */
#ifndef ARCA_HTTP_MD5_QUEUE_H
#define ARCA_HTTP_MD5_QUEUE_H

#include <sys/uio.h>
#include "base/fiber.h"
#include "crypto/md5_lanes.h"

/* A body of so many bytes (-1: unknown) begins on this loop. Whether it counts; then md5_queue_leave when it is over,
 * on the same loop. Who is alone is not made to wait. */
bool md5_queue_enter(int64_t length);
void md5_queue_leave(void);

/* Updates `state` with the bytes of `pieces` in order, together with what other fibers of the loop bring. Few bytes
 * wait until none of these can run; many are worth that the loop turns meanwhile, and some milliseconds now and then.
 * The array is used up, the bytes stay the caller's. Outside of a fiber it computes at once. ERR_CANCELED: the state is
 * then of no more use. */
int md5_queue_update(struct md5_state *state, struct iovec *pieces, int count) SUSPENDS;

#endif
