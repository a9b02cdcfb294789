/* Random numbers that a seed repeats (SplitMix64). */
#ifndef ARCA_TEST_DICE_H
#define ARCA_TEST_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

static inline uint64_t dice_mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline uint64_t dice_next(struct dice *dice)
{
    return dice_mix(dice->state += 0x9e3779b97f4a7c15u);
}

/* 0 .. count - 1 */
static inline uint64_t dice_below(struct dice *dice, uint64_t count)
{
    return dice_next(dice) % count;
}

static inline bool dice_chance(struct dice *dice, unsigned per_million)
{
    return dice_below(dice, 1000000) < per_million;
}

#endif
