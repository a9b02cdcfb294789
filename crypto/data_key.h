/* What an opened data key holds. Private to this room. */
#ifndef ARCA_CRYPTO_DATA_KEY_H
#define ARCA_CRYPTO_DATA_KEY_H

#include "crypto/envelope.h"

/* Offsets in an extent's header; FORMAT.md. */
enum {
    HEADER_MAGIC = 0,
    HEADER_VERSION = 8,
    HEADER_SUITE = 9,
    HEADER_SEGMENT_LOG2 = 10,
    HEADER_RESERVED1 = 11,
    HEADER_EXTENT_NUMBER = 12,
    HEADER_BLOB_ID = 16,
    HEADER_BUCKET_KEY_ID = 32,
    HEADER_KEYRING_ID = 40,
    HEADER_WRAPPED_KEY = 56,
    HEADER_RESERVED2 = 128,
    HEADER_COMMITMENT = 160,
};
_Static_assert(HEADER_COMMITMENT + 32 == ENVELOPE_HEADER_SIZE, "the commitment ends the header");

#define EXTENT_MAGIC   "ARCAEXTN"
#define EXTENT_VERSION 1

struct data_key {
    union {
        uint8_t key[KEY_SIZE];
        struct data_key *next_free;
    };
    enum envelope_suite suite;
    uint8_t header[HEADER_COMMITMENT]; /* of its extents; the extent number is 0 */
};

#endif
