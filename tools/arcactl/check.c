/* Journal, index and backends compared, both ways: every extent that the index names must be on its backends, and what
 * they hold must have a name in the index. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "arcactl.h"
#include "base/byteorder.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/text.h"
#include "deep.h"
#include "store/ship/name.h"
#include "store/ship/rebuild.h"
#include "store/store.h"

/* One replica of one extent, as the index has it. */
struct expected {
    struct blob_name name;
    uint8_t backend; /* number in the config */
    bool garbage;    /* waits for collection: may be half removed */
    bool seen;
    struct locator locator;
    uint64_t size; /* as stored */
};

struct check {
    const struct config *config;
    struct index *index;
    struct store *store;
    struct deep *deep; /* NULL: sizes only */
    struct expected *expected;
    size_t count, allocated;
    Arca__Lease **leases; /* what is under an open one and has no name is collected after the next start */
    size_t lease_count;
    uint64_t findings;
    uint64_t interrupted, interrupted_bytes;
    char *rebuilt; /* leases of the index that this one was made from; NULL: it was not */
    uint64_t newer, newer_bytes;
    uint64_t repairs; /* extents that arcad is about to repair */
    uint64_t bytes;
    int rc;
};

static void report(const char *line, void *arg)
{
    (void)arg;
    printf("index: %s\n", line);
}

static void found(struct check *check, const char *what, const struct blob_name *name, unsigned backend,
                  const char *why)
{
    char hex[2 * BLOB_ID_SIZE + 1];

    check->findings++;
    text_hex(span_of(name->bytes, BLOB_ID_SIZE), hex);
    printf("%s: blob %s extent %u on backend %s%s%s\n", what, hex, be32_get(name->bytes + BLOB_ID_SIZE),
           check->config->backends[backend].name, why[0] != '\0' ? ": " : "", why);
}

/* --- what the index names --- */

/* The bytes that an extent is stored as; 0: no such extent. */
static uint64_t stored_size(const Arca__Blob *blob, uint32_t number)
{
    uint64_t before, plain;

    if (number >= blob->extent_count || envelope_suite_name((enum envelope_suite)blob->suite) == NULL ||
        __builtin_mul_overflow(blob->extent_size, (uint64_t)number, &before) || before >= blob->size)
        return 0;
    plain = blob->size - before;
    if (number + 1 < blob->extent_count)
        plain = blob->extent_size;
    return envelope_extent_size((enum envelope_suite)blob->suite, plain);
}

static struct expected *add_expected(struct check *check)
{
    if (check->count == check->allocated) {
        size_t more = check->allocated != 0 ? check->allocated * 2 : 4096;
        struct expected *grown = reallocarray(check->expected, more, sizeof(*grown));
        if (grown == NULL)
            return NULL;
        check->expected = grown;
        check->allocated = more;
    }
    struct expected *expected = &check->expected[check->count++];
    *expected = (struct expected){0};
    return expected;
}

static int note_replica(struct check *check, const Arca__Blob *blob, uint32_t number, const Arca__Replica *replica)
{
    size_t backend = 0;

    while (backend < check->config->backend_count &&
           strcmp(check->config->backends[backend].name, replica->backend) != 0)
        backend++;
    if (backend == check->config->backend_count || replica->locator.len > LOCATOR_MAX || blob->id.len != BLOB_ID_SIZE ||
        stored_size(blob, number) == 0) {
        check->findings++;
        printf("index: an extent is said to be on backend '%s', %s\n", replica->backend,
               backend == check->config->backend_count ? "which the config does not name" : "but its row is damaged");
        return 0;
    }
    struct expected *expected = add_expected(check);
    if (expected == NULL)
        return ERR_NOMEM;
    memcpy(expected->name.bytes, blob->id.data, BLOB_ID_SIZE);
    for (int i = 0; i < 4; i++)
        expected->name.bytes[BLOB_ID_SIZE + i] = (uint8_t)(number >> (24 - 8 * i));
    expected->backend = (uint8_t)backend;
    expected->garbage = blob->references == 0;
    expected->size = stored_size(blob, number);
    expected->locator.length = (uint8_t)replica->locator.len;
    if (replica->locator.len > 0)
        memcpy(expected->locator.bytes, replica->locator.data, replica->locator.len);
    return 0;
}

static int note_extent(const Arca__Blob *blob, const Arca__Extent *extent, void *arg)
{
    int rc = 0;

    for (size_t i = 0; i < extent->n_replicas && rc == 0; i++)
        rc = note_replica(arg, blob, extent->number, extent->replicas[i]);
    return rc;
}

/* By backend, then name, then locator: a name may be there twice, from an attempt that was repeated. */
static int compare(const void *a, const void *b)
{
    const struct expected *x = a, *y = b;

    if (x->backend != y->backend)
        return x->backend < y->backend ? -1 : 1;
    int order = memcmp(x->name.bytes, y->name.bytes, sizeof(x->name.bytes));
    if (order != 0)
        return order;
    return span_cmp(span_of(x->locator.bytes, x->locator.length), span_of(y->locator.bytes, y->locator.length));
}

/* --- what the backends hold --- */

static bool is_interrupted(const struct check *check, const struct blob_name *name)
{
    for (size_t i = 0; i < check->lease_count; i++) {
        const ProtobufCBinaryData *id = &check->leases[i]->id;
        if (check->leases[i]->closed_ms == 0 && id->len > 0 &&
            span_starts(span_of(name->bytes, sizeof(name->bytes)), span_of(id->data, id->len)))
            return true;
    }
    return false;
}

/* What this index was made from may have gone on after the last copy of it. */
static bool is_newer(const struct check *check, const struct blob_name *name)
{
    char hex[17];

    text_hex(span_of(name->bytes, 8), hex);
    return check->rebuilt != NULL && strstr(check->rebuilt, hex) != NULL;
}

static void compare_entry(struct check *check, unsigned backend, const struct blob_entry *entry)
{
    struct expected key = {.name = entry->name, .backend = (uint8_t)backend, .locator = entry->locator};
    struct expected *expected =
        check->count > 0 ? bsearch(&key, check->expected, check->count, sizeof(key), compare) : NULL;
    char why[96];

    check->bytes += entry->size;
    if (name_is_piece(&entry->name)) /* of a copy of the index */
        return;
    if (expected == NULL && is_newer(check, &entry->name)) {
        check->newer++;
        check->newer_bytes += entry->size;
        return;
    }
    if (expected == NULL && is_interrupted(check, &entry->name)) {
        check->interrupted++;
        check->interrupted_bytes += entry->size;
        return;
    }
    if (expected == NULL) {
        snprintf(why, sizeof(why), "%" PRIu64 " bytes that the index does not name", entry->size);
        found(check, "orphaned", &entry->name, backend, why);
        return;
    }
    expected->seen = true;
    if (entry->size != expected->size) {
        snprintf(why, sizeof(why), "%" PRIu64 " bytes instead of %" PRIu64, entry->size, expected->size);
        found(check, "damaged", &entry->name, backend, why);
    }
}

static int compare_backend(struct check *check, unsigned number, struct blob_batch *batch) SUSPENDS
{
    struct backend *backend = store_backend(check->store, number);
    struct blob_cursor cursor = {0};

    while (!cursor.end) {
        int rc = backend->ops->list(backend, &cursor, batch);
        if (rc != 0) {
            trouble("backend %s cannot be listed: %s", backend->name, err_text(rc));
            return rc;
        }
        for (size_t i = 0; i < batch->count; i++)
            compare_entry(check, number, &batch->entries[i]);
    }
    return 0;
}

static void report_missing(struct check *check)
{
    for (size_t i = 0; i < check->count; i++) {
        const struct expected *expected = &check->expected[i];
        if (!expected->seen && !expected->garbage)
            found(check, "missing", &expected->name, expected->backend, "");
    }
}

static int verify_all(struct check *check) SUSPENDS
{
    for (size_t i = 0; i < check->count; i++) {
        const struct expected *expected = &check->expected[i];
        if (!expected->seen || expected->garbage)
            continue;
        const char *why;
        int rc = deep_verify(check->deep, store_backend(check->store, expected->backend), &expected->name,
                             &expected->locator, expected->size, &why);
        if (rc == ERR_CORRUPT)
            found(check, "damaged", &expected->name, expected->backend, why);
        else if (rc != 0)
            return rc;
    }
    return 0;
}

static void compare_all(void *arg) SUSPENDS
{
    struct check *check = arg;
    struct arena *arena = arena_create(16U << 20);
    struct blob_batch *batch = malloc(sizeof(*batch));

    check->rc = arena != NULL && batch != NULL ? 0 : ERR_NOMEM;
    if (check->rc == 0)
        check->rc = index_lease_list(check->index, arena, &check->leases, &check->lease_count);
    if (check->rc == 0)
        check->rc = index_repair_count(check->index, &check->repairs);
    for (unsigned i = 0; i < check->config->backend_count && check->rc == 0; i++)
        check->rc = compare_backend(check, i, batch);
    if (check->rc == 0) {
        report_missing(check);
        if (check->deep != NULL)
            check->rc = verify_all(check);
    }
    free(batch);
    arena_free(arena);
}

/* --- the command --- */

static int compare_on_loop(struct check *check)
{
    struct loop *loop;
    struct fiber *fiber;
    int rc = index_extents_each(check->index, note_extent, check);

    if (rc != 0)
        return rc;
    if (check->count > 1)
        qsort(check->expected, check->count, sizeof(*check->expected), compare);
    rc = loop_create(&(struct loop_options){.number = 0}, &loop);
    if (rc != 0)
        return rc;
    rc = fiber_spawn(loop, compare_all, check, &fiber);
    if (rc == 0) {
        loop_stop(loop); /* it ends with its last fiber */
        loop_run(loop);
        rc = check->rc;
    }
    loop_free(loop);
    return rc;
}

static int open_failed(const char *what, const char *path, int rc)
{
    if (rc == ERR_LOCKED)
        return trouble("%s %s is in use by another process; stop arcad first", what, path);
    return trouble("%s %s: %s", what, path, err_text(rc));
}

static void summarize(const struct check *check)
{
    if (check->interrupted > 0)
        printf("%" PRIu64 " extents (%" PRIu64
               " bytes) are left of interrupted writes; arcad removes them after its next "
               "start\n",
               check->interrupted, check->interrupted_bytes);
    if (check->newer > 0)
        printf("%" PRIu64 " extents (%" PRIu64 " bytes) are newer than what the index was rebuilt from, and stay\n",
               check->newer, check->newer_bytes);
    if (check->repairs > 0)
        printf("%" PRIu64 " extents lack replicas or have suspect ones; arcad repairs them when it runs\n",
               check->repairs);
    printf("%zu extents in the index, %" PRIu64 " bytes on %zu backends%s: %" PRIu64 " findings\n", check->count,
           check->bytes, check->config->backend_count, check->deep != NULL ? ", all read and verified" : "",
           check->findings);
}

static int read_rebuilt(struct check *check)
{
    char path[4096];
    struct stat st;
    int n = snprintf(path, sizeof(path), "%s/" REBUILT_FILE, check->config->index_path);
    FILE *file = n > 0 && (size_t)n < sizeof(path) ? fopen(path, "r") : NULL;

    if (file == NULL)
        return 0;
    if (fstat(fileno(file), &st) == 0 && (check->rebuilt = calloc(1, (size_t)st.st_size + 1)) != NULL)
        check->rebuilt[fread(check->rebuilt, 1, (size_t)st.st_size, file)] = '\0';
    fclose(file);
    return check->rebuilt != NULL ? 0 : ERR_NOMEM;
}

static int compare_stores(struct check *check, const struct request *request)
{
    struct index_options options = {.path = check->config->index_path};
    int rc, status = EXIT_TROUBLE;

    if ((rc = index_open(&options, &check->index)) != 0)
        return open_failed("the index", options.path, rc);
    if ((rc = store_open(check->config, &check->store)) != 0) {
        open_failed("a backend of", request->config, rc);
        goto err1;
    }
    if (request->deep && (check->deep = deep_open(check->config, check->index)) == NULL)
        goto err2;
    rc = compare_on_loop(check);
    if (rc != 0) {
        trouble("the check was not finished: %s", err_text(rc));
    } else {
        summarize(check);
        status = check->findings == 0 ? EXIT_FINE : EXIT_FINDINGS;
    }
    deep_close(check->deep);
err2:
    store_close(check->store);
err1:
    index_close(check->index);
    free(check->expected);
    return status;
}

int check_command(const struct request *request)
{
    struct config *config = request_config(request);
    struct check check = {.config = config};
    int status = EXIT_TROUBLE;
    struct stat st;

    if (config == NULL)
        return EXIT_TROUBLE;
    /* Opening would make what is not there. */
    if (stat(config->index_path, &st) != 0) {
        trouble("the index %s is not there", config->index_path);
    } else {
        int rc = read_rebuilt(&check);
        if (rc == 0)
            rc = index_check(config->index_path, report, NULL, &check.findings);
        status = rc != 0 ? open_failed("the index", config->index_path, rc) : compare_stores(&check, request);
    }
    free(check.rebuilt);
    config_free(config);
    return status;
}
