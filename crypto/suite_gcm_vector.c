/* AES-256-GCM with the vector forms of AES and carry-less multiplication (VAES, VPCLMULQDQ on AVX-512), for builds with an
 * OpenSSL that lacks them: 3.0, Debian 12's. Intel's library has them, and they run on AMD's processors as well. Segments
 * of 64 KiB on an EPYC: 0.097 ms a MiB; OpenSSL 3.0 0.232, OpenSSL 3.5 0.100. */
#include "crypto/suite.h"

#ifdef ARCA_IPSEC_MB
#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <sodium.h>

#define ASSOCIATED_SIZE 32
#define ALIGNMENT       64 /* the library needs it, its header does not say so on every platform */
#define NEEDED          (IMB_FEATURE_AVX512_SKX | IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ)

/* Only its table of functions is used, which never changes: all threads share it. NULL: this processor is too old. */
static IMB_MGR *manager;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Set for each segment (0.8 us of 7): fibers share it. */
static _Thread_local _Alignas(ALIGNMENT) struct gcm_key_data schedule;

static void start(void)
{
    IMB_MGR *made = alloc_mb_mgr(0);

    if (made == NULL)
        return;
    init_mb_mgr_auto(made, NULL);
    if ((made->features & NEEDED) == NEEDED)
        manager = made;
    else
        free_mb_mgr(made);
}

static bool available(void)
{
    pthread_once(&once, start);
    return manager != NULL;
}

static void forget(void)
{
    sodium_memzero(&schedule, sizeof(schedule));
}

static void seal(const uint8_t key[32], const uint8_t *nonce, const uint8_t *associated, uint8_t *text, size_t length,
                 uint8_t *tag)
{
    _Alignas(ALIGNMENT) struct gcm_context_data context;

    IMB_AES256_GCM_PRE(manager, key, &schedule);
    IMB_AES256_GCM_ENC(manager, &schedule, &context, text, text, length, nonce, associated, ASSOCIATED_SIZE, tag, 16);
    sodium_memzero(&context, sizeof(context));
}

static bool open(const uint8_t key[32], const uint8_t *nonce, const uint8_t *associated, uint8_t *text, size_t length,
                 uint8_t *tag)
{
    _Alignas(ALIGNMENT) struct gcm_context_data context;
    uint8_t computed[16];

    IMB_AES256_GCM_PRE(manager, key, &schedule);
    IMB_AES256_GCM_DEC(manager, &schedule, &context, text, text, length, nonce, associated, ASSOCIATED_SIZE, computed,
                       16);
    sodium_memzero(&context, sizeof(context));
    return sodium_memcmp(computed, tag, sizeof(computed)) == 0;
}

static const struct suite gcm_vector = {.name = "aes-256-gcm", .nonce_size = 12, .tag_size = 16, .available = available,
                                        .forget = forget, .seal = seal, .open = open};

const struct suite *suite_gcm_vector(void)
{
    return available() ? &gcm_vector : NULL;
}
#else
const struct suite *suite_gcm_vector(void)
{
    return NULL;
}
#endif
