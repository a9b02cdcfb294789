/* When and how often to try again what a store refused for now. */
#ifndef ARCA_BACKENDS_REMOTE_RETRY_H
#define ARCA_BACKENDS_REMOTE_RETRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/fiber.h"

/* A store that fails everything gets 100 retries at once, and then one for every ten requests that succeed. Any thread. */
struct retry_budget {
    atomic_int tokens;
};
void retry_budget_init(struct retry_budget *budget);
bool retry_budget_take(struct retry_budget *budget);
void retry_budget_earn(struct retry_budget *budget);

/* Waits before the attempt after the `attempt`th (from 1): a random part of first_ms, doubled each time up to 50 times that,
 * but at least at_least_ms. ERR_TIMEOUT at once when that would reach the deadline (loop_now_ms); ERR_CANCELED. */
int retry_pause(int64_t first_ms, unsigned attempt, int64_t at_least_ms, int64_t deadline_ms) SUSPENDS;

#endif
