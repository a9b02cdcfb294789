/* Background work, shown again and again until it is over. */
#ifndef ARCA_TOOLS_WATCH_H
#define ARCA_TOOLS_WATCH_H

#include <stdbool.h>
#include "config/config.h"

/* Draws over what it drew on a terminal, prints a line a change elsewhere. `only` NULL: all jobs, for ever; else until
 * that one is over. An arcad that is restarted meanwhile is waited for. An exit status. */
int watch_jobs(const struct config *config, const char *only, bool json);

#endif
