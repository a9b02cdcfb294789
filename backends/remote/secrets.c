#include "secrets.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "base/span.h"

#define FILE_MAX 32768

struct secrets *secrets_create(void)
{
    struct secrets *secrets = sodium_init() >= 0 ? sodium_malloc(sizeof(*secrets)) : NULL;
    if (secrets != NULL)
        memset(secrets, 0, sizeof(*secrets));
    return secrets;
}

void secrets_free(struct secrets *secrets)
{
    sodium_free(secrets);
}

/* --- a file --- */

static bool take_value(struct span value, char out[SECRET_SIZE])
{
    if (value.len >= 2 && (value.ptr[0] == '"' || value.ptr[0] == '\'') && value.ptr[value.len - 1] == value.ptr[0])
        value = span_take(span_skip(value, 1), value.len - 2);
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] <= ' ' || value.ptr[i] >= 0x7f)
            return false;
    }
    if (value.len == 0 || value.len >= SECRET_SIZE || out[0] != '\0')
        return false;
    memcpy(out, value.ptr, value.len);
    out[value.len] = '\0';
    return true;
}

static int take_line(struct span line, const char *const *keys, size_t count, struct secrets *out)
{
    struct span key;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    line = span_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return 0;
    struct span value = span_split(line, ':', &key);
    for (size_t i = 0; i < count; i++) {
        if (span_eq_str(span_trim(key), keys[i]))
            return take_value(span_trim(value), out->values[i]) ? 0 : ERR_INVALID;
    }
    return ERR_INVALID;
}

static int read_file(const char *path, char *text, size_t *length)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    ssize_t n = 1;
    while (n > 0 && *length < FILE_MAX) {
        n = read(fd, text + *length, FILE_MAX - *length);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            *length += (size_t)n;
    }
    if (n == 0 && fstat(fd, &st) == 0 && (st.st_mode & S_IROTH) != 0)
        log_warn("credentials", "%s can be read by everybody on this machine; chmod 600 it", path);
    close(fd);
    return n == 0 ? 0 : n < 0 ? ERR_IO : ERR_TOO_LARGE;
}

static int load_file(const char *path, const char *const *keys, size_t count, struct secrets *out)
{
    char *text = sodium_malloc(FILE_MAX);
    size_t length = 0;
    if (text == NULL)
        return ERR_NOMEM;
    int rc = read_file(path, text, &length);
    if (rc != 0)
        log_error("credentials", "%s cannot be read: %s", path, err_text(rc));
    struct span rest = rc == 0 ? span_of(text, length) : SPAN_NONE;
    for (unsigned number = 1; rc == 0 && rest.len > 0; number++) {
        struct span line;
        rest = span_split(rest, '\n', &line);
        rc = take_line(line, keys, count, out);
        if (rc != 0)
            log_error("credentials", "%s:%u: must be a line `key: value` with a key that is known here, once", path,
                      number);
    }
    sodium_free(text);
    return rc;
}

/* --- the environment --- */

static int load_environment(const char *prefix, const char *const *keys, size_t count, struct secrets *out)
{
    for (size_t i = 0; i < count; i++) {
        char name[128];
        int length = snprintf(name, sizeof(name), "%s_%s", prefix, keys[i]);
        if (length < 0 || (size_t)length >= sizeof(name))
            return ERR_INVALID;
        for (char *c = name + strlen(prefix); *c != '\0'; c++)
            *c = (char)toupper((unsigned char)*c);
        const char *value = getenv(name);
        if (value != NULL && value[0] != '\0' && !take_value(span_str(value), out->values[i])) {
            log_error("credentials", "the variable %s holds what is no credential", name);
            return ERR_INVALID;
        }
    }
    return 0;
}

int secrets_load(const struct backend_settings *settings, const char *const *keys, size_t count, struct secrets **out)
{
    struct secrets *secrets = secrets_create();
    if (secrets == NULL)
        return ERR_NOMEM;
    int rc = ERR_INVALID;
    if (count <= SECRETS_MAX && settings->credentials_from == BACKEND_CREDENTIALS_FILE)
        rc = load_file(settings->credentials, keys, count, secrets);
    else if (count <= SECRETS_MAX && settings->credentials_from == BACKEND_CREDENTIALS_ENVIRONMENT)
        rc = load_environment(settings->credentials, keys, count, secrets);
    if (rc != 0) {
        secrets_free(secrets);
        return rc;
    }
    *out = secrets;
    return 0;
}
