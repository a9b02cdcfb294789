/* XML from clients: well-formed or refused; no document type, no entities but the five, no network, little depth.
 * Namespaces are ignored: several clients send none. Control bytes that XML 1.0 cannot carry are taken in text, bare
 * (boto3) and as references (as S3 tells its users to write them): keys may hold them and must be deletable. */
#ifndef ARCA_S3_XML_IN_H
#define ARCA_S3_XML_IN_H

#include "base/span.h"

#define XML_DEPTH_MAX 8
#define XML_TEXT_MAX  8192 /* bytes of text in one element: a key has at most 1024 characters of at most 4 bytes */

/* Depth counts from 1, the root. A callback that returns not 0 ends the parse with that code. */
struct xml_reader {
    int (*opened)(void *arg, unsigned depth, struct span name); /* may be NULL */
    /* `text` is what stands between the element's start tag and its end; empty for elements with children. */
    int (*closed)(void *arg, unsigned depth, struct span name, struct span text);
    void *arg;
};

void xml_in_setup(void); /* once, before threads */

/* `root` is the name that the root must have. ERR_SYNTAX; ERR_NOMEM; what a callback returned. */
int xml_in_parse(struct span body, const char *root, const struct xml_reader *reader);

#endif
