/* What the files of this room share about an open index. */
#ifndef ARCA_INDEX_PRIVATE_H
#define ARCA_INDEX_PRIVATE_H

#include "index/index.h"
#include "index/lmdb/view.h"

struct view *index_view(struct index *index);

#endif
