/* The document as a tree, for yaml.c (which builds it) and yaml_check.c (which walks schemas over it). */
#ifndef ARCA_CONFIG_YAML_NODE_H
#define ARCA_CONFIG_YAML_NODE_H

#include "base/arena.h"
#include "config/yaml.h"

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    bool plain;            /* a scalar without quotes */
    size_t line;           /* from 1 */
    size_t start, end;     /* a scalar's bytes in the file, quotes included */
    struct span text;      /* a scalar's value, NUL-terminated behind its end */
    struct yaml_node *key; /* in a mapping: the key's own node */
    struct yaml_node *parent, *next, *first, *last;
};

struct yaml {
    char *name;
    char *why;
    size_t why_size;
    uint8_t *text; /* wiped, as scalars are, since both hold secrets */
    size_t text_length;
    uint8_t *scalars;
    size_t scalars_size, scalars_used;
    struct arena *arena; /* the nodes */
    struct yaml_node *root;
};

/* A complaint about a node, or about the key `below` that it has not. ERR_INVALID. */
int yaml_complain(struct yaml *yaml, const struct yaml_node *node, const char *below, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
