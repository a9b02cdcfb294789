/* The MD5 of a loop's bodies, side by side. Private to http/. */
#ifndef ARCA_HTTP_MD5_QUEUE_H
#define ARCA_HTTP_MD5_QUEUE_H

#include "base/fiber.h"
#include "crypto/md5_lanes.h"

/* Updates `state`, together with what other fibers of the loop bring until none of them can run. The bytes stay the
 * caller's. Outside of a fiber it computes at once. ERR_CANCELED: the state is then of no more use. */
int md5_queue_update(struct md5_state *state, struct span bytes) SUSPENDS;

#endif
