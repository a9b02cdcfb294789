#include "crypto/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "crypto/keyring_file.h"
#include "crypto/wrap.h"

struct keyring {
    pthread_rwlock_t lock; /* of keys and count; the id never changes */
    struct root_key *keys; /* sodium_malloc'd; by ascending generation */
    uint32_t count;
    uint8_t id[KEYRING_ID_SIZE];
};

static struct root_key *root_keys_alloc(uint32_t count)
{
    return sodium_allocarray(count, sizeof(struct root_key));
}

/* Seals and writes what `header` and `keys` say. */
static int seal_and_write(const char *path, struct keyring_header *header, struct span secret,
                          const struct root_key *keys, bool replace)
{
    size_t size = keyring_file_size(header->count);
    uint8_t *file = malloc(size);
    int rc;

    if (file == NULL)
        return ERR_NOMEM;
    rc = keyring_seal(header, secret, keys, file);
    if (rc == 0)
        rc = keyring_write(path, span_of(file, size), replace);
    free(file);
    return rc;
}

int keyring_create(const char *path, enum keyring_unlock how, struct span secret)
{
    struct keyring_header header = {.how = how, .count = 1};
    struct root_key *key;
    int rc;

    if (access(path, F_OK) == 0)
        return ERR_EXISTS;
    key = root_keys_alloc(1);
    if (key == NULL)
        return ERR_NOMEM;
    key->generation = 1;
    randombytes_buf(key->key, sizeof(key->key));
    randombytes_buf(header.id, sizeof(header.id));
    rc = seal_and_write(path, &header, secret, key, false);
    sodium_free(key);
    return rc;
}

/* Reads and unseals; *keys is to be sodium_free'd. */
static int load(int fd, enum keyring_unlock how, struct span secret, struct keyring_header *header,
                struct root_key **keys)
{
    uint8_t *file;
    size_t size;
    int rc = keyring_read(fd, &file, &size);

    if (rc != 0)
        return rc;
    rc = keyring_parse(span_of(file, size), header);
    if (rc != 0)
        goto err0;
    *keys = root_keys_alloc(header->count);
    rc = ERR_NOMEM;
    if (*keys == NULL)
        goto err0;
    rc = keyring_unseal(span_of(file, size), header, how, secret, *keys);
    if (rc != 0)
        sodium_free(*keys);
err0:
    free(file);
    return rc;
}

int keyring_open(const char *path, enum keyring_unlock how, struct span secret, struct keyring **out)
{
    struct keyring_header header;
    struct keyring *keyring;
    int fd, rc;

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    keyring = calloc(1, sizeof(*keyring));
    rc = ERR_NOMEM;
    if (keyring == NULL)
        goto err0;
    rc = load(fd, how, secret, &header, &keyring->keys);
    if (rc != 0)
        goto err1;
    if (pthread_rwlock_init(&keyring->lock, NULL) != 0) {
        rc = ERR_NOMEM;
        goto err2;
    }
    keyring->count = header.count;
    memcpy(keyring->id, header.id, sizeof(keyring->id));
    close(fd);
    *out = keyring;
    return 0;
err2:
    sodium_free(keyring->keys);
err1:
    free(keyring);
err0:
    close(fd);
    return rc;
}

void keyring_free(struct keyring *keyring)
{
    if (keyring == NULL)
        return;
    sodium_free(keyring->keys);
    pthread_rwlock_destroy(&keyring->lock);
    free(keyring);
}

/* Locks the opened file and makes sure that it is still the one under its name: a rename may have come between. */
static int lock_file(int fd, const char *path)
{
    struct stat opened, named;

    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &opened) != 0 || stat(path, &named) != 0 ||
        opened.st_ino != named.st_ino || opened.st_dev != named.st_dev)
        return ERR_LOCKED;
    return 0;
}

int keyring_rotate(struct keyring *keyring, const char *path, enum keyring_unlock how, struct span secret)
{
    struct keyring_header header;
    struct root_key *present, *keys;
    int fd, rc;

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    rc = lock_file(fd, path);
    if (rc != 0)
        goto err0;
    rc = load(fd, how, secret, &header, &present);
    if (rc != 0)
        goto err0;
    /* Only rotations change the keys and this one holds the file's lock: reading them needs no lock. */
    rc = ERR_CONFLICT;
    if (memcmp(header.id, keyring->id, sizeof(header.id)) != 0 || header.count != keyring->count ||
        sodium_memcmp(present, keyring->keys, header.count * sizeof(*present)) != 0)
        goto err1;
    rc = ERR_TOO_LARGE;
    if (header.count == GENERATIONS_MAX)
        goto err1;
    keys = root_keys_alloc(header.count + 1);
    rc = ERR_NOMEM;
    if (keys == NULL)
        goto err1;
    memcpy(keys, present, header.count * sizeof(*keys));
    keys[header.count].generation = keys[header.count - 1].generation + 1;
    randombytes_buf(keys[header.count].key, KEY_SIZE);
    header.count++;
    rc = seal_and_write(path, &header, secret, keys, true);
    if (rc != 0) {
        sodium_free(keys);
        goto err1;
    }
    pthread_rwlock_wrlock(&keyring->lock);
    sodium_free(keyring->keys);
    keyring->keys = keys;
    keyring->count = header.count;
    pthread_rwlock_unlock(&keyring->lock);
err1:
    sodium_free(present);
err0:
    close(fd);
    return rc;
}

void keyring_id(const struct keyring *keyring, uint8_t out[KEYRING_ID_SIZE])
{
    memcpy(out, keyring->id, KEYRING_ID_SIZE);
}

uint32_t keyring_generation(const struct keyring *keyring)
{
    pthread_rwlock_t *lock = (pthread_rwlock_t *)&keyring->lock;
    uint32_t generation;

    pthread_rwlock_rdlock(lock);
    generation = keyring->keys[keyring->count - 1].generation;
    pthread_rwlock_unlock(lock);
    return generation;
}

/* --- bucket keys --- */

#define ASSOCIATED_SIZE (LABEL_SIZE + KEYRING_ID_SIZE + 8 + 4)

static struct span associated_data(const struct keyring *keyring, uint64_t key_id, uint32_t generation,
                                   uint8_t out[ASSOCIATED_SIZE])
{
    memcpy(out, LABEL_BUCKET_KEY, LABEL_SIZE);
    memcpy(out + LABEL_SIZE, keyring->id, KEYRING_ID_SIZE);
    be64_put(out + LABEL_SIZE + KEYRING_ID_SIZE, key_id);
    be32_put(out + LABEL_SIZE + KEYRING_ID_SIZE + 8, generation);
    return span_of(out, ASSOCIATED_SIZE);
}

/* Under the newest root key. */
static void wrap_bucket_key(struct keyring *keyring, uint64_t key_id, const uint8_t key[KEY_SIZE],
                            uint32_t *generation, uint8_t wrapped[WRAPPED_KEY_SIZE])
{
    uint8_t associated[ASSOCIATED_SIZE];
    uint8_t nonce[WRAP_NONCE_SIZE];
    const struct root_key *root;

    randombytes_buf(nonce, sizeof(nonce));
    pthread_rwlock_rdlock(&keyring->lock);
    root = &keyring->keys[keyring->count - 1];
    *generation = root->generation;
    wrap_key(root->key, associated_data(keyring, key_id, root->generation, associated), nonce, key, wrapped);
    pthread_rwlock_unlock(&keyring->lock);
}

static int unwrap_bucket_key(struct keyring *keyring, uint64_t key_id, uint32_t generation, struct span wrapped,
                             uint8_t key[KEY_SIZE])
{
    uint8_t associated[ASSOCIATED_SIZE];
    int rc = ERR_NOT_FOUND;

    pthread_rwlock_rdlock(&keyring->lock);
    for (uint32_t i = keyring->count; i-- > 0 && rc == ERR_NOT_FOUND;) {
        if (keyring->keys[i].generation == generation)
            rc = unwrap_key(keyring->keys[i].key, associated_data(keyring, key_id, generation, associated), wrapped,
                            key);
    }
    pthread_rwlock_unlock(&keyring->lock);
    return rc;
}

int bucket_key_create(struct keyring *keyring, uint64_t key_id, uint32_t *generation,
                      uint8_t wrapped[WRAPPED_KEY_SIZE])
{
    uint8_t *key = sodium_malloc(KEY_SIZE);

    if (key == NULL)
        return ERR_NOMEM;
    randombytes_buf(key, KEY_SIZE);
    wrap_bucket_key(keyring, key_id, key, generation, wrapped);
    sodium_free(key);
    return 0;
}

int bucket_key_open(struct keyring *keyring, uint64_t key_id, uint32_t generation, struct span wrapped,
                    struct bucket_key **out)
{
    struct bucket_key *key = sodium_malloc(sizeof(*key));
    int rc;

    if (key == NULL)
        return ERR_NOMEM;
    rc = unwrap_bucket_key(keyring, key_id, generation, wrapped, key->key);
    if (rc != 0) {
        sodium_free(key);
        return rc;
    }
    key->id = key_id;
    memcpy(key->keyring_id, keyring->id, KEYRING_ID_SIZE);
    sodium_mprotect_readonly(key);
    *out = key;
    return 0;
}

static int derive_journal_key(struct keyring *keyring, uint32_t generation, uint8_t key[KEY_SIZE])
{
    uint8_t input[KEYRING_ID_SIZE + 4];
    int rc = ERR_NOT_FOUND;

    memcpy(input, keyring->id, KEYRING_ID_SIZE);
    be32_put(input + KEYRING_ID_SIZE, generation);
    pthread_rwlock_rdlock(&keyring->lock);
    for (uint32_t i = keyring->count; i-- > 0 && rc == ERR_NOT_FOUND;) {
        if (keyring->keys[i].generation == generation) {
            derive(keyring->keys[i].key, LABEL_JOURNAL, span_of(input, sizeof(input)), key);
            rc = 0;
        }
    }
    pthread_rwlock_unlock(&keyring->lock);
    return rc;
}

int journal_key_open(struct keyring *keyring, uint32_t generation, struct bucket_key **out)
{
    struct bucket_key *key = sodium_malloc(sizeof(*key));
    int rc;

    if (key == NULL)
        return ERR_NOMEM;
    rc = derive_journal_key(keyring, generation, key->key);
    if (rc != 0) {
        sodium_free(key);
        return rc;
    }
    key->id = generation;
    memcpy(key->keyring_id, keyring->id, KEYRING_ID_SIZE);
    sodium_mprotect_readonly(key);
    *out = key;
    return 0;
}

void bucket_key_free(struct bucket_key *key)
{
    sodium_free(key);
}

int keyring_rewrap(struct keyring *keyring, uint64_t key_id, uint32_t generation, struct span wrapped,
                   uint32_t *new_generation, uint8_t new_wrapped[WRAPPED_KEY_SIZE])
{
    uint8_t *key = sodium_malloc(KEY_SIZE);
    int rc;

    if (key == NULL)
        return ERR_NOMEM;
    rc = unwrap_bucket_key(keyring, key_id, generation, wrapped, key);
    if (rc == 0)
        wrap_bucket_key(keyring, key_id, key, new_generation, new_wrapped);
    sodium_free(key);
    return rc;
}
