#include "http/head.h"

#include "base/err.h"

static int refuse(int *status, int code)
{
    *status = code;
    return code == 400 ? ERR_SYNTAX : ERR_TOO_LARGE;
}

/* A complete line without its LF. */
static int check_line(const uint8_t *line, size_t length, int *status)
{
    if (length == 0 || line[length - 1] != '\r')
        return refuse(status, 400);
    unsigned bad = 0;
    for (size_t i = 0; i < length - 1; i++)
        bad |= (unsigned)(line[i] < 0x20 && line[i] != '\t') | (unsigned)(line[i] == 0x7f);
    return bad ? refuse(status, 400) : 0;
}

int head_scan(struct head_scan *scan, struct span arrived, int *status)
{
    while (scan->end == 0 && scan->seen < arrived.len) {
        const uint8_t *line = arrived.ptr + scan->line;
        const uint8_t *lf = memchr(arrived.ptr + scan->seen, '\n', arrived.len - scan->seen);
        scan->seen = lf != NULL ? (size_t)(lf - arrived.ptr) + 1 : arrived.len;
        size_t length = scan->seen - scan->line - (lf != NULL);
        if (length > HEAD_LINE_MAX + 1)
            return refuse(status, scan->lines == 0 ? 414 : 431);
        if (scan->seen > HEAD_MAX)
            return refuse(status, 431);
        if (lf == NULL)
            break;
        int rc = check_line(line, length, status);
        if (rc != 0)
            return rc;
        if (length == 1) {
            if (scan->lines == 0)
                return refuse(status, 400);
            scan->end = scan->seen;
        } else if (++scan->lines > HEAD_HEADERS_MAX + 1) {
            return refuse(status, 431);
        }
        scan->line = scan->seen;
    }
    return 0;
}
