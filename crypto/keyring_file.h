/* The keyring's file: FORMAT.md has the bytes. Private to this room. */
#ifndef ARCA_CRYPTO_KEYRING_FILE_H
#define ARCA_CRYPTO_KEYRING_FILE_H

#include <stddef.h>
#include <stdint.h>
#include "base/span.h"
#include "crypto/keyring.h"

#define GENERATIONS_MAX 1024

struct root_key {
    uint32_t generation;
    uint8_t key[KEY_SIZE];
};

/* What the file says without its secret. */
struct keyring_header {
    enum keyring_unlock how;
    uint32_t argon2_passes;
    uint64_t argon2_memory; /* bytes */
    uint8_t salt[16];
    uint8_t id[KEYRING_ID_SIZE];
    uint32_t count; /* root keys, 1..GENERATIONS_MAX */
};

/* Checks all that can be checked without the secret: ERR_CORRUPT, ERR_FORMAT. Pure; a fuzz target. */
int keyring_parse(struct span file, struct keyring_header *out);

/* Opens what keyring_parse found good. `keys` has room for header->count. ERR_WRONG_KEY, ERR_INVALID, ERR_NOMEM;
 * ERR_CORRUPT when the generations inside do not ascend. */
int keyring_unseal(struct span file, const struct keyring_header *header, enum keyring_unlock how, struct span secret,
                   struct root_key *keys);

size_t keyring_file_size(uint32_t count);
/* Writes keyring_file_size(header->count) bytes under a fresh salt and nonce; `header` gets the salt. ERR_INVALID,
 * ERR_NOMEM. */
int keyring_seal(struct keyring_header *header, struct span secret, const struct root_key *keys, uint8_t *file);

/* Reads a whole keyring file; the caller frees *out. ERR_NOT_FOUND, ERR_IO, ERR_NOMEM, ERR_CORRUPT (too large). */
int keyring_read(int fd, uint8_t **out, size_t *length);
/* Writes a new file of mode 0600 beside `path`, syncs it and its folder; `replace` says whether it takes the place of
 * one that is there or fails with ERR_EXISTS. At no time is there half a keyring under `path`. */
int keyring_write(const char *path, struct span file, bool replace);

#endif
