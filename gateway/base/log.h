/* The structured log: one line an event, JSON or text, to standard error. Lines are written whole. Nothing secret ever
 * is a field: keys, signatures, secrets and object contents do not go to a log. */
#ifndef ARCA_BASE_LOG_H
#define ARCA_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include "base/span.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

void log_setup(enum log_level level, enum log_format format);
void log_set_level(enum log_level level); /* any thread */
bool log_enabled(enum log_level level);
/* "debug", "info", "warn", "error". ERR_INVALID. */
int log_parse_level(struct span name, enum log_level *out);

/* An event: a fixed short name and a text in words. The request id of the running fiber is added when log_request_id
 * has set one. */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define log_debug(...) log_event(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_event(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_event(LOG_ERROR, __VA_ARGS__)

/* A line with named fields: for the access log. */
struct log_field {
    const char *name;
    struct span text; /* used when ptr is not NULL */
    int64_t number;
};
void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t count);

/* Names the request that the running fiber works for; `id` must outlive the fiber's use of it. NULL ends it. */
void log_request_id(const char *id);

#endif
