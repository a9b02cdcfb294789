#include "crypto/wrap.h"

#include <sodium.h>

#include "base/err.h"

_Static_assert(WRAPPED_KEY_SIZE == WRAP_NONCE_SIZE + KEY_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES &&
                   WRAP_NONCE_SIZE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES &&
                   KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
               "XChaCha20-Poly1305");

void wrap_key(const uint8_t wrapping[KEY_SIZE], struct span associated, const uint8_t nonce[WRAP_NONCE_SIZE],
              const uint8_t key[KEY_SIZE], uint8_t wrapped[WRAPPED_KEY_SIZE])
{
    memcpy(wrapped, nonce, WRAP_NONCE_SIZE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(wrapped + WRAP_NONCE_SIZE, NULL, key, KEY_SIZE, associated.ptr,
                                               associated.len, NULL, nonce, wrapping);
}

int unwrap_key(const uint8_t wrapping[KEY_SIZE], struct span associated, struct span wrapped, uint8_t key[KEY_SIZE])
{
    int rc = ERR_INVALID;

    if (wrapped.len == WRAPPED_KEY_SIZE) {
        rc = crypto_aead_xchacha20poly1305_ietf_decrypt(key, NULL, NULL, wrapped.ptr + WRAP_NONCE_SIZE,
                                                        WRAPPED_KEY_SIZE - WRAP_NONCE_SIZE, associated.ptr,
                                                        associated.len, wrapped.ptr, wrapping) == 0
                 ? 0
                 : ERR_WRONG_KEY;
    }
    if (rc != 0)
        sodium_memzero(key, KEY_SIZE);
    return rc;
}

void derive(const uint8_t key[KEY_SIZE], const char label[LABEL_SIZE], struct span input, uint8_t out[32])
{
    crypto_generichash_blake2b_state state;

    crypto_generichash_blake2b_init(&state, key, KEY_SIZE, 32);
    crypto_generichash_blake2b_update(&state, (const uint8_t *)label, LABEL_SIZE);
    crypto_generichash_blake2b_update(&state, input.ptr, input.len);
    crypto_generichash_blake2b_final(&state, out, 32);
    sodium_memzero(&state, sizeof(state));
}
