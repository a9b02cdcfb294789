#ifndef ARCA_BASE_CLOCK_H
#define ARCA_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

int64_t clock_wall_ms(void);      /* milliseconds since 1970, UTC */
int64_t clock_monotonic_ms(void); /* the scale of deadlines */
uint64_t clock_monotonic_ns(void);

/* Each writes its form and a NUL; the sizes are those of the arrays. Times are UTC, years 0..9999. */
#define CLOCK_HTTP_SIZE  30 /* "Tue, 24 Nov 2026 20:30:43 GMT" (RFC 9110, IMF-fixdate) */
#define CLOCK_ISO_SIZE   25 /* "2026-11-24T20:30:43.000Z" */
#define CLOCK_BASIC_SIZE 17 /* "20261124T203043Z" */
void clock_http(int64_t wall_ms, char out[CLOCK_HTTP_SIZE]);
void clock_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE]);
void clock_basic(int64_t wall_ms, char out[CLOCK_BASIC_SIZE]);

/* To seconds since 1970. ERR_SYNTAX. HTTP dates in the three forms of RFC 9110 5.6.7; ISO with or without fraction. */
int clock_parse_http(struct span text, int64_t *seconds);
int clock_parse_iso(struct span text, int64_t *seconds);
int clock_parse_basic(struct span text, int64_t *seconds);

#endif
