/* Checksums of S3: x-amz-checksum-* in requests, answers and XML. */
#ifndef ARCA_S3_CHECKSUMS_H
#define ARCA_S3_CHECKSUMS_H

#include "base/text.h"
#include "crypto/digest.h"
#include "s3/request.h"

#define CHECKSUM_TEXT_SIZE (TEXT_BASE64_SIZE(DIGEST_MAX) + 8) /* base64, for composite ones "-PARTS" */

/* An x-amz-checksum-* header of the request: *kind DIGEST_NONE without one. The value is raw, in the arena; a "-PARTS"
 * behind it is cut off. S3_INVALID_REQUEST (several, or not base64 of the right size), ERR_NOMEM. */
int checksums_header(struct s3_request *r, enum digest_kind *kind, struct span *value);
/* The same for one element "ChecksumCRC32", ... of a request's XML: DIGEST_NONE when `element` is no checksum. */
enum digest_kind checksums_by_element(struct span element);
/* base64 of a checksum of that kind, with or without "-PARTS". ERR_SYNTAX. */
int checksums_parse(enum digest_kind kind, struct span text, uint8_t out[DIGEST_MAX]);

/* Adds x-amz-checksum-* and x-amz-checksum-type. `part_count` is of the whole object, for composite ones. */
void checksums_write(struct s3_request *r, Arca__Checksum *const *checksums, size_t count, uint32_t part_count);
/* <ChecksumCRC32>..., without the type. */
void checksums_xml(struct buf *out, Arca__Checksum *const *checksums, size_t count, uint32_t part_count);
const char *checksums_type(const Arca__Checksum *checksum); /* "COMPOSITE" or "FULL_OBJECT" */
/* x-amz-checksum-mode: ENABLED */
bool checksums_wanted(struct s3_request *r);
/* In the arena; NULL when out of memory. */
Arca__Checksum *checksums_record(struct arena *arena, enum digest_kind kind, struct span value);

/* The kind that a header x-amz-checksum-* carries, in any case; DIGEST_NONE for other names. */
enum digest_kind checksums_by_header(struct span header);
const char *checksums_header_name(enum digest_kind kind); /* NULL for kinds that S3 has no checksum of */

#endif
