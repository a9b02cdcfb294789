/* A libcyaml schema walked over a document, for complaints that name the line and the key. */
#include <stdio.h>
#include "base/err.h"
#include "config/document_node.h"

#define WORD_MAX 40

/* --- near misses --- */

/* Typing errors between two words: letters more, fewer, other or (adjacent) exchanged. */
static unsigned distance(struct span a, struct span b)
{
    unsigned rows[3][WORD_MAX + 1];

    if (a.len > WORD_MAX || b.len > WORD_MAX)
        return WORD_MAX;
    for (unsigned j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned best = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1] &&
                above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[a.len % 3][b.len];
}

const char *document_near(struct span word, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    unsigned least = 3;

    for (size_t i = 0; i < count; i++) {
        struct span candidate = span_str(candidates[i]);
        unsigned d = distance(word, candidate);
        if (d < least && d * 2 < candidate.len) {
            least = d;
            best = candidates[i];
        }
    }
    return best;
}

/* "did you mean X?", or all that there is to choose from. */
static void suggest(struct span word, const char *const *candidates, size_t count, char *out, size_t size)
{
    const char *near = document_near(word, candidates, count);
    int used = 0;

    if (near != NULL) {
        snprintf(out, size, "did you mean '%s'?", near);
        return;
    }
    used = snprintf(out, size, "choose from");
    for (size_t i = 0; i < count && used >= 0 && (size_t)used < size; i++)
        used += snprintf(out + used, size - (size_t)used, "%s %s", i > 0 ? "," : "", candidates[i]);
}

/* --- scalars --- */

#define QUOTED(s)   (int)((s).len < 60 ? (s).len : 60), (const char *)(s).ptr
#define CHOICES_MAX 32

static int check_string(struct document *document, const struct document_node *node, const cyaml_schema_value_t *schema)
{
    if (node->text.len == 0 && schema->string.min > 0)
        return document_complain(document, node, NULL, "is empty; write a value behind it");
    if (node->text.len < schema->string.min)
        return document_complain(document, node, NULL, "must have at least %u characters", schema->string.min);
    if (node->text.len > schema->string.max)
        return document_complain(document, node, NULL, "must have at most %u characters", schema->string.max);
    return 0;
}

static int check_uint(struct document *document, const struct document_node *node, const cyaml_schema_value_t *schema)
{
    uint64_t max = schema->data_size >= 8 ? UINT64_MAX : (1ULL << 8 * schema->data_size) - 1, value;

    /* Decimal only: libcyaml would read 010 as eight. */
    if (!node->plain || span_to_u64(node->text, &value) != 0 || value > max ||
        (node->text.len > 1 && node->text.ptr[0] == '0'))
        return document_complain(document, node, NULL, "must be a number from 0 to %llu, not '%.*s'",
                                 (unsigned long long)max, QUOTED(node->text));
    return 0;
}

static int check_bool(struct document *document, const struct document_node *node)
{
    if (node->plain && (span_eq_str(node->text, "true") || span_eq_str(node->text, "false")))
        return 0;
    return document_complain(document, node, NULL, "must be true or false, not '%.*s'", QUOTED(node->text));
}

static int check_enum(struct document *document, const struct document_node *node, const cyaml_schema_value_t *schema)
{
    const char *words[CHOICES_MAX];
    size_t count = 0;
    char hint[300];

    for (uint32_t i = 0; i < schema->enumeration.count && count < CHOICES_MAX; i++) {
        words[count++] = schema->enumeration.strings[i].str;
        if (span_eq_str(node->text, schema->enumeration.strings[i].str))
            return 0;
    }
    suggest(node->text, words, count, hint, sizeof(hint));
    return document_complain(document, node, NULL, "unknown value '%.*s'; %s", QUOTED(node->text), hint);
}

/* --- structure --- */

static int check_node(struct document *document, const struct document_node *node, const cyaml_schema_value_t *schema);

static int unknown_key(struct document *document, const struct document_node *node, const cyaml_schema_field_t *fields)
{
    const char *words[CHOICES_MAX];
    size_t count = 0;
    char hint[300];

    for (const cyaml_schema_field_t *f = fields; f->key != NULL && count < CHOICES_MAX; f++)
        words[count++] = f->key;
    suggest(node->key->text, words, count, hint, sizeof(hint));
    return document_complain(document, node, NULL, "unknown key '%.*s'; %s", QUOTED(node->key->text), hint);
}

static int check_map(struct document *document, const struct document_node *node, const cyaml_schema_value_t *schema)
{
    const cyaml_schema_field_t *fields = schema->mapping.fields;

    for (const struct document_node *n = node->first; n != NULL; n = n->next) {
        const cyaml_schema_field_t *f = fields;
        while (f->key != NULL && !span_eq_str(n->key->text, f->key))
            f++;
        if (f->key == NULL)
            return unknown_key(document, n, fields);
        for (const struct document_node *m = node->first; m != n; m = m->next) {
            if (span_eq(m->key->text, n->key->text))
                return document_complain(document, n, NULL, "is given twice, first in line %zu; remove one",
                                         m->key->line);
        }
        int rc = check_node(document, n, &f->value);
        if (rc != 0)
            return rc;
    }
    for (const cyaml_schema_field_t *f = fields; f->key != NULL; f++) {
        const struct document_node *n = node->first;
        while (n != NULL && !span_eq_str(n->key->text, f->key))
            n = n->next;
        if (n == NULL && !(f->value.flags & CYAML_FLAG_OPTIONAL))
            return document_complain(document, node, f->key, "is missing; add it");
    }
    return 0;
}

static int check_list(struct document *document, const struct document_node *node, const cyaml_schema_value_t *schema)
{
    uint32_t count = 0;

    for (const struct document_node *n = node->first; n != NULL; n = n->next) {
        int rc = count++ < schema->sequence.max
                     ? check_node(document, n, schema->sequence.entry)
                     : document_complain(document, node, NULL, "has too many entries; at most %u are allowed",
                                         schema->sequence.max);
        if (rc != 0)
            return rc;
    }
    if (count < schema->sequence.min)
        return document_complain(document, node, NULL, "needs at least %u %s", schema->sequence.min,
                                 schema->sequence.min == 1 ? "entry" : "entries");
    return 0;
}

static int check_node(struct document *document, const struct document_node *node, const cyaml_schema_value_t *schema)
{
    static const char *const wanted[] = {"a single value", "a list (lines that start with '- ')",
                                         "a mapping (key: value)"};
    enum document_kind kind = schema->type == CYAML_MAPPING    ? DOCUMENT_MAP
                              : schema->type == CYAML_SEQUENCE ? DOCUMENT_LIST
                                                               : DOCUMENT_SCALAR;

    if (node->kind != kind)
        return document_complain(document, node, NULL, "must be %s", wanted[kind]);
    switch (schema->type) {
    case CYAML_MAPPING:
        return check_map(document, node, schema);
    case CYAML_SEQUENCE:
        return check_list(document, node, schema);
    case CYAML_STRING:
        return check_string(document, node, schema);
    case CYAML_UINT:
        return check_uint(document, node, schema);
    case CYAML_BOOL:
        return check_bool(document, node);
    case CYAML_ENUM:
        return check_enum(document, node, schema);
    default:
        return ERR_BUG;
    }
}

int document_check(struct document *document, const cyaml_schema_value_t *schema)
{
    return check_node(document, document->root, schema);
}
