/* XML from outside, distrusted: well-formed or refused; no document type, no entities but the five, no network, a limited
 * depth and length of text. Namespaces are ignored. */
#ifndef ARCA_BASE_XML_H
#define ARCA_BASE_XML_H

#include "base/span.h"

struct xml_limits {
    unsigned depth;
    size_t text; /* bytes in one element, entities resolved */
};

/* Depth counts from 1, the root; names are without their prefix. A callback that returns not 0 ends the parse with that
 * code. */
struct xml_reader {
    int (*opened)(void *arg, unsigned depth, struct span name); /* may be NULL */
    /* `text` is what stands between a leaf's start tag and its end; empty for elements with children. */
    int (*closed)(void *arg, unsigned depth, struct span name, struct span text);
    void *arg;
};

void xml_setup(void); /* once, before threads */

/* `root` is the name that the root must have; NULL: any. ERR_SYNTAX (not well-formed, beyond the limits, another root);
 * ERR_NOMEM; what a callback returned. */
int xml_parse(struct span body, const char *root, struct xml_limits limits, const struct xml_reader *reader);

#endif
