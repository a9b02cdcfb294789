/* Signing keys (secret, date, region, service hashed four times) that were used lately, in locked memory. */
#ifndef ARCA_AUTH_SIGNING_KEYS_H
#define ARCA_AUTH_SIGNING_KEYS_H

#include <stdbool.h>
#include <stdint.h>
#include "auth/credentials.h"

struct signing_keys;

/* NULL when out of memory. Not thread-safe: the caller has a lock. */
struct signing_keys *signing_keys_create(void);
void signing_keys_free(struct signing_keys *keys); /* wipes; NULL is fine */
/* `date` is YYYYMMDD. */
bool signing_keys_get(const struct signing_keys *keys, const struct credential *who, struct span date, uint8_t out[32]);
void signing_keys_put(struct signing_keys *keys, const struct credential *who, struct span date, const uint8_t key[32]);
/* Before the credentials that its entries point to go away. */
void signing_keys_wipe(struct signing_keys *keys);

#endif
