/* The S3 that the gateway is compared with: buckets, their keys, and every value that was ever written to one. */
#ifndef ARCA_TEST_MODEL_H
#define ARCA_TEST_MODEL_H

#include "base/span.h"
#include "register.h"
#include "world.h"

#define BUCKETS    4
#define KEYS_MAX   12
#define PIECES_MAX 4
#define ETAG_TEXT  64

/* Bytes [offset, offset + length) of a content. */
struct piece {
    uint32_t content;
    uint64_t offset, length;
};

struct value {
    uint64_t size;
    char etag[ETAG_TEXT];
    struct piece pieces[PIECES_MAX];
    unsigned piece_count;
};

struct bucket {
    const char *name;
    const char *placement;
    unsigned key_count;
    struct reg reg;
    struct reg keys[KEYS_MAX];
    unsigned deletions, deleting; /* begun; of them, under way */
};

/* What a placement is to be, as a register whose values are sets (change.c); what the index has seen of its config. */
struct placed {
    struct reg set, configured;
};

struct model {
    struct placed placements[WORLD_PLACEMENTS];
    struct bucket buckets[BUCKETS];
    struct value **chunks; /* of VALUES_CHUNK */
    uint32_t value_count;
};

void model_init(struct model *model, uint64_t seed);
void model_free(struct model *model);

/* In byte order. */
struct span model_key(unsigned key);

/* A number that no other value has; never ABSENT. */
uint32_t value_new(struct model *model);
struct value *value_of(struct model *model, uint32_t number);
void value_etag(uint32_t number, char out[33]);
/* Its own content, of `size` bytes. */
void value_fill(struct model *model, uint32_t number, uint64_t size);
/* Appends bytes of another value that lie in one of its pieces: as many of `length` as do. Their number. */
uint64_t value_append(struct model *model, uint32_t number, const struct value *from, uint64_t offset, uint64_t length);

/* Bytes [offset, offset + length) of a value. */
void value_read(const struct value *value, uint64_t offset, uint8_t *out, size_t length);
bool value_equals(const struct value *value, uint64_t offset, struct span bytes);

/* "v/NUMBER", as a header that comes back with the object. 0: it is no such text. */
void value_name(uint32_t number, char out[16]);
uint32_t value_number(const char *name);

#endif
