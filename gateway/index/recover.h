/* Opening an index: whether its view can be trusted, making it again if not, replaying the journal. */
#ifndef ARCA_INDEX_RECOVER_H
#define ARCA_INDEX_RECOVER_H

#include "index/durable.h"
#include "index/index.h"
#include "index/journal.h"
#include "index/lmdb/records.h"

struct index_paths {
    char root[PATH_SIZE];
    char journal[PATH_SIZE];
    char snapshot[PATH_SIZE];
    char view[PATH_SIZE];
};
int index_paths_init(struct index_paths *paths, const char *root); /* ERR_TOO_LARGE */

struct recovered {
    struct view *view;
    struct journal *journal;
    struct meta meta;
    uint64_t journal_bytes;
};

/* With the folder's lock held and its folders made. Notes on disk that the view is in use. Errors as index_open's. */
int recover(const struct index_options *options, const struct index_paths *paths, struct recovered *out);

/* Notes on disk that the view was synced and left as a whole. */
int recover_mark_clean(const struct index_options *options, const struct index_paths *paths);

#endif
