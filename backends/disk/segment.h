/* The bytes of a segment file, and walking them. README.md shows the layout. Everything here blocks. */
#ifndef ARCA_BACKENDS_DISK_SEGMENT_H
#define ARCA_BACKENDS_DISK_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include "backends/backend.h"

#define SEGMENT_HEADER_SIZE 32
#define RECORD_HEADER_SIZE  48
#define RECORD_DATA_MAX     ((uint64_t)1 << 30)
#define RECORD_DEAD_OFFSET  40 /* of the word that marks a record as removed, in its header */
#define SEGMENT_ALIGN       8
#define SEGMENT_SIZE_MAX    ((uint64_t)16 << 30) /* a dead word counts 2^32 units of 8 bytes */
#define PUNCH_BLOCK         4096

static inline uint64_t segment_align(uint64_t n)
{
    return (n + SEGMENT_ALIGN - 1) & ~(uint64_t)(SEGMENT_ALIGN - 1);
}

struct record_header {
    struct blob_name name;
    uint64_t length;   /* bytes of data */
    uint32_t data_crc; /* CRC-32C */
    uint64_t dead;     /* 0, or the bytes from this header that are dead: this record, or a run that starts with it */
};

void segment_header_encode(uint32_t number, uint8_t out[SEGMENT_HEADER_SIZE]);
/* ERR_CORRUPT; ERR_FORMAT for a sound header of another version. */
int segment_header_decode(uint32_t number, const uint8_t in[SEGMENT_HEADER_SIZE]);

/* A header's checksum also covers the segment's number and the header's offset, so that a header which stands where it was
 * not written does not count. `header->dead` is not written by the encoder. */
void record_header_encode(uint32_t segment, uint64_t offset, const struct record_header *header,
                          uint8_t out[RECORD_HEADER_SIZE]);
/* ERR_NOT_FOUND when it is all zeroes, ERR_CORRUPT. */
int record_header_decode(uint32_t segment, uint64_t offset, const uint8_t in[RECORD_HEADER_SIZE],
                         struct record_header *out);
/* The word at RECORD_DEAD_OFFSET that marks `span` bytes from the record's header as dead. It carries a check of its own and
 * lies within 8 aligned bytes, which a disk writes whole or not at all. */
void record_dead_encode(uint32_t segment, uint64_t offset, uint64_t span, uint8_t out[8]);

/* A locator of this driver. */
struct disk_place {
    uint32_t segment;
    uint64_t offset; /* of the record's header */
    uint64_t length; /* bytes of data */
};
void disk_place_encode(const struct disk_place *place, struct locator *out);
/* ERR_NOT_FOUND (it is none of a disk), ERR_CORRUPT: it cannot be one that was given out. */
int disk_place_decode(const struct locator *locator, struct disk_place *out);

/* Walks the records of [offset, end). What does not parse is skipped by looking for the next sound header. */
#define SCAN_BUFFER 65536
struct segment_scan {
    int fd;
    uint32_t number;
    uint64_t offset;  /* of the next record */
    uint64_t end;     /* bytes of the file to look at */
    uint64_t damaged; /* bytes skipped that were not zeroes */
    uint64_t at;      /* what the buffer holds */
    size_t held;
    uint8_t *buffer;
};
struct segment_record {
    uint64_t offset;
    uint64_t end; /* where the next record stands */
    struct record_header header;
};
/* ERR_NOMEM. The scan must be ended whatever next returned. */
int segment_scan_begin(struct segment_scan *scan, int fd, uint32_t number, uint64_t offset, uint64_t end);
/* 1 and a record, 0 at the end, ERR_IO. */
int segment_scan_next(struct segment_scan *scan, struct segment_record *out);
void segment_scan_end(struct segment_scan *scan);

/* Finds the end of the last record that is whole (header, and data by its checksum unless removed) and cuts the file
 * there, durably. *cut: the bytes that were cut and were not zeroes to the end.
 * ERR_NOT_FOUND: no sound file header and no record: the file was never used. ERR_CORRUPT: records but no sound file
 * header; *end is set, nothing was cut. ERR_FORMAT, ERR_IO, ERR_NOMEM. */
int segment_recover(int fd, uint32_t number, uint64_t *end, uint64_t *cut);

/* All bytes, or fewer at the end of the file. ERR_IO. */
int segment_read(int fd, void *dst, size_t size, uint64_t offset, size_t *got);

/* fdatasync, replaced by tests that want it to fail. */
extern int (*disk_fdatasync)(int fd);
/* What has rested for so long is tidied up; tests are in a hurry. */
extern int64_t disk_settle_ms;

#endif
