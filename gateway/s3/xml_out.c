#include "s3/xml_out.h"

#include "base/clock.h"
#include "base/text.h"

#define NAMESPACE  " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
#define ESCAPE_MAX 6 /* "&quot;" */

void xml_begin(struct buf *out, const char *root)
{
    buf_append(out, SPAN_LITERAL(XML_DECLARATION "<"));
    buf_append_str(out, root);
    buf_append(out, SPAN_LITERAL(NAMESPACE));
}

static void tag(struct buf *out, struct span open, const char *name)
{
    struct span n = span_str(name);
    uint8_t *at = buf_reserve(out, open.len + n.len + 1);
    if (at == NULL)
        return;
    memcpy(at, open.ptr, open.len);
    memcpy(at + open.len, n.ptr, n.len);
    at[open.len + n.len] = '>';
    out->len += open.len + n.len + 1;
}

void xml_open(struct buf *out, const char *name)
{
    tag(out, SPAN_LITERAL("<"), name);
}

void xml_close(struct buf *out, const char *name)
{
    tag(out, SPAN_LITERAL("</"), name);
}

static size_t escape_byte(uint8_t c, uint8_t *at)
{
    static const char digits[] = "0123456789ABCDEF";
    struct span text;
    switch (c) {
    case '&':
        text = SPAN_LITERAL("&amp;");
        break;
    case '<':
        text = SPAN_LITERAL("&lt;");
        break;
    case '>':
        text = SPAN_LITERAL("&gt;");
        break;
    case '"':
        text = SPAN_LITERAL("&quot;");
        break;
    case '\t':
    case '\n':
        at[0] = c;
        return 1;
    default:
        memcpy(at, "&#x", 3);
        size_t n = 3;
        if (c >= 16)
            at[n++] = (uint8_t)digits[c >> 4];
        at[n++] = (uint8_t)digits[c & 15];
        at[n++] = ';';
        return n;
    }
    memcpy(at, text.ptr, text.len);
    return text.len;
}

void xml_escape(struct buf *out, struct span text)
{
    size_t room;
    if (__builtin_mul_overflow(text.len, (size_t)ESCAPE_MAX, &room)) {
        room = SIZE_MAX;
    }
    uint8_t *start = buf_reserve(out, room);
    if (start == NULL)
        return;
    uint8_t *at = start;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c >= 0x20 && c != '&' && c != '<' && c != '>' && c != '"' && c != 0x7f)
            *at++ = c;
        else
            at += escape_byte(c, at);
    }
    out->len += (size_t)(at - start);
}

bool xml_carries(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c < 0x20 && c != '\t' && c != '\n' && c != '\r')
            return false;
    }
    return true;
}

void xml_text(struct buf *out, const char *name, struct span text)
{
    xml_open(out, name);
    xml_escape(out, text);
    xml_close(out, name);
}

void xml_str(struct buf *out, const char *name, const char *text)
{
    xml_text(out, name, span_str(text));
}

void xml_u64(struct buf *out, const char *name, uint64_t value)
{
    xml_open(out, name);
    buf_append_u64(out, value);
    xml_close(out, name);
}

void xml_bool(struct buf *out, const char *name, bool value)
{
    xml_str(out, name, value ? "true" : "false");
}

void xml_time(struct buf *out, const char *name, int64_t wall_ms)
{
    char text[CLOCK_ISO_SIZE];
    clock_iso(wall_ms - wall_ms % 1000, text);
    xml_open(out, name);
    buf_append(out, span_of(text, sizeof(text) - 1));
    xml_close(out, name);
}

void xml_etag(struct buf *out, const char *etag)
{
    buf_append(out, SPAN_LITERAL("<ETag>&quot;"));
    xml_escape(out, span_str(etag));
    buf_append(out, SPAN_LITERAL("&quot;</ETag>"));
}

void xml_name(struct buf *out, const char *name, struct span text, bool url)
{
    xml_open(out, name);
    if (url)
        text_uri_encode(out, text, true);
    else
        xml_escape(out, text);
    xml_close(out, name);
}

void xml_owner(struct buf *out, const char *element, const char *id, const char *name)
{
    xml_open(out, element);
    xml_str(out, "ID", id);
    xml_str(out, "DisplayName", name);
    xml_close(out, element);
}
