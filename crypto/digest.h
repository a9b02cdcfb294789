/* Digests and checksums of bodies. */
#ifndef ARCA_CRYPTO_DIGEST_H
#define ARCA_CRYPTO_DIGEST_H

#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

enum digest_kind {
    DIGEST_NONE,
    DIGEST_MD5,
    DIGEST_SHA1,
    DIGEST_SHA256,
    DIGEST_CRC32,     /* ISO-HDLC, as zlib; 4 bytes big-endian */
    DIGEST_CRC32C,    /* Castagnoli; 4 bytes big-endian */
    DIGEST_CRC64NVME, /* 8 bytes big-endian */
    DIGEST_KINDS
};

#define DIGEST_MAX 32

size_t digest_size(enum digest_kind kind); /* bytes */
/* S3's names: "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"; "MD5". Case is ignored. DIGEST_NONE if unknown. */
enum digest_kind digest_by_name(struct span name);
const char *digest_name(enum digest_kind kind);

struct digest;
int digest_create(enum digest_kind kind, struct digest **out); /* ERR_NOMEM */
void digest_update(struct digest *digest, struct span bytes);
void digest_final(struct digest *digest, uint8_t out[DIGEST_MAX]);
void digest_free(struct digest *digest);

void digest_once(enum digest_kind kind, struct span bytes, uint8_t out[DIGEST_MAX]);

/* The CRC of two strings concatenated, from the CRCs (big-endian, as digest_final gives them) and the second one's
 * length: what FULL_OBJECT checksums of multipart uploads are made of. ERR_INVALID for kinds other than CRCs. */
int digest_crc_combine(enum digest_kind kind, uint8_t *crc, const uint8_t *second, uint64_t second_len);

/* CRC-32C of bytes, continuing from `crc` (0 at first): for records of journals and segments. */
uint32_t digest_crc32c(uint32_t crc, const void *bytes, size_t len);

#endif
