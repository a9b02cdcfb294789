#include "s3/xml_in.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <libxml/parser.h>
#include <libxml/xmlerror.h>
#include "base/buf.h"
#include "base/err.h"

/* Control bytes pass the parser as characters of a private area, U+10FF00 and on, and are turned back behind it. A body
 * that holds such characters itself is parsed as it stands. */
#define STAND_IN     "\xf4\x8f\xbc"
#define STAND_IN_LEN 4
#define LAST_BYTE    0x80

static bool is_control(unsigned c)
{
    return c > 0 && c < 0x20 && c != '\t' && c != '\n' && c != '\r';
}

/* The length of a reference to a control byte at the start of `text`, or 0. */
static size_t reference(struct span text, unsigned *out)
{
    unsigned value = 0;
    size_t at = 2;
    if (text.len < 4 || text.ptr[0] != '&' || text.ptr[1] != '#')
        return 0;
    bool hex = text.ptr[2] == 'x';
    for (at += hex; at < text.len && at < 12; at++) {
        int digit = text.ptr[at] >= '0' && text.ptr[at] <= '9' ? text.ptr[at] - '0' : tolower(text.ptr[at]) - 'a' + 10;
        if (text.ptr[at] == ';' || digit < 0 || digit > (hex ? 15 : 9))
            break;
        value = value * (hex ? 16 : 10) + (unsigned)digit;
        if (value >= 0x20)
            return 0;
    }
    *out = value;
    return at < text.len && text.ptr[at] == ';' && is_control(value) ? at + 1 : 0;
}

/* *out stays empty when there is nothing to replace. ERR_NOMEM. */
static int replace_controls(struct span body, struct buf *out)
{
    bool found = false;
    for (size_t i = 0; !found && i < body.len; i++) {
        unsigned c;
        found = is_control(body.ptr[i]) || reference(span_skip(body, i), &c) > 0;
    }
    if (!found || span_find(body, SPAN_LITERAL(STAND_IN)) >= 0 || span_find(body, SPAN_LITERAL("<![CDATA[")) >= 0)
        return 0;
    out->cap = STAND_IN_LEN * body.len;
    uint8_t *at = buf_reserve(out, STAND_IN_LEN * body.len);
    if (at == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < body.len;) {
        unsigned c = body.ptr[i];
        size_t len = is_control(c) ? 1 : reference(span_skip(body, i), &c);
        if (len == 0) {
            *at++ = body.ptr[i++];
            continue;
        }
        memcpy(at, STAND_IN, STAND_IN_LEN - 1);
        at[STAND_IN_LEN - 1] = (uint8_t)(LAST_BYTE + c);
        at += STAND_IN_LEN;
        i += len;
    }
    out->len = (size_t)(at - out->ptr);
    return 0;
}

static void restore_controls(struct buf *text)
{
    size_t to = 0;
    for (size_t i = 0; i < text->len;) {
        struct span rest = span_skip(buf_span(text), i);
        bool stands_in = rest.len >= STAND_IN_LEN && span_starts(rest, SPAN_LITERAL(STAND_IN)) &&
                         is_control((unsigned)(rest.ptr[STAND_IN_LEN - 1] - LAST_BYTE));
        text->ptr[to++] = stands_in ? (uint8_t)(rest.ptr[STAND_IN_LEN - 1] - LAST_BYTE) : rest.ptr[0];
        i += stands_in ? STAND_IN_LEN : 1;
    }
    text->len = to;
}

struct parse {
    const struct xml_reader *reader;
    const char *root;
    xmlParserCtxtPtr context;
    struct buf text;
    unsigned depth;
    bool leaf;     /* no child so far in the innermost element */
    bool replaced; /* control bytes have stand-ins */
    int rc;
};

static void stop(struct parse *parse, int rc)
{
    if (parse->rc == 0)
        parse->rc = rc;
    xmlStopParser(parse->context);
}

static void on_start(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int namespace_count,
                     const xmlChar **namespaces, int attribute_count, int default_count, const xmlChar **attributes)
{
    (void)prefix, (void)uri, (void)namespace_count, (void)namespaces;
    (void)attribute_count, (void)default_count, (void)attributes;
    struct parse *parse = arg;
    if (parse->rc != 0)
        return;
    struct span local = span_str((const char *)name);
    if (++parse->depth > XML_DEPTH_MAX || (parse->depth == 1 && !span_eq_str(local, parse->root))) {
        stop(parse, ERR_SYNTAX);
        return;
    }
    parse->text.len = 0;
    parse->leaf = true;
    int rc = parse->reader->opened != NULL ? parse->reader->opened(parse->reader->arg, parse->depth, local) : 0;
    if (rc != 0)
        stop(parse, rc);
}

static void on_end(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
    (void)prefix, (void)uri;
    struct parse *parse = arg;
    if (parse->rc != 0)
        return;
    if (parse->replaced && parse->leaf)
        restore_controls(&parse->text);
    struct span text = parse->leaf ? buf_span(&parse->text) : SPAN_NONE;
    int rc = parse->reader->closed(parse->reader->arg, parse->depth, span_str((const char *)name), text);
    parse->depth--;
    parse->leaf = false;
    if (rc != 0)
        stop(parse, rc);
}

static void on_text(void *arg, const xmlChar *text, int len)
{
    struct parse *parse = arg;
    if (parse->rc != 0 || !parse->leaf)
        return;
    buf_append(&parse->text, span_of(text, (size_t)len));
    if (parse->text.failed != 0)
        stop(parse, parse->text.failed == ERR_NOMEM ? ERR_NOMEM : ERR_SYNTAX);
}

static void on_doctype(void *arg, const xmlChar *name, const xmlChar *id, const xmlChar *system)
{
    (void)name, (void)id, (void)system;
    stop(arg, ERR_SYNTAX);
}

static void on_error(void *arg, const char *format, ...)
{
    (void)arg, (void)format;
}

void xml_in_setup(void)
{
    xmlInitParser();
}

static int parse_body(struct span body, struct parse *parse)
{
    xmlSAXHandler sax = {
        .initialized = XML_SAX2_MAGIC,
        .startElementNs = on_start,
        .endElementNs = on_end,
        .characters = on_text,
        .cdataBlock = on_text,
        .ignorableWhitespace = on_text,
        .internalSubset = on_doctype,
        .warning = on_error,
        .error = on_error,
        .fatalError = on_error,
    };
    parse->context = xmlCreatePushParserCtxt(&sax, parse, NULL, 0, NULL);
    if (parse->context == NULL)
        return ERR_NOMEM;
    xmlCtxtUseOptions(parse->context, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    int failed = xmlParseChunk(parse->context, (const char *)body.ptr, (int)body.len, 1);
    if (parse->rc == 0 && (failed != 0 || parse->context->wellFormed == 0))
        parse->rc = failed == XML_ERR_NO_MEMORY ? ERR_NOMEM : ERR_SYNTAX;
    xmlFreeParserCtxt(parse->context);
    return parse->rc;
}

int xml_in_parse(struct span body, const char *root, const struct xml_reader *reader)
{
    struct parse parse = {.reader = reader, .root = root, .text = {.cap = XML_TEXT_MAX}};
    struct buf replaced = {0};
    if (body.len == 0 || body.len > INT_MAX / STAND_IN_LEN)
        return ERR_SYNTAX;
    int rc = replace_controls(body, &replaced);
    parse.replaced = replaced.len > 0;
    if (rc == 0)
        rc = parse_body(parse.replaced ? buf_span(&replaced) : body, &parse);
    buf_free(&replaced);
    buf_free(&parse.text);
    return rc;
}
