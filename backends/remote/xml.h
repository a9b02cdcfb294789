/* XML that a store answers: distrusted. No DTD, no entities beyond the five, a limited depth and length of text. */
#ifndef ARCA_BACKENDS_REMOTE_XML_H
#define ARCA_BACKENDS_REMOTE_XML_H

#include "base/span.h"

#define REMOTE_XML_DEPTH 16
#define REMOTE_XML_TEXT  4096 /* bytes in one element */

/* `depth` is 1 for the root; names are without their prefix. `text` is what stands in a leaf, entities resolved; empty
 * for others. Returning anything but 0 ends the parse with it. */
struct remote_xml_reader {
    void *arg;
    int (*opened)(void *arg, unsigned depth, struct span name); /* may be NULL */
    int (*closed)(void *arg, unsigned depth, struct span name, struct span text);
};

/* ERR_SYNTAX (not well-formed, beyond the limits, another root), ERR_NOMEM, what the reader returns. */
int remote_xml_parse(struct span body, const char *root, const struct remote_xml_reader *reader);

/* The text of the first element with that name anywhere in a small document, NUL-terminated; "" when there is none or
 * the document is broken: for <Code> of errors. */
void remote_xml_find(struct span body, const char *name, char *out, size_t size);

#endif
