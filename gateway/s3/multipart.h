/* What the operations on a multipart upload share. */
#ifndef ARCA_S3_MULTIPART_H
#define ARCA_S3_MULTIPART_H

#include "s3/request.h"

/* On the wire an upload id is the hex of its bytes. ERR_NO_SUCH_UPLOAD for anything else. `out` is in the arena. */
int upload_id_parse(struct span text, struct arena *arena, struct span *out);
struct span upload_id_text(ProtobufCBinaryData id, char out[2 * UPLOAD_ID_SIZE + 1]);

/* The upload that uploadId names and that is not completed. ERR_NO_SUCH_UPLOAD. */
int upload_find(struct s3_request *r, struct span *id, Arca__Upload **out) SUSPENDS;
/* partNumber, 1..10,000. */
int upload_part_number(struct s3_request *r, uint32_t *out);

/* <ChecksumAlgorithm> and <ChecksumType>, if the upload has one. */
void upload_checksum_xml(struct buf *xml, const Arca__Upload *upload);

#endif
