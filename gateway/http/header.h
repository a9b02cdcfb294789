#ifndef ARCA_HTTP_HEADER_H
#define ARCA_HTTP_HEADER_H

#include "base/span.h"

struct http_header {
    struct span name;  /* as sent; compare with span_ieq */
    struct span value; /* trimmed */
};

#endif
