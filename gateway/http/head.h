/* Where a head ends: the part of parsing that works on bytes as they arrive. Private to http/. */
#ifndef ARCA_HTTP_HEAD_H
#define ARCA_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include "http/header.h"

#define HEAD_LINE_MAX    8192  /* bytes without CRLF */
#define HEAD_MAX         65536 /* bytes in all */
#define HEAD_HEADERS_MAX 200

/* Zero-initialise; the offsets count from the head's first byte. */
struct head_scan {
    size_t line;  /* where the line begins that is not yet complete */
    size_t seen;  /* bytes looked at */
    size_t lines; /* complete ones, the request line included */
    size_t end;   /* bytes of the head through its empty line; 0 until that has arrived */
};

/* Goes on in `arrived`, which begins with the head's first byte and has grown since the last call. Refuses what no
 * later byte can mend: a bare CR or LF, a control byte, a line, a head or a number of headers beyond the limits.
 * ERR_SYNTAX or ERR_TOO_LARGE, with the HTTP status in *status. */
int head_scan(struct head_scan *scan, struct span arrived, int *status);

/* Splits a scanned head's header section into `headers`, which has room for one a line. Whether it is well-formed and
 * each line became one; *count is how many were seen before the first fault. */
bool head_fields(struct span head, size_t method_length, struct http_header *headers, size_t capacity, size_t *count);

#endif
