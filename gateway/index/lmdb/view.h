/* The view: one LMDB environment with the index's tables. It is never synced while the daemon runs; what makes it safe
 * is the journal. Here are its transactions and nothing of what the rows mean. */
#ifndef ARCA_INDEX_LMDB_VIEW_H
#define ARCA_INDEX_LMDB_VIEW_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/span.h"

#define VIEW_FORMAT 2

/* The names are stored: a table can be added, never renamed. Keys are described in ../README.md. */
#define TABLES(X)                                                                                                     \
    X(META, "meta")                                                                                                   \
    X(BUCKETS, "buckets")                                                                                             \
    X(BUCKET_IDS, "bucket_ids")                                                                                       \
    X(KEYS, "keys")                                                                                                   \
    X(OBJECTS, "objects")                                                                                             \
    X(UPLOADS, "uploads")                                                                                             \
    X(COMPLETED, "completed")                                                                                         \
    X(COMPLETED_TIMES, "completed_times")                                                                             \
    X(PARTS, "parts")                                                                                                 \
    X(MANIFESTS, "manifests")                                                                                         \
    X(BLOBS, "blobs")                                                                                                 \
    X(REPLICAS, "replicas")                                                                                           \
    X(GARBAGE, "garbage")                                                                                             \
    X(LEASES, "leases")                                                                                               \
    X(REPAIRS, "repairs")                                                                                             \
    X(REPAIR_TIMES, "repair_times")                                                                                   \
    X(PLACEMENTS, "placements")                                                                                       \
    X(HOLDINGS, "holdings")                                                                                           \
    X(JOBS, "jobs")

enum table {
#define X(id, name) TABLE_##id,
    TABLES(X)
#undef X
    TABLE_COUNT
};

const char *table_name(enum table table);

struct view;

/* One transaction. Cursors are opened on first use and, in readers, kept. */
struct txn {
    struct view *view;
    MDB_txn *mdb;
    MDB_cursor *cursors[TABLE_COUNT];
    bool live[TABLE_COUNT]; /* the cursor belongs to the present transaction */
    bool own;               /* freed when it ends */
    bool touched;           /* wrote a row; cleared by who cares */
};

/* `path` is a folder that exists. If `map_size` cannot be mapped, less is. ERR_CORRUPT, ERR_IO, ERR_NOSPC,
 * ERR_NOMEM. */
int view_open(const char *path, uint64_t map_size, struct view **out);
/* After the last transaction. NULL is fine. */
void view_close(struct view *view);
/* Forces all pages to stable storage. */
int view_sync(struct view *view);
/* A compacted copy, consistent as of one moment, into the empty folder `path`. Any thread; blocks no writer. */
int view_copy(struct view *view, const char *path);
uint64_t view_used(const struct view *view); /* bytes */

/* A reader. On a loop's thread it is the loop's own, so that only one can be open there at a time. */
int view_read(struct view *view, struct txn **out);
void view_read_end(struct txn *txn);

/* The writer: from one thread only. txn_commit ends the transaction, whatever it returns. */
int view_write(struct view *view, struct txn *txn);
int txn_commit(struct txn *txn);
void txn_abort(struct txn *txn);

/* Values point into the map: valid until the next change or the end of the transaction. ERR_NOT_FOUND. */
int txn_get(struct txn *txn, enum table table, struct span key, struct span *value);
int txn_put(struct txn *txn, enum table table, struct span key, struct span value);
/* Makes room for a value of `size` bytes and says where; to be filled before the next change. */
int txn_reserve(struct txn *txn, enum table table, struct span key, size_t size, uint8_t **value);
int txn_delete(struct txn *txn, enum table table, struct span key); /* ERR_NOT_FOUND */
uint64_t txn_count(struct txn *txn, enum table table);

/* The transaction's cursor of a table. */
int txn_cursor(struct txn *txn, enum table table, MDB_cursor **out);
/* Moves the table's cursor: MDB_FIRST, MDB_NEXT, or MDB_SET_RANGE with *key as the least key wanted. ERR_NOT_FOUND. */
int txn_seek(struct txn *txn, enum table table, MDB_cursor_op op, struct span *key, struct span *value);

/* LMDB's result as ours. */
int view_error(int mdb_rc);

#endif
