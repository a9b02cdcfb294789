/* XML that a store answers: limits hold, whatever comes. */
#include <stdlib.h>
#include <string.h>
#include "backends/remote/xml.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    unsigned depth;
};

static int opened(void *arg, unsigned depth, struct span name)
{
    struct seen *seen = arg;
    if (depth != seen->depth + 1 || depth > REMOTE_XML_DEPTH || name.len == 0)
        abort();
    seen->depth = depth;
    return 0;
}

static int closed(void *arg, unsigned depth, struct span name, struct span text)
{
    struct seen *seen = arg;
    if (depth != seen->depth || text.len > REMOTE_XML_TEXT || name.len == 0)
        abort();
    seen->depth = depth - 1;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = {0};
    const struct xml_reader reader = {.arg = &seen, .opened = opened, .closed = closed};
    char code[16];
    int rc = remote_xml_parse(span_of(data, size), "ListBucketResult", &reader);
    if (rc == 0 && seen.depth != 0)
        abort();
    if (rc != 0 && rc != ERR_SYNTAX && rc != ERR_NOMEM)
        abort();
    remote_xml_find(span_of(data, size), "Code", code, sizeof(code));
    if (strlen(code) >= sizeof(code))
        abort();
    return 0;
}
