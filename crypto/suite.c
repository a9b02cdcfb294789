#include "crypto/suite.h"

#include <sodium.h>
#include <string.h>

#define ASSOCIATED_SIZE 32

_Static_assert(sizeof(crypto_aead_aes256gcm_state) <= ENVELOPE_SCHEDULE, "the schedule fits");

static bool always(void)
{
    return true;
}

/* Suites without a schedule of their own take the key as it is. */
static void expand_copy(void *schedule, const uint8_t key[32])
{
    memcpy(schedule, key, 32);
}

static bool gcm_available(void)
{
    return crypto_aead_aes256gcm_is_available() != 0;
}

static void gcm_expand(void *schedule, const uint8_t key[32])
{
    crypto_aead_aes256gcm_beforenm(schedule, key);
}

static void gcm_seal(const void *schedule, const uint8_t *nonce, const uint8_t *associated, uint8_t *text,
                     size_t length, uint8_t *tag)
{
    crypto_aead_aes256gcm_encrypt_detached_afternm(text, tag, NULL, text, length, associated, ASSOCIATED_SIZE, NULL,
                                                   nonce, schedule);
}

static bool gcm_open(const void *schedule, const uint8_t *nonce, const uint8_t *associated, uint8_t *text,
                     size_t length, const uint8_t *tag)
{
    return crypto_aead_aes256gcm_decrypt_detached_afternm(text, NULL, text, length, tag, associated, ASSOCIATED_SIZE,
                                                          nonce, schedule) == 0;
}

static void xchacha_seal(const void *schedule, const uint8_t *nonce, const uint8_t *associated, uint8_t *text,
                         size_t length, uint8_t *tag)
{
    crypto_aead_xchacha20poly1305_ietf_encrypt_detached(text, tag, NULL, text, length, associated, ASSOCIATED_SIZE,
                                                        NULL, nonce, schedule);
}

static bool xchacha_open(const void *schedule, const uint8_t *nonce, const uint8_t *associated, uint8_t *text,
                         size_t length, const uint8_t *tag)
{
    return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(text, NULL, text, length, tag, associated,
                                                               ASSOCIATED_SIZE, nonce, schedule) == 0;
}

#ifdef crypto_aead_aegis256_KEYBYTES
static void aegis_seal(const void *schedule, const uint8_t *nonce, const uint8_t *associated, uint8_t *text,
                       size_t length, uint8_t *tag)
{
    crypto_aead_aegis256_encrypt_detached(text, tag, NULL, text, length, associated, ASSOCIATED_SIZE, NULL, nonce,
                                          schedule);
}

static bool aegis_open(const void *schedule, const uint8_t *nonce, const uint8_t *associated, uint8_t *text,
                       size_t length, const uint8_t *tag)
{
    return crypto_aead_aegis256_decrypt_detached(text, NULL, text, length, tag, associated, ASSOCIATED_SIZE, nonce,
                                                 schedule) == 0;
}
#define AEGIS_FUNCTIONS .available = always, .expand = expand_copy, .seal = aegis_seal, .open = aegis_open
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
                           .expand = gcm_expand, .seal = gcm_seal, .open = gcm_open},
    [SUITE_XCHACHA20_POLY1305] = {.name = "xchacha20-poly1305", .nonce_size = 24, .tag_size = 16, .available = always,
                                  .expand = expand_copy, .seal = xchacha_seal, .open = xchacha_open},
    [SUITE_AEGIS_256] = {.name = "aegis-256", .nonce_size = 32, .tag_size = 32, AEGIS_FUNCTIONS},
};

const struct suite *suite_get(unsigned number)
{
    return number < sizeof(suites) / sizeof(suites[0]) && suites[number].name != NULL ? &suites[number] : NULL;
}

bool suite_usable(unsigned number)
{
    const struct suite *suite = suite_get(number);

    return suite != NULL && suite->available();
}
