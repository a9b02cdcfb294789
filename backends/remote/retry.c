#include "retry.h"

#include <sodium.h>
#include "base/err.h"
#include "base/loop.h"

#define BACKOFF_GROWTH 50
#define RETRY_COST     10
#define BUDGET_TOKENS  (100 * RETRY_COST)

void retry_budget_init(struct retry_budget *budget)
{
    atomic_init(&budget->tokens, BUDGET_TOKENS);
}

bool retry_budget_take(struct retry_budget *budget)
{
    int tokens = atomic_load(&budget->tokens);
    while (tokens >= RETRY_COST) {
        if (atomic_compare_exchange_weak(&budget->tokens, &tokens, tokens - RETRY_COST))
            return true;
    }
    return false;
}

void retry_budget_earn(struct retry_budget *budget)
{
    int tokens = atomic_load_explicit(&budget->tokens, memory_order_relaxed);
    while (tokens < BUDGET_TOKENS) {
        if (atomic_compare_exchange_weak(&budget->tokens, &tokens, tokens + 1))
            return;
    }
}

/* Full jitter: clients that failed together do not come back together. */
static int64_t backoff_ms(int64_t first_ms, unsigned attempt)
{
    int64_t most = attempt < 6 ? first_ms << (attempt - 1) : first_ms * BACKOFF_GROWTH;
    return (int64_t)randombytes_uniform((uint32_t)most + 1);
}

int retry_pause(int64_t first_ms, unsigned attempt, int64_t at_least_ms, int64_t deadline_ms)
{
    int64_t wait_ms = backoff_ms(first_ms, attempt);
    int64_t until_ms = loop_now_ms() + (wait_ms > at_least_ms ? wait_ms : at_least_ms);
    if (until_ms >= deadline_ms)
        return ERR_TIMEOUT;
    int rc;
    while ((rc = fiber_wait(until_ms)) == 0)
        ;
    return rc == ERR_TIMEOUT ? 0 : rc;
}
