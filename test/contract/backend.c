/* What every backend driver must do. One row of DRIVERS is one driver; the whole suite runs over each, or over the one that
 * is named as argument. */
#include "unit.h"

#include "azurite.h"
#include "backends/registry.h"
#include "base/log.h"
#include "blobs.h"
#include "fault_backend.h"
#include "memory_backend.h"
#include "minio.h"
#include "rgw.h"

#define SKIPPED 77

struct driver {
    const char *name;   /* of the row */
    const char *driver; /* what it calls itself */
    /* Starts its server, once, and stops it; may be NULL. False: what it needs is not installed here. */
    bool (*start)(void);
    void (*stop)(void);
    /* Opens it over a place that outlives it: `place` is an empty folder at first, whose name no other test uses. 0, or the
     * driver's error. */
    int (*open)(const char *place, struct backend **out);
};

/* The same place is the same name: for stores that have no folders. */
static char *name_of(const char *place)
{
    const char *slash = strrchr(place, '/');
    return (char *)(uintptr_t)(slash != NULL ? slash + 1 : place);
}

static int open_disk(const char *place, struct backend **out)
{
    struct disk_options options = {"contract", place, 16u << 20};
    return disk_open(&options, out);
}

static struct azurite azurite;

static bool start_azure(void)
{
    if (!azurite_installed())
        return false;
    assert_true(azurite_start(&azurite));
    return true;
}

static void stop_azure(void)
{
    azurite_stop(&azurite);
}

static int open_azure(const char *place, struct backend **out)
{
    struct backend_settings settings = azurite.settings;
    settings.prefix = name_of(place);
    return azure_open(&settings, out);
}

/* Without the account's key. */
static bool start_azure_sas(void)
{
    if (!start_azure())
        return false;
    char *token = azurite_sas("rwdl", 3600000);
    file_write_private(azurite.key_file, token);
    free(token);
    return true;
}

static int open_memory(const char *place, struct backend **out)
{
    return memory_open("contract", place, out);
}

/* The wrapper that fails, when it does not, */
static int open_faults_off(const char *place, struct backend **out)
{
    struct backend *inner;
    int rc = open_disk(place, &inner);
    return rc != 0 ? rc : fault_create(inner, &(struct fault_options){.per_million = {[FAULT_DELAY] = 0}}, out);
}

/* and with what every caller has to bear: it is slow, and lists nothing for a while. */
static int open_faults_slow(const char *place, struct backend **out)
{
    struct fault_options options = {
        .seed = 1, .per_million = {[FAULT_DELAY] = 20000, [FAULT_LIST] = 300000}, .delay_ms = 5};
    struct backend *inner;
    int rc = open_memory(place, &inner);
    if (rc == 0)
        rc = fault_create(inner, &options, out);
    if (rc == 0)
        fault_calm(false);
    return rc;
}

static void forget_faults(void)
{
    fault_calm(true);
    fault_forget();
    memory_forget();
}

static struct s3_store minio;

static bool start_s3(void)
{
    if (!minio_installed())
        return false;
    assert_true(minio_start(&minio));
    return true;
}

static void stop_s3(void)
{
    s3_store_stop(&minio);
}

static int open_s3(const char *place, struct backend **out)
{
    struct backend_settings settings = minio.settings;
    settings.prefix = name_of(place);
    return s3_open(&settings, out);
}

static struct s3_store rgw;

static bool start_rgw(void)
{
    if (!rgw_installed())
        return false;
    assert_true(rgw_start(&rgw));
    return true;
}

static void stop_rgw(void)
{
    s3_store_stop(&rgw);
}

static int open_rgw(const char *place, struct backend **out)
{
    struct backend_settings settings = rgw.settings;
    settings.prefix = name_of(place);
    return s3_open(&settings, out);
}

#ifdef ARCA_LIBS3
static int open_v2(const char *place, struct backend_settings settings, struct backend **out)
{
    settings.prefix = name_of(place);
    settings.signature = 2;
    return backend_open(&settings, out);
}

static int open_libs3(const char *place, struct backend **out)
{
    return open_v2(place, minio.settings, out);
}

static int open_libs3_rgw(const char *place, struct backend **out)
{
    return open_v2(place, rgw.settings, out);
}

#define start_libs3     start_s3
#define start_libs3_rgw start_rgw
#else
static bool left_out(void)
{
    return false;
}

#define start_libs3     left_out
#define start_libs3_rgw left_out
#define open_libs3      NULL
#define open_libs3_rgw  NULL
#endif

static const struct driver DRIVERS[] = {
    {"disk", "disk", NULL, NULL, open_disk},
    {"memory", "memory", NULL, memory_forget, open_memory},
    {"faults-off", "disk", NULL, forget_faults, open_faults_off},
    {"faults-slow", "memory", NULL, forget_faults, open_faults_slow},
    {"azure", "azure", start_azure, stop_azure, open_azure},
    {"azure-sas", "azure", start_azure_sas, stop_azure, open_azure},
    {"s3", "s3", start_s3, stop_s3, open_s3},
    {"s3-rgw", "s3", start_rgw, stop_rgw, open_rgw},
    {"libs3", "libs3", start_libs3, stop_s3, open_libs3},
    {"libs3-rgw", "libs3", start_libs3_rgw, stop_rgw, open_libs3_rgw},
};

static const struct driver *driver;
static struct backend *backend;
static char *place;
static uint64_t next_number = 1; /* names are never used again */

static int setup(void **state)
{
    (void)state;
    place = folder_make();
    return driver->open(place, &backend);
}

static int teardown(void **state)
{
    (void)state;
    backend->ops->close(backend);
    folder_remove(place);
    return 0;
}

static void reopen(void)
{
    backend->ops->close(backend);
    assert_int_equal(driver->open(place, &backend), 0);
}

/* --- one at a time --- */

static void names_its_driver(void **state)
{
    (void)state;
    assert_string_equal(backend->ops->driver, driver->driver);
    assert_string_equal(backend->name, "contract");
}

static void sizes(void **state)
{
    (void)state;
    static const size_t SIZES[] = {1,    7,    8,     9,     15,      511,     512,     4047,          4048,
                                   4095, 4096, 4097,  65535, 65536,   65537,   1048575, 1048576,       1048577,
                                   5242880, 8388608, 8388624, 16777216, (16u << 20) - 48, 67108864};
    enum { COUNT = sizeof(SIZES) / sizeof(SIZES[0]) };
    struct locator at[COUNT];
    uint64_t first = next_number;
    next_number += COUNT;
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(blob_put_filled(backend, first + i, SIZES[i], &at[i]), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(at[i].length <= LOCATOR_MAX);
        assert_int_equal(blob_check(backend, first + i, SIZES[i], &at[i]), 0);
    }
    reopen();
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(blob_check(backend, first + i, SIZES[i], &at[i]), 0);
}

static void ranges(void **state)
{
    (void)state;
    enum { SIZE = 300000 };
    uint8_t *data = malloc(SIZE);
    uint8_t *part = malloc(SIZE);
    struct locator at;
    uint64_t number = next_number++;
    blob_fill(data, SIZE, number);
    assert_int_equal(blob_put(backend, number, data, SIZE, &at), 0);
    static const struct {
        uint64_t offset;
        uint64_t length;
    } RANGES[] = {{0, 1},         {0, 4096},  {1, 1},        {4095, 2},       {65536, 65552}, {299999, 1},
                  {1, 299999},    {0, 300000}, {150000, 4096}, {262144, 37856}, {17, 200000}};
    for (size_t i = 0; i < sizeof(RANGES) / sizeof(RANGES[0]); i++) {
        memset(part, 0xaa, SIZE);
        assert_int_equal(blob_get(backend, number, &at, RANGES[i].offset, RANGES[i].length, part), 0);
        assert_memory_equal(part, data + RANGES[i].offset, RANGES[i].length);
        if (RANGES[i].length < SIZE)
            assert_int_equal(part[RANGES[i].length], 0xaa);
    }
    /* more than there is */
    assert_int_equal(blob_get(backend, number, &at, 0, SIZE + 1, part), ERR_CORRUPT);
    assert_int_equal(blob_get(backend, number, &at, SIZE, 1, part), ERR_CORRUPT);
    free(part);
    free(data);
}

static void puts_again(void **state)
{
    (void)state;
    struct locator first, second;
    uint64_t number = next_number++;
    assert_int_equal(blob_put_filled(backend, number, 10000, &first), 0);
    assert_int_equal(blob_put_filled(backend, number, 10000, &second), 0);
    assert_int_equal(blob_check(backend, number, 10000, &second), 0);
    size_t found;
    assert_int_equal(blob_list(backend, number, 1, NULL, NULL, &found), 0);
    assert_true(found >= 1);
}

static void removes(void **state)
{
    (void)state;
    struct locator kept, gone;
    uint64_t number = next_number;
    next_number += 2;
    assert_int_equal(blob_put_filled(backend, number, 40000, &gone), 0);
    assert_int_equal(blob_put_filled(backend, number + 1, 40000, &kept), 0);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(blob_remove(backend, number, &gone), 0);
        assert_int_equal(blob_check(backend, number, 40000, &gone), ERR_NOT_FOUND);
        assert_int_equal(blob_check(backend, number + 1, 40000, &kept), 0);
        size_t found;
        assert_int_equal(blob_list(backend, number, 2, NULL, NULL, &found), 0);
        assert_int_equal(found, 1);
        reopen();
    }
}

/* What a backend under another driver has given out. */
static void foreign_locators(void **state)
{
    (void)state;
    struct locator at, foreign = {.length = 7};
    uint64_t number = next_number++;
    assert_int_equal(blob_put_filled(backend, number, 1000, &at), 0);
    assert_int_equal(blob_check(backend, number, 1000, &foreign), ERR_NOT_FOUND);
    assert_int_equal(blob_check(backend, number, 1000, &at), 0);
}

/* More than a batch; each blob once, with its size and a locator that finds it. */
static void lists(void **state)
{
    (void)state;
    enum { COUNT = 2 * BLOB_BATCH + 100 };
    static struct locator at[COUNT];
    static struct blob_entry entries[COUNT];
    size_t found, strangers;
    assert_int_equal(blob_list(backend, 0, 0, NULL, &strangers, &found), 0);
    assert_int_equal(strangers, 0);
    uint64_t first = next_number;
    next_number += COUNT;
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(blob_put_filled(backend, first + i, 1 + i % 3000, &at[i]), 0);
    for (unsigned i = 0; i < COUNT; i += 2)
        assert_int_equal(blob_remove(backend, first + i, &at[i]), 0);
    memset(entries, 0, sizeof(entries));
    assert_int_equal(blob_list(backend, first, COUNT, entries, &strangers, &found), 0);
    assert_int_equal(strangers, 0);
    assert_int_equal(found, COUNT / 2);
    for (unsigned i = 1; i < COUNT; i += 2) {
        assert_int_equal(entries[i].size, 1 + i % 3000);
        assert_int_equal(blob_check(backend, first + i, 1 + i % 3000, &entries[i].locator), 0);
    }
}

static void probes(void **state)
{
    (void)state;
    struct backend_health health;
    assert_int_equal(blob_probe(backend, &health), 0);
    assert_int_equal(health.state, BACKEND_HEALTHY);
    assert_true(health.free > 0);
}

/* --- many at once, and cancelled --- */

#define FIBERS 32
#define EACH   12

struct writer {
    uint64_t first;
    struct locator at[EACH];
    int rc[EACH];
};

static size_t size_of(uint64_t number)
{
    return 1 + (size_t)(number * 7919 % 50000);
}

/* Puts, and reads what it and others have put. */
static void write_and_read(void *arg)
{
    struct writer *writer = arg;
    uint8_t *data = malloc(50001);
    uint8_t *again = malloc(50001);
    struct block block = {.references = 1, .data = data, .capacity = 50000};
    for (unsigned i = 0; i < EACH; i++) {
        struct blob_name name = blob_name_of(writer->first + i);
        block.length = size_of(writer->first + i);
        blob_fill(data, block.length, writer->first + i);
        writer->rc[i] = backend->ops->put(backend, &name, &block, &writer->at[i]);
        if (writer->rc[i] != 0)
            continue;
        int rc = backend->ops->get(backend, &name, &writer->at[i], 0, block.length, again);
        if (rc == ERR_CANCELED && fiber_canceled(fiber_self()))
            continue;
        assert_int_equal(rc, 0);
        assert_memory_equal(data, again, block.length);
    }
    free(again);
    free(data);
}

static void cancel_some(void *arg)
{
    struct fiber **fibers = arg;
    for (unsigned i = 0; i < FIBERS; i += 2)
        fiber_cancel(fibers[i]);
}

/* A put that was cancelled may or may not have stored its blob; what was acknowledged is there. */
static void run_writers(bool cancel)
{
    static struct writer writers[FIBERS];
    struct fiber *fibers[FIBERS];
    struct loop *loop;
    memset(writers, 0, sizeof(writers));
    assert_int_equal(loop_create(&(struct loop_options){.number = 0}, &loop), 0);
    for (unsigned i = 0; i < FIBERS; i++) {
        writers[i].first = next_number;
        next_number += EACH;
        assert_int_equal(fiber_spawn(loop, write_and_read, &writers[i], &fibers[i]), 0);
    }
    if (cancel)
        assert_int_equal(fiber_spawn(loop, cancel_some, fibers, NULL), 0);
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    reopen();
    unsigned stored = 0;
    for (unsigned i = 0; i < FIBERS; i++) {
        for (unsigned k = 0; k < EACH; k++) {
            uint64_t number = writers[i].first + k;
            bool may_fail = cancel && i % 2 == 0;
            if (!may_fail || writers[i].rc[k] != ERR_CANCELED) {
                assert_int_equal(writers[i].rc[k], 0);
                assert_int_equal(blob_check(backend, number, size_of(number), &writers[i].at[k]), 0);
                stored++;
            }
        }
    }
    if (cancel)
        assert_true(stored < FIBERS * EACH);
    else
        assert_int_equal(stored, FIBERS * EACH);
}

static void concurrent(void **state)
{
    (void)state;
    run_writers(false);
}

static void canceled(void **state)
{
    (void)state;
    run_writers(true);
}

static int run(const struct CMUnitTest *tests, size_t count)
{
    if (driver->start != NULL && !driver->start()) {
        printf("%s: skipped, what it needs is not installed here\n", driver->name);
        return SKIPPED;
    }
    int failed = _cmocka_run_group_tests(driver->name, tests, count, NULL, NULL);
    if (driver->stop != NULL)
        driver->stop();
    return failed;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_its_driver, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(puts_again, setup, teardown),
        cmocka_unit_test_setup_teardown(removes, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_locators, setup, teardown),
        cmocka_unit_test_setup_teardown(lists, setup, teardown),
        cmocka_unit_test_setup_teardown(probes, setup, teardown),
        cmocka_unit_test_setup_teardown(concurrent, setup, teardown),
        cmocka_unit_test_setup_teardown(canceled, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    int failed = 0, result = argc > 1 ? 1 : 0;
    for (size_t i = 0; i < sizeof(DRIVERS) / sizeof(DRIVERS[0]); i++) {
        driver = &DRIVERS[i];
        if (argc > 1 && strcmp(argv[1], driver->name) != 0)
            continue;
        result = run(tests, sizeof(tests) / sizeof(tests[0]));
        failed += result != SKIPPED ? result : 0;
    }
    return argc > 1 ? result : failed;
}
