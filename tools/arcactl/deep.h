/* Reads what is stored and verifies every tag of it, as a read by a client would. */
#ifndef ARCA_TOOLS_DEEP_H
#define ARCA_TOOLS_DEEP_H

#include "backends/backend.h"
#include "config/config.h"
#include "crypto/envelope.h"
#include "index/index.h"

struct deep;

/* Opens the keyring; complains and returns NULL if that fails. */
struct deep *deep_open(const struct config *config, struct index *index);
void deep_close(struct deep *deep); /* NULL is fine */

/* ERR_CORRUPT: it does not verify, `why` says how. Other errors: it could not be found out, and that was said. */
int deep_verify(struct deep *deep, struct backend *backend, const struct blob_name *name, const struct locator *locator,
                uint64_t size, const char **why) SUSPENDS;

#endif
