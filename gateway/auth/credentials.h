/* The credentials file: who exists. A YAML list of entries with name, access_key, secret_key, user_id, display_name. */
#ifndef ARCA_AUTH_CREDENTIALS_H
#define ARCA_AUTH_CREDENTIALS_H

#include <stddef.h>
#include "base/span.h"

struct credential {
    char *name;         /* unique */
    char *access_key;   /* 3..128 characters of A-Z a-z 0-9 - . _ ~ @ +, unique */
    char *secret_key;   /* in the set's sodium_malloc'd memory; 8..256 characters */
    char *user_id;      /* the canonical user id that owners are shown as; several keys may belong to one user */
    char *display_name; /* when absent: the name */
};

/* An immutable, reference-counted set; a reload makes a new one while requests finish with the old. */
struct credentials;

/* 1..4096 entries. ERR_NOT_FOUND, ERR_IO, ERR_INVALID, ERR_NOMEM: `why` has "FILE:LINE: KEY: what is wrong and what to
 * do". A file that others can read is accepted with a warning in the log. */
int credentials_load(const char *path, char *why, size_t why_size, struct credentials **out);
struct credentials *credentials_ref(struct credentials *credentials);
void credentials_unref(struct credentials *credentials);
/* NULL when there is none. */
const struct credential *credentials_find(const struct credentials *credentials, struct span access_key);
size_t credentials_count(const struct credentials *credentials);

#endif
