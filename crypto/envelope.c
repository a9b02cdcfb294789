#include "crypto/envelope.h"

#include <sodium.h>
#include <string.h>

#include "base/err.h"
#include "crypto/data_key.h"
#include "crypto/suite.h"
#include "crypto/wrap.h"

int crypto_init(void)
{
    return sodium_init() >= 0 ? 0 : ERR_UNSUPPORTED;
}

int envelope_suite_by_name(const char *name, enum envelope_suite *out)
{
    for (enum envelope_suite suite = SUITE_AES_256_GCM; suite_get(suite) != NULL; suite++) {
        if (strcmp(suite_get(suite)->name, name) == 0) {
            *out = suite;
            return suite_usable(suite) ? 0 : ERR_UNSUPPORTED;
        }
    }
    return ERR_INVALID;
}

const char *envelope_suite_name(enum envelope_suite suite)
{
    return suite_get(suite) != NULL ? suite_get(suite)->name : "unknown";
}

size_t envelope_tag_size(enum envelope_suite suite)
{
    return suite_get(suite) != NULL ? suite_get(suite)->tag_size : 0;
}

uint64_t envelope_extent_size(enum envelope_suite suite, uint64_t plain)
{
    uint64_t segments = plain / ENVELOPE_SEGMENT + (plain % ENVELOPE_SEGMENT != 0);

    return ENVELOPE_HEADER_SIZE + plain + segments * envelope_tag_size(suite);
}

uint64_t envelope_blob_extent_size(enum envelope_suite suite, uint64_t size, uint64_t extent_size,
                                   uint32_t extent_count, uint32_t extent)
{
    uint64_t before;

    if (extent >= extent_count || envelope_tag_size(suite) == 0 ||
        __builtin_mul_overflow(extent_size, (uint64_t)extent, &before) || before >= size)
        return 0;
    return envelope_extent_size(suite, extent + 1 < extent_count ? extent_size : size - before);
}

int envelope_plain_size(enum envelope_suite suite, uint64_t stored, uint64_t *plain)
{
    uint64_t tag = envelope_tag_size(suite);
    uint64_t whole = ENVELOPE_SEGMENT + tag;
    uint64_t rest;

    if (tag == 0 || stored <= ENVELOPE_HEADER_SIZE)
        return ERR_CORRUPT;
    stored -= ENVELOPE_HEADER_SIZE;
    rest = stored % whole;
    if (rest != 0 && rest <= tag)
        return ERR_CORRUPT;
    *plain = stored / whole * ENVELOPE_SEGMENT + (rest != 0 ? rest - tag : 0);
    return 0;
}

uint64_t envelope_segment_offset(enum envelope_suite suite, uint64_t n)
{
    return ENVELOPE_HEADER_SIZE + n * (ENVELOPE_SEGMENT + envelope_tag_size(suite));
}

/* Makes the extent's header and key. ERR_NOMEM. */
static int extent_begin(const struct data_key *key, uint32_t extent_number, uint8_t header[ENVELOPE_HEADER_SIZE],
                        uint8_t extent_key[KEY_SIZE])
{
    const struct suite *suite = suite_get(key->suite);
    uint8_t input[1 + BLOB_ID_SIZE + 4];
    int rc = suite->prepare != NULL ? suite->prepare() : 0;

    if (rc != 0)
        return rc;
    memcpy(header, key->header, HEADER_COMMITMENT);
    be32_put(header + HEADER_EXTENT_NUMBER, extent_number);
    derive(key->key, LABEL_COMMITMENT, span_of(header, HEADER_COMMITMENT), header + HEADER_COMMITMENT);

    input[0] = header[HEADER_SUITE];
    memcpy(input + 1, header + HEADER_BLOB_ID, BLOB_ID_SIZE);
    be32_put(input + 1 + BLOB_ID_SIZE, extent_number);
    derive(key->key, LABEL_EXTENT_KEY, span_of(input, sizeof(input)), extent_key);
    return 0;
}

static void forget(enum envelope_suite suite_number)
{
    const struct suite *suite = suite_get(suite_number);

    if (suite != NULL && suite->forget != NULL)
        suite->forget();
}

/* Zeroes, the segment's number, the final flag. An extent's key seals that extent only, and each number once, so that
 * no nonce is ever used twice under a key. */
static void segment_nonce(const struct suite *suite, uint64_t n, bool final, uint8_t nonce[SUITE_NONCE_MAX])
{
    memset(nonce, 0, SUITE_NONCE_MAX);
    be64_put(nonce + suite->nonce_size - 9, n);
    nonce[suite->nonce_size - 1] = final;
}

int extent_seal_begin(struct extent_sealer *sealer, const struct data_key *key, uint32_t extent_number,
                      uint8_t *extent)
{
    int rc = extent_begin(key, extent_number, extent, sealer->extent_key);

    if (rc != 0)
        return rc;
    memcpy(sealer->commitment, extent + HEADER_COMMITMENT, sizeof(sealer->commitment));
    sealer->suite = key->suite;
    sealer->extent = extent;
    sealer->next = 0;
    return 0;
}

void extent_seal_segment(struct extent_sealer *sealer, size_t length, bool final)
{
    const struct suite *suite = suite_get(sealer->suite);
    uint8_t *text = sealer->extent + envelope_segment_offset(sealer->suite, sealer->next);
    uint8_t nonce[SUITE_NONCE_MAX];

    segment_nonce(suite, sealer->next++, final, nonce);
    suite->seal(sealer->extent_key, nonce, sealer->commitment, text, length, text + length);
}

void extent_seal_end(struct extent_sealer *sealer)
{
    forget(sealer->suite);
    sodium_memzero(sealer, sizeof(*sealer));
}

int extent_open_begin(struct extent_opener *opener, const struct data_key *key, uint32_t extent_number,
                      uint64_t extent_stored_size)
{
    int rc = envelope_plain_size(key->suite, extent_stored_size, &opener->plain_size);

    if (rc != 0)
        return rc;
    opener->segments = opener->plain_size / ENVELOPE_SEGMENT + (opener->plain_size % ENVELOPE_SEGMENT != 0);
    opener->suite = key->suite;
    return extent_begin(key, extent_number, opener->header, opener->extent_key);
}

int extent_check_header(const struct extent_opener *opener, struct span header)
{
    return header.len == ENVELOPE_HEADER_SIZE && sodium_memcmp(header.ptr, opener->header, ENVELOPE_HEADER_SIZE) == 0
               ? 0
               : ERR_CORRUPT;
}

int extent_open_segment(struct extent_opener *opener, uint64_t n, uint8_t *segment, size_t length)
{
    const struct suite *suite = suite_get(opener->suite);
    bool final = n + 1 == opener->segments;
    uint64_t text = final ? opener->plain_size - n * ENVELOPE_SEGMENT : ENVELOPE_SEGMENT;
    uint8_t nonce[SUITE_NONCE_MAX];

    segment_nonce(suite, n, final, nonce);
    if (n >= opener->segments || length != text + suite->tag_size ||
        !suite->open(opener->extent_key, nonce, opener->header + HEADER_COMMITMENT, segment, text, segment + text)) {
        sodium_memzero(segment, length);
        return ERR_CORRUPT;
    }
    return 0;
}

int extent_verify(struct extent_opener *opener, struct span stored, uint64_t first, uint64_t count, uint8_t *scratch)
{
    int rc = 0;
    for (uint64_t i = first; rc == 0 && i < opener->segments && i - first < count; i++) {
        uint64_t start = envelope_segment_offset(opener->suite, i);
        uint64_t end = i + 1 < opener->segments ? envelope_segment_offset(opener->suite, i + 1) : stored.len;
        if (start >= end || end > stored.len || end - start > EXTENT_SCRATCH)
            rc = ERR_CORRUPT;
        else
            memcpy(scratch, stored.ptr + start, end - start);
        if (rc == 0)
            rc = extent_open_segment(opener, i, scratch, (size_t)(end - start));
    }
    sodium_memzero(scratch, EXTENT_SCRATCH);
    return rc;
}

void extent_open_end(struct extent_opener *opener)
{
    forget(opener->suite);
    sodium_memzero(opener, sizeof(*opener));
}

int envelope_parse_header(struct span bytes, struct envelope_header *out)
{
    const uint8_t *p = bytes.ptr;

    if (bytes.len < ENVELOPE_HEADER_SIZE || memcmp(p + HEADER_MAGIC, EXTENT_MAGIC, 8) != 0)
        return ERR_CORRUPT;
    if (p[HEADER_VERSION] != EXTENT_VERSION)
        return ERR_FORMAT;
    if (p[HEADER_SEGMENT_LOG2] != __builtin_ctz(ENVELOPE_SEGMENT) || p[HEADER_RESERVED1] != 0 ||
        !sodium_is_zero(p + HEADER_RESERVED2, HEADER_COMMITMENT - HEADER_RESERVED2))
        return ERR_CORRUPT;
    if (suite_get(p[HEADER_SUITE]) == NULL)
        return ERR_UNSUPPORTED;
    out->suite = (enum envelope_suite)p[HEADER_SUITE];
    out->extent_number = be32_get(p + HEADER_EXTENT_NUMBER);
    memcpy(out->blob_id, p + HEADER_BLOB_ID, BLOB_ID_SIZE);
    out->bucket_key_id = be64_get(p + HEADER_BUCKET_KEY_ID);
    memcpy(out->keyring_id, p + HEADER_KEYRING_ID, KEYRING_ID_SIZE);
    memcpy(out->wrapped_key, p + HEADER_WRAPPED_KEY, WRAPPED_KEY_SIZE);
    memcpy(out->commitment, p + HEADER_COMMITMENT, sizeof(out->commitment));
    return 0;
}
