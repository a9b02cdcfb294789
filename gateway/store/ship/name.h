/* Names of pieces, told from those of data by the top bit of the extent number, which no extent reaches. Who compares
 * what backends hold with the index leaves pieces alone. */
#ifndef ARCA_STORE_SHIP_NAME_H
#define ARCA_STORE_SHIP_NAME_H

#include <stdbool.h>
#include <stdint.h>
#include "backends/backend.h"
#include "base/byteorder.h"

#define NAME_PIECE    0x80000000U
#define NAME_SNAPSHOT 0x40000000U
#define NAME_COUNTER  0x3fffffffU /* the rest: a number that the process uses once */

static inline bool name_is_piece(const struct blob_name *name)
{
    return (name->bytes[16] & 0x80) != 0;
}

static inline uint32_t name_number(const struct blob_name *name)
{
    return be32_get(name->bytes + 16);
}

/* The first mutation in it; of a snapshot, its last. */
static inline uint64_t name_first(const struct blob_name *name)
{
    return be64_get(name->bytes + 8);
}

static inline bool name_is_snapshot(const struct blob_name *name)
{
    return name_is_piece(name) && (name_number(name) & NAME_SNAPSHOT) != 0;
}

#endif
