/* A piece: bytes of the index's journal or of one of its snapshots, sealed, as it lies on a backend. README.md has the
 * bytes, and how pieces make an index. */
#ifndef ARCA_STORE_SHIP_PIECE_H
#define ARCA_STORE_SHIP_PIECE_H

#include <stdbool.h>
#include <stdint.h>
#include "backends/backend.h"
#include "base/span.h"
#include "crypto/envelope.h"
#include "index/index.h"
#include "store/ship/name.h"

#define PIECE_HEADER_SIZE 176
#define PIECE_MAX         ((8U << 20) - PIECE_HEADER_SIZE) /* bytes of the file in one; whole records of a journal */
_Static_assert(PIECE_MAX >= INDEX_STRETCH_MIN, "any record fits into a piece");

enum piece_kind { PIECE_JOURNAL = 1, PIECE_SNAPSHOT = 2 };

struct piece {
    enum piece_kind kind;
    uint32_t rank;                   /* of the journal: how often it was gathered from smaller ones */
    uint64_t file;                   /* the number in the file's name: a segment's first mutation, a snapshot's last */
    uint64_t offset, length;         /* the bytes of the file */
    uint64_t size;                   /* of a snapshot: the whole file's; else 0 */
    uint64_t first, last;            /* of the journal: the mutations in it; of a snapshot both are its last */
    int64_t time_ms;                 /* since 1970: when what is in it was first shipped; never goes back */
    uint64_t shipped;                /* of the journal: the last mutation that a quorum had when it was sealed */
    uint8_t before[INDEX_HASH_SIZE]; /* of the journal: hash of the mutation before the first */
    uint8_t after[INDEX_HASH_SIZE];  /* and of the last; of a snapshot both are the sum of the whole file */
};

void piece_encode(const struct piece *piece, uint8_t out[PIECE_HEADER_SIZE]);
/* Refuses what cannot be: ERR_CORRUPT; ERR_FORMAT (another version). Pure. */
int piece_decode(struct span bytes, struct piece *out);

/* Where in a block for `room` bytes of the file the header is to be put, the bytes behind it, so that it can be sealed
 * in place; and how large the block must be. */
size_t piece_block_size(enum envelope_suite suite, size_t room);
uint8_t *piece_plain(const struct block *block, enum envelope_suite suite, size_t room);
/* Seals header and `piece->length` bytes, which lie as piece_plain says; block->length is set. ERR_NOMEM. */
int piece_seal(const struct bucket_key *journal_key, enum envelope_suite suite, const struct blob_name *name,
               const struct piece *piece, size_t room, struct block *block);

/* How many bytes of a stored piece tell its header; `stored` at most. */
uint64_t piece_head_size(uint64_t stored);
/* Opens a piece of `stored` bytes, of which `bytes` are the first `length`: all, or piece_head_size. They are decrypted
 * in place and `content` is what of the file they hold. ERR_CORRUPT (does not verify, or is not the one of this name),
 * ERR_WRONG_KEY (another keyring's), ERR_NOT_FOUND (this keyring lacks the generation), ERR_FORMAT, ERR_UNSUPPORTED,
 * ERR_NOMEM. */
int piece_open(struct keyring *keyring, const struct blob_name *name, uint64_t stored, uint8_t *bytes, uint64_t length,
               struct piece *out, struct span *content);

#endif
