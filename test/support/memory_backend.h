/* A backend in memory, for tests: the smallest driver there is. */
#ifndef ARCA_TEST_MEMORY_BACKEND_H
#define ARCA_TEST_MEMORY_BACKEND_H

#include "backends/backend.h"

/* What was stored at a place (any text) is there again when it is opened again, in this process. ERR_NOMEM. */
int memory_open(const char *name, const char *place, struct backend **out);
/* Forgets all places. None is open. */
void memory_forget(void);

#endif
