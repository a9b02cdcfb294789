/* Byte ranges of RFC 9110 14, as far as S3 serves them: one range. */
#ifndef ARCA_S3_RANGE_H
#define ARCA_S3_RANGE_H

#include <stdint.h>
#include "base/span.h"

/* A Range header against an object of `size` bytes. 0: serve *length bytes from *offset (206). ERR_INVALID: not one
 * byte range; the header is ignored, as RFC 9110 14.2 says. ERR_RANGE: 416. */
int range_parse(struct span header, uint64_t size, uint64_t *offset, uint64_t *length);

/* x-amz-copy-source-range: "bytes=FIRST-LAST", both there. ERR_INVALID; ERR_RANGE: not within `size`. */
int range_parse_copy(struct span header, uint64_t size, uint64_t *offset, uint64_t *length);

#endif
