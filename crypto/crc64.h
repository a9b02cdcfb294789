/* CRC-64/NVME, and the arithmetic of reflected CRCs that combining needs. Private to this room. (ISA-L has this CRC
 * from 2.31 on; Debian 12 has 2.30.) */
#ifndef ARCA_CRYPTO_CRC64_H
#define ARCA_CRYPTO_CRC64_H

#include <stddef.h>
#include <stdint.h>

#define CRC64NVME_POLYNOMIAL UINT64_C(0x9a6c9329ac4bc9b5) /* reflected */

/* Continues from `crc`, 0 at first. */
uint64_t crc64nvme(uint64_t crc, const void *bytes, size_t len);

/* Polynomials over GF(2) modulo a reflected one of `width` bits (32 or 64): x^0 is the topmost bit. */
uint64_t crc_multiply(unsigned width, uint64_t polynomial, uint64_t a, uint64_t b);
/* x to the power of n. */
uint64_t crc_power_of_x(unsigned width, uint64_t polynomial, uint64_t n);

#endif
