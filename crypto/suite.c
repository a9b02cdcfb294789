/* AES-256-GCM is OpenSSL's: measured on an EPYC with AVX-512, segments of 64 KiB, OpenSSL 3.5 seals 10.5 GB/s with VAES,
 * 3.0 without it 4.5 (suite_gcm_vector.c then helps), libsodium 1.0.22 1.7; setting the key anew for each segment costs
 * 0.2 us of 15. */
#include "crypto/suite.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define ASSOCIATED_SIZE 32

static bool always(void)
{
    return true;
}

/* One context a thread; it is keyed for each segment, so that fibers may share it. */
static _Thread_local EVP_CIPHER_CTX *gcm_context;
static pthread_key_t gcm_cleaner;
static EVP_CIPHER *gcm_cipher;
static pthread_once_t gcm_once = PTHREAD_ONCE_INIT;

static void gcm_clean(void *context)
{
    EVP_CIPHER_CTX_free(context);
}

static void gcm_start(void)
{
    if (pthread_key_create(&gcm_cleaner, gcm_clean) == 0)
        gcm_cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
}

static bool gcm_available(void)
{
    pthread_once(&gcm_once, gcm_start);
    return gcm_cipher != NULL;
}

static int gcm_prepare(void)
{
    EVP_CIPHER_CTX *context;

    if (gcm_context != NULL)
        return 0;
    if (!gcm_available())
        return ERR_UNSUPPORTED;
    context = EVP_CIPHER_CTX_new();
    if (context == NULL)
        return ERR_NOMEM;
    if (EVP_EncryptInit_ex2(context, gcm_cipher, NULL, NULL, NULL) != 1 ||
        pthread_setspecific(gcm_cleaner, context) != 0) {
        EVP_CIPHER_CTX_free(context);
        return ERR_NOMEM;
    }
    gcm_context = context;
    return 0;
}

static void gcm_forget(void)
{
    static const uint8_t zeroes[32];

    if (gcm_context != NULL)
        EVP_EncryptInit_ex2(gcm_context, NULL, zeroes, zeroes, NULL);
}

static void gcm_seal(const uint8_t key[32], const uint8_t *nonce, const uint8_t *associated, uint8_t *text,
                     size_t length, uint8_t *tag)
{
    int n;

    /* Nothing here allocates or can fail in a prepared context; if it does all the same, what stands in memory is not
     * sealed and must not leave it. */
    if (EVP_EncryptInit_ex2(gcm_context, NULL, key, nonce, NULL) != 1 ||
        EVP_EncryptUpdate(gcm_context, NULL, &n, associated, ASSOCIATED_SIZE) != 1 ||
        EVP_EncryptUpdate(gcm_context, text, &n, text, (int)length) != 1 ||
        EVP_EncryptFinal_ex(gcm_context, tag, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(gcm_context, EVP_CTRL_AEAD_GET_TAG, 16, tag) != 1)
        abort();
}

static bool gcm_open(const uint8_t key[32], const uint8_t *nonce, const uint8_t *associated, uint8_t *text,
                     size_t length, uint8_t *tag)
{
    uint8_t none[16];
    int n;

    return EVP_DecryptInit_ex2(gcm_context, NULL, key, nonce, NULL) == 1 &&
           EVP_DecryptUpdate(gcm_context, NULL, &n, associated, ASSOCIATED_SIZE) == 1 &&
           EVP_DecryptUpdate(gcm_context, text, &n, text, (int)length) == 1 &&
           EVP_CIPHER_CTX_ctrl(gcm_context, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1 &&
           EVP_DecryptFinal_ex(gcm_context, none, &n) == 1;
}

static void xchacha_seal(const uint8_t key[32], const uint8_t *nonce, const uint8_t *associated, uint8_t *text,
                         size_t length, uint8_t *tag)
{
    crypto_aead_xchacha20poly1305_ietf_encrypt_detached(text, tag, NULL, text, length, associated, ASSOCIATED_SIZE,
                                                        NULL, nonce, key);
}

static bool xchacha_open(const uint8_t key[32], const uint8_t *nonce, const uint8_t *associated, uint8_t *text,
                         size_t length, uint8_t *tag)
{
    return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(text, NULL, text, length, tag, associated,
                                                               ASSOCIATED_SIZE, nonce, key) == 0;
}

#ifdef crypto_aead_aegis256_KEYBYTES
static void aegis_seal(const uint8_t key[32], const uint8_t *nonce, const uint8_t *associated, uint8_t *text,
                       size_t length, uint8_t *tag)
{
    crypto_aead_aegis256_encrypt_detached(text, tag, NULL, text, length, associated, ASSOCIATED_SIZE, NULL, nonce,
                                          key);
}

static bool aegis_open(const uint8_t key[32], const uint8_t *nonce, const uint8_t *associated, uint8_t *text,
                       size_t length, uint8_t *tag)
{
    return crypto_aead_aegis256_decrypt_detached(text, NULL, text, length, tag, associated, ASSOCIATED_SIZE, nonce,
                                                 key) == 0;
}
#define AEGIS_FUNCTIONS .available = always, .seal = aegis_seal, .open = aegis_open
#else
/* libsodium before 1.0.19 */
static bool never(void)
{
    return false;
}
#define AEGIS_FUNCTIONS .available = never
#endif

static const struct suite suites[] = {
    [SUITE_AES_256_GCM] = {.name = "aes-256-gcm", .nonce_size = 12, .tag_size = 16, .available = gcm_available,
                           .prepare = gcm_prepare, .forget = gcm_forget, .seal = gcm_seal, .open = gcm_open},
    [SUITE_XCHACHA20_POLY1305] = {.name = "xchacha20-poly1305", .nonce_size = 24, .tag_size = 16, .available = always,
                                  .seal = xchacha_seal, .open = xchacha_open},
    [SUITE_AEGIS_256] = {.name = "aegis-256", .nonce_size = 32, .tag_size = 32, AEGIS_FUNCTIONS},
};

const struct suite *suite_get(unsigned number)
{
    const struct suite *vector = number == SUITE_AES_256_GCM ? suite_gcm_vector() : NULL;

    if (vector != NULL)
        return vector;
    return number < sizeof(suites) / sizeof(suites[0]) && suites[number].name != NULL ? &suites[number] : NULL;
}

bool suite_usable(unsigned number)
{
    const struct suite *suite = suite_get(number);

    return suite != NULL && suite->available();
}
