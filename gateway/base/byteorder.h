/* Numbers in bytes, at any address: big-endian ones (be) and little-endian ones (le). */
#ifndef ARCA_BASE_BYTEORDER_H
#define ARCA_BASE_BYTEORDER_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BYTEORDER(order, bits)                                                                                        \
    static inline void order##bits##_put(uint8_t *out, uint##bits##_t value)                                          \
    {                                                                                                                 \
        value = hto##order##bits(value);                                                                              \
        memcpy(out, &value, sizeof(value));                                                                           \
    }                                                                                                                 \
    static inline uint##bits##_t order##bits##_get(const uint8_t *in)                                                 \
    {                                                                                                                 \
        uint##bits##_t value;                                                                                         \
        memcpy(&value, in, sizeof(value));                                                                            \
        return order##bits##toh(value);                                                                               \
    }
BYTEORDER(be, 32) /* be32_put, be32_get; and so on */
BYTEORDER(be, 64)
BYTEORDER(le, 32)
BYTEORDER(le, 64)
#undef BYTEORDER

#endif
