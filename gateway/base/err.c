#include "base/err.h"
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const texts[] = {
    [0] = "success",
#define X(name, text) [ERR_POSITIVE_##name] = text,
    ERR_TABLE(X)
#undef X
};

static const char *const upper_names[] = {
    [0] = "ok",
#define X(name, text) [ERR_POSITIVE_##name] = #name,
    ERR_TABLE(X)
#undef X
};

#define NAME_SIZE 32
static char names[ERR_POSITIVE_END][NAME_SIZE];

__attribute__((constructor)) static void names_init(void)
{
    for (size_t i = 0; i < ERR_POSITIVE_END; i++) {
        for (size_t j = 0; j + 1 < NAME_SIZE && upper_names[i][j] != '\0'; j++)
            names[i][j] = (char)tolower((unsigned char)upper_names[i][j]);
    }
}

const char *err_text(int err)
{
    return err <= 0 && err > -ERR_POSITIVE_END ? texts[-err] : "unknown error";
}

const char *err_name(int err)
{
    return err <= 0 && err > -ERR_POSITIVE_END ? names[-err] : "unknown";
}

int err_from_errno(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
        return ERR_NOSPC;
    case ENOMEM:
        return ERR_NOMEM;
    case EROFS:
        return ERR_READONLY;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case ECONNRESET:
    case EPIPE:
        return ERR_CLOSED;
    default:
        return ERR_IO;
    }
}

int err_refuse(char *why, size_t why_size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, why_size, format, args);
    va_end(args);
    return ERR_INVALID;
}
