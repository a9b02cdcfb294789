/* What the files of this room share about an open index. */
#ifndef ARCA_INDEX_PRIVATE_H
#define ARCA_INDEX_PRIVATE_H

#include "index/index.h"
#include "index/lmdb/view.h"

struct index_paths;

struct view *index_view(struct index *index);
const struct index_paths *index_paths(const struct index *index);

#endif
