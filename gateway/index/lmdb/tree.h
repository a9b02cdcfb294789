/* Keys of up to 1,024 bytes in LMDB, whose own keys end at 511, in byte order. A row's key is a node's id and a
 * fragment:
 *
 *     node (8, BE) | rest of the key | 00 | suffix            a leaf
 *     node (8, BE) | TREE_FRAGMENT bytes of the key | 01      a longer key's beginning; the value is the child's node
 *
 * Keys hold no NUL, so that 00 ends the shorter key before all its continuations. The suffix tells rows of one key
 * apart: the inverted version (8 bytes, newest first) in the objects' table, the upload id (16) in the uploads'. */
#ifndef ARCA_INDEX_LMDB_TREE_H
#define ARCA_INDEX_LMDB_TREE_H

#include <stdint.h>
#include "index/lmdb/view.h"

#define TREE_KEY_MAX    1024
#define TREE_SUFFIX_MAX 16
#define TREE_ROW_MAX    511 /* LMDB's limit as compiled by default */
#define TREE_FRAGMENT   (TREE_ROW_MAX - 8 - 1 - TREE_SUFFIX_MAX)
#define TREE_DEPTH_MAX  (TREE_KEY_MAX / TREE_FRAGMENT + 1)

#define VERSION_SIZE 8

/* 0, ERR_KEY_TOO_LONG, or ERR_INVALID (empty or with a NUL). */
int tree_key_valid(struct span key);

/* A row's key, in parts. */
struct tree_row {
    uint64_t node;
    struct span fragment; /* of the key */
    struct span suffix;   /* of a leaf */
    bool child;           /* the value is a node id */
};
size_t tree_row_encode(const struct tree_row *row, uint8_t out[TREE_ROW_MAX]);
/* ERR_CORRUPT. The spans point into `bytes`. */
int tree_row_decode(struct span bytes, size_t suffix_size, struct tree_row *out);

void tree_version(uint64_t version, uint8_t out[VERSION_SIZE]);

/* A place among the leaves below a root node, in key order. */
struct tree_cursor {
    struct txn *txn;
    enum table table;
    size_t suffix_size;
    uint64_t nodes[TREE_DEPTH_MAX + 1];
    unsigned depth;                      /* nodes[depth] is where the cursor is */
    uint8_t key[TREE_KEY_MAX + TREE_FRAGMENT];
    size_t key_len;
    struct span suffix;                  /* these two until the next change or the transaction's end */
    struct span value;
};

void tree_cursor_init(struct tree_cursor *cursor, struct txn *txn, enum table table, uint64_t root);
static inline struct span tree_cursor_key(const struct tree_cursor *cursor)
{
    return span_of(cursor->key, cursor->key_len);
}

/* To the first leaf whose key is at least `key` (TREE_AT), or greater (TREE_AFTER). ERR_NOT_FOUND past the last;
 * ERR_CORRUPT. */
enum tree_side { TREE_AT, TREE_AFTER };
int tree_seek(struct tree_cursor *cursor, struct span key, enum tree_side side);
/* To the first leaf of `key` with a suffix greater than `suffix`, or of a greater key. */
int tree_seek_suffix(struct tree_cursor *cursor, struct span key, struct span suffix);
int tree_next(struct tree_cursor *cursor);

/* The row of (key, suffix); a key's first row when `suffix` is empty, and then *found has its suffix. ERR_NOT_FOUND. */
int tree_get(struct txn *txn, enum table table, uint64_t root, struct span key, struct span suffix, struct span *found,
             struct span *value);
/* Makes a row and says where its value of `size` bytes goes; child nodes on the way are made with ids from *next_id. */
int tree_reserve(struct txn *txn, enum table table, uint64_t root, struct span key, struct span suffix, size_t size,
                 uint64_t *next_id, uint8_t **value);
/* Removes a row, and the nodes that become empty by it. ERR_NOT_FOUND. */
int tree_delete(struct txn *txn, enum table table, uint64_t root, struct span key, struct span suffix);
/* Whether the node has no rows. */
int tree_empty(struct txn *txn, enum table table, uint64_t node, bool *empty);

#endif
