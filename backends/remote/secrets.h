/* The credentials of a remote store, from a file or the environment, in memory that is locked and wiped.
 *
 * A file has lines `key: value`, as YAML would have it; '#' begins a comment line, quotes around a value are taken off.
 */
#ifndef ARCA_BACKENDS_REMOTE_SECRETS_H
#define ARCA_BACKENDS_REMOTE_SECRETS_H

#include <stddef.h>
#include "backends/settings.h"

#define SECRETS_MAX 4    /* values */
#define SECRET_SIZE 4096 /* bytes of one with its NUL; session tokens are long */

struct secrets {
    char values[SECRETS_MAX][SECRET_SIZE]; /* "" when absent */
};

/* The values of the keys (at most SECRETS_MAX; lower case with '_'), from where the settings say: FILE, or ENVIRONMENT,
 * where access_key_id is PREFIX_ACCESS_KEY_ID. A key of a file that is not among `keys` is refused; a file that others
 * may read is warned of. The caller frees *out. ERR_NOT_FOUND, ERR_IO, ERR_INVALID (no such source; a line that cannot
 * be read), ERR_NOMEM; the reason is logged, without what stands in the line. */
int secrets_load(const struct backend_settings *settings, const char *const *keys, size_t count, struct secrets **out);
struct secrets *secrets_create(void);       /* all empty; NULL when out of memory */
void secrets_free(struct secrets *secrets); /* wipes; NULL is fine */

#endif
