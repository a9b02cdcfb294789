/* XML that a store answers. */
#ifndef ARCA_BACKENDS_REMOTE_XML_H
#define ARCA_BACKENDS_REMOTE_XML_H

#include "base/xml.h"

#define REMOTE_XML_DEPTH 16
#define REMOTE_XML_TEXT  4096 /* bytes in one element */

/* xml_parse within these limits. */
int remote_xml_parse(struct span body, const char *root, const struct xml_reader *reader);

/* The text of the first element with that name anywhere in a small document, NUL-terminated; "" when there is none or
 * the document is broken: for <Code> of errors. */
void remote_xml_find(struct span body, const char *name, char *out, size_t size);

#endif
