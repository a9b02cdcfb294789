/* The driver for stores that know signature version 2 only, such as older appliances: Debian's libs3, on threads of its own. */
#ifndef ARCA_BACKENDS_LIBS3_LIBS3_H
#define ARCA_BACKENDS_LIBS3_LIBS3_H

#include "backends/backend.h"
#include "backends/settings.h"

/* ERR_INVALID (a setting that is missing, wrong, or more than libs3 can do), ERR_NOT_FOUND, ERR_IO (its files), ERR_NOMEM;
 * logged. */
int libs3_open(const struct backend_settings *settings, struct backend **out);

#endif
