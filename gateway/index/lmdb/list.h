/* Listing of a tree as S3 defines it: prefix, delimiter, common prefixes, start-after. Skips what is below a common
 * prefix with one seek, so that it costs as much as what it returns. */
#ifndef ARCA_INDEX_LMDB_LIST_H
#define ARCA_INDEX_LMDB_LIST_H

#include "base/arena.h"
#include "index/index.h"
#include "index/lmdb/tree.h"

/* The newest versions of objects. ERR_CORRUPT, ERR_NOMEM. */
int list_objects(struct txn *txn, const struct index_list_query *query, struct arena *arena, struct index_listing *out);
/* All unfinished uploads, by key, then id. */
int list_uploads(struct txn *txn, const struct index_list_query *query, struct arena *arena, struct index_listing *out);

#endif
