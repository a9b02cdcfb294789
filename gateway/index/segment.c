#include <sodium.h>
#include <string.h>
#include "base/byteorder.h"
#include "base/err.h"
#include "crypto/digest.h"
#include "index/journal.h"

/* Offsets within the two headers; all numbers are little-endian. */
enum {
    HEADER_MAGIC = 0,
    HEADER_FORMAT = 8,
    HEADER_CRC = 12,
    HEADER_FIRST = 16,
    HEADER_SALT = 24,
    HEADER_PREVIOUS = 32
};
enum {
    RECORD_MAGIC = 0,
    RECORD_LENGTH = 4,
    RECORD_CRC = 8,
    RECORD_ZERO = 12,
    RECORD_SEQUENCE = 16,
    RECORD_BATCH = 24,
    RECORD_PREVIOUS = 32
};

#define SEGMENT_MAGIC  "ARCAJRNL"
#define RECORD_MAGIC32 0x4a435241U /* "ARCJ" */
#define ALIGNMENT      8U

static size_t padded(size_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* --- segment header --- */

/* All but the CRC itself. */
static uint32_t header_crc(const uint8_t *bytes)
{
    uint32_t crc = digest_crc32c(0, bytes, HEADER_CRC);
    return digest_crc32c(crc, bytes + HEADER_FIRST, JOURNAL_HEADER_SIZE - HEADER_FIRST);
}

void journal_header_encode(const struct journal_header *header, uint8_t out[JOURNAL_HEADER_SIZE])
{
    memcpy(out + HEADER_MAGIC, SEGMENT_MAGIC, 8);
    le32_put(out + HEADER_FORMAT, JOURNAL_FORMAT);
    le64_put(out + HEADER_FIRST, header->first);
    memcpy(out + HEADER_SALT, header->salt, JOURNAL_SALT_SIZE);
    memcpy(out + HEADER_PREVIOUS, header->previous, JOURNAL_HASH_SIZE);
    le32_put(out + HEADER_CRC, header_crc(out));
}

int journal_header_decode(struct span bytes, struct journal_header *out)
{
    if (bytes.len < JOURNAL_HEADER_SIZE || memcmp(bytes.ptr, SEGMENT_MAGIC, 8) != 0)
        return ERR_CORRUPT;
    if (le32_get(bytes.ptr + HEADER_FORMAT) != JOURNAL_FORMAT)
        return ERR_FORMAT;
    if (le32_get(bytes.ptr + HEADER_CRC) != header_crc(bytes.ptr))
        return ERR_CORRUPT;
    out->first = le64_get(bytes.ptr + HEADER_FIRST);
    memcpy(out->salt, bytes.ptr + HEADER_SALT, JOURNAL_SALT_SIZE);
    memcpy(out->previous, bytes.ptr + HEADER_PREVIOUS, JOURNAL_HASH_SIZE);
    return out->first == 0 ? ERR_CORRUPT : 0;
}

/* --- records --- */

/* The salt is secret to clients, so that no object key or header can hold bytes that pass for a record. */
static uint32_t record_crc(const struct journal_header *header, const uint8_t *record, size_t length)
{
    uint32_t crc = digest_crc32c(0, header->salt, JOURNAL_SALT_SIZE);
    crc = digest_crc32c(crc, record, RECORD_CRC);
    return digest_crc32c(crc, record + RECORD_ZERO, JOURNAL_RECORD_SIZE - RECORD_ZERO + length);
}

static void record_hash(const uint8_t *record, size_t length, uint8_t hash[JOURNAL_HASH_SIZE])
{
    crypto_generichash(hash, JOURNAL_HASH_SIZE, record, JOURNAL_RECORD_SIZE + length, NULL, 0);
}

void journal_record_append(struct buf *out, const struct journal_header *header, uint64_t sequence, uint64_t batch,
                           struct span payload, uint8_t hash[JOURNAL_HASH_SIZE])
{
    size_t size = JOURNAL_RECORD_SIZE + padded(payload.len);
    uint8_t *record = buf_reserve(out, size);
    if (record == NULL)
        return;
    memset(record + size - ALIGNMENT, 0, ALIGNMENT);
    le32_put(record + RECORD_MAGIC, RECORD_MAGIC32);
    le32_put(record + RECORD_LENGTH, (uint32_t)payload.len);
    le32_put(record + RECORD_ZERO, 0);
    le64_put(record + RECORD_SEQUENCE, sequence);
    le64_put(record + RECORD_BATCH, batch);
    memcpy(record + RECORD_PREVIOUS, hash, JOURNAL_HASH_SIZE);
    memcpy(record + JOURNAL_RECORD_SIZE, payload.ptr, payload.len);
    le32_put(record + RECORD_CRC, record_crc(header, record, payload.len));
    record_hash(record, payload.len, hash);
    out->len += size;
}

/* Whether a record with a right CRC stands at an offset. */
static bool record_at(const struct journal_reader *reader, uint64_t offset, struct journal_entry *out)
{
    struct span bytes = span_skip(reader->bytes, (size_t)offset);
    if (bytes.len < JOURNAL_RECORD_SIZE || le32_get(bytes.ptr + RECORD_MAGIC) != RECORD_MAGIC32 ||
        le32_get(bytes.ptr + RECORD_ZERO) != 0)
        return false;
    uint32_t length = le32_get(bytes.ptr + RECORD_LENGTH);
    if (length == 0 || length > JOURNAL_PAYLOAD_MAX || padded(length) > bytes.len - JOURNAL_RECORD_SIZE ||
        le32_get(bytes.ptr + RECORD_CRC) != record_crc(&reader->header, bytes.ptr, length))
        return false;
    for (size_t i = JOURNAL_RECORD_SIZE + length; i % ALIGNMENT != 0; i++)
        if (bytes.ptr[i] != 0)
            return false;
    out->sequence = le64_get(bytes.ptr + RECORD_SEQUENCE);
    out->batch = le64_get(bytes.ptr + RECORD_BATCH);
    out->offset = offset;
    out->previous = bytes.ptr + RECORD_PREVIOUS;
    out->payload = span_take(span_skip(bytes, JOURNAL_RECORD_SIZE), length);
    return true;
}

int journal_reader_init(struct journal_reader *reader, struct span bytes)
{
    memset(reader, 0, sizeof(*reader));
    int rc = journal_header_decode(bytes, &reader->header);
    if (rc != 0)
        return rc;
    reader->bytes = bytes;
    reader->sequence = reader->header.first;
    reader->offset = JOURNAL_HEADER_SIZE;
    memcpy(reader->hash, reader->header.previous, JOURNAL_HASH_SIZE);
    return 0;
}

void journal_reader_resume(struct journal_reader *reader, const struct journal_header *header, struct span bytes,
                           uint64_t sequence, const uint8_t hash[JOURNAL_HASH_SIZE])
{
    *reader = (struct journal_reader){.bytes = bytes, .header = *header, .sequence = sequence + 1};
    memcpy(reader->hash, hash, JOURNAL_HASH_SIZE);
}

int journal_reader_next(struct journal_reader *reader, struct journal_entry *out)
{
    if (!record_at(reader, reader->offset, out) || out->sequence != reader->sequence || out->batch > out->sequence)
        return ERR_NOT_FOUND;
    const uint8_t *record = reader->bytes.ptr + reader->offset;
    if (memcmp(out->previous, reader->hash, JOURNAL_HASH_SIZE) != 0)
        return ERR_NOT_FOUND;
    record_hash(record, out->payload.len, reader->hash);
    memcpy(out->hash, reader->hash, JOURNAL_HASH_SIZE);
    reader->sequence++;
    reader->offset += JOURNAL_RECORD_SIZE + padded(out->payload.len);
    return 0;
}

int journal_reader_end(const struct journal_reader *reader, uint64_t *torn)
{
    size_t end = reader->bytes.len;
    while (end > reader->offset && reader->bytes.ptr[end - 1] == 0)
        end--;
    *torn = end - reader->offset;
    /* A batch is synced before the next one is written: a record of a later batch proves that this one was whole. */
    struct journal_entry later;
    for (uint64_t offset = reader->offset; offset < end; offset += ALIGNMENT)
        if (record_at(reader, offset, &later) && later.batch > reader->sequence)
            return ERR_CORRUPT;
    return 0;
}
