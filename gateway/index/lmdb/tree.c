#include "index/lmdb/tree.h"

#include "base/err.h"
#include "index/lmdb/records.h"

#define LEAF  0
#define CHILD 1

static size_t suffix_size_of(enum table table)
{
    return table == TABLE_UPLOADS ? UPLOAD_ID_SIZE : VERSION_SIZE;
}

int tree_key_valid(struct span key)
{
    if (key.len > TREE_KEY_MAX)
        return ERR_KEY_TOO_LONG;
    return key.len == 0 || memchr(key.ptr, 0, key.len) != NULL ? ERR_INVALID : 0;
}

void tree_version(uint64_t version, uint8_t out[VERSION_SIZE])
{
    be64_put(out, ~version);
}

size_t tree_row_encode(const struct tree_row *row, uint8_t out[TREE_ROW_MAX])
{
    uint8_t *p = out;
    be64_put(p, row->node);
    p += 8;
    if (row->fragment.len != 0)
        memcpy(p, row->fragment.ptr, row->fragment.len);
    p += row->fragment.len;
    *p++ = row->child ? CHILD : LEAF;
    if (row->suffix.len != 0)
        memcpy(p, row->suffix.ptr, row->suffix.len);
    return (size_t)(p - out) + row->suffix.len;
}

int tree_row_decode(struct span bytes, size_t suffix_size, struct tree_row *out)
{
    if (bytes.len < 9 || bytes.len > TREE_ROW_MAX)
        return ERR_CORRUPT;
    struct span rest = span_skip(bytes, 8);
    ptrdiff_t end = span_find_byte(span_take(rest, TREE_FRAGMENT + 1), LEAF);
    *out = (struct tree_row){.node = be64_get(bytes.ptr)};
    if (end >= 0) {
        out->fragment = span_take(rest, (size_t)end);
        out->suffix = span_skip(rest, (size_t)end + 1);
        return out->suffix.len == suffix_size ? 0 : ERR_CORRUPT;
    }
    out->child = true;
    out->fragment = span_take(rest, TREE_FRAGMENT);
    return rest.len == TREE_FRAGMENT + 1 && rest.ptr[TREE_FRAGMENT] == CHILD ? 0 : ERR_CORRUPT;
}

/* --- walking --- */

void tree_cursor_init(struct tree_cursor *cursor, struct txn *txn, enum table table, uint64_t root)
{
    cursor->txn = txn;
    cursor->table = table;
    cursor->suffix_size = suffix_size_of(table);
    cursor->nodes[0] = root;
    cursor->depth = 0;
    cursor->key_len = 0;
    cursor->suffix = cursor->value = SPAN_NONE;
}

/* Raw rows: the LMDB cursor to the first row of at least node | fragment | separator | suffix. */
static int raw_seek(struct tree_cursor *cursor, struct span fragment, uint8_t separator, struct span suffix,
                    struct span *row, struct span *value)
{
    uint8_t bytes[TREE_ROW_MAX];
    size_t len = tree_row_encode(
        &(struct tree_row){.node = cursor->nodes[cursor->depth], .fragment = fragment, .suffix = suffix}, bytes);
    bytes[8 + fragment.len] = separator;
    *row = span_of(bytes, len);
    return txn_seek(cursor->txn, cursor->table, MDB_SET_RANGE, row, value);
}

static int child_id(struct span value, uint64_t *out)
{
    if (value.len != 8)
        return ERR_CORRUPT;
    *out = be64_get(value.ptr);
    return 0;
}

static int descend(struct tree_cursor *cursor, struct span fragment, struct span value)
{
    uint64_t child;
    if (cursor->depth == TREE_DEPTH_MAX || child_id(value, &child) != 0)
        return ERR_CORRUPT;
    memcpy(cursor->key + cursor->depth * TREE_FRAGMENT, fragment.ptr, TREE_FRAGMENT);
    cursor->nodes[++cursor->depth] = child;
    return 0;
}

/* From the raw row that a seek or step found (`rc` is its result) to the leaf that is there, or the first one after it:
 * down into children, up when a node is at its end. */
static int settle(struct tree_cursor *cursor, int rc, struct span row, struct span value)
{
    uint8_t node[8];
    for (;;) {
        if (rc != 0 && rc != ERR_NOT_FOUND)
            return rc;
        be64_put(node, cursor->nodes[cursor->depth]);
        if (rc == ERR_NOT_FOUND || !span_starts(row, span_of(node, 8))) {
            if (cursor->depth == 0)
                return ERR_NOT_FOUND;
            cursor->depth--;
            rc = raw_seek(cursor, span_of(cursor->key + cursor->depth * TREE_FRAGMENT, TREE_FRAGMENT), CHILD + 1,
                          SPAN_NONE, &row, &value);
            continue;
        }
        struct tree_row parts;
        if ((rc = tree_row_decode(row, cursor->suffix_size, &parts)) != 0)
            return rc;
        size_t base = cursor->depth * TREE_FRAGMENT;
        if (!parts.child) {
            if (base + parts.fragment.len > TREE_KEY_MAX)
                return ERR_CORRUPT;
            if (parts.fragment.len != 0)
                memcpy(cursor->key + base, parts.fragment.ptr, parts.fragment.len);
            cursor->key_len = base + parts.fragment.len;
            cursor->suffix = parts.suffix;
            cursor->value = value;
            return 0;
        }
        if ((rc = descend(cursor, parts.fragment, value)) != 0)
            return rc;
        rc = raw_seek(cursor, SPAN_NONE, LEAF, SPAN_NONE, &row, &value);
    }
}

/* Walks down to the node where a key of this length has its leaf. *rest is what is left of the key. When a child on the
 * way does not exist, the cursor stands on the first row after where it would be: ERR_NOT_FOUND, with that row's seek
 * result in *raw_rc. */
static int walk_down(struct tree_cursor *cursor, struct span key, struct span *rest, struct span *row,
                     struct span *value, int *raw_rc)
{
    cursor->depth = 0;
    while (key.len > TREE_FRAGMENT) {
        struct span fragment = span_take(key, TREE_FRAGMENT);
        struct tree_row parts;
        *raw_rc = raw_seek(cursor, fragment, CHILD, SPAN_NONE, row, value);
        if (*raw_rc != 0 || tree_row_decode(*row, cursor->suffix_size, &parts) != 0 || !parts.child ||
            parts.node != cursor->nodes[cursor->depth] || !span_eq(parts.fragment, fragment))
            return ERR_NOT_FOUND;
        int rc = descend(cursor, fragment, *value);
        if (rc != 0)
            return rc;
        key = span_skip(key, TREE_FRAGMENT);
    }
    *rest = key;
    return 0;
}

/* Targets are any bytes. No key has a NUL or more than TREE_KEY_MAX bytes, so that the keys from such a target on are
 * those after what stands before the NUL, or after its first TREE_KEY_MAX bytes. */
static int seek(struct tree_cursor *cursor, struct span key, uint8_t separator, struct span suffix)
{
    struct span rest, row, value;
    int raw_rc;
    ptrdiff_t nul = span_find_byte(key, 0);
    if (nul >= 0 || key.len > TREE_KEY_MAX) {
        key = span_take(key, nul >= 0 && nul < TREE_KEY_MAX ? (size_t)nul : TREE_KEY_MAX);
        separator = CHILD;
        suffix = SPAN_NONE;
    }
    int rc = walk_down(cursor, key, &rest, &row, &value, &raw_rc);
    if (rc == 0)
        raw_rc = raw_seek(cursor, rest, separator, suffix, &row, &value);
    else if (rc != ERR_NOT_FOUND)
        return rc;
    return settle(cursor, raw_rc, row, value);
}

int tree_seek(struct tree_cursor *cursor, struct span key, enum tree_side side)
{
    return seek(cursor, key, side == TREE_AT ? LEAF : CHILD, SPAN_NONE);
}

int tree_seek_suffix(struct tree_cursor *cursor, struct span key, struct span suffix)
{
    suffix = span_take(suffix, cursor->suffix_size);
    int rc = seek(cursor, key, LEAF, suffix);
    while (rc == 0 && span_eq(tree_cursor_key(cursor), key) && span_cmp(cursor->suffix, suffix) <= 0)
        rc = tree_next(cursor);
    return rc;
}

int tree_next(struct tree_cursor *cursor)
{
    struct span row = SPAN_NONE, value = SPAN_NONE;
    int rc = txn_seek(cursor->txn, cursor->table, MDB_NEXT, &row, &value);
    return settle(cursor, rc, row, value);
}

/* --- single rows --- */

int tree_get(struct txn *txn, enum table table, uint64_t root, struct span key, struct span suffix, struct span *found,
             struct span *value)
{
    struct tree_cursor cursor;
    struct span rest, row;
    struct tree_row parts;
    int raw_rc;
    tree_cursor_init(&cursor, txn, table, root);
    int rc = walk_down(&cursor, key, &rest, &row, value, &raw_rc);
    if (rc != 0)
        return rc == ERR_NOT_FOUND && raw_rc != 0 ? raw_rc : rc;
    if ((rc = raw_seek(&cursor, rest, LEAF, suffix, &row, value)) != 0)
        return rc;
    if ((rc = tree_row_decode(row, cursor.suffix_size, &parts)) != 0)
        return rc;
    if (parts.node != cursor.nodes[cursor.depth] || parts.child || !span_eq(parts.fragment, rest) ||
        (suffix.len != 0 && !span_eq(parts.suffix, suffix)))
        return ERR_NOT_FOUND;
    if (found != NULL)
        *found = parts.suffix;
    return 0;
}

int tree_reserve(struct txn *txn, enum table table, uint64_t root, struct span key, struct span suffix, size_t size,
                 uint64_t *next_id, uint8_t **value)
{
    uint8_t row[TREE_ROW_MAX], id[8];
    struct span old;
    uint64_t node = root;
    int rc;
    for (; key.len > TREE_FRAGMENT; key = span_skip(key, TREE_FRAGMENT)) {
        size_t len = tree_row_encode(
            &(struct tree_row){.node = node, .fragment = span_take(key, TREE_FRAGMENT), .child = true}, row);
        rc = txn_get(txn, table, span_of(row, len), &old);
        if (rc == 0) {
            if ((rc = child_id(old, &node)) != 0)
                return rc;
            continue;
        }
        if (rc != ERR_NOT_FOUND)
            return rc;
        node = (*next_id)++;
        be64_put(id, node);
        if ((rc = txn_put(txn, table, span_of(row, len), span_of(id, 8))) != 0)
            return rc;
    }
    size_t len = tree_row_encode(&(struct tree_row){.node = node, .fragment = key, .suffix = suffix}, row);
    return txn_reserve(txn, table, span_of(row, len), size, value);
}

int tree_empty(struct txn *txn, enum table table, uint64_t node, bool *empty)
{
    uint8_t prefix[8];
    be64_put(prefix, node);
    struct span row = span_of(prefix, 8), value;
    int rc = txn_seek(txn, table, MDB_SET_RANGE, &row, &value);
    *empty = rc == ERR_NOT_FOUND || (rc == 0 && !span_starts(row, span_of(prefix, 8)));
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int tree_delete(struct txn *txn, enum table table, uint64_t root, struct span key, struct span suffix)
{
    struct tree_cursor cursor;
    struct span rest, row, value;
    uint8_t bytes[TREE_ROW_MAX];
    int raw_rc;
    tree_cursor_init(&cursor, txn, table, root);
    int rc = walk_down(&cursor, key, &rest, &row, &value, &raw_rc);
    if (rc != 0)
        return rc;
    size_t len = tree_row_encode(
        &(struct tree_row){.node = cursor.nodes[cursor.depth], .fragment = rest, .suffix = suffix}, bytes);
    if ((rc = txn_delete(txn, table, span_of(bytes, len))) != 0)
        return rc;
    for (unsigned depth = cursor.depth; depth > 0; depth--) {
        bool empty;
        if ((rc = tree_empty(txn, table, cursor.nodes[depth], &empty)) != 0 || !empty)
            return rc;
        len = tree_row_encode(&(struct tree_row){.node = cursor.nodes[depth - 1],
                                                 .fragment = span_of(cursor.key + (depth - 1) * TREE_FRAGMENT,
                                                                     TREE_FRAGMENT),
                                                 .child = true},
                              bytes);
        if ((rc = txn_delete(txn, table, span_of(bytes, len))) != 0)
            return rc;
    }
    return 0;
}
