/* YAML files that people write: checked against a libcyaml schema so that every complaint names file, line and key,
 * then loaded by libcyaml into structs.
 *
 * libcyaml tells the line of the value before an unknown key, takes any word for a boolean and any base for a number.
 * So the very same schema is first walked over the document as libyaml's events give it; what libcyaml gets to see is
 * right. The subset: one document of at most 1 MiB, UTF-8, values on one line, no anchors, aliases or tags, 16 levels
 * deep. */
#ifndef ARCA_CONFIG_DOCUMENT_H
#define ARCA_CONFIG_DOCUMENT_H

#include <cyaml/cyaml.h>
#include <stddef.h>
#include "base/span.h"

#define DOCUMENT_SIZE_MAX (1U << 20)

struct document;

/* Reads and parses a file; `why` gets the complaint of this and of every later call. ERR_NOT_FOUND, ERR_IO,
 * ERR_INVALID, ERR_NOMEM. Memory that held the file's text is wiped. */
int document_read(const char *path, char *why, size_t why_size, struct document **out);
/* The same from memory; `name` stands for the file in complaints and is copied. */
int document_parse(const char *name, struct span text, char *why, size_t why_size, struct document **out);
void document_free(struct document *document); /* wipes; NULL is fine */

/* Walks the schema over the document. ERR_INVALID: unknown, missing or repeated keys, wrong types and ranges. */
int document_check(struct document *document, const cyaml_schema_value_t *schema);

/* The value at `key` ("[2].secret_key"), NUL-terminated behind its end, or SPAN_NONE; it lives as long as `document`.
 * Blanked in the text, so that libcyaml, whose buffers nobody wipes, loads a placeholder. After document_check, before
 * document_fill. */
struct span document_take_secret(struct document *document, const char *key);

/* Loads a checked document; *data is freed with document_fill_free. `count` as in cyaml_load_data. ERR_INVALID,
 * ERR_NOMEM. */
int document_fill(struct document *document, const cyaml_schema_value_t *schema, void **data, unsigned *count);
void document_fill_free(const cyaml_schema_value_t *schema, void *data, unsigned count);

/* Writes "FILE:LINE: KEY: TEXT" for a key such as "backends[1].path" (the line is that of the nearest key above it when
 * it is not in the file) and returns ERR_INVALID. */
int document_refuse(struct document *document, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The candidate that `word` may have meant: one or two typing errors away, or NULL. */
const char *document_near(struct span word, const char *const *candidates, size_t count);

#endif
