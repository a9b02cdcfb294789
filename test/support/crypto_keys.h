/* A keyring in a folder of its own, and a bucket key, for tests. */
#ifndef ARCA_TEST_CRYPTO_KEYS_H
#define ARCA_TEST_CRYPTO_KEYS_H

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "crypto/envelope.h"
#include "crypto/keyring.h"

struct test_keys {
    char folder[256];
    char path[300];
    uint8_t secret[32];
    struct keyring *keyring;
    struct bucket_key *bucket_key;
};

#define TEST_BUCKET_KEY_ID UINT64_C(0x0102030405060708)

static inline struct bucket_key *test_bucket_key(struct keyring *keyring, uint64_t key_id)
{
    uint8_t wrapped[WRAPPED_KEY_SIZE];
    struct bucket_key *key;
    uint32_t generation;

    assert_int_equal(bucket_key_create(keyring, key_id, &generation, wrapped), 0);
    assert_int_equal(bucket_key_open(keyring, key_id, generation, span_of(wrapped, sizeof(wrapped)), &key), 0);
    return key;
}

static inline void test_folder(struct test_keys *keys)
{
    const char *base = getenv("TMPDIR");

    snprintf(keys->folder, sizeof(keys->folder), "%s/arca-crypto-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(keys->folder));
    snprintf(keys->path, sizeof(keys->path), "%s/keyring", keys->folder);
    memset(keys->secret, 's', sizeof(keys->secret));
}

static inline void test_folder_remove(struct test_keys *keys)
{
    unlink(keys->path);
    assert_int_equal(rmdir(keys->folder), 0); /* nothing is left beside the keyring */
}

static inline void test_keys_create(struct test_keys *keys)
{
    struct span secret = span_of(keys->secret, sizeof(keys->secret));

    assert_int_equal(crypto_init(), 0);
    test_folder(keys);
    assert_int_equal(keyring_create(keys->path, KEYRING_KEY_FILE, secret), 0);
    assert_int_equal(keyring_open(keys->path, KEYRING_KEY_FILE, secret, &keys->keyring), 0);
    keys->bucket_key = test_bucket_key(keys->keyring, TEST_BUCKET_KEY_ID);
}

static inline void test_keys_free(struct test_keys *keys)
{
    bucket_key_free(keys->bucket_key);
    keyring_free(keys->keyring);
    test_folder_remove(keys);
}

#endif
