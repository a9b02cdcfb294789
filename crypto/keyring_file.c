#include "crypto/keyring_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "crypto/wrap.h"

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_UNLOCK = 9,
    AT_RESERVED = 10,
    AT_PASSES = 12,
    AT_MEMORY = 16,
    AT_SALT = 24,
    AT_ID = 40,
    AT_COUNT = 56,
    AT_NONCE = 60,
    AT_SEALED = AT_NONCE + WRAP_NONCE_SIZE,
};
#define MAGIC         "ARCAKEYS"
#define VERSION       1
#define ROOT_KEY_SIZE (4 + KEY_SIZE)
#define TAG_SIZE      crypto_aead_xchacha20poly1305_ietf_ABYTES
#define CHECKSUM_SIZE 32
#define SECRET_MIN    32 /* bytes of a key file */

#define UNLOCK_KEY_FILE   1
#define UNLOCK_PASSPHRASE 2

/* libsodium's MODERATE: 256 MiB, 3 passes. The caps keep a forged file from exhausting the machine. */
#define ARGON2_PASSES     crypto_pwhash_argon2id_OPSLIMIT_MODERATE
#define ARGON2_MEMORY     crypto_pwhash_argon2id_MEMLIMIT_MODERATE
#define ARGON2_PASSES_MAX 16
#define ARGON2_MEMORY_MAX (UINT64_C(1) << 30)

_Static_assert(sizeof(((struct keyring_header *)0)->salt) == crypto_pwhash_argon2id_SALTBYTES, "Argon2id's salt");

size_t keyring_file_size(uint32_t count)
{
    return AT_SEALED + (size_t)count * ROOT_KEY_SIZE + TAG_SIZE + CHECKSUM_SIZE;
}

/* Tells damage from a wrong secret; it protects nothing. */
static void checksum(const uint8_t *file, size_t size, uint8_t out[CHECKSUM_SIZE])
{
    crypto_generichash(out, CHECKSUM_SIZE, file, size - CHECKSUM_SIZE, NULL, 0);
}

int keyring_parse(struct span file, struct keyring_header *out)
{
    const uint8_t *p = file.ptr;
    uint8_t sum[CHECKSUM_SIZE];

    if (file.len < keyring_file_size(1) || memcmp(p, MAGIC, 8) != 0)
        return ERR_CORRUPT;
    if (p[AT_VERSION] != VERSION)
        return ERR_FORMAT;
    out->count = be32_get(p + AT_COUNT);
    if (out->count == 0 || out->count > GENERATIONS_MAX || file.len != keyring_file_size(out->count))
        return ERR_CORRUPT;
    checksum(p, file.len, sum);
    if (memcmp(sum, p + file.len - CHECKSUM_SIZE, CHECKSUM_SIZE) != 0)
        return ERR_CORRUPT;
    if (p[AT_RESERVED] != 0 || p[AT_RESERVED + 1] != 0)
        return ERR_CORRUPT;
    out->argon2_passes = be32_get(p + AT_PASSES);
    out->argon2_memory = be64_get(p + AT_MEMORY);
    switch (p[AT_UNLOCK]) {
    case UNLOCK_KEY_FILE:
        out->how = KEYRING_KEY_FILE;
        if (out->argon2_passes != 0 || out->argon2_memory != 0)
            return ERR_CORRUPT;
        break;
    case UNLOCK_PASSPHRASE:
        out->how = KEYRING_PASSPHRASE;
        if (out->argon2_passes < crypto_pwhash_argon2id_OPSLIMIT_MIN || out->argon2_passes > ARGON2_PASSES_MAX ||
            out->argon2_memory < crypto_pwhash_argon2id_MEMLIMIT_MIN || out->argon2_memory > ARGON2_MEMORY_MAX)
            return ERR_CORRUPT;
        break;
    default:
        return ERR_CORRUPT;
    }
    memcpy(out->salt, p + AT_SALT, sizeof(out->salt));
    memcpy(out->id, p + AT_ID, sizeof(out->id));
    return 0;
}

/* The key that seals the root keys. ERR_INVALID (secret too short), ERR_NOMEM. */
static int unlock_key(const struct keyring_header *header, struct span secret, uint8_t out[KEY_SIZE])
{
    crypto_generichash_state state;

    if (header->how == KEYRING_PASSPHRASE) {
        if (secret.len == 0)
            return ERR_INVALID;
        return crypto_pwhash_argon2id(out, KEY_SIZE, (const char *)secret.ptr, secret.len, header->salt,
                                      header->argon2_passes, (size_t)header->argon2_memory,
                                      crypto_pwhash_argon2id_ALG_ARGON2ID13) == 0
                   ? 0
                   : ERR_NOMEM;
    }
    if (secret.len < SECRET_MIN)
        return ERR_INVALID;
    crypto_generichash_init(&state, NULL, 0, KEY_SIZE);
    crypto_generichash_update(&state, (const uint8_t *)LABEL_KEY_FILE, LABEL_SIZE);
    crypto_generichash_update(&state, header->salt, sizeof(header->salt));
    crypto_generichash_update(&state, secret.ptr, secret.len);
    crypto_generichash_final(&state, out, KEY_SIZE);
    sodium_memzero(&state, sizeof(state));
    return 0;
}

int keyring_unseal(struct span file, const struct keyring_header *header, enum keyring_unlock how, struct span secret,
                   struct root_key *keys)
{
    const uint8_t *p = file.ptr;
    size_t plain_size = (size_t)header->count * ROOT_KEY_SIZE;
    uint8_t key[KEY_SIZE];
    uint8_t *plain;
    int rc;

    if (header->how != how)
        return ERR_WRONG_KEY;
    rc = unlock_key(header, secret, key);
    if (rc != 0)
        return rc;
    plain = sodium_malloc(plain_size);
    rc = ERR_NOMEM;
    if (plain == NULL)
        goto err0;
    rc = ERR_WRONG_KEY;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, p + AT_SEALED, plain_size + TAG_SIZE, p,
                                                   AT_NONCE, p + AT_NONCE, key) != 0)
        goto err1;
    rc = 0;
    for (size_t i = 0; i < header->count; i++) {
        keys[i].generation = be32_get(plain + i * ROOT_KEY_SIZE);
        memcpy(keys[i].key, plain + i * ROOT_KEY_SIZE + 4, KEY_SIZE);
        if (keys[i].generation <= (i == 0 ? 0 : keys[i - 1].generation))
            rc = ERR_CORRUPT;
    }
err1:
    sodium_free(plain);
err0:
    sodium_memzero(key, sizeof(key));
    return rc;
}

int keyring_seal(struct keyring_header *header, struct span secret, const struct root_key *keys, uint8_t *file)
{
    size_t size = keyring_file_size(header->count);
    size_t plain_size = (size_t)header->count * ROOT_KEY_SIZE;
    bool passphrase = header->how == KEYRING_PASSPHRASE;
    uint8_t key[KEY_SIZE];
    uint8_t *plain;
    int rc;

    header->argon2_passes = passphrase ? ARGON2_PASSES : 0;
    header->argon2_memory = passphrase ? ARGON2_MEMORY : 0;
    randombytes_buf(header->salt, sizeof(header->salt));
    rc = unlock_key(header, secret, key);
    if (rc != 0)
        return rc;
    plain = sodium_malloc(plain_size);
    rc = ERR_NOMEM;
    if (plain == NULL)
        goto err0;
    for (size_t i = 0; i < header->count; i++) {
        be32_put(plain + i * ROOT_KEY_SIZE, keys[i].generation);
        memcpy(plain + i * ROOT_KEY_SIZE + 4, keys[i].key, KEY_SIZE);
    }
    memset(file, 0, AT_SEALED);
    memcpy(file + AT_MAGIC, MAGIC, 8);
    file[AT_VERSION] = VERSION;
    file[AT_UNLOCK] = passphrase ? UNLOCK_PASSPHRASE : UNLOCK_KEY_FILE;
    be32_put(file + AT_PASSES, header->argon2_passes);
    be64_put(file + AT_MEMORY, header->argon2_memory);
    memcpy(file + AT_SALT, header->salt, sizeof(header->salt));
    memcpy(file + AT_ID, header->id, sizeof(header->id));
    be32_put(file + AT_COUNT, header->count);
    randombytes_buf(file + AT_NONCE, WRAP_NONCE_SIZE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(file + AT_SEALED, NULL, plain, plain_size, file, AT_NONCE, NULL,
                                               file + AT_NONCE, key);
    checksum(file, size, file + size - CHECKSUM_SIZE);
    rc = 0;
    sodium_free(plain);
err0:
    sodium_memzero(key, sizeof(key));
    return rc;
}

int keyring_read(int fd, uint8_t **out, size_t *length)
{
    size_t capacity = keyring_file_size(GENERATIONS_MAX) + 1;
    uint8_t *file = malloc(capacity);
    size_t size = 0;
    ssize_t n;
    int rc;

    if (file == NULL)
        return ERR_NOMEM;
    do {
        n = read(fd, file + size, capacity - size);
        if (n > 0)
            size += (size_t)n;
    } while ((n > 0 && size < capacity) || (n < 0 && errno == EINTR));
    rc = n < 0 ? err_from_errno(errno) : size == capacity ? ERR_CORRUPT : 0;
    if (rc != 0) {
        free(file);
        return rc;
    }
    *out = file;
    *length = size;
    return 0;
}

static int write_synced(int fd, struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);

        if (n < 0 && errno != EINTR)
            return err_from_errno(errno);
        if (n > 0)
            bytes = span_skip(bytes, (size_t)n);
    }
    return fsync(fd) == 0 ? 0 : err_from_errno(errno);
}

static int sync_folder(const char *path)
{
    char *copy = strdup(path);
    int fd, rc;

    if (copy == NULL)
        return ERR_NOMEM;
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return err_from_errno(errno);
    rc = fsync(fd) == 0 ? 0 : err_from_errno(errno);
    close(fd);
    return rc;
}

int keyring_write(const char *path, struct span file, bool replace)
{
    char *temporary = NULL;
    int fd, rc;

    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return ERR_NOMEM;
    fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0) {
        rc = err_from_errno(errno);
        goto err0;
    }
    rc = write_synced(fd, file);
    if (rc != 0)
        goto err1;
    /* A link fails where a file is; a rename replaces it. */
    if ((replace ? rename(temporary, path) : link(temporary, path)) != 0) {
        rc = err_from_errno(errno);
        goto err1;
    }
    if (!replace)
        unlink(temporary);
    rc = sync_folder(path);
    close(fd);
    free(temporary);
    return rc;
err1:
    close(fd);
    unlink(temporary);
err0:
    free(temporary);
    return rc;
}
