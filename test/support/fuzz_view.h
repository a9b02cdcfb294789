/* A view in a folder of its own, whose rows no run leaves behind. */
#ifndef ARCA_TEST_FUZZ_VIEW_H
#define ARCA_TEST_FUZZ_VIEW_H

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/log.h"
#include "index/lmdb/view.h"

static char fuzz_folder[256];
static struct view *fuzz_the_view;

static inline void fuzz_view_remove(void)
{
    char file[300];
    view_close(fuzz_the_view);
    snprintf(file, sizeof(file), "%s/data.mdb", fuzz_folder);
    unlink(file);
    snprintf(file, sizeof(file), "%s/lock.mdb", fuzz_folder);
    unlink(file);
    rmdir(fuzz_folder);
}

static inline struct view *fuzz_view(void)
{
    if (fuzz_the_view == NULL) {
        const char *tmp = getenv("TMPDIR");
        snprintf(fuzz_folder, sizeof(fuzz_folder), "%s/arca-fuzz-XXXXXX", tmp != NULL ? tmp : "/tmp");
        log_setup(LOG_ERROR, LOG_TEXT);
        if (sodium_init() < 0 || mkdtemp(fuzz_folder) == NULL || view_open(fuzz_folder, 1ULL << 30, &fuzz_the_view) != 0)
            abort();
        atexit(fuzz_view_remove);
    }
    return fuzz_the_view;
}

#endif
