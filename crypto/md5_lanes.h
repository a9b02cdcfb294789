/* MD5 of many streams side by side, a stream a SIMD lane (AVX2, AVX-512). One stream alone is as
 * slow as any MD5; sixteen together take the time of one. */
#ifndef ARCA_CRYPTO_MD5_LANES_H
#define ARCA_CRYPTO_MD5_LANES_H

#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

#define MD5_LANES_MAX 16

/* Plain data; one stream's state. */
struct md5_state {
    uint32_t h[4];
    uint64_t length; /* bytes so far */
    uint8_t tail[64]; /* the part of a block not yet compressed */
};

void md5_init(struct md5_state *state);
/* Updates `count` (at most MD5_LANES_MAX) streams, each with its bytes; lengths may differ. Spare lanes and a single
 * stream use the scalar code that is fastest. */
void md5_update_lanes(struct md5_state *const *states, const struct span *bytes, size_t count);
void md5_final(struct md5_state *state, uint8_t out[16]);

#endif
