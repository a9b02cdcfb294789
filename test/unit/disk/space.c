/* What the files of the disk driver cost when little or nothing lives in them. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "await.h"
#include "backends/disk/disk.h"
#include "base/log.h"
#include "blobs.h"

#define MIB  ((uint64_t)1 << 20)
#define ROOM (64u << 10) /* an empty segment, and what the file system rounds up */

static char *folder;
static struct backend *disk;

static void open_sized(uint64_t segment_size)
{
    struct disk_options options = {"d1", folder, segment_size};
    assert_int_equal(disk_open(&options, &disk), 0);
}

static int setup(void **state)
{
    (void)state;
    folder = folder_make();
    disk_settle_ms = 200;
    open_sized(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    disk->ops->close(disk);
    folder_remove(folder);
    return 0;
}

/* Bytes of blocks that all segments have. */
static uint64_t allocated(void)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/segments", folder);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    uint64_t sum = 0;
    struct dirent *entry;
    struct stat st;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
            sum += (uint64_t)st.st_blocks * 512;
    }
    closedir(dir);
    return sum;
}

static void wait_for_at_most(uint64_t bytes)
{
    uint64_t now;
    (void)AWAIT((now = allocated()) <= bytes);
    assert_in_range(now, 0, bytes);
}

static uint32_t segment_of(const struct locator *at)
{
    struct disk_place place;
    assert_int_equal(disk_place_decode(at, &place), 0);
    return place.segment;
}

static size_t listed(void)
{
    size_t found;
    assert_int_equal(blob_list(disk, 0, 2000, NULL, NULL, &found), 0);
    return found;
}

/* A provider was changed: all that a disk had is removed, and it is left with one segment that it was writing. */
static void nothing_lives(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    struct locator at[COUNT], again;
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(blob_put_filled(disk, i, MIB, &at[i]), 0);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(blob_remove(disk, i, &at[i]), 0);
    wait_for_at_most(ROOM);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(blob_check(disk, i, MIB, &at[i]), ERR_NOT_FOUND);
    assert_int_equal(listed(), 0);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(blob_put_filled(disk, 100, MIB, &again), 0);
        assert_true(segment_of(&again) > segment_of(&at[0])); /* no place is ever given out twice */
        assert_int_equal(blob_check(disk, 100, MIB, &again), 0);
        assert_int_equal(blob_remove(disk, 100, &again), 0);
        wait_for_at_most(ROOM);
        disk->ops->close(disk);
        open_sized(0);
    }
}

/* Small blobs have no blocks of their own, and zeroes are written ahead of them. */
static void nothing_small_lives(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    static struct locator at[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(blob_put_filled(disk, i, 3000, &at[i]), 0);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(blob_remove(disk, i, &at[i]), 0);
    wait_for_at_most(ROOM);
    assert_int_equal(listed(), 0);
}

/* It was emptied, and the process ended before it gave the space back. */
static void emptied_before_a_restart(void **state)
{
    (void)state;
    struct locator at[20];
    disk->ops->close(disk);
    disk_settle_ms = PATIENCE_MS;
    open_sized(0);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(blob_put_filled(disk, i, i < 10 ? MIB : 3000, &at[i]), 0);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(blob_remove(disk, i, &at[i]), 0);
    disk->ops->close(disk);
    disk_settle_ms = 200;
    open_sized(0);
    wait_for_at_most(ROOM);
}

/* Blocks that are reserved for the next large blobs go back when none come. */
static void reserved_blocks(void **state)
{
    (void)state;
    enum { COUNT = 6 };
    struct locator at[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(blob_put_filled(disk, i, MIB, &at[i]), 0);
        if (i % 2 == 1) /* and what is written after that goes on behind it */
            wait_for_at_most((i + 1) * (MIB + 8192) + ROOM);
    }
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < COUNT; i++)
            assert_int_equal(blob_check(disk, i, MIB, &at[i]), 0);
        disk->ops->close(disk);
        open_sized(0);
    }
}

/* As a crash leaves them: in the segment being written, and in one that is not the last any more. */
static void reserved_blocks_after_a_crash(void **state)
{
    (void)state;
    struct locator at[2];
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(blob_put_filled(disk, i, MIB, &at[i]), 0);
        disk->ops->close(disk);
        open_sized(MIB);
    }
    disk->ops->close(disk);
    for (unsigned i = 0; i < 2; i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/segments/%08u.seg", folder, segment_of(&at[i]));
        int fd = open(path, O_RDWR);
        assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 32 << 20), 0);
        close(fd);
    }
    assert_true(segment_of(&at[1]) > segment_of(&at[0]));
    assert_true(allocated() >= 64 * MIB);
    open_sized(0);
    wait_for_at_most(2 * (MIB + 8192) + ROOM);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(blob_check(disk, i, MIB, &at[i]), 0);
}

/* Opens a copy of the files as they are now, as after a crash. */
static void open_copy(void)
{
    char *copy = folder_make();
    char command[8192];
    snprintf(command, sizeof(command), "cp -r --sparse=always %s/. %s/", folder, copy);
    assert_int_equal(system(command), 0);
    disk->ops->close(disk);
    folder_remove(folder);
    folder = copy;
    open_sized(0);
}

/* Dead records among live ones, too few to be worth it while more of them may die soon. */
static void little_is_dead(bool sealed)
{
    enum { LARGE = 8, SMALL = 1000, KEEP = 100, SIZE = 3000 };
    static struct locator at[LARGE + SMALL];
    struct locator last;
    for (unsigned i = 0; i < LARGE; i++)
        assert_int_equal(blob_put_filled(disk, i, 8 * MIB, &at[i]), 0);
    for (unsigned i = LARGE; i < LARGE + SMALL; i++)
        assert_int_equal(blob_put_filled(disk, i, SIZE, &at[i]), 0);
    assert_int_equal(segment_of(&at[0]), segment_of(&at[LARGE + SMALL - 1]));
    if (sealed) {
        disk->ops->close(disk);
        open_sized(MIB);
        assert_int_equal(blob_put_filled(disk, 1999, 1, &last), 0);
        assert_true(segment_of(&last) > segment_of(&at[0]));
    }
    for (unsigned i = LARGE; i < LARGE + SMALL; i++) {
        if (i % KEEP != 0)
            assert_int_equal(blob_remove(disk, i, &at[i]), 0);
    }
    wait_for_at_most(LARGE * (8 * MIB + 8192) + 2 * 8192 * SMALL / KEEP + MIB + ROOM);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(listed(), LARGE + SMALL / KEEP + sealed);
        for (unsigned i = 0; i < LARGE + SMALL; i++)
            assert_int_equal(blob_check(disk, i, i < LARGE ? 8 * MIB : SIZE, &at[i]),
                             i < LARGE || i % KEEP == 0 ? 0 : ERR_NOT_FOUND);
        if (round == 0) {
            open_copy();
            /* and it goes on behind what was compacted */
            assert_int_equal(blob_put_filled(disk, 1900, SIZE, &last), 0);
            assert_int_equal(blob_check(disk, 1900, SIZE, &last), 0);
            assert_int_equal(blob_remove(disk, 1900, &last), 0);
        } else {
            disk->ops->close(disk);
            open_sized(0);
        }
    }
}

static void little_is_dead_while_written(void **state)
{
    (void)state;
    little_is_dead(false);
}

static void little_is_dead_and_sealed(void **state)
{
    (void)state;
    little_is_dead(true);
}

/* --- what is sealed, settled and deleted while others put and remove --- */

enum { BUSY = 8, ROUNDS = 150, KEPT = 10, BUSY_SIZE = 3000 };
static struct locator busy_at[BUSY][ROUNDS];

static uint64_t busy_number(uintptr_t worker, unsigned round)
{
    return 1 + worker * ROUNDS + round;
}

static void put_and_remove(void *arg)
{
    uintptr_t worker = (uintptr_t)arg;
    uint8_t data[BUSY_SIZE], read[BUSY_SIZE];
    struct block block = {.references = 1, .data = data, .capacity = sizeof(data), .length = sizeof(data)};
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct blob_name name = blob_name_of(busy_number(worker, i));
        struct locator *at = &busy_at[worker][i];
        blob_fill(data, sizeof(data), busy_number(worker, i));
        assert_int_equal(disk->ops->put(disk, &name, &block, at), 0);
        if (i % 7 == worker)
            (void)fiber_wait(loop_now_ms() + 3);
        assert_int_equal(disk->ops->get(disk, &name, at, 0, sizeof(read), read), 0);
        assert_memory_equal(read, data, sizeof(data));
        if (i % KEPT != 0)
            assert_int_equal(disk->ops->remove(disk, &name, at), 0);
    }
}

static void nothing_goes_that_lives(void **state)
{
    (void)state;
    struct loop *loop;
    disk->ops->close(disk);
    disk_settle_ms = 1;
    open_sized(20000);
    assert_int_equal(loop_create(&(struct loop_options){.number = 0}, &loop), 0);
    for (uintptr_t i = 0; i < BUSY; i++)
        assert_int_equal(fiber_spawn(loop, put_and_remove, (void *)i, NULL), 0);
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    for (int round = 0; round < 2; round++) {
        for (uintptr_t worker = 0; worker < BUSY; worker++) {
            for (unsigned i = 0; i < ROUNDS; i += KEPT)
                assert_int_equal(blob_check(disk, busy_number(worker, i), BUSY_SIZE, &busy_at[worker][i]), 0);
        }
        assert_int_equal(listed(), BUSY * ROUNDS / KEPT);
        disk->ops->close(disk);
        open_sized(20000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_lives, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_small_lives, setup, teardown),
        cmocka_unit_test_setup_teardown(emptied_before_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(reserved_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(reserved_blocks_after_a_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(little_is_dead_while_written, setup, teardown),
        cmocka_unit_test_setup_teardown(little_is_dead_and_sealed, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_goes_that_lives, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
