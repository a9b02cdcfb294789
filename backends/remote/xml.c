#include "xml.h"

#include "base/err.h"

int remote_xml_parse(struct span body, const char *root, const struct xml_reader *reader)
{
    return xml_parse(body, root, (struct xml_limits){REMOTE_XML_DEPTH, REMOTE_XML_TEXT}, reader);
}

struct find {
    const char *name;
    char *out;
    size_t size;
};

static int find_closed(void *arg, unsigned depth, struct span name, struct span text)
{
    struct find *find = arg;
    (void)depth;
    if (find->out[0] != '\0' || !span_eq_str(name, find->name) || text.len >= find->size)
        return 0;
    for (size_t i = 0; i < text.len; i++)
        find->out[i] = text.ptr[i] >= ' ' && text.ptr[i] < 0x7f ? (char)text.ptr[i] : '?';
    find->out[text.len] = '\0';
    return 0;
}

void remote_xml_find(struct span body, const char *name, char *out, size_t size)
{
    struct find find = {name, out, size};
    struct xml_reader reader = {.arg = &find, .closed = find_closed};
    out[0] = '\0';
    remote_xml_parse(body, NULL, &reader); /* what stood before a cut or a mistake counts */
}
