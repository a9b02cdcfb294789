/* The envelope: how an extent's plaintext becomes what backends store. Bytes: FORMAT.md.
 *
 * extent = header (ENVELOPE_HEADER_SIZE bytes) || segment || segment || ...
 * segment = ciphertext (ENVELOPE_SEGMENT bytes of plaintext, the last one 1..that) || tag (suite's tag size)
 *
 * The header is self-contained and authenticated by every segment: magic, version, suite, blob id, extent number,
 * bucket key id, keyring id, wrapped data key, key commitment. An extent key is derived from the data key, the blob id
 * and the extent number. The nonce of a segment is its number; the last segment's carries the final flag. */
#ifndef ARCA_CRYPTO_ENVELOPE_H
#define ARCA_CRYPTO_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/span.h"
#include "crypto/keyring.h"

#define ENVELOPE_SEGMENT     65536 /* bytes of plaintext */
#define ENVELOPE_HEADER_SIZE 192
#define ENVELOPE_TAG_MAX     32
#define BLOB_ID_SIZE         16

enum envelope_suite { SUITE_AES_256_GCM = 1, SUITE_XCHACHA20_POLY1305 = 2, SUITE_AEGIS_256 = 3 };

/* "aes-256-gcm", "xchacha20-poly1305", "aegis-256". ERR_INVALID; ERR_UNSUPPORTED when the libraries here lack it. */
int envelope_suite_by_name(const char *name, enum envelope_suite *out);
const char *envelope_suite_name(enum envelope_suite suite);
size_t envelope_tag_size(enum envelope_suite suite);

/* Must be called once before all else of this room (libsodium and its CPU features). ERR_UNSUPPORTED. */
int crypto_init(void);

/* A data key: one blob's, opened. It lives in a pool of locked memory that core dumps leave out, so that making one
 * costs no system call for its memory; wiped by free. Immutable in between; freed by any thread. */
struct data_key;
/* A fresh random one for a new blob, and its wrapped form for index and headers. ERR_NOMEM. */
int data_key_create(const struct bucket_key *bucket_key, enum envelope_suite suite, const uint8_t blob_id[BLOB_ID_SIZE],
                    uint8_t wrapped[WRAPPED_KEY_SIZE], struct data_key **out);
/* ERR_WRONG_KEY (tampered, another blob's, or of another bucket key), ERR_INVALID (length), ERR_NOMEM. */
int data_key_open(const struct bucket_key *bucket_key, enum envelope_suite suite, const uint8_t blob_id[BLOB_ID_SIZE],
                  struct span wrapped, struct data_key **out);
void data_key_free(struct data_key *key);

/* Bytes that an extent of `plain` bytes takes, header and tags included. plain is 1 or more. */
uint64_t envelope_extent_size(enum envelope_suite suite, uint64_t plain);
/* The same of an extent of a blob: of `extent_count`, each of `extent_size` bytes of plaintext but the last, `size` in all.
 * 0: the numbers contradict each other, the suite is unknown, or there is no such extent. */
uint64_t envelope_blob_extent_size(enum envelope_suite suite, uint64_t size, uint64_t extent_size,
                                   uint32_t extent_count, uint32_t extent);
/* The other way; ERR_CORRUPT for a size that no plaintext gives. */
int envelope_plain_size(enum envelope_suite suite, uint64_t stored, uint64_t *plain);
/* Where segment number n begins in the stored extent, and where its plaintext may be put before sealing. */
uint64_t envelope_segment_offset(enum envelope_suite suite, uint64_t n);

/* Seals an extent segment by segment, in place: plaintext of segment n stands at envelope_segment_offset(n) and becomes
 * ciphertext there, its tag behind it. */
struct extent_sealer; /* plain data in the caller's memory: */
struct extent_sealer {
    enum envelope_suite suite;
    uint8_t extent_key[32];
    uint8_t commitment[32]; /* of the header: associated data of each segment */
    uint8_t *extent;
    uint64_t next; /* segment number */
};
/* Writes the header to `extent`. The data key may be freed as soon as this has returned. ERR_NOMEM. A sealer is used on
 * one thread only, and an extent number of a data key is sealed only once, whatever becomes of the bytes: another
 * attempt takes another blob. */
int extent_seal_begin(struct extent_sealer *sealer, const struct data_key *key, uint32_t extent_number,
                      uint8_t *extent) __attribute__((warn_unused_result));
/* `length` bytes of plaintext, ENVELOPE_SEGMENT unless `final`. Does not fail. */
void extent_seal_segment(struct extent_sealer *sealer, size_t length, bool final);
void extent_seal_end(struct extent_sealer *sealer); /* wipes */

/* Opening. `extent_stored_size` is the stored size of the whole extent as the index knows it: it tells which segment is
 * the final one. The header is recomputed from the key, not read: what a backend returns as header is checked
 * separately when it was read (extent_check_header). The data key may be freed as soon as extent_open_begin has
 * returned. */
struct extent_opener {
    enum envelope_suite suite;
    uint8_t extent_key[32];
    uint8_t header[ENVELOPE_HEADER_SIZE]; /* as it must be; ends with the commitment */
    uint64_t segments;
    uint64_t plain_size;
};
int extent_open_begin(struct extent_opener *opener, const struct data_key *key, uint32_t extent_number,
                      uint64_t extent_stored_size)
    __attribute__((warn_unused_result)); /* ERR_CORRUPT (no such size), ERR_NOMEM; used on one thread only */
/* Whether the extent's header as a backend returned it (ENVELOPE_HEADER_SIZE bytes) is the one it was written with.
 * ERR_CORRUPT. */
int extent_check_header(const struct extent_opener *opener, struct span header);
/* Verifies and decrypts segment n in place: `length` is ciphertext and tag. The plaintext is then at the same place,
 * length less the tag. On ERR_CORRUPT the `length` bytes are zeroes. */
int extent_open_segment(struct extent_opener *opener, uint64_t n, uint8_t *segment, size_t length);
/* Whether `count` segments from number `first` on verify; `stored` is the whole extent, of the size that extent_open_begin was
 * given, and stays as it is. The header is not looked at. Several calls make one extent, so that others run in between.
 * ERR_CORRUPT */
#define EXTENT_SCRATCH (ENVELOPE_SEGMENT + ENVELOPE_TAG_MAX) /* bytes of the caller's to work in; wiped */
int extent_verify(struct extent_opener *opener, struct span stored, uint64_t first, uint64_t count, uint8_t *scratch);
void extent_open_end(struct extent_opener *opener);

/* A header as read from a backend, for tools (check, scrub, rebuild): needs no key. */
struct envelope_header {
    enum envelope_suite suite;
    uint8_t blob_id[BLOB_ID_SIZE];
    uint32_t extent_number;
    uint64_t bucket_key_id;
    uint8_t keyring_id[KEYRING_ID_SIZE];
    uint8_t wrapped_key[WRAPPED_KEY_SIZE];
    uint8_t commitment[32];
};
/* ERR_CORRUPT (length, magic, reserved bytes), ERR_FORMAT (a newer version), ERR_UNSUPPORTED (suite). Pure; a fuzz
 * target. */
int envelope_parse_header(struct span bytes, struct envelope_header *out);

#endif
