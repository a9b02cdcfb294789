#include "base/xml.h"

#include <limits.h>
#include <stdbool.h>
#include <libxml/parser.h>
#include <libxml/xmlerror.h>
#include "base/buf.h"
#include "base/err.h"

struct parse {
    const struct xml_reader *reader;
    unsigned depth_max;
    const char *root; /* NULL: any */
    xmlParserCtxtPtr context;
    struct buf text;
    unsigned depth;
    bool leaf; /* no child so far in the innermost element */
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
    if (++parse->depth > parse->depth_max ||
        (parse->depth == 1 && parse->root != NULL && !span_eq_str(local, parse->root))) {
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

void xml_setup(void)
{
    xmlInitParser();
}

int xml_parse(struct span body, const char *root, struct xml_limits limits, const struct xml_reader *reader)
{
    struct parse parse = {.reader = reader, .root = root, .depth_max = limits.depth, .text = {.cap = limits.text}};
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
    if (body.len == 0 || body.len > INT_MAX)
        return ERR_SYNTAX;
    parse.context = xmlCreatePushParserCtxt(&sax, &parse, NULL, 0, NULL);
    if (parse.context == NULL)
        return ERR_NOMEM;
    xmlCtxtUseOptions(parse.context, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    int failed = xmlParseChunk(parse.context, (const char *)body.ptr, (int)body.len, 1);
    if (parse.rc == 0 && (failed != 0 || parse.context->wellFormed == 0))
        parse.rc = failed == XML_ERR_NO_MEMORY ? ERR_NOMEM : ERR_SYNTAX;
    xmlFreeParserCtxt(parse.context);
    buf_free(&parse.text);
    return parse.rc;
}
