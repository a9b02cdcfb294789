/* The AEADs that segments may be sealed with. Private to this room. */
#ifndef ARCA_CRYPTO_SUITE_H
#define ARCA_CRYPTO_SUITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "crypto/envelope.h"

struct suite {
    const char *name;
    uint8_t nonce_size, tag_size;
    bool (*available)(void);
    /* What the calling thread must have before it seals or opens: ERR_NOMEM. NULL: nothing. */
    int (*prepare)(void);
    /* Wipes what sealing and opening left of the key in the calling thread's state. NULL: nothing. */
    void (*forget)(void);
    /* In place: `text` becomes ciphertext, `tag` is written. Associated data is 32 bytes. */
    void (*seal)(const uint8_t key[32], const uint8_t *nonce, const uint8_t *associated, uint8_t *text, size_t length,
                 uint8_t *tag);
    /* In place. False, and `text` undefined, when the tag does not verify. */
    bool (*open)(const uint8_t key[32], const uint8_t *nonce, const uint8_t *associated, uint8_t *text, size_t length,
                 uint8_t *tag);
};

#define SUITE_NONCE_MAX 32

/* NULL for a number that is no suite. One that the libraries here lack is there, with its sizes, but must not be used:
 * suite_usable. */
const struct suite *suite_get(unsigned number);
bool suite_usable(unsigned number);

/* suite_gcm_vector.c: takes the place of OpenSSL's AES-256-GCM where it is faster. NULL: it is not, or not built. */
const struct suite *suite_gcm_vector(void);

#endif
