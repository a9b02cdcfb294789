/* Sizes of the names of things, bytes. */
#ifndef ARCA_INDEX_IDS_H
#define ARCA_INDEX_IDS_H

#include "crypto/envelope.h" /* BLOB_ID_SIZE */

#define LEASE_ID_SIZE  8 /* with which the blob ids begin that are made under it */
#define UPLOAD_ID_SIZE 16

#endif
