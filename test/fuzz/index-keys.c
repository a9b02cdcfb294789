/* Row keys of the trees: what decodes encodes to the same bytes; and the input as keys, separated by NUL: stored, walked in
 * byte order, found and removed again without a trace. */
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "fuzz_view.h"
#include "index/lmdb/records.h"
#include "index/lmdb/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOT 1
#define KEYS 64

static void decode(struct span bytes, size_t suffix_size)
{
    struct tree_row row;
    uint8_t again[TREE_ROW_MAX];
    if (tree_row_decode(bytes, suffix_size, &row) == 0 &&
        !span_eq(bytes, span_of(again, tree_row_encode(&row, again))))
        abort();
}

static size_t store(struct txn *txn, struct span input, struct span keys[KEYS])
{
    static const uint8_t version[VERSION_SIZE] = "version";
    uint64_t next_id = ROOT + 1;
    size_t count = 0;
    while (input.ptr != NULL && input.len != 0 && count < KEYS) {
        struct span key, value;
        uint8_t *place;
        input = span_split(input, 0, &key);
        if (tree_key_valid(key) != 0 ||
            tree_get(txn, TABLE_OBJECTS, ROOT, key, SPAN_NONE, NULL, &value) != ERR_NOT_FOUND)
            continue;
        if (tree_reserve(txn, TABLE_OBJECTS, ROOT, key, span_of(version, sizeof(version)), 1, &next_id, &place) != 0)
            abort();
        *place = 'v';
        keys[count++] = key;
    }
    return count;
}

static void walk(struct txn *txn, size_t count, struct span target)
{
    struct tree_cursor cursor;
    uint8_t before[TREE_KEY_MAX];
    size_t before_len = 0, seen = 0;
    tree_cursor_init(&cursor, txn, TABLE_OBJECTS, ROOT);
    int rc = tree_seek(&cursor, SPAN_NONE, TREE_AT);
    for (; rc == 0; rc = tree_next(&cursor), seen++) {
        if (span_cmp(tree_cursor_key(&cursor), span_of(before, before_len)) <= 0)
            abort();
        before_len = cursor.key_len;
        memcpy(before, cursor.key, before_len);
    }
    if (rc != ERR_NOT_FOUND || seen != count)
        abort();
    if (tree_seek(&cursor, target, TREE_AT) == 0 && span_cmp(tree_cursor_key(&cursor), target) < 0)
        abort();
    if (tree_seek(&cursor, target, TREE_AFTER) == 0 && span_cmp(tree_cursor_key(&cursor), target) <= 0)
        abort();
}

static void erase(struct txn *txn, const struct span *keys, size_t count)
{
    static const uint8_t version[VERSION_SIZE] = "version";
    for (size_t i = 0; i < count; i++) {
        struct span value;
        if (tree_get(txn, TABLE_OBJECTS, ROOT, keys[i], SPAN_NONE, NULL, &value) != 0 || value.len != 1 ||
            tree_delete(txn, TABLE_OBJECTS, ROOT, keys[i], span_of(version, sizeof(version))) != 0)
            abort();
    }
    if (txn_count(txn, TABLE_OBJECTS) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_of(data, size), keys[KEYS];
    struct txn txn;
    decode(input, VERSION_SIZE);
    decode(input, UPLOAD_ID_SIZE);
    if (view_write(fuzz_view(), &txn) != 0)
        abort();
    size_t count = store(&txn, input, keys);
    walk(&txn, count, span_take(input, size / 2));
    erase(&txn, keys, count);
    txn_abort(&txn);
    return 0;
}
