#include "store/ship/piece.h"

#include <string.h>
#include "base/byteorder.h"
#include "base/err.h"

#define MAGIC  "ARCASHIP"
#define FORMAT 1

enum {
    AT_MAGIC = 0,
    AT_FORMAT = 8,
    AT_KIND = 12,
    AT_RANK = 16,
    AT_ZERO = 20,
    AT_FILE = 24,
    AT_OFFSET = 32,
    AT_LENGTH = 40,
    AT_SIZE = 48,
    AT_FIRST = 56,
    AT_LAST = 64,
    AT_TIME = 72,
    AT_BEFORE = 80,
    AT_AFTER = 112,
    AT_SHIPPED = 144,
    AT_RESERVED = 152
};

/* --- the header --- */

void piece_encode(const struct piece *piece, uint8_t out[PIECE_HEADER_SIZE])
{
    memset(out, 0, PIECE_HEADER_SIZE);
    memcpy(out + AT_MAGIC, MAGIC, 8);
    be32_put(out + AT_FORMAT, FORMAT);
    be32_put(out + AT_KIND, piece->kind);
    be32_put(out + AT_RANK, piece->rank);
    be64_put(out + AT_FILE, piece->file);
    be64_put(out + AT_OFFSET, piece->offset);
    be64_put(out + AT_LENGTH, piece->length);
    be64_put(out + AT_SIZE, piece->size);
    be64_put(out + AT_FIRST, piece->first);
    be64_put(out + AT_LAST, piece->last);
    be64_put(out + AT_TIME, (uint64_t)piece->time_ms);
    be64_put(out + AT_SHIPPED, piece->shipped);
    memcpy(out + AT_BEFORE, piece->before, INDEX_HASH_SIZE);
    memcpy(out + AT_AFTER, piece->after, INDEX_HASH_SIZE);
}

static bool journal_valid(const struct piece *piece)
{
    /* A piece that does not begin its segment has records before it. */
    return piece->size == 0 && piece->file != 0 && piece->first >= piece->file && piece->last >= piece->first &&
           (piece->offset == 0) == (piece->first == piece->file);
}

static bool snapshot_valid(const struct piece *piece)
{
    return piece->rank == 0 && piece->shipped == 0 && piece->first == piece->file && piece->last == piece->file &&
           piece->size >= piece->length && piece->offset <= piece->size - piece->length &&
           memcmp(piece->before, piece->after, INDEX_HASH_SIZE) == 0;
}

int piece_decode(struct span bytes, struct piece *out)
{
    static const uint8_t zero[PIECE_HEADER_SIZE - AT_RESERVED];
    if (bytes.len < PIECE_HEADER_SIZE || memcmp(bytes.ptr + AT_MAGIC, MAGIC, 8) != 0)
        return ERR_CORRUPT;
    if (be32_get(bytes.ptr + AT_FORMAT) != FORMAT)
        return ERR_FORMAT;
    if (be32_get(bytes.ptr + AT_ZERO) != 0 || memcmp(bytes.ptr + AT_RESERVED, zero, sizeof(zero)) != 0)
        return ERR_CORRUPT;
    *out = (struct piece){
        .kind = (enum piece_kind)be32_get(bytes.ptr + AT_KIND),
        .rank = be32_get(bytes.ptr + AT_RANK),
        .file = be64_get(bytes.ptr + AT_FILE),
        .offset = be64_get(bytes.ptr + AT_OFFSET),
        .length = be64_get(bytes.ptr + AT_LENGTH),
        .size = be64_get(bytes.ptr + AT_SIZE),
        .first = be64_get(bytes.ptr + AT_FIRST),
        .last = be64_get(bytes.ptr + AT_LAST),
        .time_ms = (int64_t)be64_get(bytes.ptr + AT_TIME),
        .shipped = be64_get(bytes.ptr + AT_SHIPPED),
    };
    memcpy(out->before, bytes.ptr + AT_BEFORE, INDEX_HASH_SIZE);
    memcpy(out->after, bytes.ptr + AT_AFTER, INDEX_HASH_SIZE);
    if (out->length == 0 || out->length > PIECE_MAX || out->offset > INT64_MAX - PIECE_MAX || out->last == UINT64_MAX)
        return ERR_CORRUPT;
    bool valid = out->kind == PIECE_JOURNAL    ? journal_valid(out)
                 : out->kind == PIECE_SNAPSHOT ? snapshot_valid(out)
                                               : false;
    return valid ? 0 : ERR_CORRUPT;
}

/* --- sealing --- */

size_t piece_block_size(enum envelope_suite suite, size_t room)
{
    return (size_t)envelope_extent_size(suite, PIECE_HEADER_SIZE + room);
}

/* At the block's end: while segments move to their places in front of it, none reaches what was not moved yet. */
uint8_t *piece_plain(const struct block *block, enum envelope_suite suite, size_t room)
{
    return block->data + piece_block_size(suite, room) - PIECE_HEADER_SIZE - room;
}

int piece_seal(const struct bucket_key *journal_key, enum envelope_suite suite, const struct blob_name *name,
               const struct piece *piece, size_t room, struct block *block)
{
    uint8_t *plain = piece_plain(block, suite, room);
    size_t left = PIECE_HEADER_SIZE + (size_t)piece->length;
    struct extent_sealer sealer;
    struct data_key *key;
    uint8_t wrapped[WRAPPED_KEY_SIZE];
    piece_encode(piece, plain);
    int rc = data_key_create(journal_key, suite, name->bytes, wrapped, &key);
    if (rc != 0)
        return rc;
    rc = extent_seal_begin(&sealer, key, name_number(name), block->data);
    data_key_free(key);
    if (rc != 0)
        return rc;
    block->length = (size_t)envelope_extent_size(suite, left);
    for (uint64_t n = 0; left > 0; n++) {
        size_t take = left < ENVELOPE_SEGMENT ? left : ENVELOPE_SEGMENT;
        memmove(block->data + envelope_segment_offset(suite, n), plain, take);
        plain += take;
        left -= take;
        extent_seal_segment(&sealer, take, left == 0);
    }
    extent_seal_end(&sealer);
    return 0;
}

/* --- opening --- */

uint64_t piece_head_size(uint64_t stored)
{
    uint64_t head = ENVELOPE_HEADER_SIZE + ENVELOPE_SEGMENT + ENVELOPE_TAG_MAX;
    return stored < head ? stored : head;
}

/* Decrypts the segments that `length` holds as a whole, and moves their plaintexts together. */
static int open_segments(struct extent_opener *opener, uint8_t *bytes, uint64_t stored, uint64_t length,
                         uint64_t *plain)
{
    *plain = 0;
    for (uint64_t n = 0; n < opener->segments; n++) {
        uint64_t start = envelope_segment_offset(opener->suite, n);
        uint64_t end = n + 1 < opener->segments ? envelope_segment_offset(opener->suite, n + 1) : stored;
        if (end > length)
            break;
        int rc = extent_open_segment(opener, n, bytes + start, (size_t)(end - start));
        if (rc != 0)
            return rc;
        size_t got = (size_t)(end - start) - envelope_tag_size(opener->suite);
        memmove(bytes + *plain, bytes + start, got);
        *plain += got;
    }
    return 0;
}

static int open_key(struct keyring *keyring, const struct envelope_header *header, struct data_key **out)
{
    uint8_t id[KEYRING_ID_SIZE];
    struct bucket_key *journal_key;
    keyring_id(keyring, id);
    if (memcmp(id, header->keyring_id, sizeof(id)) != 0)
        return ERR_WRONG_KEY;
    if (header->bucket_key_id > UINT32_MAX)
        return ERR_CORRUPT;
    int rc = journal_key_open(keyring, (uint32_t)header->bucket_key_id, &journal_key);
    if (rc != 0)
        return rc;
    rc =
        data_key_open(journal_key, header->suite, header->blob_id, span_of(header->wrapped_key, WRAPPED_KEY_SIZE), out);
    bucket_key_free(journal_key);
    return rc == ERR_WRONG_KEY ? ERR_CORRUPT : rc;
}

int piece_open(struct keyring *keyring, const struct blob_name *name, uint64_t stored, uint8_t *bytes, uint64_t length,
               struct piece *out, struct span *content)
{
    struct envelope_header header;
    struct extent_opener opener;
    struct data_key *key;
    uint64_t plain;
    int rc = envelope_parse_header(
        span_of(bytes, length < ENVELOPE_HEADER_SIZE ? (size_t)length : ENVELOPE_HEADER_SIZE), &header);
    if (rc != 0)
        return rc;
    if (memcmp(header.blob_id, name->bytes, BLOB_ID_SIZE) != 0 || header.extent_number != name_number(name))
        return ERR_CORRUPT;
    if ((rc = open_key(keyring, &header, &key)) != 0)
        return rc;
    rc = extent_open_begin(&opener, key, header.extent_number, stored);
    data_key_free(key);
    if (rc != 0)
        return rc;
    uint64_t whole = opener.plain_size;
    rc = extent_check_header(&opener, span_of(bytes, ENVELOPE_HEADER_SIZE));
    if (rc == 0)
        rc = open_segments(&opener, bytes, stored, length, &plain);
    extent_open_end(&opener);
    if (rc != 0 || (rc = piece_decode(span_of(bytes, (size_t)plain), out)) != 0)
        return rc;
    if (whole != PIECE_HEADER_SIZE + out->length || (out->kind == PIECE_SNAPSHOT) != name_is_snapshot(name))
        return ERR_CORRUPT;
    *content = span_of(bytes + PIECE_HEADER_SIZE, (size_t)plain - PIECE_HEADER_SIZE);
    return 0;
}
