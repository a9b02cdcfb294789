/* Takes back what nobody refers to. Blobs become garbage in the index when their last reference goes, and stay readable
 * for the grace. What a crash left on the backends, the index does not know: see orphans.h. */
#include "garbage.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "crypto/envelope.h"
#include "orphans.h"
#include "report.h"
#include "store/private.h"
#include "store/watched.h"
#include "throttle.h"

#define PERIOD_MS        5000 /* or half of the grace, if that is shorter */
#define PERIOD_MIN_MS    100
#define BATCH            500
#define AGAIN_MAX_MS     (300 * 1000) /* what a backend does not let go is tried again after a period, and later */
#define AGAIN_SLICE_MS   1000 /* new garbage waits so long for it at most */
#define FORGET_PERIOD_MS (60 * 1000) /* a mutation forgets 1000 uploads at most: 10^6 a day must be kept up with */
#define FORGET_AFTER_MS  (24 * 3600 * 1000LL) /* for as long a repeated CompleteMultipartUpload succeeds */
#define READER_MS        (24 * 3600 * 1000LL)
#define REMOVALS         8    /* that hang, at most one of each backend */
#define PATIENCE_MS      3000 /* then one hangs, as a probe does */
#define ARENA_LIMIT      ((size_t)64 << 20)

/* In the garbage table: behind this row. */
struct place {
    bool set; /* else: at its head */
    int64_t ms;
    uint8_t id[BLOB_ID_SIZE];
};

/* What backends do not let go stays in the table, however much of it there is, and is not looked at with what is
 * new. */
struct left {
    struct place end; /* all rows up to it were tried; at the head when nothing is left */
    uint64_t count;   /* of them, about */
    int failure;      /* why, of the last */
    int64_t again_at; /* loop_now_ms */
    unsigned vain;    /* trials in a row after which as many were left */
    bool down[STORE_BACKENDS_MAX]; /* as of the last look */
    /* while they are tried again */
    bool going, back; /* back: a backend came meanwhile */
    struct place at;
    int64_t until_ms;
    uint64_t before, still;
};

/* A blob that is being removed, on a fiber of its own, so that a backend which hangs holds up nothing but what is on
 * it. */
struct removal {
    struct garbage *garbage;
    struct fiber *fiber; /* NULL: idle */
    struct arena *arena;
    Arca__Blob *blob;
    bool again;        /* it was tried before */
    bool late;         /* nobody waits for it any more, and its row counts as left */
    const char *asked; /* the backend that is to let it go now; NULL: none */
    int64_t asked_ms;  /* loop_now_ms */
    int rc;
};

struct garbage {
    const struct jobs_options *options;
    struct report report;
    struct throttle throttle;
    struct left left;
    int64_t period_ms;
    struct fiber *fiber; /* of the loop's thread */
    atomic_bool stop;
    struct orphans *orphans;
    int64_t forget_at; /* loop_now_ms */
    struct arena *batch;
    struct removal removals[REMOVALS];
};

static bool stopping(const struct garbage *garbage)
{
    return atomic_load(&garbage->stop) || fiber_canceled(fiber_self());
}

static int apply(struct garbage *garbage, Arca__Mutation *mutation) SUSPENDS
{
    mutation->time_ms = clock_wall_ms();
    return index_apply(garbage->options->index, mutation);
}

/* --- a blob --- */

static int tell_collected(struct garbage *garbage, ProtobufCBinaryData *ids, size_t count) SUSPENDS
{
    Arca__Collected collected = ARCA__COLLECTED__INIT;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    if (count == 0)
        return 0;
    collected.blob_ids = ids;
    collected.n_blob_ids = count;
    mutation.op_case = ARCA__MUTATION__OP_COLLECTED;
    mutation.collected = &collected;
    int rc = apply(garbage, &mutation);
    if (rc != 0)
        return rc;
    metrics_add(METRIC_GARBAGE_COLLECTED, (int64_t)count);
    report_add(&garbage->report, count, 0, count, 0);
    return 0;
}

static bool is_down(const struct garbage *garbage, const char *backend)
{
    struct backend *found;
    return store_find_backend(garbage->options->store, backend, &found) == 0 &&
           health_state(watched_health(found), loop_now_ms()) == HEALTH_DOWN;
}

/* It has not let go yet of what it was asked for: then it is not asked for more. */
static bool is_asked(const struct garbage *garbage, const char *backend)
{
    for (size_t i = 0; i < REMOVALS; i++) {
        const char *asked = garbage->removals[i].asked;
        if (asked != NULL && strcmp(asked, backend) == 0)
            return true;
    }
    return false;
}

static int remove_extent(struct removal *removal, uint32_t number, Arca__Replica **replicas, size_t count) SUSPENDS
{
    struct garbage *garbage = removal->garbage;
    /* The others let it go the first time. */
    for (size_t i = 0; removal->again && i < count; i++) {
        if (is_asked(garbage, replicas[i]->backend) || is_down(garbage, replicas[i]->backend))
            return ERR_DOWN;
    }
    int rc = throttle_wait(&garbage->throttle, 0, count), first = rc;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        int failed = ERR_DOWN;
        if (!is_asked(garbage, replicas[i]->backend)) {
            removal->asked = replicas[i]->backend;
            removal->asked_ms = loop_now_ms();
            failed = store_remove_extent(garbage->options->store, &replicas[i], 1, removal->blob->id.data, number);
            removal->asked = NULL;
        }
        first = first != 0 ? first : failed;
    }
    return first;
}

static int remove_extents(struct removal *removal) SUSPENDS
{
    const Arca__Blob *blob = removal->blob;
    if (blob->extent_count <= 1)
        return remove_extent(removal, 0, blob->replicas, blob->n_replicas);
    struct span id = span_of(blob->id.data, blob->id.len);
    int first = 0;
    for (uint32_t i = 0; i < blob->extent_count; i++) {
        Arca__Extent **extents;
        int rc = index_extents_get(removal->garbage->options->index, id, i, 1, removal->arena, &extents);
        if (rc == 0)
            rc = remove_extent(removal, i, extents[0]->replicas, extents[0]->n_replicas);
        if (first == 0 && rc != ERR_NOT_FOUND)
            first = rc;
        /* What is known to be down costs nothing, and keeps no room on the others. */
        if (first != 0 && (removal->again || first != ERR_DOWN))
            return first;
        if (stopping(removal->garbage))
            return ERR_CANCELED;
    }
    return first;
}

static void run_removal(void *arg) SUSPENDS
{
    struct removal *removal = arg;
    struct garbage *garbage = removal->garbage;
    struct left *left = &garbage->left;
    removal->rc = remove_extents(removal);
    if (!removal->late) {
        fiber_wake(garbage->fiber);
    } else if (removal->rc == 0 && tell_collected(garbage, &removal->blob->id, 1) == 0) {
        left->count -= left->count > 0;
        left->vain = 0;
        left->again_at = loop_now_ms(); /* what waits for the same backend */
    }
    removal->fiber = NULL;
}

static Arca__Blob *copy_blob(const Arca__Blob *blob, struct arena *arena)
{
    uint8_t *bytes = arena_alloc(arena, arca__blob__get_packed_size(blob));
    return bytes != NULL ? arca__blob__unpack(arena_protobuf(arena), arca__blob__pack(blob, bytes), bytes) : NULL;
}

static bool hangs(const struct removal *removal)
{
    return removal->asked != NULL && loop_now_ms() - removal->asked_ms >= PATIENCE_MS;
}

/* `again`: it was tried before. ERR_TIMEOUT: it hangs, and goes on by itself. ERR_BUSY: too many do. */
static int remove_blob(struct garbage *garbage, const Arca__Blob *blob, bool again) SUSPENDS
{
    struct removal *removal = NULL;
    for (size_t i = 0; i < REMOVALS && removal == NULL; i++)
        removal = garbage->removals[i].fiber == NULL ? &garbage->removals[i] : NULL;
    if (removal == NULL)
        return ERR_BUSY;
    arena_reset(removal->arena);
    removal->again = again;
    removal->late = false;
    if ((removal->blob = copy_blob(blob, removal->arena)) == NULL)
        return ERR_NOMEM;
    int rc = fiber_spawn(garbage->options->loop, run_removal, removal, &removal->fiber);
    if (rc != 0)
        return rc;
    while (removal->fiber != NULL && rc != ERR_CANCELED && !hangs(removal))
        rc = fiber_wait((removal->asked != NULL ? removal->asked_ms : loop_now_ms()) + PATIENCE_MS);
    removal->late = removal->fiber != NULL;
    return !removal->late ? removal->rc : rc == ERR_CANCELED ? rc : ERR_TIMEOUT;
}

/* --- the garbage table --- */

/* What was garbage before has no reader, but for one that takes longer than a day; and an index that is rebuilt from
 * its copies would not refer to it. */
static int64_t collectable_ms(const struct garbage *garbage)
{
    int64_t now_ms = clock_wall_ms(), oldest_ms = store_oldest_reader_ms(garbage->options->store);
    oldest_ms = oldest_ms > now_ms - READER_MS ? oldest_ms : now_ms - READER_MS;
    int64_t until_ms = (oldest_ms < now_ms ? oldest_ms : now_ms) - garbage->options->grace_ms;
    int64_t safe_ms = index_safe_ms(garbage->options->index);
    return safe_ms < until_ms ? safe_ms : until_ms;
}

static void place_put(struct place *place, const Arca__Blob *blob)
{
    place->set = true;
    place->ms = blob->garbage_ms;
    memcpy(place->id, blob->id.data, sizeof(place->id));
}

/* One batch of the rows behind `place`, which moves on. */
struct batch {
    bool more; /* there may be another */
    size_t removed, left;
};

static int collect(struct garbage *garbage, struct place *place, int64_t until_ms, bool again,
                   struct batch *batch) SUSPENDS
{
    Arca__Blob **blobs, after = ARCA__BLOB__INIT;
    size_t count, removed = 0;
    arena_reset(garbage->batch);
    *batch = (struct batch){.more = false};
    after.garbage_ms = place->ms;
    after.id = (ProtobufCBinaryData){sizeof(place->id), place->id};
    int rc = index_garbage_list(garbage->options->index, until_ms, place->set ? &after : NULL, BATCH, garbage->batch,
                                &blobs, &count);
    if (rc != 0 || count == 0)
        return rc;
    if (garbage->report.idle)
        report_begin(&garbage->report, "", &(struct job_view){.started_ms = clock_wall_ms()});
    report_total(&garbage->report, garbage->report.view.done + garbage->left.count + (again ? 0 : count));
    ProtobufCBinaryData *ids = arena_alloc(garbage->batch, count * sizeof(*ids));
    if (ids == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count && !stopping(garbage); i++) {
        /* An id of another length is in no backend: the row can only be forgotten. */
        bool valid = blobs[i]->id.len == BLOB_ID_SIZE;
        int failed = valid ? remove_blob(garbage, blobs[i], again) : 0;
        if (failed == 0)
            ids[removed++] = blobs[i]->id;
        else
            garbage->left.failure = failed;
        batch->left += failed != 0;
        if (valid)
            place_put(place, blobs[i]);
        batch->more = batch->more || valid;
    }
    rc = tell_collected(garbage, ids, removed);
    batch->removed = rc == 0 ? removed : 0;
    batch->left += rc == 0 ? 0 : removed; /* their rows are still there */
    batch->more = batch->more && count == BATCH;
    fiber_yield(); /* rows of what is down wait for nothing */
    return rc;
}

/* --- what is left --- */

static int64_t again_ms(const struct garbage *garbage)
{
    unsigned vain = garbage->left.vain;
    int64_t ms = garbage->period_ms << (vain < 16 ? vain : 16);
    return ms < AGAIN_MAX_MS ? ms : AGAIN_MAX_MS;
}

/* What has become garbage since the last time. */
static int collect_new(struct garbage *garbage) SUSPENDS
{
    struct left *left = &garbage->left;
    struct batch batch = {.more = true};
    int rc = 0;
    while (rc == 0 && batch.more && !stopping(garbage)) {
        rc = collect(garbage, &left->end, collectable_ms(garbage), false, &batch);
        if (left->count == 0 && batch.left > 0) {
            left->vain = 0;
            left->again_at = loop_now_ms() + again_ms(garbage);
        }
        left->count += batch.left;
    }
    if (left->count == 0)
        left->end.set = false;
    return rc;
}

/* A backend is there again that was not when this was asked last. */
static bool is_back(struct garbage *garbage)
{
    struct backend *backend;
    bool back = false;
    for (size_t i = 0; (backend = store_backend(garbage->options->store, i)) != NULL; i++) {
        bool down = is_down(garbage, backend->name);
        back = back || (garbage->left.down[i] && !down);
        garbage->left.down[i] = down;
    }
    return back;
}

static void end_again(struct garbage *garbage)
{
    struct left *left = &garbage->left;
    left->vain = left->still < left->before ? 0 : left->vain + 1;
    left->count = left->still + (left->count > left->before ? left->count - left->before : 0);
    left->again_at = loop_now_ms() + (left->back ? 0 : again_ms(garbage));
    left->going = false;
    if (left->count == 0)
        left->end.set = false;
}

/* Some of what is left, when it is time. *more: it goes well, and there is more. */
static int collect_again(struct garbage *garbage, bool *more) SUSPENDS
{
    struct left *left = &garbage->left;
    struct batch batch = {.more = true};
    int64_t slice_ms = loop_now_ms() + AGAIN_SLICE_MS;
    bool back = is_back(garbage);
    int rc = 0;
    *more = false;
    if (left->count == 0 || (!left->going && !back && loop_now_ms() < left->again_at))
        return 0;
    if (!left->going) {
        left->going = true;
        left->back = left->at.set = false;
        left->until_ms = left->end.ms;
        left->before = left->count;
        left->still = 0;
    }
    left->back = left->back || (back && left->still > 0);
    while (rc == 0 && batch.more && loop_now_ms() < slice_ms && !stopping(garbage)) {
        rc = collect(garbage, &left->at, left->until_ms, true, &batch);
        left->still += batch.left;
        *more = *more || batch.removed > 0;
    }
    *more = *more && batch.more && rc == 0;
    if (rc == 0 && !batch.more)
        end_again(garbage);
    return rc;
}

static int forget_uploads(struct garbage *garbage) SUSPENDS
{
    if (loop_now_ms() < garbage->forget_at)
        return 0;
    Arca__ForgetUploads forget = ARCA__FORGET_UPLOADS__INIT;
    forget.completed_before_ms = clock_wall_ms() - FORGET_AFTER_MS;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_FORGET_UPLOADS;
    mutation.forget_uploads = &forget;
    int rc = apply(garbage, &mutation);
    garbage->forget_at = loop_now_ms() + FORGET_PERIOD_MS;
    return rc;
}

/* --- the fiber --- */

/* Its steps do not wait for each other: a backend that is down holds up what is on it, and nothing else. The first
 * error. *more: there is no need to wait before the next one. */
static int cycle(struct garbage *garbage, bool *more) SUSPENDS
{
    int rc = orphans_search(garbage->orphans), collected = collect_new(garbage), again = 0, forgot = 0;
    if (!stopping(garbage))
        again = collect_again(garbage, more);
    if (!stopping(garbage))
        forgot = forget_uploads(garbage);
    collected = collected != 0 ? collected : again;
    report_idle(&garbage->report, collected == 0 && garbage->left.count == 0);
    rc = rc != 0 ? rc : collected != 0 ? collected : garbage->left.count > 0 ? garbage->left.failure : 0;
    return rc != 0 ? rc : forgot;
}

static void run(void *arg) SUSPENDS
{
    struct garbage *garbage = arg;
    int64_t period = garbage->options->grace_ms / 2 < PERIOD_MS ? garbage->options->grace_ms / 2 : PERIOD_MS;
    garbage->period_ms = period < PERIOD_MIN_MS ? PERIOD_MIN_MS : period;
    int last = 0;
    garbage->fiber = fiber_self();
    while (!stopping(garbage)) {
        bool more = false;
        int rc = cycle(garbage, &more);
        if (rc != 0 && rc != last && rc != ERR_CANCELED)
            log_warn("garbage", "collection is held up: %s", err_text(rc));
        last = rc;
        report_why(&garbage->report, rc != 0 && rc != ERR_CANCELED ? err_text(rc) : NULL);
        int64_t until = loop_now_ms() + (more ? 0 : garbage->period_ms);
        while (!stopping(garbage) && fiber_wait(until) == 0)
            continue;
    }
    garbage->fiber = NULL;
}

static void begin(void *arg)
{
    struct garbage *garbage = arg;
    if (atomic_load(&garbage->stop))
        return;
    int rc = fiber_spawn(garbage->options->loop, run, garbage, &garbage->fiber);
    if (rc != 0)
        log_error("garbage", "collection does not start: %s", err_text(rc));
}

int garbage_start(const struct jobs_options *options, struct garbage **out)
{
    struct garbage *garbage = calloc(1, sizeof(*garbage));
    if (garbage == NULL)
        return ERR_NOMEM;
    garbage->options = options;
    garbage->throttle.rate = options->garbage;
    report_init(&garbage->report, GARBAGE_NAME);
    garbage->batch = arena_create(ARENA_LIMIT);
    garbage->orphans = orphans_create(options, &garbage->throttle, &garbage->stop);
    bool whole = garbage->batch != NULL && garbage->orphans != NULL;
    for (size_t i = 0; i < REMOVALS; i++) {
        garbage->removals[i].garbage = garbage;
        garbage->removals[i].arena = arena_create(ARENA_LIMIT);
        whole = whole && garbage->removals[i].arena != NULL;
    }
    if (!whole || loop_post(options->loop, begin, garbage) != 0) {
        garbage_free(garbage);
        return ERR_NOMEM;
    }
    *out = garbage;
    return 0;
}

static void cancel(void *arg)
{
    struct garbage *garbage = arg;
    if (garbage->fiber != NULL)
        fiber_cancel(garbage->fiber);
    for (size_t i = 0; i < REMOVALS; i++) {
        if (garbage->removals[i].fiber != NULL)
            fiber_cancel(garbage->removals[i].fiber);
    }
}

void garbage_stop(struct garbage *garbage)
{
    atomic_store(&garbage->stop, true);
    (void)loop_post(garbage->options->loop, cancel, garbage); /* without memory for it, it ends after its period */
}

void garbage_free(struct garbage *garbage)
{
    if (garbage == NULL)
        return;
    report_fini(&garbage->report);
    if (garbage->batch != NULL)
        arena_free(garbage->batch);
    for (size_t i = 0; i < REMOVALS; i++) {
        if (garbage->removals[i].arena != NULL)
            arena_free(garbage->removals[i].arena);
    }
    orphans_free(garbage->orphans);
    free(garbage);
}

bool garbage_swept(const struct garbage *garbage, const struct backend *backend)
{
    return orphans_swept(garbage->orphans, backend);
}

void garbage_view(struct garbage *garbage, struct job_view *out)
{
    report_view(&garbage->report, out);
}
