#include "segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/byteorder.h"
#include "base/err.h"
#include "crypto/digest.h"

#define SEGMENT_VERSION 1
static const uint8_t SEGMENT_MAGIC[8] = {'A', 'R', 'C', 'A', 'S', 'E', 'G', '\n'};
static const uint8_t RECORD_MAGIC[4] = {0xa7, 'R', 'E', 'C'};

int (*disk_fdatasync)(int fd) = fdatasync;
int64_t disk_settle_ms = 3000;

static bool is_zero(const uint8_t *p, size_t size)
{
    return size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0);
}

/* magic 8, version 4, zero 4, number 8, zero 4, crc 4 */
void segment_header_encode(uint32_t number, uint8_t out[SEGMENT_HEADER_SIZE])
{
    memset(out, 0, SEGMENT_HEADER_SIZE);
    memcpy(out, SEGMENT_MAGIC, sizeof(SEGMENT_MAGIC));
    le32_put(out + 8, SEGMENT_VERSION);
    le64_put(out + 16, number);
    le32_put(out + 28, digest_crc32c(0, out, 28));
}

int segment_header_decode(uint32_t number, const uint8_t in[SEGMENT_HEADER_SIZE])
{
    if (memcmp(in, SEGMENT_MAGIC, sizeof(SEGMENT_MAGIC)) != 0 || le32_get(in + 28) != digest_crc32c(0, in, 28))
        return ERR_CORRUPT;
    if (le32_get(in + 8) != SEGMENT_VERSION)
        return ERR_FORMAT;
    return le64_get(in + 16) == number ? 0 : ERR_CORRUPT;
}

static uint32_t place_crc(uint32_t segment, uint64_t offset)
{
    uint8_t seed[12];
    le32_put(seed, segment);
    le64_put(seed + 4, offset);
    return digest_crc32c(0, seed, sizeof(seed));
}

/* magic 4, crc 4 (of place, bytes 8..39), length 8, name 20, data crc 4, dead 8 */
void record_header_encode(uint32_t segment, uint64_t offset, const struct record_header *header,
                          uint8_t out[RECORD_HEADER_SIZE])
{
    memset(out, 0, RECORD_HEADER_SIZE);
    memcpy(out, RECORD_MAGIC, sizeof(RECORD_MAGIC));
    le64_put(out + 8, header->length);
    memcpy(out + 16, header->name.bytes, BLOB_NAME_SIZE);
    le32_put(out + 36, header->data_crc);
    le32_put(out + 4, digest_crc32c(place_crc(segment, offset), out + 8, RECORD_DEAD_OFFSET - 8));
}

/* units of 8 bytes 4, crc 4 (of place, units) */
void record_dead_encode(uint32_t segment, uint64_t offset, uint64_t span, uint8_t out[8])
{
    le32_put(out, (uint32_t)(span / SEGMENT_ALIGN));
    le32_put(out + 4, digest_crc32c(place_crc(segment, offset), out, 4));
}

int record_header_decode(uint32_t segment, uint64_t offset, const uint8_t in[RECORD_HEADER_SIZE],
                         struct record_header *out)
{
    if (memcmp(in, RECORD_MAGIC, sizeof(RECORD_MAGIC)) != 0)
        return is_zero(in, RECORD_HEADER_SIZE) ? ERR_NOT_FOUND : ERR_CORRUPT;
    uint32_t place = place_crc(segment, offset);
    if (le32_get(in + 4) != digest_crc32c(place, in + 8, RECORD_DEAD_OFFSET - 8))
        return ERR_CORRUPT;
    out->length = le64_get(in + 8);
    if (out->length > RECORD_DATA_MAX)
        return ERR_CORRUPT;
    memcpy(out->name.bytes, in + 16, BLOB_NAME_SIZE);
    out->data_crc = le32_get(in + 36);
    /* A damaged mark counts as none: what is live is for the index to say. */
    const uint8_t *dead = in + RECORD_DEAD_OFFSET;
    uint64_t span = (uint64_t)le32_get(dead) * SEGMENT_ALIGN;
    bool sound = span >= segment_align(RECORD_HEADER_SIZE + out->length) &&
                 le32_get(dead + 4) == digest_crc32c(place, dead, 4);
    out->dead = sound ? span : 0;
    return 0;
}

#define PLACE_SIZE 20

void disk_place_encode(const struct disk_place *place, struct locator *out)
{
    out->length = PLACE_SIZE;
    le32_put(out->bytes, place->segment);
    le64_put(out->bytes + 4, place->offset);
    le64_put(out->bytes + 12, place->length);
}

int disk_place_decode(const struct locator *locator, struct disk_place *out)
{
    if (locator->length != PLACE_SIZE)
        return ERR_NOT_FOUND;
    out->segment = le32_get(locator->bytes);
    out->offset = le64_get(locator->bytes + 4);
    out->length = le64_get(locator->bytes + 12);
    if (out->offset < SEGMENT_HEADER_SIZE || out->offset % SEGMENT_ALIGN != 0 ||
        out->offset > INT64_MAX - 2 * RECORD_DATA_MAX || out->length > RECORD_DATA_MAX)
        return ERR_CORRUPT;
    return 0;
}

int segment_read(int fd, void *dst, size_t size, uint64_t offset, size_t *got)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, (uint8_t *)dst + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_IO;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return 0;
}

int segment_scan_begin(struct segment_scan *scan, int fd, uint32_t number, uint64_t offset, uint64_t end)
{
    *scan = (struct segment_scan){.fd = fd, .number = number, .offset = offset, .end = end};
    scan->buffer = malloc(SCAN_BUFFER);
    return scan->buffer != NULL ? 0 : ERR_NOMEM;
}

void segment_scan_end(struct segment_scan *scan)
{
    free(scan->buffer);
}

/* Makes the buffer hold the bytes at scan->offset, at least a header's worth unless the end is nearer. A jump over a large
 * record reads one block, so that walking large records does not read their data. */
static int fill(struct segment_scan *scan)
{
    uint64_t held_end = scan->at + scan->held;
    if (scan->offset >= scan->at && scan->offset + RECORD_HEADER_SIZE <= held_end)
        return 0;
    bool jump = scan->held > 0 && scan->offset > held_end + PUNCH_BLOCK;
    uint64_t size = jump ? PUNCH_BLOCK : SCAN_BUFFER;
    if (size > scan->end - scan->offset)
        size = scan->end - scan->offset;
    scan->at = scan->offset;
    return segment_read(scan->fd, scan->buffer, (size_t)size, scan->at, &scan->held);
}

/* Decodes the record at scan->offset, which the buffer holds. Whether there is one that lies within the file. */
static bool parse(const struct segment_scan *scan, struct segment_record *out)
{
    const uint8_t *p = scan->buffer + (scan->offset - scan->at);
    uint64_t room = scan->end - scan->offset;
    if (record_header_decode(scan->number, scan->offset, p, &out->header) != 0 ||
        RECORD_HEADER_SIZE + out->header.length > room)
        return false;
    if (out->header.dead > segment_align(room))
        out->header.dead = 0;
    uint64_t size = segment_align(RECORD_HEADER_SIZE + out->header.length);
    out->offset = scan->offset;
    out->end = scan->offset + (out->header.dead > size ? out->header.dead : size);
    return true;
}

int segment_scan_next(struct segment_scan *scan, struct segment_record *out)
{
    while (scan->offset + RECORD_HEADER_SIZE <= scan->end) {
        int rc = fill(scan);
        if (rc != 0)
            return rc;
        size_t left = (size_t)(scan->at + scan->held - scan->offset);
        if (left < RECORD_HEADER_SIZE) /* the file was cut meanwhile */
            break;
        if (parse(scan, out)) {
            scan->offset = out->end;
            return 1;
        }
        const uint8_t *p = scan->buffer + (scan->offset - scan->at);
        if (left >= PUNCH_BLOCK && is_zero(p, PUNCH_BLOCK)) {
            scan->offset += PUNCH_BLOCK;
            continue;
        }
        if (!is_zero(p, SEGMENT_ALIGN))
            scan->damaged += SEGMENT_ALIGN;
        scan->offset += SEGMENT_ALIGN;
    }
    return 0;
}

/* Whether the record's data has its checksum. 1, 0, ERR_IO. */
static int verify(int fd, const struct segment_record *record, uint8_t *buffer, size_t size)
{
    uint32_t crc = 0;
    uint64_t offset = record->offset + RECORD_HEADER_SIZE;
    for (uint64_t left = record->header.length; left > 0;) {
        size_t n = left < size ? (size_t)left : size;
        size_t got;
        int rc = segment_read(fd, buffer, n, offset, &got);
        if (rc != 0)
            return rc;
        if (got < n)
            return 0;
        crc = digest_crc32c(crc, buffer, n);
        offset += n;
        left -= n;
    }
    return crc == record->header.data_crc;
}

/* The end of the last whole record; *cut counts what stands behind it. */
static int find_end(int fd, uint32_t number, uint64_t size, uint64_t *end, uint64_t *cut)
{
    struct segment_scan scan;
    uint8_t *data = malloc(SCAN_BUFFER);
    int rc = segment_scan_begin(&scan, fd, number, SEGMENT_HEADER_SIZE, size);
    if (data == NULL)
        rc = ERR_NOMEM;
    *end = SEGMENT_HEADER_SIZE;
    uint64_t damaged = 0;
    uint64_t torn = 0;
    struct segment_record record;
    while (rc == 0 && (rc = segment_scan_next(&scan, &record)) > 0) {
        rc = record.header.dead != 0 ? 1 : verify(fd, &record, data, SCAN_BUFFER);
        if (rc > 0) {
            *end = record.end;
            damaged = scan.damaged;
            torn = 0;
        } else {
            torn += record.end - record.offset;
        }
        rc = rc < 0 ? rc : 0;
    }
    *cut = torn + scan.damaged - damaged;
    segment_scan_end(&scan);
    free(data);
    return rc;
}

int segment_recover(int fd, uint32_t number, uint64_t *end, uint64_t *cut)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return ERR_IO;
    uint64_t size = (uint64_t)st.st_size;
    uint8_t header[SEGMENT_HEADER_SIZE] = {0};
    size_t got;
    int rc = segment_read(fd, header, sizeof(header), 0, &got);
    if (rc != 0)
        return rc;
    int sound = segment_header_decode(number, header);
    if (sound == ERR_FORMAT)
        return ERR_FORMAT;
    if ((rc = find_end(fd, number, size, end, cut)) != 0)
        return rc;
    if (sound != 0)
        return *end == SEGMENT_HEADER_SIZE ? ERR_NOT_FOUND : ERR_CORRUPT;
    if (ftruncate(fd, (off_t)*end) != 0) /* of the same size as well: there may be blocks reserved behind it */
        return errno == ENOSPC ? ERR_NOSPC : ERR_IO;
    return *end == size || disk_fdatasync(fd) == 0 ? 0 : ERR_IO;
}
