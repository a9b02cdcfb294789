/* The bytes of segments: what is recovered from a file that a crash left. */
#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "backends/disk/segment.h"
#include "blobs.h"
#include "crypto/digest.h"

#define NUMBER 7

static int file_make(void)
{
    int fd = memfd_create("segment", MFD_CLOEXEC);
    assert_true(fd >= 0);
    uint8_t header[SEGMENT_HEADER_SIZE];
    segment_header_encode(NUMBER, header);
    assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
    return fd;
}

/* Writes a record at `offset` and returns where the next one goes. */
static uint64_t record_put(int fd, uint64_t offset, uint64_t id, size_t length)
{
    uint8_t header[RECORD_HEADER_SIZE];
    uint8_t *data = malloc(length + 1);
    blob_fill(data, length, id);
    struct record_header record = {.name = blob_name_of(id), .length = length,
                                   .data_crc = digest_crc32c(0, data, length)};
    record_header_encode(NUMBER, offset, &record, header);
    assert_int_equal(pwrite(fd, header, sizeof(header), (off_t)offset), sizeof(header));
    assert_int_equal(pwrite(fd, data, length, (off_t)(offset + sizeof(header))), length);
    free(data);
    return segment_align(offset + sizeof(header) + length);
}

static uint64_t file_size(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return (uint64_t)st.st_size;
}

static size_t count_records(int fd, uint64_t *damaged)
{
    struct segment_scan scan;
    struct segment_record record;
    size_t n = 0;
    int rc;
    assert_int_equal(segment_scan_begin(&scan, fd, NUMBER, SEGMENT_HEADER_SIZE, file_size(fd)), 0);
    while ((rc = segment_scan_next(&scan, &record)) > 0)
        n++;
    assert_int_equal(rc, 0);
    *damaged = scan.damaged;
    segment_scan_end(&scan);
    return n;
}

static void headers_hold_their_place(void **state)
{
    (void)state;
    uint8_t bytes[RECORD_HEADER_SIZE];
    struct record_header in = {.name = blob_name_of(3), .length = 4711, .data_crc = 0xdeadbeef};
    struct record_header out;
    record_header_encode(NUMBER, 4096, &in, bytes);
    assert_int_equal(record_header_decode(NUMBER, 4096, bytes, &out), 0);
    assert_int_equal(out.length, 4711);
    assert_int_equal(out.data_crc, 0xdeadbeef);
    assert_int_equal(out.dead, 0);
    assert_memory_equal(&out.name, &in.name, sizeof(in.name));
    assert_int_equal(record_header_decode(NUMBER, 4104, bytes, &out), ERR_CORRUPT);
    assert_int_equal(record_header_decode(NUMBER + 1, 4096, bytes, &out), ERR_CORRUPT);
    for (size_t i = 0; i < RECORD_DEAD_OFFSET; i++) {
        bytes[i] ^= 0x10;
        assert_int_equal(record_header_decode(NUMBER, 4096, bytes, &out), ERR_CORRUPT);
        bytes[i] ^= 0x10;
    }
    record_dead_encode(NUMBER, 4096, 8192, bytes + RECORD_DEAD_OFFSET);
    assert_int_equal(record_header_decode(NUMBER, 4096, bytes, &out), 0);
    assert_int_equal(out.dead, 8192);
    for (size_t i = RECORD_DEAD_OFFSET; i < RECORD_HEADER_SIZE; i++) {
        bytes[i] ^= 0x10;
        assert_int_equal(record_header_decode(NUMBER, 4096, bytes, &out), 0);
        assert_int_equal(out.dead, 0);
        bytes[i] ^= 0x10;
    }
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(record_header_decode(NUMBER, 4096, bytes, &out), ERR_NOT_FOUND);
}

/* The file ends anywhere in its last record. */
static void torn_tail_at_every_byte(void **state)
{
    (void)state;
    int fd = file_make();
    uint64_t first = record_put(fd, SEGMENT_HEADER_SIZE, 1, 1000);
    uint64_t last = record_put(fd, first, 2, 333);
    uint64_t data_end = first + RECORD_HEADER_SIZE + 333;
    for (uint64_t size = first; size <= last; size++) {
        record_put(fd, first, 2, 333);
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        uint64_t end, cut, damaged;
        assert_int_equal(segment_recover(fd, NUMBER, &end, &cut), 0);
        assert_int_equal(end, size >= data_end ? last : first);
        assert_int_equal(file_size(fd), end);
        assert_int_equal(count_records(fd, &damaged), size >= data_end ? 2 : 1);
        assert_int_equal(damaged, 0);
    }
    close(fd);
}

/* The file is as long as it should be, but from any byte on it has zeroes, or garbage. */
static void unwritten_tail_at_every_byte(void **state)
{
    (void)state;
    for (int garbage = 0; garbage < 2; garbage++) {
        int fd = file_make();
        uint64_t first = record_put(fd, SEGMENT_HEADER_SIZE, 1, 1000);
        uint64_t data_end = first + RECORD_HEADER_SIZE + 333;
        for (uint64_t from = first; from < data_end; from++) {
            uint64_t last = record_put(fd, first, 2, 333);
            uint8_t junk[9000] = {0};
            if (garbage)
                blob_fill(junk, sizeof(junk), from);
            assert_int_equal(pwrite(fd, junk, sizeof(junk), (off_t)from), sizeof(junk));
            uint64_t end, cut;
            assert_int_equal(segment_recover(fd, NUMBER, &end, &cut), 0);
            /* a header whose dead word was not written is whole when its other bytes and the data are: not here */
            assert_int_equal(end, first);
            assert_int_equal(file_size(fd), first);
            assert_true(last > first);
        }
        close(fd);
    }
}

/* Old bytes behind the tail, even a whole record, do not come back after a shorter record was written over them. */
static void cut_bytes_do_not_revive(void **state)
{
    (void)state;
    int fd = file_make();
    uint64_t first = record_put(fd, SEGMENT_HEADER_SIZE, 1, 100);
    uint64_t second = record_put(fd, first, 2, 100);
    record_put(fd, second, 3, 100);
    assert_int_equal(ftruncate(fd, (off_t)second + 60), 0);
    uint64_t end, cut, damaged;
    assert_int_equal(segment_recover(fd, NUMBER, &end, &cut), 0);
    assert_int_equal(end, second);
    assert_true(cut > 0);
    record_put(fd, end, 4, 0);
    assert_int_equal(count_records(fd, &damaged), 3);
    assert_int_equal(damaged, 0);
    close(fd);
}

/* Damage before whole records loses nothing else: the walk finds the next header. */
static void damage_in_the_middle(void **state)
{
    (void)state;
    int fd = file_make();
    uint64_t first = record_put(fd, SEGMENT_HEADER_SIZE, 1, 100000);
    uint64_t second = record_put(fd, first, 2, 100000);
    uint64_t third = record_put(fd, second, 3, 100000);
    uint64_t end, cut, damaged;
    uint8_t byte = 0xff;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)first + 20), 1); /* its header */
    assert_int_equal(segment_recover(fd, NUMBER, &end, &cut), 0);
    assert_int_equal(end, third);
    assert_int_equal(cut, 0);
    assert_int_equal(count_records(fd, &damaged), 2);
    assert_in_range(damaged, 100000, 100048);
    assert_int_equal(pwrite(fd, &byte, 1, SEGMENT_HEADER_SIZE + 500), 1); /* data of the first */
    assert_int_equal(segment_recover(fd, NUMBER, &end, &cut), 0);
    assert_int_equal(end, third);
    close(fd);
}

static void damaged_file_header(void **state)
{
    (void)state;
    uint64_t end, cut;
    int fd = memfd_create("segment", MFD_CLOEXEC);
    assert_int_equal(segment_recover(fd, NUMBER, &end, &cut), ERR_NOT_FOUND);
    uint8_t header[SEGMENT_HEADER_SIZE];
    segment_header_encode(NUMBER + 1, header);
    assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
    assert_int_equal(segment_recover(fd, NUMBER, &end, &cut), ERR_NOT_FOUND);
    uint64_t next = record_put(fd, SEGMENT_HEADER_SIZE, 1, 10);
    assert_int_equal(segment_recover(fd, NUMBER, &end, &cut), ERR_CORRUPT);
    assert_int_equal(end, next);
    close(fd);

    fd = file_make();
    assert_int_equal(pread(fd, header, sizeof(header), 0), sizeof(header));
    header[8] = 2;
    uint32_t crc = digest_crc32c(0, header, 28);
    memcpy(header + 28, &crc, 4);
    assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
    assert_int_equal(segment_recover(fd, NUMBER, &end, &cut), ERR_FORMAT);
    close(fd);
}

static void places(void **state)
{
    (void)state;
    struct locator locator;
    struct disk_place in = {3, 4096, 77};
    struct disk_place out;
    disk_place_encode(&in, &locator);
    assert_int_equal(disk_place_decode(&locator, &out), 0);
    assert_int_equal(out.segment, 3);
    assert_int_equal(out.offset, 4096);
    assert_int_equal(out.length, 77);
    struct disk_place bad[] = {{3, 0, 1}, {3, 4097, 1}, {3, UINT64_MAX - 7, 1}, {3, 4096, UINT64_MAX}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        disk_place_encode(&bad[i], &locator);
        assert_int_equal(disk_place_decode(&locator, &out), ERR_CORRUPT);
    }
    disk_place_encode(&in, &locator);
    locator.length--;
    assert_int_equal(disk_place_decode(&locator, &out), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_hold_their_place), cmocka_unit_test(torn_tail_at_every_byte),
        cmocka_unit_test(unwritten_tail_at_every_byte), cmocka_unit_test(cut_bytes_do_not_revive),
        cmocka_unit_test(damage_in_the_middle), cmocka_unit_test(damaged_file_header),
        cmocka_unit_test(places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
