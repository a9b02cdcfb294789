/* Reference-counted memory for bodies, taken from the one global budget. A block holds what is on its way between a
 * socket and the backends: one sealed extent, or one read of it. */
#ifndef ARCA_BASE_BLOCK_H
#define ARCA_BASE_BLOCK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "base/fiber.h"

struct budget;

/* `bytes` is the most that all blocks together may hold. NULL when out of memory. */
struct budget *budget_create(size_t bytes);
void budget_free(struct budget *budget);
size_t budget_used(struct budget *budget);
size_t budget_limit(struct budget *budget);

struct block {
    atomic_uint references;
    struct budget *budget;
    size_t capacity; /* bytes usable at data */
    size_t length;   /* bytes in use; set by the owner */
    uint8_t *data;   /* aligned to 4096 */
};

/* A block of at least `capacity` bytes with one reference; freed memory is kept in per-loop lists by size class, so
 * that a large block does not cost its page faults each time; all lists together hold as much as the budget at most.
 * Large blocks are in huge pages where the system has them. Waits in FIFO order while the budget is spent.
 * ERR_TOO_LARGE (more than the whole budget), ERR_NOMEM, ERR_TIMEOUT, ERR_CANCELED. */
int block_create(struct budget *budget, size_t capacity, int64_t deadline_ms, struct block **out) SUSPENDS;
struct block *block_ref(struct block *block);
/* Any thread. NULL is fine. */
void block_unref(struct block *block);

#endif
