#include "s3/xml_in.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
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

/* Hands on what the parser reads, with control bytes in place of their stand-ins. */
struct restoring {
    const struct xml_reader *reader;
    struct buf text;
};

static int restoring_opened(void *arg, unsigned depth, struct span name)
{
    const struct xml_reader *reader = ((struct restoring *)arg)->reader;
    return reader->opened != NULL ? reader->opened(reader->arg, depth, name) : 0;
}

static int restoring_closed(void *arg, unsigned depth, struct span name, struct span text)
{
    struct restoring *restoring = arg;
    restoring->text.len = 0;
    buf_append(&restoring->text, text);
    if (restoring->text.failed != 0)
        return restoring->text.failed;
    restore_controls(&restoring->text);
    return restoring->reader->closed(restoring->reader->arg, depth, name, buf_span(&restoring->text));
}

int xml_in_parse(struct span body, const char *root, const struct xml_reader *reader)
{
    const struct xml_limits limits = {XML_DEPTH_MAX, XML_TEXT_MAX};
    struct restoring restoring = {.reader = reader, .text = {.cap = XML_TEXT_MAX}};
    const struct xml_reader restorer = {restoring_opened, restoring_closed, &restoring};
    struct buf replaced = {0};
    if (body.len > INT_MAX / STAND_IN_LEN)
        return ERR_SYNTAX;
    int rc = replace_controls(body, &replaced);
    if (rc == 0)
        rc = replaced.len > 0 ? xml_parse(buf_span(&replaced), root, limits, &restorer)
                              : xml_parse(body, root, limits, reader);
    buf_free(&replaced);
    buf_free(&restoring.text);
    return rc;
}
