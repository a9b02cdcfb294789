/* Recovery and walking of a hostile segment file. The input: a count (1 byte) of places (2 bytes each, in units of 8 bytes)
 * at which a record header is given the magic and checksum that fit, then the file. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "backends/disk/segment.h"
#include "base/err.h"
#include "crypto/digest.h"

#define NUMBER 1

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Rewrites the header at `offset` from its own fields, so that the walk accepts it; what it says is still hostile. */
static void fix(uint8_t *file, size_t size, size_t offset)
{
    if (offset < SEGMENT_HEADER_SIZE || offset + RECORD_HEADER_SIZE > size)
        return;
    uint8_t *p = file + offset;
    struct record_header header = {0};
    memcpy(&header.length, p + 8, 4);
    memcpy(&header.name, p + 16, BLOB_NAME_SIZE);
    memcpy(&header.data_crc, p + 36, 4);
    uint32_t units;
    memcpy(&units, p + RECORD_DEAD_OFFSET, 4);
    size_t data = offset + RECORD_HEADER_SIZE;
    if (p[4] % 2 == 0 && header.length <= size - data)
        header.data_crc = digest_crc32c(0, file + data, (size_t)header.length);
    record_header_encode(NUMBER, offset, &header, p);
    if (units != 0)
        record_dead_encode(NUMBER, offset, (uint64_t)units * SEGMENT_ALIGN, p + RECORD_DEAD_OFFSET);
}

static uint64_t walk(int fd, uint64_t end)
{
    struct segment_scan scan;
    struct segment_record record;
    uint64_t at = SEGMENT_HEADER_SIZE;
    int rc = segment_scan_begin(&scan, fd, NUMBER, at, end);
    while (rc == 0 && (rc = segment_scan_next(&scan, &record)) > 0) {
        rc = 0;
        if (record.offset < at || record.offset % SEGMENT_ALIGN != 0 || record.end <= record.offset ||
            record.offset + RECORD_HEADER_SIZE + record.header.length > end || record.end > segment_align(end))
            abort();
        at = record.end;
    }
    segment_scan_end(&scan);
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size < 1 + 2 * (size_t)(data[0] % 16))
        return 0;
    size_t fixes = data[0] % 16;
    size_t length = size - 1 - 2 * fixes;
    uint8_t *file = malloc(length + 1);
    if (file == NULL)
        return 0;
    memcpy(file, data + 1 + 2 * fixes, length);
    for (size_t i = 0; i < fixes; i++)
        fix(file, length, (size_t)(data[1 + 2 * i] | data[2 + 2 * i] << 8) * SEGMENT_ALIGN);
    int fd = memfd_create("segment", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, file, length) == (ssize_t)length) {
        uint64_t end, again, cut;
        walk(fd, length);
        int rc = segment_recover(fd, NUMBER, &end, &cut);
        if (rc == 0) {
            /* what recovery leaves is stable, and ends with a record */
            struct stat st;
            if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != end || walk(fd, end) != end ||
                segment_recover(fd, NUMBER, &again, &cut) != 0 || again != end || cut != 0)
                abort();
        }
    }
    if (fd >= 0)
        close(fd);
    free(file);
    return 0;
}
