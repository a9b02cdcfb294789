/* Asking the arcad that runs with a configuration, over its control socket. */
#ifndef ARCA_TOOLS_CONTROL_H
#define ARCA_TOOLS_CONTROL_H

#include <jansson.h>
#include "config/config.h"

/* GET, or POST with `body` (NULL: an empty one; it is taken over). *out is the answer, the caller's. When it fails,
 * `why` says what is wrong and what to do: ERR_UNAVAILABLE (arcad does not run or does not answer), ERR_DENIED (its
 * socket is another user's), ERR_INVALID (it refused), ERR_NOMEM. */
int control_get(const struct config *config, const char *path, json_t **out, char *why, size_t why_size);
int control_post(const struct config *config, const char *path, json_t *body, json_t **out, char *why, size_t why_size);

/* BEFORE, the encoded name and BEHIND as a path; NULL when out of memory. The caller frees it. */
char *control_path(const char *before, const char *name, const char *behind);

/* A text or number of an answer; "" or 0 without it. */
const char *control_text(const json_t *object, const char *key);
uint64_t control_number(const json_t *object, const char *key);

#endif
