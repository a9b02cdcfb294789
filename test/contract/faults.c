/* What every driver of a remote store makes of one that misbehaves (support/fault_server.py): each operation ends in bounded
 * time, with an error where there is one, never with wrong bytes, never with a blob that is taken for gone. */
#include "unit.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include "backends/registry.h"
#include "base/log.h"
#include "blobs.h"
#include "server.h"

#define TIMEOUT_MS 2000  /* where that ends it */
#define PATIENT_MS 60000 /* where it ends by itself: however busy the machine is, nothing is given up and tried again */
#define SLACK_MS   20000 /* that it ends is tested: the server would hang for 60 s */
#define OFFSET     1000
#define LENGTH     50000

/* What may come, beside 0 and ERR_*. */
#define ANY   1
#define FAILS 2 /* ERR_IO, ERR_UNAVAILABLE or ERR_TIMEOUT: the blob may be there or not */

struct fault {
    const char *name;
    int put, get, remove, list;
    enum { DOWN, UP, EITHER } probe;
    unsigned requests; /* exactly so many, for the five operations; 0: not counted */
};

static const struct fault FAULTS[] = {
    {"honest", 0, 0, 0, 0, UP, 5},
    {"recover", 0, 0, 0, 0, EITHER, 0},
    {"hang", FAILS, FAILS, FAILS, FAILS, DOWN, 0},
    {"slow", FAILS, FAILS, FAILS, FAILS, DOWN, 0},
    {"cut", ANY, FAILS, ANY, FAILS, EITHER, 0},
    {"reset", FAILS, FAILS, FAILS, FAILS, DOWN, 0},
    {"silent", FAILS, FAILS, FAILS, FAILS, DOWN, 0},
    {"nothttp", FAILS, FAILS, FAILS, FAILS, DOWN, 0},
    {"redirect", FAILS, FAILS, FAILS, FAILS, DOWN, 5},
    {"short", 0, ERR_CORRUPT, 0, 0, UP, 5},
    {"shifted", 0, FAILS, 0, 0, UP, 0},
    {"mislabeled", 0, FAILS, 0, 0, UP, 0},
    {"wide", 0, FAILS, 0, 0, UP, 0},
    {"whole", 0, FAILS, 0, 0, UP, 0},
    {"garbage", ANY, FAILS, ANY, FAILS, EITHER, 0},
    {"bomb", 0, 0, 0, FAILS, EITHER, 0},
    {"huge", 0, 0, 0, FAILS, EITHER, 0},
    {"crowded", 0, 0, 0, FAILS, EITHER, 0},
    {"forbidden", ERR_DENIED, ERR_DENIED, ERR_DENIED, ERR_DENIED, DOWN, 5},
    {"missing", FAILS, ERR_NOT_FOUND, 0, ANY, DOWN, 5},
    {"gone", FAILS, FAILS, FAILS, FAILS, DOWN, 5},
    {"conflict", FAILS, ANY, ANY, ANY, EITHER, 0},
    {"busy", FAILS, FAILS, FAILS, FAILS, DOWN, 0},
    {"broken", FAILS, FAILS, FAILS, FAILS, DOWN, 0},
    {"overload", FAILS, FAILS, FAILS, FAILS, DOWN, 0},
    {"tomorrow", FAILS, FAILS, FAILS, FAILS, DOWN, 5},
};
#define FAULT_COUNT (sizeof(FAULTS) / sizeof(*FAULTS))

struct driver {
    const char *name;   /* of the tests */
    const char *driver; /* of the settings */
    int signature;
    const char *base;   /* what the endpoint ends with */
    const char *credentials;
    const char *blind;  /* " NAME NAME ": faults that only the bytes' own tags can show: what comes of them is not looked
                         * at */
    const char *spared; /* the same: faults that are not tried */
    bool counted;       /* the numbers of requests are those of the table */
};

static const struct driver DRIVERS[] = {
    {"azure", "azure", 0, "/arca", "key: YXJjYSBjb250cmFjdCB0ZXN0cywgYSBrZXkgZm9yIG5vYm9keQ==\n",
     "", "", true},
    {"s3", "s3", 4, "", "access_key_id: nobody\nsecret_access_key: nothing-secret\n", "", "", true},
#ifdef ARCA_LIBS3
    /* libs3 does not tell Content-Range, nor Retry-After, and it follows redirects. It reads over a doctype, whose memory
     * it leaks. */
    {"libs3", "s3", 2, "", "access_key_id: nobody\nsecret_access_key: nothing-secret\n",
     " shifted redirect ", " bomb ", false},
#endif
};

static const struct driver *driver;
static struct server server;
static char *folder, *key_file, *endpoint;

static bool among(const char *words, const char *fault)
{
    char word[64];
    snprintf(word, sizeof(word), " %s ", fault);
    return strstr(words, word) != NULL;
}

static struct backend *open_with(const char *fault, int64_t timeout_ms)
{
    struct backend *backend;
    struct backend_settings settings = {
        .name = (char *)(uintptr_t)fault,
        .driver = (char *)(uintptr_t)driver->driver,
        .endpoint = endpoint,
        .bucket = (char *)(uintptr_t)fault,
        .account = (char *)(uintptr_t)"arca",
        .signature = driver->signature,
        .credentials_from = BACKEND_CREDENTIALS_FILE,
        .credentials = key_file,
        .timeout_ms = timeout_ms,
    };
    assert_int_equal(backend_open(&settings, &backend), 0);
    return backend;
}

static struct backend *open_backend(const char *fault)
{
    return open_with(fault, among(" hang slow overload ", fault) ? TIMEOUT_MS : PATIENT_MS);
}

/* How many requests the server has had for a name. */
static unsigned requests(const char *name)
{
    char text[256];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned count = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    dprintf(fd, "GET /-/count/%s HTTP/1.1\r\n\r\n", name);
    ssize_t n, used = 0;
    while ((n = read(fd, text + used, sizeof(text) - 1 - (size_t)used)) > 0)
        used += n;
    close(fd);
    text[used] = '\0';
    const char *body = strstr(text, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(sscanf(body, "%u", &count), 1);
    return count;
}

/* --- one fault, five operations side by side --- */

enum { PUT, GET, REMOVE, LIST, PROBE, OPERATIONS };
static const char *const NAMES[] = {"put", "get", "remove", "list", "probe"};

struct trial {
    struct backend *backend;
    int operation;
    int rc;
    bool up;
    bool early; /* it was over before anything was canceled */
    int64_t took_ms;
};

static bool canceled;

static int try_get(struct backend *backend, const struct blob_name *name)
{
    struct locator nowhere = {0};
    uint8_t *data = malloc(LENGTH + 1);
    assert_non_null(data);
    memset(data, 0xee, LENGTH + 1);
    int rc = backend->ops->get(backend, name, &nowhere, OFFSET, LENGTH, data);
    for (unsigned i = 0; rc == 0 && i < LENGTH && !among(driver->blind, backend->name); i++)
        assert_int_equal(data[i], (i + OFFSET) % 251);
    assert_int_equal(data[LENGTH], 0xee);
    free(data);
    return rc;
}

static int try_list(struct backend *backend)
{
    struct blob_cursor cursor = {0};
    struct blob_batch *batch = malloc(sizeof(*batch));
    assert_non_null(batch);
    int rc = 0;
    for (unsigned pages = 0; rc == 0 && !cursor.end && pages < 10; pages++)
        rc = backend->ops->list(backend, &cursor, batch);
    free(batch);
    return rc == 0 && !cursor.end ? ERR_BUG : rc;
}

static void run_trial(void *arg)
{
    static uint8_t bytes[60000];
    struct trial *trial = arg;
    struct backend *backend = trial->backend;
    struct blob_name name = blob_name_of(7);
    struct block block = {.references = 1, .data = bytes, .capacity = sizeof(bytes), .length = sizeof(bytes)};
    struct locator locator = {0};
    struct backend_health health = {0};
    int64_t start = server_now_ms();
    switch (trial->operation) {
    case PUT:
        trial->rc = backend->ops->put(backend, &name, &block, &locator);
        break;
    case GET:
        trial->rc = try_get(backend, &name);
        break;
    case REMOVE:
        trial->rc = backend->ops->remove(backend, &name, &locator);
        break;
    case LIST:
        trial->rc = try_list(backend);
        break;
    default:
        trial->rc = backend->ops->probe(backend, &health);
        trial->up = health.state == BACKEND_HEALTHY;
        if (trial->rc == 0 && !trial->up)
            assert_int_not_equal(health.why[0], '\0');
    }
    trial->took_ms = server_now_ms() - start;
    trial->early = !canceled;
}

static void check(const struct fault *fault, const struct trial *trial)
{
    const int wanted[] = {fault->put, fault->get, fault->remove, fault->list, 0};
    int want = wanted[trial->operation];
    bool failed = trial->rc == ERR_IO || trial->rc == ERR_UNAVAILABLE || trial->rc == ERR_TIMEOUT;
    bool good = want == ANY || among(driver->blind, fault->name) || (want == FAILS ? failed : trial->rc == want);
    if (trial->operation == PROBE && fault->probe != EITHER && trial->up != (fault->probe == UP))
        good = false;
    if (!good)
        fail_msg("%s: %s: %s%s", fault->name, NAMES[trial->operation], trial->rc == 0 ? "success" : err_text(trial->rc),
                 trial->operation == PROBE && trial->up ? ", healthy" : "");
    if (trial->took_ms > TIMEOUT_MS + SLACK_MS)
        fail_msg("%s: %s: took %lld ms", fault->name, NAMES[trial->operation], (long long)trial->took_ms);
}

static void each_fault_is_told(void **state)
{
    (void)state;
    static struct trial trials[FAULT_COUNT][OPERATIONS];
    struct loop *loop;
    memset(trials, 0, sizeof(trials));
    assert_int_equal(loop_create(&(struct loop_options){.number = 0}, &loop), 0);
    unsigned before[FAULT_COUNT];
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        if (among(driver->spared, FAULTS[i].name))
            continue;
        before[i] = requests(FAULTS[i].name);
        struct backend *backend = open_backend(FAULTS[i].name);
        for (int k = 0; k < OPERATIONS; k++) {
            trials[i][k] = (struct trial){.backend = backend, .operation = k};
            assert_int_equal(fiber_spawn(loop, run_trial, &trials[i][k], NULL), 0);
        }
    }
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        const struct fault *fault = &FAULTS[i];
        if (trials[i][0].backend == NULL)
            continue;
        trials[i][0].backend->ops->close(trials[i][0].backend);
        for (int k = 0; k < OPERATIONS; k++)
            check(fault, &trials[i][k]);
        unsigned came = requests(fault->name) - before[i];
        if (driver->counted && fault->requests != 0 && came != fault->requests)
            fail_msg("%s: %u requests, not %u", fault->name, came, fault->requests);
    }
    if (driver->counted)
        assert_int_equal(requests("elsewhere"), 0);
}

/* --- more of one fault --- */

static void an_endless_listing_moves_on_or_fails(void **state)
{
    (void)state;
    struct trial trial = {.backend = open_backend("endless"), .operation = LIST};
    on_fiber(run_trial, &trial);
    assert_int_not_equal(trial.rc, 0);
    assert_true(trial.took_ms < TIMEOUT_MS + SLACK_MS);
    trial.backend->ops->close(trial.backend);
}

#define CANCEL_MS 200

static void cancel_soon(void *arg)
{
    int64_t until = loop_now_ms() + CANCEL_MS;
    while (fiber_wait(until) == 0)
        ;
    canceled = true;
    for (int k = 0; k < OPERATIONS; k++)
        fiber_cancel(((struct fiber **)arg)[k]);
}

static void waits_end_when_canceled(void **state)
{
    (void)state;
    static const char *const faults[] = {"hang", "slow", "overload"};
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        struct trial trials[OPERATIONS];
        struct fiber *fibers[OPERATIONS];
        struct backend *backend = open_with(faults[i], PATIENT_MS);
        struct loop *loop;
        canceled = false;
        assert_int_equal(loop_create(&(struct loop_options){.number = 0}, &loop), 0);
        for (int k = 0; k < OPERATIONS; k++) {
            trials[k] = (struct trial){.backend = backend, .operation = k};
            assert_int_equal(fiber_spawn(loop, run_trial, &trials[k], &fibers[k]), 0);
        }
        /* A probe of a store that answers is not waiting any more. */
        int last = strcmp(faults[i], "overload") == 0 ? LIST : PROBE;
        if (last == LIST)
            fibers[PROBE] = fibers[LIST];
        assert_int_equal(fiber_spawn(loop, cancel_soon, fibers, NULL), 0);
        loop_stop(loop);
        loop_run(loop);
        loop_free(loop);
        backend->ops->close(backend);
        for (int k = 0; k <= last; k++) {
            /* libs3 tells no Retry-After, and short pauses by chance let all attempts be over before. */
            bool over = trials[k].rc == ERR_UNAVAILABLE && trials[k].early;
            if ((trials[k].rc != ERR_CANCELED && !over) || trials[k].took_ms > 10000) /* the stall would be 15 s */
                fail_msg("%s: %s: %s after %lld ms", faults[i], NAMES[k], err_text(trials[k].rc),
                         (long long)trials[k].took_ms);
        }
    }
}

/* A store that fails everything is not hit with a multiple of what is asked of it. */
static void retries_have_a_budget(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    static struct trial trials[COUNT];
    struct backend *backend = open_backend("broken");
    struct loop *loop;
    unsigned before = requests("broken");
    assert_int_equal(loop_create(&(struct loop_options){.number = 0}, &loop), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        trials[i] = (struct trial){.backend = backend, .operation = REMOVE};
        assert_int_equal(fiber_spawn(loop, run_trial, &trials[i], NULL), 0);
    }
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    backend->ops->close(backend);
    assert_in_range(requests("broken") - before, COUNT, 2 * COUNT);
}

static void a_store_that_is_not_there_is_told(void **state)
{
    (void)state;
    char *real = endpoint;
    endpoint = strdup(strcmp(driver->base, "") == 0 ? "http://127.0.0.1:1" : "http://127.0.0.1:1/arca");
    struct trial trial = {.backend = open_backend("nowhere")};
    for (trial.operation = PUT; trial.operation <= LIST; trial.operation++) {
        on_fiber(run_trial, &trial);
        assert_int_equal(trial.rc, ERR_UNAVAILABLE);
        assert_true(trial.took_ms < TIMEOUT_MS + SLACK_MS);
    }
    trial.operation = PROBE;
    on_fiber(run_trial, &trial);
    assert_false(trial.up);
    trial.backend->ops->close(trial.backend);
    free(endpoint);
    endpoint = real;
}

/* --- all of it --- */

static int start(void **state)
{
    (void)state;
    char *program = server_source("test/support/fault_server.py");
    char *argv[] = {(char *)(uintptr_t)"python3", program, NULL};
    bool started = server_start(argv, NULL, &server);
    free(program);
    folder = folder_make();
    if (!started || asprintf(&key_file, "%s/credentials", folder) < 0 ||
        asprintf(&endpoint, "http://127.0.0.1:%u%s", server.port, driver->base) < 0)
        return -1;
    FILE *file = fopen(key_file, "w");
    return file != NULL && fchmod(fileno(file), 0600) == 0 && fputs(driver->credentials, file) >= 0 && fclose(file) == 0
               ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    server_stop(&server);
    free(endpoint);
    free(key_file);
    folder_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_is_told),
        cmocka_unit_test(an_endless_listing_moves_on_or_fails),
        cmocka_unit_test(waits_end_when_canceled),
        cmocka_unit_test(retries_have_a_budget),
        cmocka_unit_test(a_store_that_is_not_there_is_told),
    };
    log_set_level(getenv("ARCA_TEST_LOG") != NULL ? LOG_DEBUG : LOG_ERROR);
    int failed = 0;
    for (size_t i = 0; i < sizeof(DRIVERS) / sizeof(*DRIVERS); i++) {
        driver = &DRIVERS[i];
        failed += cmocka_run_group_tests_name(driver->name, tests, start, stop);
    }
    return failed;
}
