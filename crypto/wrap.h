/* The primitives that all keys are made with: wrapping (XChaCha20-Poly1305) and derivation (keyed BLAKE2b). Private to
 * this room. FORMAT.md has the labels and the associated data. */
#ifndef ARCA_CRYPTO_WRAP_H
#define ARCA_CRYPTO_WRAP_H

#include <stddef.h>
#include <stdint.h>
#include "base/byteorder.h"
#include "base/span.h"
#include "crypto/keyring.h"

#define LABEL_SIZE      16 /* bytes, zero-padded */
#define WRAP_NONCE_SIZE 24

/* One for each use of a key, so that no two uses ever see the same input. */
#define LABEL_EXTENT_KEY "arca extent key"
#define LABEL_COMMITMENT "arca commitment"
#define LABEL_DATA_KEY   "arca data key\0\0"
#define LABEL_BUCKET_KEY "arca bucket key"
#define LABEL_KEY_FILE   "arca key file\0\0"
#define LABEL_JOURNAL    "arca journal\0\0\0"
_Static_assert(sizeof(LABEL_EXTENT_KEY) == LABEL_SIZE && sizeof(LABEL_COMMITMENT) == LABEL_SIZE &&
                   sizeof(LABEL_DATA_KEY) == LABEL_SIZE && sizeof(LABEL_BUCKET_KEY) == LABEL_SIZE &&
                   sizeof(LABEL_KEY_FILE) == LABEL_SIZE && sizeof(LABEL_JOURNAL) == LABEL_SIZE,
               "labels are 16 bytes");

/* `nonce` is WRAP_NONCE_SIZE fresh random bytes. */
void wrap_key(const uint8_t wrapping[KEY_SIZE], struct span associated, const uint8_t nonce[WRAP_NONCE_SIZE],
              const uint8_t key[KEY_SIZE], uint8_t wrapped[WRAPPED_KEY_SIZE]);
/* ERR_INVALID (length), ERR_WRONG_KEY; then `key` is zeroes. */
int unwrap_key(const uint8_t wrapping[KEY_SIZE], struct span associated, struct span wrapped, uint8_t key[KEY_SIZE]);

/* 32 bytes: BLAKE2b of label || input under `key`. */
void derive(const uint8_t key[KEY_SIZE], const char label[LABEL_SIZE], struct span input, uint8_t out[32]);

struct bucket_key {
    uint8_t key[KEY_SIZE];
    uint8_t keyring_id[KEYRING_ID_SIZE];
    uint64_t id;
};

#endif
