/* Data keys and the pool of locked memory that they live in. */
#include "crypto/data_key.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

#include "base/err.h"
#include "crypto/suite.h"
#include "crypto/wrap.h"

/* A slab is one sodium_malloc: locked, left out of core dumps, between guard pages. Slabs are never given back: their
 * number follows the most requests that were ever in flight at once. */
#define SLAB_KEYS 64

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct data_key *pool_free;

static struct data_key *pool_grow(void)
{
    struct data_key *slab = sodium_allocarray(SLAB_KEYS, sizeof(*slab));

    if (slab == NULL)
        return NULL;
    for (size_t i = 0; i < SLAB_KEYS; i++) {
        slab[i].next_free = pool_free;
        pool_free = &slab[i];
    }
    return pool_free;
}

static struct data_key *pool_take(void)
{
    struct data_key *key;

    pthread_mutex_lock(&pool_lock);
    key = pool_free != NULL ? pool_free : pool_grow();
    if (key != NULL)
        pool_free = key->next_free;
    pthread_mutex_unlock(&pool_lock);
    return key;
}

void data_key_free(struct data_key *key)
{
    if (key == NULL)
        return;
    sodium_memzero(key, sizeof(*key));
    pthread_mutex_lock(&pool_lock);
    key->next_free = pool_free;
    pool_free = key;
    pthread_mutex_unlock(&pool_lock);
}

/* All but key and wrapped key. */
static void fill_header(struct data_key *key, const struct bucket_key *bucket_key, enum envelope_suite suite,
                        const uint8_t blob_id[BLOB_ID_SIZE])
{
    uint8_t *header = key->header;

    key->suite = suite;
    memset(header, 0, sizeof(key->header));
    memcpy(header + HEADER_MAGIC, EXTENT_MAGIC, 8);
    header[HEADER_VERSION] = EXTENT_VERSION;
    header[HEADER_SUITE] = (uint8_t)suite;
    header[HEADER_SEGMENT_LOG2] = (uint8_t)__builtin_ctz(ENVELOPE_SEGMENT);
    memcpy(header + HEADER_BLOB_ID, blob_id, BLOB_ID_SIZE);
    be64_put(header + HEADER_BUCKET_KEY_ID, bucket_key->id);
    memcpy(header + HEADER_KEYRING_ID, bucket_key->keyring_id, KEYRING_ID_SIZE);
}

#define ASSOCIATED_SIZE (LABEL_SIZE + 1 + BLOB_ID_SIZE + 8)

static struct span associated_data(const struct data_key *key, uint8_t out[ASSOCIATED_SIZE])
{
    memcpy(out, LABEL_DATA_KEY, LABEL_SIZE);
    out[LABEL_SIZE] = key->header[HEADER_SUITE];
    memcpy(out + LABEL_SIZE + 1, key->header + HEADER_BLOB_ID, BLOB_ID_SIZE);
    memcpy(out + LABEL_SIZE + 1 + BLOB_ID_SIZE, key->header + HEADER_BUCKET_KEY_ID, 8);
    return span_of(out, ASSOCIATED_SIZE);
}

int data_key_create(const struct bucket_key *bucket_key, enum envelope_suite suite, const uint8_t blob_id[BLOB_ID_SIZE],
                    uint8_t wrapped[WRAPPED_KEY_SIZE], struct data_key **out)
{
    uint8_t associated[ASSOCIATED_SIZE];
    uint8_t random[KEY_SIZE + WRAP_NONCE_SIZE];
    struct data_key *key;

    if (!suite_usable(suite))
        return ERR_UNSUPPORTED;
    key = pool_take();
    if (key == NULL)
        return ERR_NOMEM;
    /* One system call for both. Straight from the kernel, without a buffer of random bytes in between: two virtual
     * machines restored from one snapshot would find the same bytes there. */
    randombytes_buf(random, sizeof(random));
    memcpy(key->key, random, KEY_SIZE);
    fill_header(key, bucket_key, suite, blob_id);
    wrap_key(bucket_key->key, associated_data(key, associated), random + KEY_SIZE, key->key,
             key->header + HEADER_WRAPPED_KEY);
    sodium_memzero(random, sizeof(random));
    memcpy(wrapped, key->header + HEADER_WRAPPED_KEY, WRAPPED_KEY_SIZE);
    *out = key;
    return 0;
}

int data_key_open(const struct bucket_key *bucket_key, enum envelope_suite suite, const uint8_t blob_id[BLOB_ID_SIZE],
                  struct span wrapped, struct data_key **out)
{
    uint8_t associated[ASSOCIATED_SIZE];
    struct data_key *key;
    int rc;

    if (!suite_usable(suite))
        return ERR_UNSUPPORTED;
    key = pool_take();
    if (key == NULL)
        return ERR_NOMEM;
    fill_header(key, bucket_key, suite, blob_id);
    rc = unwrap_key(bucket_key->key, associated_data(key, associated), wrapped, key->key);
    if (rc != 0) {
        data_key_free(key);
        return rc;
    }
    memcpy(key->header + HEADER_WRAPPED_KEY, wrapped.ptr, WRAPPED_KEY_SIZE);
    *out = key;
    return 0;
}
