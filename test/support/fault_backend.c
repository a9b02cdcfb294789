#include "fault_backend.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/list.h"
#include "base/loop.h"
#include "crypto/digest.h"
#include "dice.h"

#define REMEMBERED 32        /* blobs put, and blobs removed, that a lie can be about */
#define KEPT_MAX   (1 << 20) /* bytes of a removed blob that may come back */

enum outage { OUTAGE_NONE, OUTAGE_DOWN, OUTAGE_HANGING, OUTAGE_FULL, OUTAGE_READONLY, OUTAGE_COUNT };

struct remembered {
    struct blob_name name;
    struct locator locator;
    size_t size;
    uint8_t *data; /* of removed ones; NULL: the place is free */
};

struct faulty {
    struct backend backend;
    struct backend_ops ops;
    struct backend *inner;
    struct fault_options options;
    struct dice dice;
    struct list link; /* of all that are open */
    enum outage outage;
    int64_t outage_until_ms; /* loop_now_ms */
    struct remembered put[REMEMBERED], removed[REMEMBERED];
    size_t put_count, removed_count; /* ever */
};

static uint64_t counts[FAULT_COUNT];
static struct list open_ones = {&open_ones, &open_ones};
static bool all_calm = true, all_frozen;

const char *fault_name(enum fault fault)
{
    static const char *const names[FAULT_COUNT] = {
        [FAULT_ERROR_BEFORE] = "error before", [FAULT_ERROR_AFTER] = "error after", [FAULT_TORN_PUT] = "torn put",
        [FAULT_DELAY] = "delay",               [FAULT_OUTAGE] = "outage",           [FAULT_LIST] = "empty list",
        [FAULT_LYING_PUT] = "lying put",       [FAULT_LYING_GET] = "lying get",     [FAULT_ROT] = "rot",
        [FAULT_ROLL_BACK] = "roll back",
    };
    return names[fault];
}

uint64_t fault_count(enum fault fault)
{
    return counts[fault];
}

/* --- what blobs are --- */

struct truth {
    struct blob_name name; /* first */
    size_t size;
    uint32_t crc;
};

static void *truths; /* a tree of <search.h> */

static int by_name(const void *a, const void *b)
{
    return memcmp(a, b, BLOB_NAME_SIZE);
}

static void learn(const struct blob_name *name, const uint8_t *data, size_t size)
{
    if (tfind(name, &truths, by_name) != NULL)
        return;
    struct truth *truth = malloc(sizeof(*truth));
    if (truth == NULL)
        abort();
    *truth = (struct truth){*name, size, digest_crc32c(0, data, size)};
    if (tsearch(truth, &truths, by_name) == NULL)
        abort();
}

bool fault_is_true(const struct blob_name *name, const uint8_t *data, size_t size)
{
    struct truth *const *node = tfind(name, &truths, by_name);
    return node != NULL && (*node)->size == size && (*node)->crc == digest_crc32c(0, data, size);
}

void fault_forget(void)
{
    tdestroy(truths, free);
    truths = NULL;
}

/* --- whether one happens --- */

static struct faulty *faulty_of(struct backend *backend)
{
    return (struct faulty *)(void *)backend;
}

static bool strikes(struct faulty *faulty, enum fault fault)
{
    if (all_calm || !dice_chance(&faulty->dice, faulty->options.per_million[fault]))
        return false;
    counts[fault]++;
    return true;
}

/* The blob's name chooses who may lie about it, for good. */
bool fault_may_lie(unsigned number, unsigned liars, const struct blob_name *name)
{
    uint64_t hash = liars;
    for (size_t i = 0; i < BLOB_NAME_SIZE; i++)
        hash = dice_mix(hash ^ name->bytes[i]);
    return liars > 0 && hash % liars == number;
}

static bool may_lie(const struct faulty *faulty, const struct blob_name *name)
{
    return fault_may_lie(faulty->options.number, faulty->options.liars, name);
}

/* --- honest faults --- */

/* All of them leave it open whether the operation took effect, whatever it was. */
static int any_error(struct faulty *faulty)
{
    static const int errors[] = {ERR_IO, ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_CLOSED};
    return errors[dice_below(&faulty->dice, sizeof(errors) / sizeof(errors[0]))];
}

static int pause_ms(int64_t ms) SUSPENDS
{
    int64_t until_ms = loop_now_ms() + ms;
    int rc = 0;
    while (rc == 0)
        rc = fiber_wait(until_ms);
    return rc == ERR_TIMEOUT ? 0 : rc;
}

static int be_out(struct faulty *faulty, bool writes) SUSPENDS
{
    enum outage outage = faulty->outage;
    int rc = 0;
    if (all_calm || loop_now_ms() >= faulty->outage_until_ms)
        faulty->outage = outage = OUTAGE_NONE;
    if (outage == OUTAGE_HANGING) {
        rc = pause_ms(faulty->options.outage_ms / 4);
        return rc != 0 ? rc : ERR_TIMEOUT;
    }
    if (outage == OUTAGE_DOWN)
        return ERR_CLOSED;
    return outage == OUTAGE_FULL && writes ? ERR_NOSPC : outage == OUTAGE_READONLY && writes ? ERR_READONLY : 0;
}

/* What happens before an operation. */
static int begin(struct faulty *faulty, bool writes) SUSPENDS
{
    int rc = all_frozen ? ERR_CANCELED : 0;
    if (rc == 0 && faulty->outage == OUTAGE_NONE && strikes(faulty, FAULT_OUTAGE)) {
        faulty->outage = OUTAGE_DOWN + (enum outage)dice_below(&faulty->dice, OUTAGE_COUNT - OUTAGE_DOWN);
        if (faulty->options.full_only)
            faulty->outage = OUTAGE_FULL;
        faulty->outage_until_ms = loop_now_ms() + (int64_t)dice_below(&faulty->dice, faulty->options.outage_ms);
    }
    if (rc == 0 && strikes(faulty, FAULT_DELAY))
        rc = pause_ms((int64_t)dice_below(&faulty->dice, faulty->options.delay_ms + 1));
    if (rc == 0)
        rc = be_out(faulty, writes);
    if (rc == 0 && strikes(faulty, FAULT_ERROR_BEFORE))
        rc = any_error(faulty);
    return rc == 0 && all_frozen ? ERR_CANCELED : rc;
}

/* And after it. */
static int end(struct faulty *faulty, int rc) SUSPENDS
{
    int waited = 0;
    if (strikes(faulty, FAULT_DELAY))
        waited = pause_ms((int64_t)dice_below(&faulty->dice, faulty->options.delay_ms + 1));
    if (rc != 0 || waited != 0)
        return rc != 0 ? rc : waited;
    return strikes(faulty, FAULT_ERROR_AFTER) ? any_error(faulty) : 0;
}

/* --- lies --- */

static int store(struct faulty *faulty, const struct blob_name *name, uint8_t *data, size_t size,
                 struct locator *out) SUSPENDS
{
    struct block block = {.references = 1, .capacity = size, .length = size, .data = data};
    return faulty->inner->ops->put(faulty->inner, name, &block, out);
}

/* Stores what is left of the bytes: some of them changed, a part of them, or nothing. */
static int store_damaged(struct faulty *faulty, const struct blob_name *name, const uint8_t *data, size_t size,
                         struct locator *out) SUSPENDS
{
    uint64_t how = dice_below(&faulty->dice, 3);
    out->length = 0;
    if (how == 0 || size < 2)
        return 0;
    /* As long as a driver may read whole pages of it. */
    uint8_t *copy = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    if (copy == NULL)
        return ERR_NOMEM;
    memcpy(copy, data, size);
    if (how == 1)
        size = 1 + dice_below(&faulty->dice, size - 1);
    else
        copy[dice_below(&faulty->dice, size)] ^= (uint8_t)(1 + dice_below(&faulty->dice, 255));
    int rc = store(faulty, name, copy, size, out);
    free(copy);
    return rc;
}

static void remember(struct remembered *ring, size_t *count, struct remembered what)
{
    struct remembered *place = &ring[(*count)++ % REMEMBERED];
    free(place->data);
    *place = what;
}

static void rot(struct faulty *faulty) SUSPENDS
{
    if (faulty->put_count == 0 || !strikes(faulty, FAULT_ROT))
        return;
    size_t known = faulty->put_count < REMEMBERED ? faulty->put_count : REMEMBERED;
    struct remembered blob = faulty->put[dice_below(&faulty->dice, known)];
    struct locator locator;
    uint8_t *data = blob.size > 0 ? malloc(blob.size) : NULL;
    /* One that is gone by now does not come back so. */
    if (data != NULL &&
        faulty->inner->ops->get(faulty->inner, &blob.name, &blob.locator, 0, blob.size, data) == 0) {
        (void)faulty->inner->ops->remove(faulty->inner, &blob.name, &blob.locator);
        (void)store_damaged(faulty, &blob.name, data, blob.size, &locator);
    }
    free(data);
}

static void roll_back(struct faulty *faulty) SUSPENDS
{
    struct locator locator;
    if (!strikes(faulty, FAULT_ROLL_BACK))
        return;
    for (size_t i = 0; i < REMEMBERED; i++) {
        if (faulty->put[i].size > 0)
            (void)faulty->inner->ops->remove(faulty->inner, &faulty->put[i].name, &faulty->put[i].locator);
        faulty->put[i].size = 0;
    }
    for (size_t i = 0; i < REMEMBERED; i++) {
        struct remembered *blob = &faulty->removed[i];
        if (blob->data != NULL)
            (void)store(faulty, &blob->name, blob->data, blob->size, &locator);
        free(blob->data);
        blob->data = NULL;
    }
}

/* --- the operations --- */

static int put(struct backend *backend, const struct blob_name *name, struct block *data, struct locator *out) SUSPENDS
{
    struct faulty *faulty = faulty_of(backend);
    learn(name, data->data, data->length);
    int rc = begin(faulty, true);
    if (rc != 0)
        return rc;
    bool liar = may_lie(faulty, name);
    if (strikes(faulty, FAULT_TORN_PUT)) {
        (void)store_damaged(faulty, name, data->data, data->length, out);
        return any_error(faulty);
    }
    if (liar && strikes(faulty, FAULT_LYING_PUT))
        return store_damaged(faulty, name, data->data, data->length, out);
    rc = faulty->inner->ops->put(faulty->inner, name, data, out);
    if (rc == 0 && liar)
        remember(faulty->put, &faulty->put_count,
                 (struct remembered){.name = *name, .locator = *out, .size = data->length});
    if (rc == 0) {
        roll_back(faulty);
        rot(faulty);
    }
    return end(faulty, rc);
}

static int get(struct backend *backend, const struct blob_name *name, const struct locator *locator, uint64_t offset,
               uint64_t length, uint8_t *dst) SUSPENDS
{
    struct faulty *faulty = faulty_of(backend);
    int rc = begin(faulty, false);
    if (rc == 0)
        rc = faulty->inner->ops->get(faulty->inner, name, locator, offset, length, dst);
    if (rc == 0 && length > 0 && may_lie(faulty, name) && strikes(faulty, FAULT_LYING_GET))
        dst[dice_below(&faulty->dice, length)] ^= (uint8_t)(1 + dice_below(&faulty->dice, 255));
    return rc == 0 ? end(faulty, rc) : rc;
}

static void keep_removed(struct faulty *faulty, const struct blob_name *name, const struct locator *locator) SUSPENDS
{
    size_t size = 0;
    for (size_t i = 0; i < REMEMBERED && size == 0; i++) {
        if (memcmp(&faulty->put[i].name, name, sizeof(*name)) == 0)
            size = faulty->put[i].size;
    }
    uint8_t *data = size > 0 && size <= KEPT_MAX ? aligned_alloc(4096, (size + 4095) / 4096 * 4096) : NULL;
    if (data == NULL)
        return;
    if (faulty->inner->ops->get(faulty->inner, name, locator, 0, size, data) == 0)
        remember(faulty->removed, &faulty->removed_count,
                 (struct remembered){.name = *name, .locator = *locator, .size = size, .data = data});
    else
        free(data);
}

static int remove_blob(struct backend *backend, const struct blob_name *name, const struct locator *locator) SUSPENDS
{
    struct faulty *faulty = faulty_of(backend);
    int rc = begin(faulty, false);
    if (rc != 0)
        return rc;
    if (may_lie(faulty, name))
        keep_removed(faulty, name, locator);
    return end(faulty, faulty->inner->ops->remove(faulty->inner, name, locator));
}

static int list(struct backend *backend, struct blob_cursor *cursor, struct blob_batch *out) SUSPENDS
{
    struct faulty *faulty = faulty_of(backend);
    int rc = begin(faulty, false);
    if (rc != 0)
        return rc;
    if (strikes(faulty, FAULT_LIST)) {
        out->count = 0;
        return 0;
    }
    return end(faulty, faulty->inner->ops->list(faulty->inner, cursor, out));
}

static int probe(struct backend *backend, struct backend_health *out) SUSPENDS
{
    struct faulty *faulty = faulty_of(backend);
    int rc = begin(faulty, false);
    if (rc == 0)
        rc = faulty->inner->ops->probe(faulty->inner, out);
    if (rc == 0 && (faulty->outage == OUTAGE_FULL || faulty->outage == OUTAGE_READONLY)) {
        out->state = BACKEND_READONLY;
        snprintf(out->why, sizeof(out->why), "takes no writes");
    }
    return rc;
}

static void close_faulty(struct backend *backend)
{
    struct faulty *faulty = faulty_of(backend);
    list_remove(&faulty->link);
    faulty->inner->ops->close(faulty->inner);
    for (size_t i = 0; i < REMEMBERED; i++)
        free(faulty->removed[i].data);
    free(faulty);
}

int fault_create(struct backend *inner, const struct fault_options *options, struct backend **out)
{
    struct faulty *faulty = calloc(1, sizeof(*faulty));
    if (faulty == NULL)
        return ERR_NOMEM;
    faulty->ops = (struct backend_ops){
        .driver = inner->ops->driver,
        .local = inner->ops->local,
        .put = put,
        .get = get,
        .remove = remove_blob,
        .list = list,
        .probe = probe,
        .close = close_faulty,
    };
    faulty->backend.ops = &faulty->ops;
    snprintf(faulty->backend.name, sizeof(faulty->backend.name), "%s", inner->name);
    faulty->inner = inner;
    faulty->options = *options;
    faulty->dice.state = dice_mix(options->seed) + options->number;
    list_append(&open_ones, &faulty->link);
    *out = &faulty->backend;
    return 0;
}

void fault_calm(bool calm)
{
    all_calm = calm;
}

void fault_freeze(bool frozen)
{
    all_frozen = frozen;
}

void fault_outage(const char *name, int64_t ms)
{
    LIST_EACH(node, &open_ones) {
        struct faulty *faulty = LIST_ENTRY(node, struct faulty, link);
        if (strcmp(faulty->backend.name, name) != 0)
            continue;
        faulty->outage = OUTAGE_DOWN;
        faulty->outage_until_ms = loop_now_ms() + ms;
    }
}
