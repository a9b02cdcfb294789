/* The disk driver on a real folder. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "backends/disk/segment.h"
#include "base/log.h"
#include "base/loop.h"
#include "blobs.h"

#define SEGMENT (1u << 20)

static char *folder;
static struct backend *disk;

static void open_sized(uint64_t segment_size)
{
    struct disk_options options = {"d1", folder, segment_size};
    assert_int_equal(disk_open(&options, &disk), 0);
}

static void reopen(void)
{
    disk->ops->close(disk);
    open_sized(SEGMENT);
}

static int setup(void **state)
{
    (void)state;
    folder = folder_make();
    open_sized(SEGMENT);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    disk_fdatasync = fdatasync;
    disk->ops->close(disk);
    folder_remove(folder);
    return 0;
}

static char *segment_path(unsigned number)
{
    static char path[4096];
    snprintf(path, sizeof(path), "%s/segments/%08u.seg", folder, number);
    return path;
}

static uint64_t blocks_of(unsigned number)
{
    struct stat st;
    return stat(segment_path(number), &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static bool exists(unsigned number)
{
    return access(segment_path(number), F_OK) == 0;
}

static void rotates_and_reopens(void **state)
{
    (void)state;
    struct locator at[40];
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(blob_put_filled(disk, i, 100000 + i, &at[i]), 0);
    assert_true(exists(4));
    for (int round = 0; round < 2; round++) {
        struct blob_entry entries[40];
        size_t found, strangers;
        for (unsigned i = 0; i < 40; i++)
            assert_int_equal(blob_check(disk, i, 100000 + i, &at[i]), 0);
        assert_int_equal(blob_list(disk, 0, 40, entries, &strangers, &found), 0);
        assert_int_equal(found, 40);
        assert_int_equal(strangers, 0);
        for (unsigned i = 0; i < 40; i++) {
            assert_int_equal(entries[i].size, 100000 + i);
            assert_memory_equal(&entries[i].locator.bytes, at[i].bytes, at[i].length);
        }
        reopen();
    }
}

static void larger_than_a_segment(void **state)
{
    (void)state;
    struct locator small, large, next;
    assert_int_equal(blob_put_filled(disk, 1, 10, &small), 0);
    assert_int_equal(blob_put_filled(disk, 2, 3 * SEGMENT, &large), 0);
    assert_int_equal(blob_put_filled(disk, 3, 10, &next), 0);
    reopen();
    assert_int_equal(blob_check(disk, 1, 10, &small), 0);
    assert_int_equal(blob_check(disk, 2, 3 * SEGMENT, &large), 0);
    assert_int_equal(blob_check(disk, 3, 10, &next), 0);
}

static void second_open_is_refused(void **state)
{
    (void)state;
    struct backend *other;
    struct disk_options options = {"d2", folder, 0};
    assert_int_equal(disk_open(&options, &other), ERR_LOCKED);
}

static void foreign_folders_are_refused(void **state)
{
    (void)state;
    char path[4096];
    disk->ops->close(disk);
    struct disk_options options = {"d1", folder, SEGMENT};
    snprintf(path, sizeof(path), "%s/format", folder);
    FILE *file = fopen(path, "w");
    fputs("ARCA-DISK 2\n", file);
    fclose(file);
    struct backend *other;
    assert_int_equal(disk_open(&options, &other), ERR_FORMAT);
    assert_int_equal(unlink(path), 0); /* now a folder with something in it, but no format */
    assert_int_equal(disk_open(&options, &other), ERR_FORMAT);
    file = fopen(path, "w");
    fputs("ARCA-DISK 1\n", file);
    fclose(file);
    snprintf(path, sizeof(path), "%s/segments/notes.txt", folder);
    fclose(fopen(path, "w"));
    assert_int_equal(disk_open(&options, &other), ERR_CORRUPT);
    assert_int_equal(unlink(path), 0);
    open_sized(SEGMENT);
}

/* A crash: what is in the files at this moment, without what close does. */
static void tail_after_a_crash(void **state)
{
    (void)state;
    struct locator first, second, third;
    assert_int_equal(blob_put_filled(disk, 1, 5000, &first), 0);
    assert_int_equal(blob_put_filled(disk, 2, 5000, &second), 0);
    disk->ops->close(disk);
    int fd = open(segment_path(1), O_RDWR);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(ftruncate(fd, st.st_size - 3000), 0);
    assert_int_equal(ftruncate(fd, st.st_size + 500000), 0); /* zeroes ahead */
    close(fd);
    open_sized(SEGMENT);
    assert_int_equal(blob_check(disk, 1, 5000, &first), 0);
    assert_int_equal(blob_check(disk, 2, 5000, &second), ERR_CORRUPT);
    size_t found;
    assert_int_equal(blob_list(disk, 1, 2, NULL, NULL, &found), 0);
    assert_int_equal(found, 1);
    assert_int_equal(blob_put_filled(disk, 3, 700, &third), 0);
    reopen();
    assert_int_equal(blob_check(disk, 3, 700, &third), 0);
    assert_int_equal(blob_list(disk, 1, 3, NULL, NULL, &found), 0);
    assert_int_equal(found, 2);
}

/* The newest segment's file exists, but its header was not written when the crash came. */
static void unborn_segment(void **state)
{
    (void)state;
    struct locator at, later;
    assert_int_equal(blob_put_filled(disk, 1, 5000, &at), 0);
    disk->ops->close(disk);
    close(open(segment_path(2), O_CREAT | O_WRONLY, 0600));
    open_sized(SEGMENT);
    assert_int_equal(blob_check(disk, 1, 5000, &at), 0);
    assert_int_equal(blob_put_filled(disk, 2, 5000, &later), 0);
    assert_int_equal(blob_check(disk, 2, 5000, &later), 0);
}

static void removal_frees_blocks_and_is_remembered(void **state)
{
    (void)state;
    struct locator at[8];
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(blob_put_filled(disk, i, 200000, &at[i]), 0);
    uint64_t before = blocks_of(1);
    assert_true(before > 0);
    assert_int_equal(blob_remove(disk, 1, &at[1]), 0);
    assert_int_equal(blob_remove(disk, 1, &at[1]), 0);
    assert_in_range(before - blocks_of(1), 190000, 200704);
    for (int round = 0; round < 2; round++) {
        size_t found;
        assert_int_equal(blob_check(disk, 1, 200000, &at[1]), ERR_NOT_FOUND);
        assert_int_equal(blob_check(disk, 0, 200000, &at[0]), 0);
        assert_int_equal(blob_check(disk, 2, 200000, &at[2]), 0);
        assert_int_equal(blob_list(disk, 0, 8, NULL, NULL, &found), 0);
        assert_int_equal(found, 7);
        reopen();
    }
    /* of another name: nothing is there */
    assert_int_equal(blob_remove(disk, 99, &at[2]), 0);
    assert_int_equal(blob_check(disk, 2, 200000, &at[2]), 0);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(blob_remove(disk, i, &at[i]), 0);
    /* the first segment is empty and sealed: it is gone; the one being written stays */
    assert_false(exists(1));
    assert_true(exists(2));
    struct locator again;
    assert_int_equal(blob_put_filled(disk, 50, 1000, &again), 0);
    assert_int_equal(blob_check(disk, 50, 1000, &again), 0);
}

/* Bytes between records that a walk cannot make sense of. */
static uint64_t damage_in(unsigned number)
{
    struct segment_scan scan;
    struct segment_record record;
    struct stat st;
    int rc;
    int fd = open(segment_path(number), O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(segment_scan_begin(&scan, fd, number, SEGMENT_HEADER_SIZE, (uint64_t)st.st_size), 0);
    while ((rc = segment_scan_next(&scan, &record)) > 0)
        continue;
    assert_int_equal(rc, 0);
    segment_scan_end(&scan);
    close(fd);
    return scan.damaged;
}

/* Small records have no whole block of their own: the segment is compacted where it stands. */
static void small_records_are_compacted(void **state)
{
    (void)state;
    enum { COUNT = 4000, LENGTH = 1000, KEEP = 400 };
    static struct locator at[COUNT];
    disk->ops->close(disk);
    open_sized(4 * SEGMENT);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(blob_put_filled(disk, i, LENGTH, &at[i]), 0);
    struct locator large;
    assert_int_equal(blob_put_filled(disk, COUNT, 4 * SEGMENT, &large), 0); /* seals the first */
    uint64_t before = blocks_of(1);
    for (unsigned i = 0; i < COUNT; i++) {
        if (i % KEEP != 0)
            assert_int_equal(blob_remove(disk, i, &at[i]), 0);
    }
    assert_true(blocks_of(1) < before / 2);
    assert_int_equal(damage_in(1), 0);
    for (int round = 0; round < 2; round++) {
        size_t found;
        for (unsigned i = 0; i < COUNT; i++)
            assert_int_equal(blob_check(disk, i, LENGTH, &at[i]), i % KEEP == 0 ? 0 : ERR_NOT_FOUND);
        assert_int_equal(blob_list(disk, 0, COUNT, NULL, NULL, &found), 0);
        assert_int_equal(found, COUNT / KEEP);
        disk->ops->close(disk);
        open_sized(4 * SEGMENT);
    }
    for (unsigned i = 0; i < COUNT; i += KEEP)
        assert_int_equal(blob_remove(disk, i, &at[i]), 0);
    assert_false(exists(1));
    assert_int_equal(blob_check(disk, COUNT, 4 * SEGMENT, &large), 0);
}

/* Emptied while it was being written: it goes once it is sealed. */
static void emptied_while_active(void **state)
{
    (void)state;
    struct locator a, b;
    assert_int_equal(blob_put_filled(disk, 1, 1000, &a), 0);
    assert_int_equal(blob_remove(disk, 1, &a), 0);
    assert_true(exists(1));
    assert_int_equal(blob_put_filled(disk, 2, SEGMENT, &b), 0);
    assert_false(exists(1));
    assert_int_equal(blob_remove(disk, 2, &b), 0);
    assert_true(exists(2));

    /* and also when it is another run of the program that seals it */
    struct locator c, d;
    assert_int_equal(blob_put_filled(disk, 3, 1000, &c), 0);
    assert_int_equal(blob_remove(disk, 3, &c), 0);
    assert_true(exists(3));
    reopen();
    assert_int_equal(blob_put_filled(disk, 4, SEGMENT, &d), 0);
    assert_false(exists(3));
    assert_int_equal(blob_remove(disk, 4, &d), 0);
}

/* A record whose header is damaged may live: parts of it can still be read, and so its segment stays. */
static void damaged_records_are_kept(void **state)
{
    (void)state;
    struct locator at[3];
    struct disk_place place;
    uint8_t byte, expected[5000];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(blob_put_filled(disk, i, 5000, &at[i]), 0);
    assert_int_equal(disk_place_decode(&at[0], &place), 0);
    int fd = open(segment_path(1), O_RDWR);
    byte = 0xff;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)place.offset + 20), 1);
    close(fd);
    reopen(); /* counts them */
    assert_int_equal(blob_remove(disk, 1, &at[1]), 0);
    assert_int_equal(blob_put_filled(disk, 2, SEGMENT, &at[2]), 0); /* seals it */
    reopen();
    size_t found;
    assert_int_equal(blob_list(disk, 2, 1, NULL, NULL, &found), 0);
    assert_int_equal(found, 1);
    assert_true(exists(1));
    blob_fill(expected, sizeof(expected), 0);
    assert_int_equal(blob_get(disk, 0, &at[0], 4000, 1, &byte), 0);
    assert_int_equal(byte, expected[4000]);
}

static void hostile_locators(void **state)
{
    (void)state;
    struct locator at;
    uint8_t dst[4096];
    assert_int_equal(blob_put_filled(disk, 1, 2000, &at), 0);
    struct disk_place good;
    assert_int_equal(disk_place_decode(&at, &good), 0);
    struct disk_place places[] = {
        {good.segment, good.offset, good.length + 8},  {good.segment, good.offset, good.length - 8},
        {good.segment, good.offset + 8, good.length - 8}, {good.segment, 1u << 30, 100},
        {good.segment, good.offset, RECORD_DATA_MAX},  {good.segment, SEGMENT_HEADER_SIZE - 8, 100},
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct locator bad;
        disk_place_encode(&places[i], &bad);
        assert_int_equal(blob_get(disk, 1, &bad, 0, 16, dst), ERR_CORRUPT);
        assert_int_equal(blob_remove(disk, 1, &bad), 0);
    }
    assert_int_equal(blob_get(disk, 1, &at, 2001, 0, dst), ERR_CORRUPT);
    assert_int_equal(blob_get(disk, 1, &at, 1, 2000, dst), ERR_CORRUPT);
    assert_int_equal(blob_get(disk, 1, &at, UINT64_MAX, 2, dst), ERR_CORRUPT);
    assert_int_equal(blob_get(disk, 1, &at, 2, UINT64_MAX, dst), ERR_CORRUPT);
    assert_int_equal(blob_get(disk, 2, &at, 0, 2000, dst), ERR_CORRUPT);
    for (unsigned length = 0; length <= LOCATOR_MAX; length++) {
        struct locator bad = {.length = (uint8_t)length};
        memset(bad.bytes, 0xff, sizeof(bad.bytes));
        assert_int_not_equal(blob_get(disk, 1, &bad, 0, 16, dst), 0);
        assert_int_equal(blob_remove(disk, 1, &bad), 0);
    }
    good.segment = 77;
    disk_place_encode(&good, &at);
    assert_int_equal(blob_get(disk, 1, &at, 0, 16, dst), ERR_NOT_FOUND);
    assert_int_equal(blob_remove(disk, 1, &at), 0);
}

static int syncs_left;

static int failing_fdatasync(int fd)
{
    if (syncs_left-- > 0)
        return fdatasync(fd);
    errno = EIO;
    return -1;
}

static void failed_sync_is_final(void **state)
{
    (void)state;
    struct locator at, lost;
    struct backend_health health;
    assert_int_equal(blob_put_filled(disk, 1, 1000, &at), 0);
    syncs_left = 0;
    disk_fdatasync = failing_fdatasync;
    assert_int_equal(blob_put_filled(disk, 2, 1000, &lost), ERR_IO);
    disk_fdatasync = fdatasync;
    assert_int_equal(blob_put_filled(disk, 3, 1000, &lost), ERR_READONLY);
    assert_int_equal(blob_remove(disk, 1, &at), ERR_READONLY);
    assert_int_equal(blob_check(disk, 1, 1000, &at), 0);
    assert_int_equal(blob_probe(disk, &health), 0);
    assert_int_equal(health.state, BACKEND_READONLY);
    assert_true(health.why[0] != '\0');
    reopen();
    assert_int_equal(blob_check(disk, 1, 1000, &at), 0);
    assert_int_equal(blob_put_filled(disk, 4, 1000, &lost), 0);
    assert_int_equal(blob_probe(disk, &health), 0);
    assert_int_equal(health.state, BACKEND_HEALTHY);
}

/* Room is made by removing what another program left there. */
static void full_disk(const char *ballast)
{
    struct locator at[200];
    struct locator lost;
    unsigned count = 0;
    int rc = 0;
    while (count < 200 && (rc = blob_put_filled(disk, count, 50000, &at[count])) == 0)
        count++;
    assert_int_equal(rc, ERR_NOSPC);
    assert_true(count > 3);
    assert_int_equal(blob_put_filled(disk, 1000, 60000, &lost), ERR_NOSPC);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(blob_check(disk, i, 50000, &at[i]), 0);
    struct backend_health health;
    assert_int_equal(blob_probe(disk, &health), 0);
    if (ballast != NULL) {
        assert_int_equal(health.state, BACKEND_READONLY);
        assert_int_equal(unlink(ballast), 0);
        assert_int_equal(blob_probe(disk, &health), 0);
        assert_int_equal(health.state, BACKEND_HEALTHY);
    } else {
        struct rlimit unlimited;
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
        unlimited.rlim_cur = unlimited.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    }
    assert_int_equal(blob_put_filled(disk, 2000, 50000, &at[count]), 0);
    reopen();
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(blob_check(disk, i, 50000, &at[i]), 0);
    assert_int_equal(blob_check(disk, 2000, 50000, &at[count]), 0);
    size_t found, strangers;
    assert_int_equal(blob_list(disk, 0, count, NULL, &strangers, &found), 0);
    assert_int_equal(found, count);
    assert_int_equal(strangers, 1); /* nothing of what failed has come back */
}

static void no_space(void **state)
{
    (void)state;
    disk->ops->close(disk);
    if (mount("tmpfs", folder, "tmpfs", 0, "size=3m") != 0) {
        /* not root: a limit of this process's file sizes looks the same to the driver, but for the probe */
        open_sized(64 * SEGMENT);
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit limit;
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = 2 * SEGMENT;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        full_disk(NULL);
        return;
    }
    char ballast[4096];
    snprintf(ballast, sizeof(ballast), "%s/lost+found", folder); /* a name that an empty folder may have */
    int fd = open(ballast, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(ftruncate(fd, SEGMENT), 0);
    assert_int_equal(posix_fallocate(fd, 0, SEGMENT), 0);
    close(fd);
    open_sized(SEGMENT);
    full_disk(ballast);
    disk->ops->close(disk);
    assert_int_equal(umount(folder), 0);
    open_sized(SEGMENT);
}

/* --- a batch that fails in its middle --- */

enum { BATCHED = 4, BATCHED_SIZE = 300000 };
static int batched_rc[BATCHED];
static int batched_queued;
static atomic_bool first_written;
static atomic_bool batch_queued;

/* Holds the writer with the first until the others are in the queue. */
static int waiting_fdatasync(int fd)
{
    first_written = true;
    while (!batch_queued)
        usleep(100);
    return fdatasync(fd);
}

static void put_batched(void *arg)
{
    uintptr_t i = (uintptr_t)arg;
    uint8_t *data = malloc(BATCHED_SIZE + 1);
    struct block block = {.references = 1, .data = data + 1, .length = BATCHED_SIZE, .capacity = BATCHED_SIZE};
    struct blob_name name = blob_name_of(i);
    struct locator at;
    blob_fill(data + 1, BATCHED_SIZE, i);
    while (i > 0 && !first_written)
        fiber_yield();
    batched_queued++;
    batched_rc[i] = disk->ops->put(disk, &name, &block, &at);
    free(data);
}

static void let_go(void *arg)
{
    (void)arg;
    while (batched_queued < BATCHED)
        fiber_yield();
    batch_queued = true;
}

/* Whole records of a batch that was refused do not come back when a shorter batch is written over its beginning. */
static void failed_batch_does_not_revive(void **state)
{
    (void)state;
    struct rlimit limit;
    struct loop *loop;
    disk->ops->close(disk);
    open_sized(4 * SEGMENT);
    batched_queued = 0;
    first_written = batch_queued = false;
    disk_fdatasync = waiting_fdatasync;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = BATCHED_SIZE * 7 / 2; /* the first, and two and a half of the three behind it */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(loop_create(&(struct loop_options){.number = 0}, &loop), 0);
    for (uintptr_t i = 0; i < BATCHED; i++)
        assert_int_equal(fiber_spawn(loop, put_batched, (void *)i, NULL), 0);
    assert_int_equal(fiber_spawn(loop, let_go, NULL, NULL), 0);
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct stat st;
    assert_int_equal(stat(segment_path(1), &st), 0);
    for (unsigned i = 0; i < BATCHED; i++)
        assert_int_equal(batched_rc[i], i == 0 ? 0 : ERR_NOSPC);
    assert_true(st.st_size < 2 * BATCHED_SIZE);
    disk->ops->close(disk);
    open_sized(4 * SEGMENT);
    size_t found;
    assert_int_equal(blob_list(disk, 0, BATCHED, NULL, NULL, &found), 0);
    assert_int_equal(found, 1);
}

/* --- many at once --- */

#define WRITERS 32
#define EACH    20

static struct locator written[WRITERS][EACH];

static void write_many(void *arg)
{
    uintptr_t writer = (uintptr_t)arg;
    uint8_t data[6000];
    struct block block = {.references = 1, .data = data, .capacity = sizeof(data)};
    for (unsigned i = 0; i < EACH; i++) {
        uint64_t number = writer * EACH + i;
        struct blob_name name = blob_name_of(number);
        block.length = 1 + number * 37 % sizeof(data);
        blob_fill(data, block.length, number);
        assert_int_equal(disk->ops->put(disk, &name, &block, &written[writer][i]), 0);
    }
}

static _Atomic int syncs;

/* Takes as long as a disk needs: on a file system in memory a sync would be over before the next put comes. */
static int slow_fdatasync(int fd)
{
    syncs++;
    usleep(1000);
    return fdatasync(fd);
}

/* Puts that come together share a sync. */
static void group_commit(void **state)
{
    (void)state;
    struct loop *loop;
    syncs = 0;
    disk_fdatasync = slow_fdatasync;
    assert_int_equal(loop_create(&(struct loop_options){.number = 0}, &loop), 0);
    for (uintptr_t i = 0; i < WRITERS; i++)
        assert_int_equal(fiber_spawn(loop, write_many, (void *)i, NULL), 0);
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    assert_true(syncs < WRITERS * EACH / 2);
    reopen();
    for (unsigned n = 0; n < WRITERS * EACH; n++)
        assert_int_equal(blob_check(disk, n, 1 + n * 37ull % 6000, &written[n / EACH][n % EACH]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rotates_and_reopens, setup, teardown),
        cmocka_unit_test_setup_teardown(larger_than_a_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(second_open_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_folders_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(tail_after_a_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(unborn_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(removal_frees_blocks_and_is_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(small_records_are_compacted, setup, teardown),
        cmocka_unit_test_setup_teardown(emptied_while_active, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_records_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_locators, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_sync_is_final, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_batch_does_not_revive, setup, teardown),
        cmocka_unit_test_setup_teardown(group_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(no_space, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    disk_settle_ms = INT32_MAX; /* what happens, happens at once: space.c is about the rest */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
