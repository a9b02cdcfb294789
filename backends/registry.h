/* The drivers by name. */
#ifndef ARCA_BACKENDS_REGISTRY_H
#define ARCA_BACKENDS_REGISTRY_H

#include "backends/backend.h"
#include "backends/settings.h"

/* Opens a backend with the driver that its settings name. May block; a remote store is not asked anything yet.
 * ERR_INVALID (no such driver, a setting that is missing or wrong) and what the driver says; the reason is logged. */
int backend_open(const struct backend_settings *settings, struct backend **out);

#endif
