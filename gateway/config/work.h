/* What the files that turn arca.yaml into struct config share: the work in hand, and how each kind of value is read.
 * All complain with file, line and key, and return ERR_INVALID or ERR_NOMEM. */
#ifndef ARCA_CONFIG_WORK_H
#define ARCA_CONFIG_WORK_H

#include "base/arena.h"
#include "config/config.h"
#include "config/config_file.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)

struct work {
    struct document *document;
    const struct config_file *file;
    struct config *config;
    struct arena *arena;
    struct span folder; /* of the file, with its last '/'; empty: the working directory */
    char key[96];       /* the key being looked at, for complaints */
};

/* The key, written to w->key. */
const char *work_key(struct work *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* `text` NULL: the value stays as it is, the default. */
int work_size(struct work *w, const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *out);
int work_duration(struct work *w, const char *name, const char *text, int64_t min, int64_t max, int64_t *out);
int work_copy(struct work *w, const char *text, char **out);
/* Made absolute. */
int work_path(struct work *w, const char *text, char **out);
/* A path that must be a readable file by now. */
int work_file(struct work *w, const char *name, const char *text, char **out);
/* [a-z0-9-]{1,32} */
int work_name(struct work *w, const char *name, const char *text, char **out);

/* --- config_backends.c --- */
int config_backends(struct work *w);
int config_backend_files(struct work *w);

/* --- config_journal.c --- */
int config_journal(struct work *w); /* after the placements */

/* --- labels.c --- */
/* Takes what placement `at` demands, and refuses backends that do not have it. After its backends. */
int config_labels(struct work *w, size_t at);

#endif
