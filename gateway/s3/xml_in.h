/* XML from clients. Several send no namespaces, so these are ignored. Control bytes that XML 1.0 cannot carry are taken
 * in text, bare (boto3) and as references (as S3 tells its users to write them): keys may hold them and must be
 * deletable. */
#ifndef ARCA_S3_XML_IN_H
#define ARCA_S3_XML_IN_H

#include "base/xml.h"

#define XML_DEPTH_MAX 8
#define XML_TEXT_MAX  8192 /* bytes of text in one element: a key has at most 1024 characters of at most 4 bytes */

/* xml_parse within these limits. */
int xml_in_parse(struct span body, const char *root, const struct xml_reader *reader);

#endif
