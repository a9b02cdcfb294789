/* The keyring: root keys by generation, in a file of its own, sealed with a key file, a credential or a passphrase.
 * Root keys wrap bucket keys, bucket keys wrap data keys. FORMAT.md has the bytes. */
#ifndef ARCA_CRYPTO_KEYRING_H
#define ARCA_CRYPTO_KEYRING_H

#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

struct keyring;

#define KEY_SIZE          32
#define WRAPPED_KEY_SIZE  72 /* nonce 24, ciphertext 32, tag 16 (XChaCha20-Poly1305) */
#define KEYRING_ID_SIZE   16

enum keyring_unlock {
    KEYRING_KEY_FILE,   /* `secret` is the content of the key file: at least 32 bytes */
    KEYRING_PASSPHRASE, /* `secret` is a passphrase: Argon2id, parameters in the file */
};

/* Makes a keyring with one root key (generation 1) and a random id, and writes it: a new file of mode 0600, synced,
 * with its folder. ERR_EXISTS, ERR_IO, ERR_INVALID (secret too short), ERR_NOMEM. */
int keyring_create(const char *path, enum keyring_unlock how, struct span secret);

/* ERR_NOT_FOUND, ERR_IO, ERR_CORRUPT (not a keyring, torn), ERR_FORMAT, ERR_WRONG_KEY (the secret does not open it, or
 * is of the other kind), ERR_INVALID (secret too short), ERR_NOMEM. */
int keyring_open(const char *path, enum keyring_unlock how, struct span secret, struct keyring **out);
void keyring_free(struct keyring *keyring);

/* Adds a generation and replaces the file atomically; `how` and `secret` must be those that open it. Bucket keys are
 * rewrapped by the caller, see keyring_rewrap. Threads that use the keyring meanwhile are fine. ERR_LOCKED (another
 * process rotates), ERR_CONFLICT (the file is not what was opened: rotated elsewhere meanwhile), ERR_TOO_LARGE (1024
 * generations), and what keyring_open and keyring_create return. */
int keyring_rotate(struct keyring *keyring, const char *path, enum keyring_unlock how, struct span secret);

void keyring_id(const struct keyring *keyring, uint8_t out[KEYRING_ID_SIZE]);
uint32_t keyring_generation(const struct keyring *keyring); /* the newest */

/* --- bucket keys --- */
struct bucket_key; /* an unwrapped one, in sodium_malloc'd memory; immutable: may be shared between threads */

/* A new random bucket key with the number `key_id`, wrapped by the newest root key. ERR_NOMEM. */
int bucket_key_create(struct keyring *keyring, uint64_t key_id, uint32_t *generation,
                      uint8_t wrapped[WRAPPED_KEY_SIZE]);
/* ERR_WRONG_KEY (tampered, or of another keyring), ERR_NOT_FOUND (no such generation), ERR_NOMEM. */
int bucket_key_open(struct keyring *keyring, uint64_t key_id, uint32_t generation, struct span wrapped,
                    struct bucket_key **out);
void bucket_key_free(struct bucket_key *key);
/* The key that stands in for a bucket key when the index's journal is sealed: derived from a root key, so that a keyring
 * alone opens what an index is rebuilt from. Its id is the generation. Freed with bucket_key_free. ERR_NOT_FOUND (no such
 * generation), ERR_NOMEM. */
int journal_key_open(struct keyring *keyring, uint32_t generation, struct bucket_key **out);
/* Wraps the same bucket key under the newest root key. */
int keyring_rewrap(struct keyring *keyring, uint64_t key_id, uint32_t generation, struct span wrapped,
                   uint32_t *new_generation, uint8_t new_wrapped[WRAPPED_KEY_SIZE]);

#endif
