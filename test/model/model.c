#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dice.h"

#define VALUES_CHUNK 4096
#define POOL         ((size_t)(1 << 20) + 4099) /* no multiple of a segment: pieces of it are nowhere alike */

/* Contents are places in a pool of random bytes, so that making and comparing them costs no more than copying. */
static uint8_t pool[POOL];

static const struct {
    const char *name, *placement;
    unsigned keys;
} BUCKET_TABLE[BUCKETS] = {
    {"alpha", "all", KEYS_MAX}, {"beta", "all", KEYS_MAX}, {"lonely", "lone", 6}, {"tiny", "all", 2}};

void model_init(struct model *model, uint64_t seed)
{
    struct dice dice = {seed};
    *model = (struct model){.value_count = 1};
    for (size_t i = 0; i < POOL; i++)
        pool[i] = (uint8_t)dice_next(&dice);
    for (unsigned p = 0; p < WORLD_PLACEMENTS; p++) {
        reg_init(&model->placements[p].set);
        reg_init(&model->placements[p].configured);
    }
    for (unsigned b = 0; b < BUCKETS; b++) {
        struct bucket *bucket = &model->buckets[b];
        bucket->name = BUCKET_TABLE[b].name;
        bucket->placement = BUCKET_TABLE[b].placement;
        bucket->key_count = BUCKET_TABLE[b].keys;
        reg_init(&bucket->reg);
        for (unsigned k = 0; k < KEYS_MAX; k++)
            reg_init(&bucket->keys[k]);
    }
}

void model_free(struct model *model)
{
    for (unsigned p = 0; p < WORLD_PLACEMENTS; p++) {
        reg_free(&model->placements[p].set);
        reg_free(&model->placements[p].configured);
    }
    for (unsigned b = 0; b < BUCKETS; b++) {
        reg_free(&model->buckets[b].reg);
        for (unsigned k = 0; k < KEYS_MAX; k++)
            reg_free(&model->buckets[b].keys[k]);
    }
    for (uint32_t i = 0; i * VALUES_CHUNK < model->value_count && model->chunks != NULL; i++)
        free(model->chunks[i]);
    free(model->chunks);
}

struct span model_key(unsigned key)
{
    /* Below LMDB's limit, above it, with what sorts last, and so that delimiters have something to do. */
    static char longest[1024];
    static const char *const keys[KEYS_MAX - 1] = {"a",     "a/", "a/1", "a/2",   "b/1",             "b/c/1",
                                                   "b/c/2", "c",  "d//", "e\x7f", "\xf0\x9f\x97\x9d"};
    if (longest[0] == '\0')
        memset(longest, 'k', sizeof(longest));
    if (key == 10)
        return span_of(longest, sizeof(longest));
    return span_str(keys[key == 11 ? 10 : key]);
}

/* --- values --- */

uint32_t value_new(struct model *model)
{
    if (model->value_count % VALUES_CHUNK == 0 || model->chunks == NULL) {
        size_t chunks = model->value_count / VALUES_CHUNK + 1;
        model->chunks = reallocarray(model->chunks, chunks, sizeof(*model->chunks));
        if (model->chunks == NULL || (model->chunks[chunks - 1] = calloc(VALUES_CHUNK, sizeof(struct value))) == NULL)
            abort();
    }
    uint32_t number = model->value_count++;
    value_etag(number, value_of(model, number)->etag);
    return number;
}

struct value *value_of(struct model *model, uint32_t number)
{
    return &model->chunks[number / VALUES_CHUNK][number % VALUES_CHUNK];
}

void value_etag(uint32_t number, char out[33])
{
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)dice_mix(number), (unsigned long long)number);
}

void value_fill(struct model *model, uint32_t number, uint64_t size)
{
    struct value *value = value_of(model, number);
    value->size = size;
    value->pieces[0] = (struct piece){number, 0, size};
    value->piece_count = 1;
}

uint64_t value_append(struct model *model, uint32_t number, const struct value *from, uint64_t offset, uint64_t length)
{
    struct value *value = value_of(model, number);
    for (unsigned i = 0; i < from->piece_count && value->piece_count < PIECES_MAX; i++) {
        const struct piece *piece = &from->pieces[i];
        if (offset >= piece->length) {
            offset -= piece->length;
            continue;
        }
        if (length > piece->length - offset)
            length = piece->length - offset;
        value->pieces[value->piece_count++] = (struct piece){piece->content, piece->offset + offset, length};
        value->size += length;
        return length;
    }
    return 0;
}

/* --- bytes --- */

/* What a content has at an offset, as far as the pool goes on from there. */
static struct span pool_at(uint32_t content, uint64_t offset)
{
    size_t at = (size_t)((dice_mix(content) % POOL + offset) % POOL);
    return span_of(pool + at, POOL - at);
}

/* The longest run of bytes from the offset on that stand together. */
static struct span run_at(const struct value *value, uint64_t offset, uint64_t length)
{
    for (unsigned i = 0; i < value->piece_count; i++) {
        const struct piece *piece = &value->pieces[i];
        if (offset < piece->length) {
            uint64_t left = piece->length - offset < length ? piece->length - offset : length;
            return span_take(pool_at(piece->content, piece->offset + offset), (size_t)left);
        }
        offset -= piece->length;
    }
    return SPAN_NONE;
}

void value_read(const struct value *value, uint64_t offset, uint8_t *out, size_t length)
{
    while (length > 0) {
        struct span run = run_at(value, offset, length);
        if (run.len == 0)
            abort();
        memcpy(out, run.ptr, run.len);
        out += run.len;
        offset += run.len;
        length -= run.len;
    }
}

bool value_equals(const struct value *value, uint64_t offset, struct span bytes)
{
    while (bytes.len > 0) {
        struct span run = run_at(value, offset, bytes.len);
        if (run.len == 0 || memcmp(bytes.ptr, run.ptr, run.len) != 0)
            return false;
        offset += run.len;
        bytes = span_skip(bytes, run.len);
    }
    return true;
}

/* --- names --- */

void value_name(uint32_t number, char out[16])
{
    snprintf(out, 16, "v/%u", (unsigned)number);
}

uint32_t value_number(const char *name)
{
    unsigned number;
    return name != NULL && sscanf(name, "v/%u", &number) == 1 ? number : 0;
}
