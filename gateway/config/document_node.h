/* The document as a tree, for document.c (which builds it) and document_check.c (which walks schemas over it). */
#ifndef ARCA_CONFIG_DOCUMENT_NODE_H
#define ARCA_CONFIG_DOCUMENT_NODE_H

#include "base/arena.h"
#include "config/document.h"

enum document_kind { DOCUMENT_SCALAR, DOCUMENT_LIST, DOCUMENT_MAP };

struct document_node {
    enum document_kind kind;
    bool plain;                /* a scalar without quotes */
    size_t line;               /* from 1 */
    size_t start, end;         /* a scalar's bytes in the file, quotes included */
    struct span text;          /* a scalar's value, NUL-terminated behind its end */
    struct document_node *key; /* in a mapping: the key's own node */
    struct document_node *parent, *next, *first, *last;
};

struct document {
    char *name;
    char *why;
    size_t why_size;
    uint8_t *text; /* wiped, as scalars are, since both hold secrets */
    size_t text_length;
    uint8_t *scalars;
    size_t scalars_size, scalars_used;
    struct arena *arena; /* the nodes */
    struct document_node *root;
};

/* A complaint about a node, or about the key `below` that it has not. ERR_INVALID. */
int document_complain(struct document *document, const struct document_node *node, const char *below,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
