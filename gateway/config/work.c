#include "config/work.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"

const char *work_key(struct work *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(w->key, sizeof(w->key), format, args);
    va_end(args);
    return w->key;
}

struct unit {
    const char *name;
    uint64_t factor;
};
static const struct unit sizes[] = {{"B", 1}, {"KiB", KIB}, {"MiB", MIB}, {"GiB", 1ULL << 30}, {"TiB", 1ULL << 40}};
static const struct unit durations[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

static int parse_units(const char *text, const struct unit *units, size_t unit_count, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number;

    if (span_to_u64(span_of(text, digits), &number) != 0)
        return ERR_INVALID;
    if (number == 0 && text[digits] == '\0') { /* nothing is nothing of any unit */
        *out = 0;
        return 0;
    }
    for (size_t i = 0; i < unit_count; i++) {
        if (strcmp(text + digits, units[i].name) == 0)
            return __builtin_mul_overflow(number, units[i].factor, out) ? ERR_INVALID : 0;
    }
    return ERR_INVALID;
}

int work_size(struct work *w, const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t value;

    if (text == NULL)
        return 0;
    if (parse_units(text, sizes, sizeof(sizes) / sizeof(*sizes), &value) != 0)
        return document_refuse(w->document, name, "must be a size such as 512KiB, 256MiB or 1GiB, not '%s'", text);
    if (value < min || value > max)
        return document_refuse(w->document, name, "must be from %llu KiB to %llu KiB, not '%s'",
                               (unsigned long long)(min / KIB), (unsigned long long)(max / KIB), text);
    *out = value;
    return 0;
}

int work_duration(struct work *w, const char *name, const char *text, int64_t min, int64_t max, int64_t *out)
{
    uint64_t value;

    if (text == NULL)
        return 0;
    if (parse_units(text, durations, sizeof(durations) / sizeof(*durations), &value) != 0)
        return document_refuse(w->document, name, "must be a duration such as 500ms, 10s, 15m, 1h or 7d, not '%s'",
                               text);
    if (value < (uint64_t)min || value > (uint64_t)max)
        return document_refuse(w->document, name, "must be from %lld ms to %lld ms, not '%s'", (long long)min,
                               (long long)max, text);
    *out = (int64_t)value;
    return 0;
}

int work_copy(struct work *w, const char *text, char **out)
{
    *out = arena_strdup(w->arena, span_str(text));
    return *out != NULL ? 0 : ERR_NOMEM;
}

int work_path(struct work *w, const char *text, char **out)
{
    struct span folder = text[0] == '/' ? SPAN_NONE : w->folder;

    *out = arena_printf(w->arena, "%.*s%s", SPAN_FMT(folder), text);
    return *out != NULL ? 0 : ERR_NOMEM;
}

int work_file(struct work *w, const char *name, const char *text, char **out)
{
    struct stat st;
    int rc = work_path(w, text, out);

    if (rc != 0)
        return rc;
    if (stat(*out, &st) != 0 || access(*out, R_OK) != 0)
        return document_refuse(w->document, name, "%s cannot be read: %s", *out, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return document_refuse(w->document, name, "%s is a folder; name a file", *out);
    return 0;
}

int work_name(struct work *w, const char *name, const char *text, char **out)
{
    if (strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(text))
        return document_refuse(w->document, name, "may have a-z, 0-9 and '-' only, not '%s'", text);
    return work_copy(w, text, out);
}
