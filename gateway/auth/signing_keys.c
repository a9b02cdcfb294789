#include "auth/signing_keys.h"

#include <sodium.h>

#define SLOTS 256

struct slot {
    const struct credential *who;
    uint64_t date; /* its 8 digits as they are in memory */
    uint8_t key[32];
};

/* Each key has one slot that it may be in; the last one put wins. */
struct signing_keys {
    struct slot slots[SLOTS];
};

static uint64_t date_number(struct span date)
{
    uint64_t number = 0;

    memcpy(&number, date.ptr, date.len < sizeof(number) ? date.len : sizeof(number));
    return number;
}

static size_t slot_of(const struct credential *who, uint64_t date)
{
    uint64_t mixed = ((uint64_t)(uintptr_t)who ^ date) * 0x9e3779b97f4a7c15ULL;

    return (size_t)(mixed >> 56) % SLOTS;
}

struct signing_keys *signing_keys_create(void)
{
    struct signing_keys *keys = sodium_malloc(sizeof(*keys));

    if (keys != NULL)
        signing_keys_wipe(keys);
    return keys;
}

void signing_keys_free(struct signing_keys *keys)
{
    sodium_free(keys);
}

bool signing_keys_get(const struct signing_keys *keys, const struct credential *who, struct span date, uint8_t out[32])
{
    uint64_t number = date_number(date);
    const struct slot *slot = &keys->slots[slot_of(who, number)];

    if (slot->who != who || slot->date != number)
        return false;
    memcpy(out, slot->key, sizeof(slot->key));
    return true;
}

void signing_keys_put(struct signing_keys *keys, const struct credential *who, struct span date, const uint8_t key[32])
{
    uint64_t number = date_number(date);
    struct slot *slot = &keys->slots[slot_of(who, number)];

    slot->who = who;
    slot->date = number;
    memcpy(slot->key, key, sizeof(slot->key));
}

void signing_keys_wipe(struct signing_keys *keys)
{
    sodium_memzero(keys, sizeof(*keys));
}
