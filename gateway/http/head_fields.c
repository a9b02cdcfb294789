/* The header section by llhttp, strict: with none of its lenient flags. Apart from head.c, because the two have the
 * same names for methods. */
#include <llhttp.h>
#include <stdbool.h>
#include "http/head.h"

struct head_parse {
    struct http_header *headers;
    size_t count;
    size_t capacity;
    bool begun; /* headers[count] has a name */
    bool complete;
};

/* llhttp may give a string in several pieces; in one buffer they touch, or something was folded away between them. */
static int extend(struct span *span, const char *at, size_t length)
{
    const uint8_t *piece = (const uint8_t *)at;
    if (span->ptr == NULL)
        *span = span_of(piece, 0);
    else if (span->ptr + span->len != piece)
        return -1;
    span->len += length;
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t length)
{
    struct head_parse *parse = parser->data;
    if (parse->count == parse->capacity)
        return -1;
    struct http_header *header = &parse->headers[parse->count];
    if (!parse->begun)
        *header = (struct http_header){SPAN_NONE, SPAN_NONE};
    parse->begun = true;
    return extend(&header->name, at, length);
}

static int on_value(llhttp_t *parser, const char *at, size_t length)
{
    struct head_parse *parse = parser->data;
    return parse->begun ? extend(&parse->headers[parse->count].value, at, length) : -1;
}

static int on_value_complete(llhttp_t *parser)
{
    struct head_parse *parse = parser->data;
    if (!parse->begun || parse->headers[parse->count].value.ptr == NULL)
        return -1;
    parse->begun = false;
    struct span *value = &parse->headers[parse->count++].value;
    *value = span_trim(*value);
    return 0;
}

/* The body is not llhttp's: it stops here. */
static int on_headers_complete(llhttp_t *parser)
{
    struct head_parse *parse = parser->data;
    parse->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
};

/* llhttp knows a closed list of methods and gives some of them a meaning; what it gets is always "POST". */
bool head_fields(struct span head, size_t method_length, struct http_header *headers, size_t capacity, size_t *count)
{
    struct head_parse parse = {.headers = headers, .capacity = capacity};
    llhttp_t parser;
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = &parse;
    struct span rest = span_skip(head, method_length);
    bool whole = llhttp_execute(&parser, "POST", 4) == HPE_OK &&
                 llhttp_execute(&parser, (const char *)rest.ptr, rest.len) == HPE_PAUSED && parse.complete;
    *count = parse.count;
    return whole && parse.count == capacity;
}
