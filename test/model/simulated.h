/* Makes a run repeatable: what would come from clocks, the kernel's random numbers and other threads comes from a seed.
 *
 * Time is simulated. It stands still while fibers run, passes a little with each turn of the loop, and jumps to the next
 * deadline when no fiber is ready; delays cost nothing. A mutation of the index is done while the loop's thread waits, with
 * a few turns of other fibers around it, so that what the writer's thread takes does not decide who goes first. Ciphertext is
 * random all the same, which no decision depends on. */
#ifndef ARCA_TEST_SIMULATED_H
#define ARCA_TEST_SIMULATED_H

#include <stdint.h>

void simulated_begin(uint64_t seed);
/* The index refuses so many of a million mutations (ERR_NOSPC: nothing was changed). */
void simulated_index_faults(unsigned per_million);
/* As it is to a process that was killed: no mutation takes effect any more (ERR_IO, which leaves open whether it did), until
 * it is said to live again. */
void simulated_index_freeze(int frozen);
uint64_t simulated_index_refusals(void);
/* Lets time pass at once. */
void simulated_pass_ms(int64_t ms);
int64_t simulated_now_ms(void);

#endif
