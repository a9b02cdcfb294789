/* OpenSSL's low-level SHA calls are marked deprecated in favour of EVP, but they are plain structs: no fetch, no
 * allocation and no provider dispatch for each of the many short hashes that a request takes. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/digest.h"

#include <isa-l/crc.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/err.h"
#include "crypto/crc64.h"
#include "crypto/md5_lanes.h"
#include "crypto/wrap.h"

struct digest {
    enum digest_kind kind;
    union {
        struct md5_state md5;
        SHA_CTX sha1;
        SHA256_CTX sha256;
        uint64_t crc;
    };
};

static const struct {
    const char *name;
    size_t size;
    uint64_t polynomial; /* of CRCs: reflected */
} kinds[DIGEST_KINDS] = {
    [DIGEST_NONE] = {"NONE", 0, 0},
    [DIGEST_MD5] = {"MD5", 16, 0},
    [DIGEST_SHA1] = {"SHA1", 20, 0},
    [DIGEST_SHA256] = {"SHA256", 32, 0},
    [DIGEST_CRC32] = {"CRC32", 4, 0xedb88320},
    [DIGEST_CRC32C] = {"CRC32C", 4, 0x82f63b78},
    [DIGEST_CRC64NVME] = {"CRC64NVME", 8, CRC64NVME_POLYNOMIAL},
};

size_t digest_size(enum digest_kind kind)
{
    return (unsigned)kind < DIGEST_KINDS ? kinds[kind].size : 0;
}

const char *digest_name(enum digest_kind kind)
{
    return (unsigned)kind < DIGEST_KINDS ? kinds[kind].name : "NONE";
}

enum digest_kind digest_by_name(struct span name)
{
    for (unsigned kind = DIGEST_NONE + 1; kind < DIGEST_KINDS; kind++) {
        if (span_ieq(name, span_str(kinds[kind].name)))
            return (enum digest_kind)kind;
    }
    return DIGEST_NONE;
}

uint32_t digest_crc32c(uint32_t crc, const void *bytes, size_t len)
{
    uint8_t *p = (uint8_t *)bytes; /* ISA-L only reads, whatever its prototype says */
    const size_t most = 1u << 30;  /* and takes an int */

    crc = ~crc;
    for (; len > most; p += most, len -= most)
        crc = crc32_iscsi(p, (int)most, crc);
    return ~crc32_iscsi(p, (int)len, crc);
}

static void init(struct digest *digest, enum digest_kind kind)
{
    digest->kind = kind;
    if (kind == DIGEST_MD5)
        md5_init(&digest->md5);
    else if (kind == DIGEST_SHA1)
        SHA1_Init(&digest->sha1);
    else if (kind == DIGEST_SHA256)
        SHA256_Init(&digest->sha256);
    else
        digest->crc = 0;
}

int digest_create(enum digest_kind kind, struct digest **out)
{
    struct digest *digest = malloc(sizeof(*digest));

    if (digest == NULL)
        return ERR_NOMEM;
    init(digest, kind);
    *out = digest;
    return 0;
}

void digest_free(struct digest *digest)
{
    free(digest);
}

void digest_update(struct digest *digest, struct span bytes)
{
    struct md5_state *md5 = &digest->md5;

    if (bytes.len == 0)
        return;
    switch (digest->kind) {
    case DIGEST_MD5:
        md5_update_lanes(&md5, &bytes, 1);
        break;
    case DIGEST_SHA1:
        SHA1_Update(&digest->sha1, bytes.ptr, bytes.len);
        break;
    case DIGEST_SHA256:
        SHA256_Update(&digest->sha256, bytes.ptr, bytes.len);
        break;
    case DIGEST_CRC32:
        digest->crc = crc32_gzip_refl((uint32_t)digest->crc, bytes.ptr, bytes.len);
        break;
    case DIGEST_CRC32C:
        digest->crc = digest_crc32c((uint32_t)digest->crc, bytes.ptr, bytes.len);
        break;
    case DIGEST_CRC64NVME:
        digest->crc = crc64nvme(digest->crc, bytes.ptr, bytes.len);
        break;
    case DIGEST_NONE:
    case DIGEST_KINDS:
        break;
    }
}

void digest_final(struct digest *digest, uint8_t out[DIGEST_MAX])
{
    memset(out, 0, DIGEST_MAX);
    switch (digest->kind) {
    case DIGEST_MD5:
        md5_final(&digest->md5, out);
        break;
    case DIGEST_SHA1:
        SHA1_Final(out, &digest->sha1);
        break;
    case DIGEST_SHA256:
        SHA256_Final(out, &digest->sha256);
        break;
    case DIGEST_CRC32:
    case DIGEST_CRC32C:
        be32_put(out, (uint32_t)digest->crc);
        break;
    case DIGEST_CRC64NVME:
        be64_put(out, digest->crc);
        break;
    case DIGEST_NONE:
    case DIGEST_KINDS:
        break;
    }
}

void digest_once(enum digest_kind kind, struct span bytes, uint8_t out[DIGEST_MAX])
{
    struct digest digest;

    init(&digest, kind);
    digest_update(&digest, bytes);
    digest_final(&digest, out);
    OPENSSL_cleanse(&digest, sizeof(digest));
}

int digest_crc_combine(enum digest_kind kind, uint8_t *crc, const uint8_t *second, uint64_t second_len)
{
    unsigned width = (unsigned)digest_size(kind) * 8;
    uint64_t polynomial, shift, first;

    if ((unsigned)kind >= DIGEST_KINDS || kinds[kind].polynomial == 0)
        return ERR_INVALID;
    polynomial = kinds[kind].polynomial;
    /* x^(8 n) as (x^n)^8: the exponent cannot overflow. */
    shift = crc_power_of_x(width, polynomial, second_len);
    for (int i = 0; i < 3; i++)
        shift = crc_multiply(width, polynomial, shift, shift);
    first = width == 32 ? be32_get(crc) : be64_get(crc);
    first = crc_multiply(width, polynomial, shift, first);
    if (width == 32)
        be32_put(crc, (uint32_t)first ^ be32_get(second));
    else
        be64_put(crc, first ^ be64_get(second));
    return 0;
}
