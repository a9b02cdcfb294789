#include "mend.h"

#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "store/private.h"
#include "store/replicas.h"
#include "throttle.h"
#include "verify.h"

#define AVOID_MS     1000 /* a backend that refuses a write is left alone for so long, and longer with each refusal, */
#define AVOID_MAX    30000
#define REPLICAS_MAX (2 * PLACEMENT_MAX)

/* A backend that refused a write is left alone for a while: what it lacks costs nothing meanwhile. */
struct avoided {
    struct avoided *next;
    const struct backend *backend;
    int64_t until_ms; /* loop_now_ms */
    unsigned failures;
};

struct mend {
    const struct jobs_options *options;
    const struct garbage *garbage;
    struct doubts *doubts;
    struct throttle throttle;
    struct avoided *avoided; /* one a backend that ever refused */
    uint64_t begun;
};

/* What an extent has and what it lacks. */
struct plan {
    const struct blob_name *name;
    Arca__Blob *blob;
    uint64_t size; /* as stored */
    Arca__Replica *good[REPLICAS_MAX];
    size_t good_count;
    struct target {
        struct backend *backend;
        const Arca__Replica *instead; /* suspect; NULL: there is none */
    } targets[REPLICAS_MAX];
    size_t target_count;
};

int mend_create(const struct jobs_options *options, const struct garbage *garbage, struct doubts *doubts,
                struct mend **out)
{
    struct mend *mend = calloc(1, sizeof(*mend));
    if (mend == NULL)
        return ERR_NOMEM;
    *mend = (struct mend){
        .options = options, .garbage = garbage, .doubts = doubts, .throttle = {.rate = options->repair}};
    *out = mend;
    return 0;
}

void mend_free(struct mend *mend)
{
    struct avoided *next;
    for (struct avoided *avoided = mend != NULL ? mend->avoided : NULL; avoided != NULL; avoided = next) {
        next = avoided->next;
        free(avoided);
    }
    free(mend);
}

uint64_t mend_begun(const struct mend *mend)
{
    return mend->begun;
}

/* --- the plan --- */

static const Arca__Replica *find_replica(Arca__Replica *const *replicas, size_t count, const char *backend)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(replicas[i]->backend, backend) == 0)
            return replicas[i];
    }
    return NULL;
}

static bool is_wanted(struct backend *const *wanted, size_t count, const char *backend)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(wanted[i]->name, backend) == 0)
            return true;
    }
    return false;
}

static void add_target(struct plan *plan, struct backend *backend, const Arca__Replica *instead)
{
    if (plan->target_count < REPLICAS_MAX)
        plan->targets[plan->target_count++] = (struct target){backend, instead};
}

static int make_plan(struct mend *mend, struct arena *arena, const struct blob_name *name, struct plan *plan) SUSPENDS
{
    struct store *store = mend->options->store;
    Arca__Replica **replicas;
    struct backend *const *wanted, *other;
    size_t count;
    *plan = (struct plan){.name = name};
    int rc = replicas_find(mend->options->index, name, arena, &plan->blob, &replicas, &count);
    if (rc != 0)
        return rc;
    if (plan->blob->references == 0)
        return ERR_NOT_FOUND;
    plan->size = replica_size(plan->blob, replica_extent(name));
    if (plan->size == 0)
        return ERR_CORRUPT;
    size_t wanted_count = store_placement_backends(store, span_str(plan->blob->placement), &wanted);
    for (size_t i = 0; i < wanted_count; i++) {
        const Arca__Replica *replica = find_replica(replicas, count, wanted[i]->name);
        if (replica == NULL || replica->state == ARCA__REPLICA__STATE__SUSPECT)
            add_target(plan, wanted[i], replica);
    }
    for (size_t i = 0; i < count; i++) {
        bool suspect = replicas[i]->state == ARCA__REPLICA__STATE__SUSPECT;
        bool within = is_wanted(wanted, wanted_count, replicas[i]->backend);
        if (!suspect && plan->good_count < REPLICAS_MAX)
            plan->good[plan->good_count++] = replicas[i];
        if (suspect && !within && store_find_backend(store, replicas[i]->backend, &other) == 0)
            add_target(plan, other, replicas[i]);
    }
    return 0;
}

static struct avoided *avoided_of(struct mend *mend, const struct backend *backend)
{
    struct avoided *avoided = mend->avoided;
    while (avoided != NULL && avoided->backend != backend)
        avoided = avoided->next;
    return avoided;
}

static void avoid(struct mend *mend, const struct backend *backend, int rc)
{
    struct avoided *avoided = avoided_of(mend, backend);
    if (avoided == NULL && (avoided = calloc(1, sizeof(*avoided))) != NULL) {
        *avoided = (struct avoided){.next = mend->avoided, .backend = backend};
        mend->avoided = avoided;
    }
    if (avoided == NULL || avoided->failures == 0)
        log_warn("mend", "backend %s takes no copies: %s", backend->name, err_text(rc));
    if (avoided == NULL || loop_now_ms() < avoided->until_ms) /* another fiber has just seen the same */
        return;
    int64_t ms = (int64_t)AVOID_MS << (avoided->failures < 16 ? avoided->failures : 16);
    avoided->until_ms = loop_now_ms() + (ms < AVOID_MAX ? ms : AVOID_MAX);
    avoided->failures++;
}

/* Leaves the targets that can be written to now. A backend that was not searched for orphans yet is none of them: the
 * search could take the new copy, which the index does not name for a moment, for one. */
static void drop_avoided(struct mend *mend, struct plan *plan)
{
    size_t kept = 0;
    for (size_t i = 0; i < plan->target_count; i++) {
        const struct avoided *avoided = avoided_of(mend, plan->targets[i].backend);
        if ((avoided == NULL || loop_now_ms() >= avoided->until_ms) &&
            garbage_swept(mend->garbage, plan->targets[i].backend))
            plan->targets[kept++] = plan->targets[i];
    }
    plan->target_count = kept;
}

/* --- copies --- */

static void note_refused(struct mend *mend, const struct plan *plan, uint32_t refused)
{
    for (size_t i = 0; i < plan->good_count && plan->good_count > 1; i++) {
        if (refused >> i & 1)
            doubts_note(mend->doubts, plan->good[i], plan->name);
    }
}

/* From a good replica that verifies: rot is not copied. */
static int read_good(struct mend *mend, const struct plan *plan, struct block *block) SUSPENDS
{
    struct store *store = mend->options->store;
    struct store_tried tried = {0};
    uint32_t extent = replica_extent(plan->name);
    for (;;) {
        uint32_t before = tried.all;
        int rc = store_get_extent(store, plan->good, plan->good_count, plan->name->bytes, extent, 0, plan->size,
                                  block->data, &tried);
        note_refused(mend, plan, tried.refused);
        if (rc != 0)
            return rc;
        rc = verify_bytes(mend->options, plan->blob, plan->name, span_of(block->data, plan->size));
        if (rc != ERR_CORRUPT)
            return rc;
        store_suspect_read(store, plan->good, plan->good_count, plan->name->bytes, extent, before, tried.all);
    }
}

static void leftover(struct mend *mend, const struct backend *backend, int rc)
{
    atomic_store(&store_shared(mend->options->store)->leftovers, true);
    log_warn("store_leftover", "backend %s keeps an extent that nobody refers to: %s", backend->name, err_text(rc));
}

/* The copy that was suspect is garbage now that the new one is durable and the index names it. It need not wait for the
 * copies of the index, as what a change takes away must: an index that is rebuilt from an older one finds it missing
 * where it found it damaged, or finds the new one in its place, and the source of the new one, which verified, where it
 * was. */
static void remove_suspect(struct mend *mend, const struct plan *plan, const struct target *target,
                           const struct locator *locator) SUSPENDS
{
    struct locator old = {.length = (uint8_t)target->instead->locator.len};
    if (target->instead->locator.len > LOCATOR_MAX)
        return;
    if (old.length > 0)
        memcpy(old.bytes, target->instead->locator.data, old.length);
    if (span_eq(span_of(old.bytes, old.length), span_of(locator->bytes, locator->length)))
        return; /* it was overwritten */
    int rc = target->backend->ops->remove(target->backend, plan->name, &old);
    if (rc != 0)
        leftover(mend, target->backend, rc);
}

static int copy_to(struct mend *mend, const struct plan *plan, const struct target *target, struct block *block,
                   struct mended *out) SUSPENDS
{
    struct backend *backend = target->backend;
    struct avoided *avoided;
    struct locator locator;
    int rc = backend->ops->put(backend, plan->name, block, &locator);
    if (fanout_uncertain(rc))
        atomic_store(&store_shared(mend->options->store)->leftovers, true);
    if (rc == ERR_CANCELED)
        return rc;
    if (rc != 0) {
        avoid(mend, backend, rc);
        return rc;
    }
    if ((avoided = avoided_of(mend, backend)) != NULL)
        avoided->failures = 0;
    metrics_add(METRIC_REPAIR_BYTES, (int64_t)plan->size);
    out->bytes += plan->size;
    rc = replica_adopt(mend->options->index, backend, plan->name, &locator, target->instead);
    if (rc == ERR_NOT_FOUND || rc == ERR_EXISTS) { /* the blob is gone, or somebody else's copy was quicker */
        out->lacking--;
        return 0;
    }
    if (rc != 0) {
        if (rc != ERR_NOSPC)
            leftover(mend, backend, rc);
        return rc;
    }
    metrics_add(METRIC_REPAIRS, 1);
    out->made++;
    out->lacking--;
    if (target->instead != NULL)
        remove_suspect(mend, plan, target, &locator);
    return 0;
}

static int copy(struct mend *mend, struct plan *plan, struct mended *out) SUSPENDS
{
    struct block *block;
    if (plan->good_count == 0)
        return ERR_CORRUPT;
    int rc = throttle_wait(&mend->throttle, plan->size * plan->target_count, plan->target_count);
    if (rc == 0)
        rc = block_create(mend->options->budget, plan->size, DEADLINE_NONE, &block);
    if (rc != 0)
        return rc;
    block->length = plan->size;
    mend->begun++;
    rc = read_good(mend, plan, block);
    int first = rc;
    for (size_t i = 0; rc == 0 && i < plan->target_count; i++) {
        int copied = copy_to(mend, plan, &plan->targets[i], block, out);
        first = first == 0 ? copied : first;
    }
    block_unref(block);
    return first;
}

int mend_extent(struct mend *mend, struct arena *arena, const struct blob_name *name, struct mended *out) SUSPENDS
{
    /* A backend that is being left must not be thought empty while a copy is on its way to it. */
    struct topology *topology = store_pin(mend->options->store);
    struct plan plan;
    *out = (struct mended){0};
    int rc = make_plan(mend, arena, name, &plan);
    out->lacking = (unsigned)plan.target_count;
    if (rc == 0)
        drop_avoided(mend, &plan);
    if (rc == 0 && plan.target_count > 0)
        rc = copy(mend, &plan, out);
    store_unpin(topology);
    return rc;
}
