/* The credentials file: who exists. A YAML list of entries with name, access_key, secret_key, user_id, display_name. */
#ifndef ARCA_AUTH_CREDENTIALS_H
#define ARCA_AUTH_CREDENTIALS_H

#include <stddef.h>
#include "base/span.h"

struct credential {
    char *name;
    char *access_key;   /* 3..128 characters of A-Z a-z 0-9 and the like, unique */
    char *secret_key;   /* sodium_malloc'd; 8..256 characters */
    char *user_id;      /* the canonical user id that owners are shown as */
    char *display_name;
};

/* An immutable, reference-counted set; a reload makes a new one while requests finish with the old. */
struct credentials;

/* ERR_NOT_FOUND, ERR_INVALID (file, line and key are logged and written to `why`), ERR_NOMEM. A file that others can read
 * is accepted with a warning. */
int credentials_load(const char *path, char *why, size_t why_size, struct credentials **out);
struct credentials *credentials_ref(struct credentials *credentials);
void credentials_unref(struct credentials *credentials);
/* NULL when there is none. */
const struct credential *credentials_find(const struct credentials *credentials, struct span access_key);
size_t credentials_count(const struct credentials *credentials);

#endif
