/* XML answers, written straight into a buf. Text is escaped so that every key survives: CR as a reference (a bare one
 * becomes LF in readers), and bytes that XML 1.0 cannot carry as references too, which some readers take. */
#ifndef ARCA_S3_XML_OUT_H
#define ARCA_S3_XML_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"

#define XML_DECLARATION "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

/* The declaration and the root's start tag, in S3's namespace. */
void xml_begin(struct buf *out, const char *root);
void xml_open(struct buf *out, const char *name);
void xml_close(struct buf *out, const char *name);

void xml_escape(struct buf *out, struct span text);
/* Whether every reader takes it: no bytes that XML 1.0 has no form for. */
bool xml_carries(struct span text);
void xml_text(struct buf *out, const char *name, struct span text);
void xml_str(struct buf *out, const char *name, const char *text);
void xml_u64(struct buf *out, const char *name, uint64_t value);
void xml_bool(struct buf *out, const char *name, bool value);
/* In S3's form, whole seconds: what Last-Modified can say, so that both compare equal. */
void xml_time(struct buf *out, const char *name, int64_t wall_ms);
/* Quoted, as everywhere but in GetObjectAttributes. */
void xml_etag(struct buf *out, const char *etag);
/* Percent-encoded when the client asked for encoding-type=url. */
void xml_name(struct buf *out, const char *name, struct span text, bool url);
void xml_owner(struct buf *out, const char *element, const char *id, const char *name);

#endif
