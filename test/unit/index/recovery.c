/* What an index is after it was closed, killed, or lost power: always what its journal says. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "base/log.h"
#include "index/durable.h"
#include "index/journal.h"
#include "index/snapshot.h"
#include "index_kit.h"
#include "on_fiber.h"

/* --- files --- */

static char *kit_path(const struct kit *kit, const char *name)
{
    static char path[600];
    snprintf(path, sizeof(path), "%s/%s", kit->folder, name);
    return path;
}

static struct span slurp(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t len = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(len + 1);
    assert_int_equal(fread(bytes, 1, len, file), len);
    fclose(file);
    return span_of(bytes, len);
}

static void spill(const char *path, struct span bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
}

static size_t segments(const struct kit *kit, uint64_t *first, uint64_t *last)
{
    uint64_t *all;
    size_t count;
    assert_int_equal(folder_numbers(kit_path(kit, "journal"), JOURNAL_SUFFIX, &all, &count), 0);
    assert_true(count > 0);
    *first = all[0];
    *last = all[count - 1];
    free(all);
    return count;
}

static char *segment_file(const struct kit *kit, uint64_t first)
{
    char name[64];
    snprintf(name, sizeof(name), "journal/%020llu" JOURNAL_SUFFIX, (unsigned long long)first);
    return kit_path(kit, name);
}

/* --- changes --- */

static void put_numbered(struct kit *kit, int from, int to)
{
    for (int i = from; i < to; i++) {
        const char *key = arena_printf(kit->arena, "key-%06d", i);
        assert_int_equal(index_apply(kit->index, kit_put(kit, span_str(key), "etag")), 0);
    }
}

static void put_hundred(void *arg)
{
    struct kit *kit = arg;
    kit_bucket(kit);
    put_numbered(kit, 0, 100);
}

static void put_more(void *arg)
{
    struct kit *kit = arg;
    kit_bucket(kit);
    put_numbered(kit, 100, 110);
}

static void put_one(void *arg)
{
    put_numbered(arg, 200, 201);
}

static void count_keys(void *arg)
{
    struct kit *kit = arg;
    struct index_listing listing;
    struct index_list_query query = {.max = SIZE_MAX};
    Arca__Bucket *bucket;
    kit->blobs = 0;
    if (index_bucket_get(kit->index, SPAN_LITERAL("bucket"), kit->arena, &bucket) != 0)
        return;
    query.node = kit->bucket = bucket->id;
    assert_int_equal(index_list(kit->index, &query, kit->arena, &listing), 0);
    kit->blobs = listing.count;
}

static size_t keys_now(struct kit *kit)
{
    uint64_t blobs = kit->blobs;
    on_fiber(count_keys, kit);
    size_t count = kit->blobs;
    kit->blobs = blobs;
    return count;
}

/* --- tests --- */

static void test_reopen(void **state)
{
    (void)state;
    struct kit kit;
    struct buf before = {0}, after = {0};
    kit_init(&kit);
    kit_open(&kit);
    on_fiber(put_hundred, &kit);
    kit_dump(kit.index, &before);
    kit_close(&kit);
    /* A clean view is good after a reboot; that it was not made again shows: the journal could not do it. */
    uint64_t first, last;
    assert_int_equal(segments(&kit, &first, &last), 1);
    kit.options.boot_id = "boot-2";
    kit_open(&kit);
    kit_dump(kit.index, &after);
    kit_assert_same(&before, &after);
    kit_free(&kit);
    buf_free(&before);
    buf_free(&after);
}

static void test_second_opener(void **state)
{
    (void)state;
    struct kit kit;
    struct index *second;
    uint64_t findings;
    kit_init(&kit);
    kit_open(&kit);
    assert_int_equal(index_open(&kit.options, &second), ERR_LOCKED);
    assert_int_equal(index_check(kit.folder, kit_print_finding, NULL, &findings), ERR_LOCKED);
    kit_close(&kit);
    kit_open(&kit);
    kit_free(&kit);
}

/* The child ends without closing anything. */
static void die_after(struct kit *kit, void (*fn)(void *arg))
{
    pid_t child = fork();
    if (child == 0) {
        kit_open(kit);
        on_fiber(fn, kit);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    kit->blobs += 1000;
}

static void killed_then(const char *boot_id)
{
    struct kit kit;
    struct buf before = {0}, after = {0};
    kit_init(&kit);
    die_after(&kit, put_hundred);
    kit.options.boot_id = boot_id;
    kit_open(&kit);
    assert_int_equal(keys_now(&kit), 100);
    on_fiber(put_more, &kit);
    assert_int_equal(keys_now(&kit), 110);
    kit_dump(kit.index, &before);
    kit_close(&kit);
    assert_int_equal(unlink(kit_path(&kit, "state")), 0);
    kit_open(&kit);
    kit_dump(kit.index, &after);
    kit_assert_same(&before, &after);
    kit_close(&kit);
    kit_check(&kit);
    kit_free(&kit);
    buf_free(&before);
    buf_free(&after);
}

static void test_killed(void **state)
{
    (void)state;
    killed_then("boot-1");
}

static void test_rebooted(void **state)
{
    (void)state;
    killed_then("boot-2");
}

/* After a reboot nothing of the view is believed: here it is noise. */
static void test_torn_view(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit);
    die_after(&kit, put_hundred);
    struct span view = slurp(kit_path(&kit, "view/data.mdb"));
    memset((uint8_t *)view.ptr + 4096, 0x5a, view.len - 4096);
    spill(kit_path(&kit, "view/data.mdb"), view);
    free((void *)view.ptr);
    kit.options.boot_id = "boot-2";
    kit_open(&kit);
    assert_int_equal(keys_now(&kit), 100);
    kit_free(&kit);
}

/* A view that LMDB does not open is made again even when the mark says that it is whole. */
static void test_unreadable_view(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit);
    kit_open(&kit);
    on_fiber(put_hundred, &kit);
    kit_close(&kit);
    spill(kit_path(&kit, "view/data.mdb"), SPAN_LITERAL("this is not an LMDB file, though long enough to look at"));
    kit_open(&kit);
    assert_int_equal(keys_now(&kit), 100);
    kit_free(&kit);
}

/* Files may grow to `bytes` only, until the function is called again with 0. */
static void limit_files(rlim_t bytes)
{
    static struct rlimit before;
    if (bytes == 0) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        return;
    }
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit small = {.rlim_cur = bytes, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
}

/* A start that made the view again and then failed: a power loss would tear what it wrote, so that it is not "clean". */
static void test_mark_of_a_failed_start(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit);
    kit_open(&kit);
    on_fiber(put_hundred, &kit);
    kit_close(&kit);
    struct span mark = slurp(kit_path(&kit, "state"));
    assert_true(span_starts(mark, SPAN_LITERAL("clean")));
    free((void *)mark.ptr);
    spill(kit_path(&kit, "view/data.mdb"), SPAN_LITERAL("this is not an LMDB file, though long enough to look at"));
    kit.options.segment_size = 4 << 20; /* the journal goes on in a segment that may not become so long */
    limit_files(2 << 20);
    assert_int_not_equal(index_open(&kit.options, &kit.index), 0);
    limit_files(0);
    mark = slurp(kit_path(&kit, "state"));
    assert_true(span_starts(mark, SPAN_LITERAL("running")));
    free((void *)mark.ptr);
    kit_open(&kit);
    assert_int_equal(keys_now(&kit), 100);
    kit_free(&kit);
}

/* The last record, cut or zeroed at each of its bytes: the others stay, and what comes next is kept too. */
static void torn_at(struct kit *kit, struct span whole, size_t record, size_t cut, bool zero)
{
    uint64_t first, last;
    segments(kit, &first, &last);
    uint8_t *bytes = malloc(whole.len);
    memcpy(bytes, whole.ptr, whole.len);
    memset(bytes + cut, 0, whole.len - cut);
    spill(segment_file(kit, last), span_of(bytes, zero ? whole.len : cut));
    free(bytes);
    unlink(kit_path(kit, "state"));
    kit_open(kit);
    assert_int_equal(keys_now(kit), cut < record ? 100 : 101);
    if (cut % 16 == 0) {
        on_fiber(put_one, kit);
        kit_close(kit);
        unlink(kit_path(kit, "state"));
        kit_open(kit);
        assert_int_equal(keys_now(kit), 101);
    }
    kit_close(kit);
}

static int last_offset(const struct journal_record *record, void *arg)
{
    *(uint64_t *)arg = record->offset;
    return 0;
}

static void test_torn_tail(void **state)
{
    (void)state;
    struct kit kit;
    uint64_t first, last, offset = 0, torn = 1;
    kit_init(&kit);
    kit.options.segment_size = 128 << 10;
    kit_open(&kit);
    on_fiber(put_hundred, &kit);
    on_fiber(put_one, &kit);
    kit_close(&kit);
    assert_int_equal(index_journal_dump(kit.folder, last_offset, &offset, &torn), 0);
    assert_int_equal(torn, 0);
    assert_int_equal(segments(&kit, &first, &last), 1);
    struct span whole = slurp(segment_file(&kit, last));
    size_t end = whole.len;
    while (whole.ptr[end - 1] == 0)
        end--;
    assert_true(offset > 0 && offset + 64 < end);
    for (size_t cut = offset; cut <= end; cut += 3) {
        torn_at(&kit, whole, end, cut, true);
        torn_at(&kit, whole, end, cut, false);
    }
    free((void *)whole.ptr);
    kit_free(&kit);
}

/* Not a torn tail: records that were synced and are damaged. Nothing is thrown away for them. */
static void test_damage_refused(void **state)
{
    (void)state;
    struct kit kit;
    uint64_t first, last;
    kit_init(&kit);
    kit_open(&kit);
    on_fiber(put_hundred, &kit);
    kit_close(&kit);
    segments(&kit, &first, &last);
    struct span whole = slurp(segment_file(&kit, last));
    unlink(kit_path(&kit, "state"));
    for (size_t at = 0; at < 8000; at += 61) {
        uint8_t *byte = (uint8_t *)whole.ptr + at;
        *byte ^= 0x10;
        spill(segment_file(&kit, last), whole);
        int rc = index_open(&kit.options, &kit.index);
        assert_int_equal(rc, at >= 8 && at < 12 ? ERR_FORMAT : ERR_CORRUPT);
        *byte ^= 0x10;
    }
    spill(segment_file(&kit, last), whole);
    kit_open(&kit);
    assert_int_equal(keys_now(&kit), 100);
    free((void *)whole.ptr);
    kit_free(&kit);
}

static void test_segments(void **state)
{
    (void)state;
    struct kit kit;
    uint64_t first, last;
    kit_init(&kit);
    kit.options.segment_size = 4096;
    kit_open(&kit);
    on_fiber(put_hundred, &kit);
    kit_close(&kit);
    assert_true(segments(&kit, &first, &last) > 5);
    assert_int_equal(first, 1);
    kit_check(&kit);
    /* index_check opens with the default segment size: the last segment was extended. */
    unlink(kit_path(&kit, "state"));
    kit_open(&kit);
    assert_int_equal(keys_now(&kit), 100);
    kit_close(&kit);

    /* A segment in the middle is gone. */
    uint64_t *all;
    size_t count;
    assert_int_equal(folder_numbers(kit_path(&kit, "journal"), JOURNAL_SUFFIX, &all, &count), 0);
    assert_int_equal(unlink(segment_file(&kit, all[2])), 0);
    unlink(kit_path(&kit, "state"));
    assert_int_equal(index_open(&kit.options, &kit.index), ERR_CORRUPT);
    free(all);
    kit.index = NULL;
    kit_free(&kit);
}

static void test_lost_journal(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit);
    kit_open(&kit);
    on_fiber(put_hundred, &kit);
    kit_close(&kit);
    kit_remove(kit_path(&kit, "journal"));
    assert_int_equal(index_open(&kit.options, &kit.index), ERR_CORRUPT);
    kit.index = NULL;
    kit_free(&kit);
}

/* --- snapshots --- */

static size_t snapshots(const struct kit *kit, uint64_t *newest)
{
    uint64_t *all;
    size_t count;
    assert_int_equal(folder_numbers(kit_path(kit, "snapshot"), "", &all, &count), 0);
    if (count != 0)
        *newest = all[count - 1];
    free(all);
    return count;
}

static void put_thousand(void *arg)
{
    struct kit *kit = arg;
    kit_bucket(kit);
    put_numbered(kit, 0, 1000);
}

static void test_snapshots(void **state)
{
    (void)state;
    struct kit kit;
    struct buf before = {0}, after = {0};
    uint64_t first, last, newest = 0;
    kit_init(&kit);
    kit.options.segment_size = 16 << 10;
    kit.options.snapshot_min = 64 << 10;
    kit_open(&kit);
    on_fiber(put_thousand, &kit);
    kit_dump(kit.index, &before);
    kit_close(&kit);
    assert_int_equal(snapshots(&kit, &newest), 1);
    segments(&kit, &first, &last);
    assert_true(first > 1 && first <= newest + 1);
    assert_true(newest + 1 <= last || first == last);

    unlink(kit_path(&kit, "state"));
    kit_open(&kit);
    kit_dump(kit.index, &after);
    kit_assert_same(&before, &after);
    on_fiber(put_one, &kit);
    kit_close(&kit);
    kit_check(&kit);

    /* Without a snapshot that verifies, the older part is lost, and that is said. */
    char name[64];
    assert_int_equal(snapshots(&kit, &newest), 1);
    snprintf(name, sizeof(name), "snapshot/%020llu/data.mdb", (unsigned long long)newest);
    struct span data = slurp(kit_path(&kit, name));
    ((uint8_t *)data.ptr)[data.len / 2] ^= 1;
    spill(kit_path(&kit, name), data);
    unlink(kit_path(&kit, "state"));
    assert_int_equal(index_open(&kit.options, &kit.index), ERR_CORRUPT);
    ((uint8_t *)data.ptr)[data.len / 2] ^= 1;
    spill(kit_path(&kit, name), data);
    kit_open(&kit);
    assert_int_equal(keys_now(&kit), 1000);
    free((void *)data.ptr);
    kit_free(&kit);
    buf_free(&before);
    buf_free(&after);
}

/* Takes one and waits for its end, which the folder that it is made in shows: a file there goes first, then the folder. */
static void take_snapshot(struct kit *kit)
{
    char path[600], journal[600];
    snprintf(path, sizeof(path), "%s/snapshot", kit->folder);
    snprintf(journal, sizeof(journal), "%s/journal", kit->folder);
    struct snapshots_options options = {
        .path = path, .journal = journal, .view = index_view(kit->index), .least = 1, .since = UINT64_MAX / 2};
    struct snapshots *snapshots;
    mkdir(kit_path(kit, "snapshot/tmp"), 0700);
    assert_int_equal(snapshots_start(&options, &snapshots), 0);
    snapshots_grown(snapshots, 1);
    while (access(kit_path(kit, "snapshot/tmp"), F_OK) == 0)
        usleep(1000);
    snapshots_stop(snapshots);
}

static ino_t newest_snapshot(const struct kit *kit, char name[64])
{
    struct stat st;
    uint64_t newest = 0;
    assert_int_equal(snapshots(kit, &newest), 1);
    snprintf(name, 64, "snapshot/%020llu/data.mdb", (unsigned long long)newest);
    assert_int_equal(stat(kit_path(kit, name), &st), 0);
    return st.st_ino;
}

/* One that stands already is not removed for another of the same mutation: a crash in between would leave none, and the
 * journal that it stands for is gone. */
static void test_snapshot_again(void **state)
{
    (void)state;
    struct kit kit;
    char name[64];
    kit_init(&kit);
    kit_open(&kit);
    on_fiber(put_hundred, &kit);
    take_snapshot(&kit);
    ino_t first = newest_snapshot(&kit, name);
    take_snapshot(&kit);
    assert_int_equal(newest_snapshot(&kit, name), first);
    struct span data = slurp(kit_path(&kit, name));
    ((uint8_t *)data.ptr)[data.len / 2] ^= 1; /* unless it is damaged */
    spill(kit_path(&kit, name), data);
    take_snapshot(&kit);
    ((uint8_t *)data.ptr)[data.len / 2] ^= 1;
    struct span again = slurp(kit_path(&kit, name));
    assert_true(span_eq(again, data));
    free((void *)again.ptr);
    free((void *)data.ptr);
    kit_free(&kit);
}

/* --- a sync that fails --- */

static int syncs;

static int failing_sync(int fd)
{
    (void)fd;
    syncs++;
    errno = EIO;
    return -1;
}

static void fail_sync(void *arg)
{
    struct kit *kit = arg;
    struct index_listing listing;
    journal_fdatasync = failing_sync;
    assert_int_equal(index_apply(kit->index, kit_put(kit, SPAN_LITERAL("lost"), "etag")), ERR_READONLY);
    assert_int_equal(index_apply(kit->index, kit_put(kit, SPAN_LITERAL("more"), "etag")), ERR_READONLY);
    journal_fdatasync = fdatasync;
    assert_int_equal(index_apply(kit->index, kit_delete(kit, SPAN_LITERAL("key-000001"))), ERR_READONLY);
    assert_int_equal(syncs, 1); /* never again: the kernel would say that all is well */
    assert_int_equal(index_ready(kit->index), ERR_READONLY);
    struct index_list_query query = {.node = kit->bucket, .max = SIZE_MAX};
    assert_int_equal(index_list(kit->index, &query, kit->arena, &listing), 0);
    assert_int_equal(listing.count, 100);
}

static void test_failed_sync(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit);
    kit_open(&kit);
    on_fiber(put_hundred, &kit);
    on_fiber(fail_sync, &kit);
    kit_close(&kit);
    kit_open(&kit);
    /* What was not acknowledged is there whole, or not at all. */
    assert_in_range(keys_now(&kit), 100, 101);
    on_fiber(put_more, &kit);
    kit_close(&kit);
    kit_check(&kit);
    kit_free(&kit);
}

/* --- no room --- */

/* Puts until there is no room for one more; then there is still room to read, and what was acknowledged is there. */
static void fill_up(void *arg)
{
    struct kit *kit = arg;
    struct index_listing listing;
    int rc = 0, stored = 0;
    kit_bucket(kit);
    while (rc == 0 && stored < 100000) {
        const char *key = arena_printf(kit->arena, "key-%06d", stored);
        rc = index_apply(kit->index, kit_put(kit, span_str(key), "etag"));
        stored += rc == 0;
    }
    assert_int_equal(rc, ERR_NOSPC);
    for (int i = 0; i < 20; i++)
        assert_int_equal(index_apply(kit->index, kit_put(kit, SPAN_LITERAL("more"), "etag")), ERR_NOSPC);
    assert_int_equal(index_ready(kit->index), ERR_NOSPC);
    struct index_list_query query = {.node = kit->bucket, .max = SIZE_MAX};
    assert_int_equal(index_list(kit->index, &query, kit->arena, &listing), 0);
    assert_int_equal(listing.count, stored);
}

static void test_map_full(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit);
    kit.options.map_size = 512 << 10;
    kit_open(&kit);
    on_fiber(fill_up, &kit);
    size_t stored = keys_now(&kit);
    kit_close(&kit);
    kit.options.map_size = KIT_MAP;
    unlink(kit_path(&kit, "state"));
    kit_open(&kit);
    assert_int_equal(keys_now(&kit), stored);
    on_fiber(put_more, &kit);
    kit_close(&kit);
    kit_check(&kit);
    kit_free(&kit);
}

static void fail_until_limit(void *arg)
{
    struct kit *kit = arg;
    int rc = 0;
    for (int i = 1000; rc == 0 && i < 100000; i++) {
        const char *key = arena_printf(kit->arena, "key-%06d", i);
        rc = index_apply(kit->index, kit_put(kit, span_str(key), "etag"));
    }
    assert_int_not_equal(rc, 0);
    assert_int_not_equal(index_apply(kit->index, kit_put(kit, SPAN_LITERAL("more"), "etag")), 0);
}

/* Files may not grow past a limit: neither the journal's next segment nor the view can be written. */
static void test_file_limit(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit);
    kit.options.segment_size = 256 << 10;
    kit_open(&kit);
    on_fiber(put_hundred, &kit);
    limit_files(700 << 10);
    on_fiber(fail_until_limit, &kit);
    size_t stored = keys_now(&kit);
    limit_files(0);
    kit_close(&kit);
    unlink(kit_path(&kit, "state"));
    kit_open(&kit);
    assert_int_equal(keys_now(&kit), stored);
    kit_close(&kit);
    kit_check(&kit);
    kit_free(&kit);
}

/* On a full disk: nothing more is taken, what is there can be read and deleted, and room that is made is used. */
static void full_then_deleted(void *arg)
{
    struct kit *kit = arg;
    int rc = 0, stored = 0;
    kit_bucket(kit);
    while (rc == 0 && stored < 100000) {
        const char *key = arena_printf(kit->arena, "key-%06d", stored);
        rc = index_apply(kit->index, kit_put(kit, span_str(key), "etag"));
        stored += rc == 0;
        if (stored % 1000 == 0) /* this much memory is not needed: the mutations are done with */
            arena_reset(kit->arena);
    }
    assert_int_equal(rc, ERR_NOSPC);
    for (int i = 0; i < stored; i++) {
        const char *key = arena_printf(kit->arena, "key-%06d", i);
        assert_int_equal(index_apply(kit->index, kit_delete(kit, span_str(key))), 0);
        if (i % 1000 == 0) {
            assert_int_equal(index_apply(kit->index, kit_put(kit, SPAN_LITERAL("more"), "etag")), ERR_NOSPC);
            assert_int_equal(index_ready(kit->index), ERR_NOSPC);
            arena_reset(kit->arena);
        }
    }
}

static void put_when_there_is_room(void *arg)
{
    struct kit *kit = arg;
    int rc;
    while ((rc = index_apply(kit->index, kit_put(kit, SPAN_LITERAL("more"), "etag"))) == ERR_NOSPC)
        assert_int_equal(fiber_wait(loop_now_ms() + 20), ERR_TIMEOUT);
    assert_int_equal(rc, 0);
    assert_int_equal(index_ready(kit->index), 0);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit);
    if (mount("tmpfs", kit.folder, "tmpfs", 0, "size=16m") != 0) {
        print_message("only root can mount a small disk\n");
        kit_free(&kit);
        skip();
    }
    int ballast = open(kit_path(&kit, "ballast"), O_CREAT | O_WRONLY, 0600);
    assert_int_equal(posix_fallocate(ballast, 0, 8 << 20), 0);
    kit_open(&kit);
    on_fiber(full_then_deleted, &kit);
    assert_int_equal(keys_now(&kit), 0);
    assert_int_equal(ftruncate(ballast, 0), 0);
    close(ballast);
    on_fiber(put_when_there_is_room, &kit);
    kit_close(&kit);
    kit_check(&kit);
    kit_open(&kit);
    assert_int_equal(keys_now(&kit), 1);
    kit_close(&kit);
    assert_int_equal(umount(kit.folder), 0);
    kit_free(&kit);
}

/* --- group commit --- */

#define WRITERS 16

struct group {
    struct kit *kit;
    int left;
    struct fiber *parent;
};

static void write_ten(void *arg)
{
    struct group *group = arg;
    put_numbered(group->kit, group->left * 1000, group->left * 1000 + 10);
    if (--group->left == 0)
        fiber_wake(group->parent);
}

static void write_together(void *arg)
{
    struct kit *kit = arg;
    struct group group = {.kit = kit, .parent = fiber_self()};
    kit_bucket(kit);
    for (int i = 0; i < WRITERS; i++) {
        group.left++;
        assert_int_equal(fiber_spawn(loop_self(), write_ten, &group, NULL), 0);
    }
    while (group.left != 0)
        assert_int_equal(fiber_wait(DEADLINE_NONE), 0);
}

/* Takes as long as a disk needs: on a file system in memory a sync would be over before the next mutation comes. */
static int slow_sync(int fd)
{
    usleep(1000);
    return fdatasync(fd);
}

static int count_records(const struct journal_record *record, void *arg)
{
    (void)record;
    ++*(int *)arg;
    return 0;
}

struct batches {
    uint64_t last;
    int count;
};

static int count_batches(const struct journal_place *place, void *arg)
{
    struct batches *batches = arg;
    batches->count += place->record->batch != batches->last;
    batches->last = place->record->batch;
    return 0;
}

static void test_group_commit(void **state)
{
    (void)state;
    struct kit kit;
    struct batches batches = {0};
    struct journal_scan scan;
    int records = 0;
    kit_init(&kit);
    journal_fdatasync = slow_sync;
    kit_open(&kit);
    on_fiber(write_together, &kit);
    kit_close(&kit);
    journal_fdatasync = fdatasync;
    assert_int_equal(index_journal_dump(kit.folder, count_records, &records, NULL), 0);
    assert_int_equal(journal_scan(kit_path(&kit, "journal"), 1, count_batches, &batches, &scan), 0);
    assert_true(records >= 20);
    assert_true(batches.count < records / 2);
    kit_free(&kit);
}

int main(void)
{
    log_setup(LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reopen),          cmocka_unit_test(test_second_opener),
        cmocka_unit_test(test_killed),          cmocka_unit_test(test_rebooted),
        cmocka_unit_test(test_torn_view),       cmocka_unit_test(test_unreadable_view),
        cmocka_unit_test(test_torn_tail),       cmocka_unit_test(test_damage_refused),
        cmocka_unit_test(test_segments),        cmocka_unit_test(test_lost_journal),
        cmocka_unit_test(test_snapshots),       cmocka_unit_test(test_group_commit),
        cmocka_unit_test(test_map_full),        cmocka_unit_test(test_file_limit),
        cmocka_unit_test(test_snapshot_again),  cmocka_unit_test(test_mark_of_a_failed_start),
        cmocka_unit_test(test_failed_sync),     cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
