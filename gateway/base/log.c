#include "base/log.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/loop_private.h"
#include "base/text.h"

#define LINE_SIZE 16384 /* an access log line with a key of 1024 bytes, each escaped, fits */
#define RESERVE   64    /* what ends a line always fits */
#define ID_SIZE   64    /* the field of the request id, in a line that is full otherwise */

static atomic_int level_now = LOG_INFO;
static atomic_int format_now = LOG_TEXT;

static const char *const names[] = {"debug", "info", "warn", "error"};
static const char *const upper_names[] = {"DEBUG", "INFO", "WARN", "ERROR"};

void log_setup(enum log_level level, enum log_format format)
{
    atomic_store(&level_now, level);
    atomic_store(&format_now, format);
}

void log_set_level(enum log_level level)
{
    atomic_store(&level_now, level);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&level_now, memory_order_relaxed);
}

int log_parse_level(struct span name, enum log_level *out)
{
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (span_eq_str(name, names[i])) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return ERR_INVALID;
}

void log_request_id(const char *id)
{
    *fiber_request_id() = id;
}

struct line {
    size_t len;
    char text[LINE_SIZE];
};

static bool room(const struct line *line, size_t bytes)
{
    return line->len + bytes + RESERVE <= sizeof(line->text);
}

static void put(struct line *line, const char *text, size_t length)
{
    memcpy(line->text + line->len, text, length);
    line->len += length;
}

static void put_str(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* The escape for an ASCII byte that cannot stand for itself in a quoted text, or NULL. */
static const char *escape(uint8_t c, char hex[8])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (c >= 0x20 && c != 0x7f)
            return NULL;
        snprintf(hex, 8, "\\u%04x", c);
        return hex;
    }
}

/* Any bytes, as the inside of a JSON string: what is not UTF-8 becomes U+FFFD. A line that has no more than `spared`
 * bytes left takes no more. */
static void put_escaped(struct line *line, struct span s, size_t spared)
{
    char hex[8];
    while (s.len > 0) {
        size_t length = text_utf8_length(s);
        const char *escaped = length == 0 ? "\xef\xbf\xbd" : length == 1 ? escape(s.ptr[0], hex) : NULL;
        if (!room(line, 8 + spared)) {
            put_str(line, "...");
            return;
        }
        if (escaped != NULL)
            put_str(line, escaped);
        else
            put(line, (const char *)s.ptr, length);
        s = span_skip(s, length > 0 ? length : 1);
    }
}

static bool plain(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f || s.ptr[i] == '"' || s.ptr[i] == '\\' || s.ptr[i] == '=')
            return false;
    }
    return s.len > 0;
}

static void put_number(struct line *line, int64_t number)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%lld", (long long)number);
    put_str(line, digits);
}

/* ,"name":"value" or  name=value; nothing if the line is full. */
static void put_field(struct line *line, bool json, const struct log_field *field)
{
    size_t name_length = strlen(field->name);
    if (!room(line, name_length + 32 + ID_SIZE))
        return;
    put_str(line, json ? ",\"" : " ");
    put(line, field->name, name_length);
    put_str(line, json ? "\":" : "=");
    if (field->text.ptr == NULL) {
        put_number(line, field->number);
        return;
    }
    bool quoted = json || !plain(field->text);
    if (quoted)
        put_str(line, "\"");
    put_escaped(line, field->text, ID_SIZE);
    if (quoted)
        put_str(line, "\"");
}

static void begin(struct line *line, bool json, enum log_level level, const char *event)
{
    char now[CLOCK_ISO_SIZE];
    clock_iso(clock_wall_ms(), now);
    line->len = 0;
    put_str(line, json ? "{\"time\":\"" : "");
    put_str(line, now);
    put_str(line, json ? "\",\"level\":\"" : " ");
    put_str(line, json ? names[level] : upper_names[level]);
    put_str(line, json ? "\",\"event\":\"" : " ");
    put_escaped(line, span_take(span_str(event), 64), ID_SIZE);
    put_str(line, json ? "\"" : ":");
}

/* One write a line: the kernel keeps lines of several threads apart. What cannot be written is lost. */
static void end(struct line *line, bool json)
{
    const char *id = *fiber_request_id();
    if (id != NULL) {
        put_str(line, json ? ",\"request_id\":\"" : " request_id=");
        put_escaped(line, span_take(span_str(id), 32), 0);
        put_str(line, json ? "\"" : "");
    }
    put_str(line, json ? "}\n" : "\n");
    ssize_t written = write(STDERR_FILENO, line->text, line->len);
    (void)written;
}

/* No fiber is left while a line is made, so one line a thread is enough. */
static __thread struct line line_of_thread;

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char words[4096];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    size_t kept = length < 0 ? 0 : (size_t)length < sizeof(words) ? (size_t)length : sizeof(words) - 1;

    bool json = atomic_load_explicit(&format_now, memory_order_relaxed) == LOG_JSON;
    struct line *line = &line_of_thread;
    begin(line, json, level, event);
    put_str(line, json ? ",\"message\":\"" : " ");
    put_escaped(line, span_of(words, kept), ID_SIZE);
    put_str(line, json ? "\"" : "");
    end(line, json);
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
    if (!log_enabled(level))
        return;
    bool json = atomic_load_explicit(&format_now, memory_order_relaxed) == LOG_JSON;
    struct line *line = &line_of_thread;
    begin(line, json, level, event);
    for (size_t i = 0; i < count; i++)
        put_field(line, json, &fields[i]);
    end(line, json);
}
