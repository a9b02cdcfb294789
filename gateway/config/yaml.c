#include "config/yaml.h"

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
#include "config/yaml_node.h"

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
static void write_key(const struct yaml_node *node, char *out, size_t size)
{
    if (node->parent == NULL)
        return;
    write_key(node->parent, out, size);
    if (node->key != NULL) {
        append(out, size, "%s%.*s", out[0] != '\0' ? "." : "", (int)(node->key->text.len < 64 ? node->key->text.len : 64),
               (const char *)node->key->text.ptr);
    } else {
        size_t i = 0;
        for (const struct yaml_node *n = node->parent->first; n != node; n = n->next)
            i++;
        append(out, size, "[%zu]", i);
    }
}

static int vcomplain(struct yaml *yaml, size_t line, const char *key, const char *format, va_list args)
{
    if (yaml->why_size == 0)
        return ERR_INVALID;
    yaml->why[0] = '\0';
    append(yaml->why, yaml->why_size, "%s:%zu: ", yaml->name, line);
    if (key[0] != '\0')
        append(yaml->why, yaml->why_size, "%s: ", key);
    size_t used = strnlen(yaml->why, yaml->why_size);
    if (used + 1 < yaml->why_size)
        vsnprintf(yaml->why + used, yaml->why_size - used, format, args);
    /* A value that is quoted in it may hold anything: the complaint stays one line of a terminal. */
    for (char *c = yaml->why; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
    return ERR_INVALID;
}

static int complain_line(struct yaml *yaml, size_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int complain_line(struct yaml *yaml, size_t line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int rc = vcomplain(yaml, line, "", format, args);
    va_end(args);
    return rc;
}

int yaml_complain(struct yaml *yaml, const struct yaml_node *node, const char *below, const char *format, ...)
{
    char key[256] = "";
    va_list args;

    write_key(node, key, sizeof(key));
    if (below != NULL)
        append(key, sizeof(key), "%s%s", key[0] != '\0' ? "." : "", below);
    va_start(args, format);
    int rc = vcomplain(yaml, node->key != NULL && below == NULL ? node->key->line : node->line, key, format, args);
    va_end(args);
    return rc;
}

static struct yaml_node *child_named(const struct yaml_node *node, struct span name)
{
    for (struct yaml_node *n = node->first; n != NULL; n = n->next) {
        if (n->key != NULL && span_eq(n->key->text, name))
            return n;
    }
    return NULL;
}

static struct yaml_node *child_at(const struct yaml_node *node, struct span number)
{
    uint64_t i;
    struct yaml_node *n = node->kind == YAML_LIST ? node->first : NULL;

    if (span_to_u64(number, &i) != 0)
        return NULL;
    while (n != NULL && i-- > 0)
        n = n->next;
    return n;
}

/* The node of `key`, or the nearest above it with *exact false. */
static struct yaml_node *find(const struct yaml *yaml, const char *key, bool *exact)
{
    struct yaml_node *node = yaml->root;

    *exact = true;
    while (*key != '\0') {
        struct yaml_node *child;
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

int yaml_refuse(struct yaml *yaml, const char *key, const char *format, ...)
{
    bool exact;
    const struct yaml_node *node = find(yaml, key, &exact);
    va_list args;

    va_start(args, format);
    int rc = vcomplain(yaml, node->key != NULL ? node->key->line : node->line, key, format, args);
    va_end(args);
    return rc;
}

/* --- the document --- */

struct builder {
    struct yaml *yaml;
    struct yaml_node *parent; /* the open list or mapping */
    struct yaml_node *key;    /* in a mapping: the key whose value comes next */
    unsigned depth;
    bool document;
    size_t character, byte; /* the same place of the text in both counts */
};

/* libyaml's marks count characters. They ascend, so that all of them cost one pass. */
static size_t byte_at(struct builder *b, size_t character)
{
    const struct yaml *yaml = b->yaml;

    if (character < b->character)
        b->character = b->byte = 0;
    while (b->character < character && b->byte < yaml->text_length) {
        do
            b->byte++;
        while (b->byte < yaml->text_length && (yaml->text[b->byte] & 0xc0) == 0x80);
        b->character++;
    }
    return b->byte;
}

static int add_node(struct builder *b, enum yaml_kind kind, const yaml_event_t *event, struct yaml_node **out)
{
    struct yaml_node *node = arena_zalloc(b->yaml->arena, sizeof(*node));

    if (node == NULL)
        return complain_line(b->yaml, event->start_mark.line + 1, "too many values");
    node->kind = kind;
    node->line = event->start_mark.line + 1;
    if (kind == YAML_SCALAR) {
        node->start = byte_at(b, event->start_mark.index);
        node->end = byte_at(b, event->end_mark.index);
    }
    *out = node;
    if (b->parent != NULL && b->parent->kind == YAML_MAP && b->key == NULL) {
        if (kind != YAML_SCALAR)
            return complain_line(b->yaml, node->line, "a key must be a word");
        node->parent = b->parent;
        b->key = node;
        return 0;
    }
    node->parent = b->parent;
    node->key = b->key;
    b->key = NULL;
    if (b->parent == NULL)
        b->yaml->root = node;
    else if (b->parent->last == NULL)
        b->parent->first = b->parent->last = node;
    else
        b->parent->last = b->parent->last->next = node;
    return 0;
}

static int add_scalar(struct builder *b, yaml_event_t *event)
{
    struct yaml *yaml = b->yaml;
    size_t line = event->start_mark.line + 1, length = event->data.scalar.length;
    struct yaml_node *node;

    if (event->data.scalar.anchor != NULL || !(event->data.scalar.plain_implicit || event->data.scalar.quoted_implicit))
        return complain_line(yaml, line, "anchors and tags are not supported; write the value itself");
    if (event->end_mark.line != event->start_mark.line)
        return complain_line(yaml, line, "a value must stand on one line");
    if (memchr(event->data.scalar.value, '\0', length) != NULL)
        return complain_line(yaml, line, "a value must not hold a NUL");
    if (length >= yaml->scalars_size - yaml->scalars_used)
        return complain_line(yaml, line, "too many values");
    int rc = add_node(b, YAML_SCALAR, event, &node);
    if (rc != 0)
        return rc;
    uint8_t *copy = yaml->scalars + yaml->scalars_used;
    memcpy(copy, event->data.scalar.value, length);
    copy[length] = '\0';
    explicit_bzero(event->data.scalar.value, length);
    yaml->scalars_used += length + 1;
    node->text = span_of(copy, length);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return 0;
}

static int open_node(struct builder *b, enum yaml_kind kind, const yaml_event_t *event, const void *anchor, bool implicit)
{
    struct yaml_node *node;

    if (anchor != NULL || !implicit)
        return complain_line(b->yaml, event->start_mark.line + 1,
                             "anchors and tags are not supported; write the value itself");
    if (++b->depth > DEPTH_MAX)
        return complain_line(b->yaml, event->start_mark.line + 1, "nested too deeply");
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
        if (b->document)
            return complain_line(b->yaml, line, "only one document is allowed in the file");
        b->document = true;
        return 0;
    case YAML_ALIAS_EVENT:
        return complain_line(b->yaml, line, "aliases are not supported; write the value itself");
    case YAML_SCALAR_EVENT:
        return add_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(b, YAML_LIST, event, event->data.sequence_start.anchor, event->data.sequence_start.implicit);
    case YAML_MAPPING_START_EVENT:
        return open_node(b, YAML_MAP, event, event->data.mapping_start.anchor, event->data.mapping_start.implicit);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        b->parent = b->parent->parent;
        return 0;
    default:
        return 0;
    }
}

static int parse_events(struct yaml *yaml, yaml_parser_t *parser)
{
    struct builder b = {.yaml = yaml};
    yaml_event_type_t type;
    int rc;

    do {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            if (parser->error == YAML_MEMORY_ERROR)
                return ERR_NOMEM;
            return complain_line(yaml, parser->problem_mark.line + 1, "not YAML: %s",
                                 parser->problem != NULL ? parser->problem : "unreadable");
        }
        type = event.type;
        rc = take_event(&b, &event);
        yaml_event_delete(&event);
    } while (rc == 0 && type != YAML_STREAM_END_EVENT);
    if (rc == 0 && yaml->root == NULL)
        rc = complain_line(yaml, 1, "the file is empty");
    return rc;
}

static int parse_text(struct yaml *yaml)
{
    yaml_parser_t parser;

    /* libyaml counts characters, which are turned back into bytes only because this holds. */
    if (!text_is_utf8(span_of(yaml->text, yaml->text_length)) || memchr(yaml->text, '\0', yaml->text_length) != NULL ||
        span_starts(span_of(yaml->text, yaml->text_length), SPAN_LITERAL("\xef\xbb\xbf")))
        return complain_line(yaml, 1, "the file must be UTF-8 text without a byte order mark");
    if (!yaml_parser_initialize(&parser))
        return ERR_NOMEM;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, yaml->text, yaml->text_length);
    int rc = parse_events(yaml, &parser);
    explicit_bzero(parser.raw_buffer.start, (size_t)(parser.raw_buffer.end - parser.raw_buffer.start));
    explicit_bzero(parser.buffer.start, (size_t)(parser.buffer.end - parser.buffer.start));
    yaml_parser_delete(&parser);
    return rc;
}

static struct yaml *yaml_alloc(const char *name, size_t length, char *why, size_t why_size)
{
    struct yaml *yaml = calloc(1, sizeof(*yaml));

    if (yaml == NULL)
        return NULL;
    yaml->why = why;
    yaml->why_size = why_size;
    yaml->name = strdup(name);
    yaml->arena = arena_create(ARENA_LIMIT);
    yaml->text = malloc(length + 1);
    yaml->scalars_size = 2 * length + 64;
    yaml->scalars = malloc(yaml->scalars_size);
    if (yaml->name == NULL || yaml->arena == NULL || yaml->text == NULL || yaml->scalars == NULL) {
        yaml_free(yaml);
        return NULL;
    }
    yaml->text_length = length;
    yaml->text[length] = '\0';
    return yaml;
}

void yaml_free(struct yaml *yaml)
{
    if (yaml == NULL)
        return;
    if (yaml->text != NULL)
        explicit_bzero(yaml->text, yaml->text_length);
    if (yaml->scalars != NULL)
        explicit_bzero(yaml->scalars, yaml->scalars_used);
    free(yaml->text);
    free(yaml->scalars);
    arena_free(yaml->arena);
    free(yaml->name);
    free(yaml);
}

static int parse_or_free(struct yaml *yaml, struct yaml **out)
{
    int rc = parse_text(yaml);

    if (rc == ERR_NOMEM && yaml->why_size > 0)
        snprintf(yaml->why, yaml->why_size, "%s: out of memory", yaml->name);
    if (rc != 0)
        yaml_free(yaml);
    else
        *out = yaml;
    return rc;
}

int yaml_parse(const char *name, struct span text, char *why, size_t why_size, struct yaml **out)
{
    if (text.len > YAML_SIZE_MAX) {
        snprintf(why, why_size, "%s: larger than 1 MiB", name);
        return ERR_INVALID;
    }
    struct yaml *yaml = yaml_alloc(name, text.len, why, why_size);
    if (yaml == NULL) {
        snprintf(why, why_size, "%s: out of memory", name);
        return ERR_NOMEM;
    }
    if (text.len > 0)
        memcpy(yaml->text, text.ptr, text.len);
    return parse_or_free(yaml, out);
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

int yaml_read(const char *path, char *why, size_t why_size, struct yaml **out)
{
    struct yaml *yaml = NULL;
    struct stat st;
    int rc, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
        snprintf(why, why_size, "%s: cannot be read: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size > YAML_SIZE_MAX) {
        rc = ERR_INVALID;
        snprintf(why, why_size, "%s: %s", path, S_ISREG(st.st_mode) ? "larger than 1 MiB" : "not a file");
    } else if ((yaml = yaml_alloc(path, (size_t)st.st_size, why, why_size)) == NULL) {
        rc = ERR_NOMEM;
        snprintf(why, why_size, "%s: out of memory", path);
    } else if ((rc = read_all(fd, yaml->text, yaml->text_length)) != 0) {
        snprintf(why, why_size, "%s: cannot be read, or changed while it was read", path);
        yaml_free(yaml);
    } else {
        rc = parse_or_free(yaml, out);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

/* --- secrets --- */

struct span yaml_take_secret(struct yaml *yaml, const char *key)
{
    bool exact;
    struct yaml_node *node = find(yaml, key, &exact);

    if (!exact || node->kind != YAML_SCALAR)
        return SPAN_NONE;
    if (node->start < node->end)
        memset(yaml->text + node->start, 'x', node->end - node->start);
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

int yaml_fill(struct yaml *yaml, const cyaml_schema_value_t *schema, void **data, unsigned *count)
{
    struct last_error error = {""};
    const cyaml_config_t config = {.log_fn = keep_first_error, .log_ctx = &error, .mem_fn = cyaml_mem,
                                   .log_level = CYAML_LOG_ERROR, .flags = CYAML_CFG_NO_ALIAS};

    cyaml_err_t err = cyaml_load_data(yaml->text, yaml->text_length, &config, schema, data, count);
    if (err == CYAML_OK)
        return 0;
    error.text[strcspn(error.text, "\n")] = '\0';
    complain_line(yaml, yaml->root->line, "%s (%s)", cyaml_strerror(err), error.text);
    return err == CYAML_ERR_OOM ? ERR_NOMEM : ERR_INVALID;
}

void yaml_fill_free(const cyaml_schema_value_t *schema, void *data, unsigned count)
{
    const cyaml_config_t config = {.mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};

    cyaml_free(&config, schema, data, count);
}
