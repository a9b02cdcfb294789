#include "config/document.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/text.h"
#include "config/document_node.h"

#define DEPTH_MAX   16
#define ARENA_LIMIT (32U << 20)

/* --- complaints --- */

static void append(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *out, size_t size, const char *format, ...)
{
    size_t used = strnlen(out, size);
    va_list args;

    if (used + 1 >= size)
        return;
    va_start(args, format);
    vsnprintf(out + used, size - used, format, args);
    va_end(args);
}

/* "backends[1].path". As deep as DEPTH_MAX. */
static void write_key(const struct document_node *node, char *out, size_t size)
{
    if (node->parent == NULL)
        return;
    write_key(node->parent, out, size);
    if (node->key != NULL) {
        append(out, size, "%s%.*s", out[0] != '\0' ? "." : "",
               (int)(node->key->text.len < 64 ? node->key->text.len : 64), (const char *)node->key->text.ptr);
    } else {
        size_t i = 0;
        for (const struct document_node *n = node->parent->first; n != node; n = n->next)
            i++;
        append(out, size, "[%zu]", i);
    }
}

static int vcomplain(struct document *document, size_t line, const char *key, const char *format, va_list args)
{
    if (document->why_size == 0)
        return ERR_INVALID;
    document->why[0] = '\0';
    append(document->why, document->why_size, "%s:%zu: ", document->name, line);
    if (key[0] != '\0')
        append(document->why, document->why_size, "%s: ", key);
    size_t used = strnlen(document->why, document->why_size);
    if (used + 1 < document->why_size)
        vsnprintf(document->why + used, document->why_size - used, format, args);
    /* A value that is quoted in it may hold anything: the complaint stays one line of a terminal. */
    for (char *c = document->why; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
    return ERR_INVALID;
}

static int complain_line(struct document *document, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int complain_line(struct document *document, size_t line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int rc = vcomplain(document, line, "", format, args);
    va_end(args);
    return rc;
}

int document_complain(struct document *document, const struct document_node *node, const char *below,
                      const char *format, ...)
{
    char key[256] = "";
    va_list args;

    write_key(node, key, sizeof(key));
    if (below != NULL)
        append(key, sizeof(key), "%s%s", key[0] != '\0' ? "." : "", below);
    va_start(args, format);
    int rc = vcomplain(document, node->key != NULL && below == NULL ? node->key->line : node->line, key, format, args);
    va_end(args);
    return rc;
}

static struct document_node *child_named(const struct document_node *node, struct span name)
{
    for (struct document_node *n = node->first; n != NULL; n = n->next) {
        if (n->key != NULL && span_eq(n->key->text, name))
            return n;
    }
    return NULL;
}

static struct document_node *child_at(const struct document_node *node, struct span number)
{
    uint64_t i;
    struct document_node *n = node->kind == DOCUMENT_LIST ? node->first : NULL;

    if (span_to_u64(number, &i) != 0)
        return NULL;
    while (n != NULL && i-- > 0)
        n = n->next;
    return n;
}

/* The node of `key`, or the nearest above it with *exact false. */
static struct document_node *find(const struct document *document, const char *key, bool *exact)
{
    struct document_node *node = document->root;

    *exact = true;
    while (*key != '\0') {
        struct document_node *child;
        if (*key == '[') {
            size_t length = strcspn(key, "]");
            child = child_at(node, span_of(key + 1, length - 1));
            key += length + (key[length] == ']');
        } else {
            key += *key == '.';
            size_t length = strcspn(key, ".[");
            child = child_named(node, span_of(key, length));
            key += length;
        }
        if (child == NULL) {
            *exact = false;
            return node;
        }
        node = child;
    }
    return node;
}

int document_refuse(struct document *document, const char *key, const char *format, ...)
{
    bool exact;
    const struct document_node *node = find(document, key, &exact);
    va_list args;

    va_start(args, format);
    int rc = vcomplain(document, node->key != NULL ? node->key->line : node->line, key, format, args);
    va_end(args);
    return rc;
}

/* --- the document --- */

struct builder {
    struct document *document;
    struct document_node *parent; /* the open list or mapping */
    struct document_node *key;    /* in a mapping: the key whose value comes next */
    unsigned depth;
    bool begun;
    size_t character, byte; /* the same place of the text in both counts */
};

/* libyaml's marks count characters. They ascend, so that all of them cost one pass. */
static size_t byte_at(struct builder *b, size_t character)
{
    const struct document *document = b->document;

    if (character < b->character)
        b->character = b->byte = 0;
    while (b->character < character && b->byte < document->text_length) {
        do
            b->byte++;
        while (b->byte < document->text_length && (document->text[b->byte] & 0xc0) == 0x80);
        b->character++;
    }
    return b->byte;
}

static int add_node(struct builder *b, enum document_kind kind, const yaml_event_t *event, struct document_node **out)
{
    struct document_node *node = arena_zalloc(b->document->arena, sizeof(*node));

    if (node == NULL)
        return complain_line(b->document, event->start_mark.line + 1, "too many values");
    node->kind = kind;
    node->line = event->start_mark.line + 1;
    if (kind == DOCUMENT_SCALAR) {
        node->start = byte_at(b, event->start_mark.index);
        node->end = byte_at(b, event->end_mark.index);
    }
    *out = node;
    if (b->parent != NULL && b->parent->kind == DOCUMENT_MAP && b->key == NULL) {
        if (kind != DOCUMENT_SCALAR)
            return complain_line(b->document, node->line, "a key must be a word");
        node->parent = b->parent;
        b->key = node;
        return 0;
    }
    node->parent = b->parent;
    node->key = b->key;
    b->key = NULL;
    if (b->parent == NULL)
        b->document->root = node;
    else if (b->parent->last == NULL)
        b->parent->first = b->parent->last = node;
    else
        b->parent->last = b->parent->last->next = node;
    return 0;
}

static int add_scalar(struct builder *b, yaml_event_t *event)
{
    struct document *document = b->document;
    size_t line = event->start_mark.line + 1, length = event->data.scalar.length;
    struct document_node *node;

    if (event->data.scalar.anchor != NULL || !(event->data.scalar.plain_implicit || event->data.scalar.quoted_implicit))
        return complain_line(document, line, "anchors and tags are not supported; write the value itself");
    if (event->end_mark.line != event->start_mark.line)
        return complain_line(document, line, "a value must stand on one line");
    if (memchr(event->data.scalar.value, '\0', length) != NULL)
        return complain_line(document, line, "a value must not hold a NUL");
    if (length >= document->scalars_size - document->scalars_used)
        return complain_line(document, line, "too many values");
    int rc = add_node(b, DOCUMENT_SCALAR, event, &node);
    if (rc != 0)
        return rc;
    uint8_t *copy = document->scalars + document->scalars_used;
    memcpy(copy, event->data.scalar.value, length);
    copy[length] = '\0';
    explicit_bzero(event->data.scalar.value, length);
    document->scalars_used += length + 1;
    node->text = span_of(copy, length);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return 0;
}

static int open_node(struct builder *b, enum document_kind kind, const yaml_event_t *event, const void *anchor,
                     bool implicit)
{
    struct document_node *node;

    if (anchor != NULL || !implicit)
        return complain_line(b->document, event->start_mark.line + 1,
                             "anchors and tags are not supported; write the value itself");
    if (++b->depth > DEPTH_MAX)
        return complain_line(b->document, event->start_mark.line + 1, "nested too deeply");
    int rc = add_node(b, kind, event, &node);
    if (rc == 0)
        b->parent = node;
    return rc;
}

static int take_event(struct builder *b, yaml_event_t *event)
{
    size_t line = event->start_mark.line + 1;

    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->begun)
            return complain_line(b->document, line, "only one document is allowed in the file");
        b->begun = true;
        return 0;
    case YAML_ALIAS_EVENT:
        return complain_line(b->document, line, "aliases are not supported; write the value itself");
    case YAML_SCALAR_EVENT:
        return add_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(b, DOCUMENT_LIST, event, event->data.sequence_start.anchor,
                         event->data.sequence_start.implicit);
    case YAML_MAPPING_START_EVENT:
        return open_node(b, DOCUMENT_MAP, event, event->data.mapping_start.anchor, event->data.mapping_start.implicit);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        b->parent = b->parent->parent;
        return 0;
    default:
        return 0;
    }
}

static int parser_problem(struct document *document, const yaml_parser_t *parser)
{
    const char *problem = parser->problem != NULL ? parser->problem : "unreadable";

    if (parser->error == YAML_MEMORY_ERROR)
        return ERR_NOMEM;
    if (parser->context == NULL)
        return complain_line(document, parser->problem_mark.line + 1, "not YAML: %s", problem);
    return complain_line(document, parser->problem_mark.line + 1, "not YAML: %s %s that begins in line %zu", problem,
                         parser->context, parser->context_mark.line + 1);
}

static int parse_events(struct document *document, yaml_parser_t *parser)
{
    struct builder b = {.document = document};
    yaml_event_type_t type;
    int rc;

    do {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return parser_problem(document, parser);
        type = event.type;
        rc = take_event(&b, &event);
        yaml_event_delete(&event);
    } while (rc == 0 && type != YAML_STREAM_END_EVENT);
    if (rc == 0 && document->root == NULL)
        rc = complain_line(document, 1, "the file is empty");
    return rc;
}

static int parse_text(struct document *document)
{
    yaml_parser_t parser;

    /* libyaml counts characters, which are turned back into bytes only because this holds. */
    if (!text_is_utf8(span_of(document->text, document->text_length)) ||
        memchr(document->text, '\0', document->text_length) != NULL ||
        span_starts(span_of(document->text, document->text_length), SPAN_LITERAL("\xef\xbb\xbf")))
        return complain_line(document, 1, "the file must be UTF-8 text without a byte order mark");
    if (!yaml_parser_initialize(&parser))
        return ERR_NOMEM;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, document->text, document->text_length);
    int rc = parse_events(document, &parser);
    explicit_bzero(parser.raw_buffer.start, (size_t)(parser.raw_buffer.end - parser.raw_buffer.start));
    explicit_bzero(parser.buffer.start, (size_t)(parser.buffer.end - parser.buffer.start));
    yaml_parser_delete(&parser);
    return rc;
}

static struct document *document_alloc(const char *name, size_t length, char *why, size_t why_size)
{
    struct document *document = calloc(1, sizeof(*document));

    if (document == NULL)
        return NULL;
    document->why = why;
    document->why_size = why_size;
    document->name = strdup(name);
    document->arena = arena_create(ARENA_LIMIT);
    document->text = malloc(length + 1);
    document->scalars_size = 2 * length + 64;
    document->scalars = malloc(document->scalars_size);
    if (document->name == NULL || document->arena == NULL || document->text == NULL || document->scalars == NULL) {
        document_free(document);
        return NULL;
    }
    document->text_length = length;
    document->text[length] = '\0';
    return document;
}

void document_free(struct document *document)
{
    if (document == NULL)
        return;
    if (document->text != NULL)
        explicit_bzero(document->text, document->text_length);
    if (document->scalars != NULL)
        explicit_bzero(document->scalars, document->scalars_used);
    free(document->text);
    free(document->scalars);
    arena_free(document->arena);
    free(document->name);
    free(document);
}

static int parse_or_free(struct document *document, struct document **out)
{
    int rc = parse_text(document);

    if (rc == ERR_NOMEM && document->why_size > 0)
        snprintf(document->why, document->why_size, "%s: out of memory", document->name);
    if (rc != 0)
        document_free(document);
    else
        *out = document;
    return rc;
}

int document_parse(const char *name, struct span text, char *why, size_t why_size, struct document **out)
{
    if (text.len > DOCUMENT_SIZE_MAX) {
        snprintf(why, why_size, "%s: larger than 1 MiB", name);
        return ERR_INVALID;
    }
    struct document *document = document_alloc(name, text.len, why, why_size);
    if (document == NULL) {
        snprintf(why, why_size, "%s: out of memory", name);
        return ERR_NOMEM;
    }
    if (text.len > 0)
        memcpy(document->text, text.ptr, text.len);
    return parse_or_free(document, out);
}

static int read_all(int fd, uint8_t *out, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = read(fd, out + done, length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_IO;
        done += (size_t)n;
    }
    return 0;
}

int document_read(const char *path, char *why, size_t why_size, struct document **out)
{
    struct document *document = NULL;
    struct stat st;
    int rc, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
        snprintf(why, why_size, "%s: cannot be read: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size > DOCUMENT_SIZE_MAX) {
        rc = ERR_INVALID;
        snprintf(why, why_size, "%s: %s", path, S_ISREG(st.st_mode) ? "larger than 1 MiB" : "not a file");
    } else if ((document = document_alloc(path, (size_t)st.st_size, why, why_size)) == NULL) {
        rc = ERR_NOMEM;
        snprintf(why, why_size, "%s: out of memory", path);
    } else if ((rc = read_all(fd, document->text, document->text_length)) != 0) {
        snprintf(why, why_size, "%s: cannot be read, or changed while it was read", path);
        document_free(document);
    } else {
        rc = parse_or_free(document, out);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

/* --- secrets --- */

struct span document_take_secret(struct document *document, const char *key)
{
    bool exact;
    struct document_node *node = find(document, key, &exact);

    if (!exact || node->kind != DOCUMENT_SCALAR)
        return SPAN_NONE;
    /* As long a word as the value is without quotes, so that it keeps the schema's bounds. */
    size_t room = node->end - node->start, word = node->text.len < room ? node->text.len : room;
    memset(document->text + node->start, 'x', word);
    memset(document->text + node->start + word, ' ', room - word);
    return node->text;
}

/* --- loading --- */

struct last_error {
    char text[160];
};

static void keep_first_error(cyaml_log_t level, void *ctx, const char *format, va_list args)
{
    struct last_error *error = ctx;

    if (level == CYAML_LOG_ERROR && error->text[0] == '\0')
        vsnprintf(error->text, sizeof(error->text), format, args);
}

int document_fill(struct document *document, const cyaml_schema_value_t *schema, void **data, unsigned *count)
{
    struct last_error error = {""};
    const cyaml_config_t config = {.log_fn = keep_first_error,
                                   .log_ctx = &error,
                                   .mem_fn = cyaml_mem,
                                   .log_level = CYAML_LOG_ERROR,
                                   .flags = CYAML_CFG_NO_ALIAS};

    cyaml_err_t err = cyaml_load_data(document->text, document->text_length, &config, schema, data, count);
    if (err == CYAML_OK)
        return 0;
    error.text[strcspn(error.text, "\n")] = '\0';
    complain_line(document, document->root->line, "%s (%s)", cyaml_strerror(err), error.text);
    return err == CYAML_ERR_OOM ? ERR_NOMEM : ERR_INVALID;
}

void document_fill_free(const cyaml_schema_value_t *schema, void *data, unsigned count)
{
    const cyaml_config_t config = {.mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};

    cyaml_free(&config, schema, data, count);
}
