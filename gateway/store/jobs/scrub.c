#include "scrub.h"

#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/text.h"
#include "crypto/envelope.h"
#include "store/private.h"
#include "store/replicas.h"
#include "store/watched.h"
#include "verify.h"
#include "walk.h"

#define WIDTH        2     /* extents: the next is read while the keys of the one before are looked up */
#define RETRY_MS     10000 /* after an error of the index */
#define REPLICAS_MAX 32

struct scrub {
    const struct jobs_options *options;
    struct doubts *doubts;
    struct job *job;
    uint64_t walked; /* replicas looked at by this process, in this round */
    uint64_t lost;   /* extents of which no replica is whole, seen by this process in this round */
};

enum verdict { UNKNOWN, WHOLE, DAMAGED, SET_ASIDE };

/* --- an extent --- */

static bool is_down(const struct store *store, const Arca__Replica *replica)
{
    struct backend *backend;
    return store_find_backend(store, replica->backend, &backend) != 0 ||
           health_state(watched_health(backend), loop_now_ms()) == HEALTH_DOWN;
}

/* What cannot be read now is no damage: the next round looks again, and before that who looks after doubts. */
static int look(struct scrub *scrub, const struct walk_extent *extent, const Arca__Replica *replica,
                enum verdict *out) SUSPENDS
{
    bool headers_only = scrub->options->scrub_headers_only;
    uint64_t bytes = replica_size(extent->blob, replica_extent(&extent->name));
    *out = UNKNOWN;
    if (is_down(scrub->options->store, replica) || doubts_has(scrub->doubts, replica, &extent->name))
        return 0;
    int rc = job_spend(scrub->job, headers_only ? ENVELOPE_HEADER_SIZE + 1 : bytes, headers_only ? 2 : 1);
    if (rc != 0)
        return rc;
    rc = verify_replica(scrub->options, extent->blob, &extent->name, replica, headers_only, &bytes);
    if (rc == ERR_CANCELED)
        return rc;
    if (rc == 0)
        doubts_given(scrub->doubts, replica, &extent->name);
    if (bytes == 0 && doubts_refused(rc) && extent->replica_count > 1)
        doubts_note(scrub->doubts, replica, &extent->name);
    job_count(scrub->job, bytes, 0, 0);
    scrub->walked++;
    metrics_add(METRIC_SCRUB_REPLICAS, 1);
    *out = rc == 0 ? WHOLE : rc == ERR_CORRUPT || rc == ERR_NOT_FOUND ? DAMAGED : UNKNOWN;
    return 0;
}

/* It may have gone, or moved, while it was read: then what was read tells nothing. */
static bool is_still_there(struct scrub *scrub, const struct walk_extent *extent,
                           const struct suspect *suspect) SUSPENDS
{
    Arca__Blob *blob;
    struct backend *backend;
    if (index_blob_get(scrub->options->index, span_of(extent->name.bytes, BLOB_ID_SIZE), extent->arena, &blob) != 0 ||
        blob->references == 0 || store_find_backend(scrub->options->store, suspect->backend, &backend) != 0)
        return false;
    return replica_is_named(scrub->options->index, backend, &extent->name, &suspect->locator, extent->arena) > 0;
}

/* A replica that is the last one and damaged is kept, too: a part of it may be wanted, or its backend come to its
 * senses. */
static void tell_lost(struct scrub *scrub, const struct walk_extent *extent)
{
    char hex[2 * BLOB_ID_SIZE + 1];
    text_hex(span_of(extent->name.bytes, BLOB_ID_SIZE), hex);
    log_error("scrub_lost", "blob %s, extent %u: none of its %zu replicas is whole", hex,
              (unsigned)replica_extent(&extent->name), extent->replica_count);
    metrics_add(METRIC_SCRUB_LOST, 1);
    scrub->lost++;
}

static int set_aside(struct scrub *scrub, const struct walk_extent *extent, const Arca__Replica *replica) SUSPENDS
{
    struct suspect suspect;
    int rc = suspect_fill(&suspect, replica, &extent->name);
    if (rc != 0 || !is_still_there(scrub, extent, &suspect))
        return rc;
    job_count(scrub->job, 0, 1, 0);
    metrics_add(METRIC_SCRUB_DAMAGED, 1);
    return suspect_quarantine(&suspect, scrub->options->index);
}

/* Of an extent that has nothing else: a disk that failed to read may read again. Headers tell too little for that. */
static int look_again(struct scrub *scrub, const struct walk_extent *extent, enum verdict *verdicts) SUSPENDS
{
    struct suspect suspect;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < extent->replica_count; i++) {
        const Arca__Replica *replica = extent->replicas[i];
        if (verdicts[i] != SET_ASIDE || scrub->options->scrub_headers_only)
            continue;
        rc = look(scrub, extent, replica, &verdicts[i]);
        if (rc == 0 && verdicts[i] == WHOLE && suspect_fill(&suspect, replica, &extent->name) == 0)
            return suspect_release(&suspect, scrub->options->index);
        if (rc == 0 && verdicts[i] == DAMAGED)
            verdicts[i] = SET_ASIDE; /* as it was */
    }
    return rc;
}

static size_t count_of(const enum verdict *verdicts, size_t count, enum verdict verdict)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += verdicts[i] == verdict;
    return n;
}

static int visit(void *arg, const struct walk_extent *extent) SUSPENDS
{
    struct scrub *scrub = arg;
    enum verdict verdicts[REPLICAS_MAX] = {0};
    size_t count = extent->replica_count;
    int rc = 0, first = 0;
    if (count > REPLICAS_MAX)
        return ERR_CORRUPT;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (extent->replicas[i]->state == ARCA__REPLICA__STATE__SUSPECT)
            verdicts[i] = SET_ASIDE; /* repair has it in hand */
        else
            rc = look(scrub, extent, extent->replicas[i], &verdicts[i]);
    }
    if (rc == 0 && count_of(verdicts, count, WHOLE) + count_of(verdicts, count, UNKNOWN) == 0)
        rc = look_again(scrub, extent, verdicts);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < count; i++) {
        int failed = verdicts[i] == DAMAGED ? set_aside(scrub, extent, extent->replicas[i]) : 0;
        first = first == 0 && failed != ERR_NOT_FOUND ? failed : first;
    }
    size_t unknown = count_of(verdicts, count, UNKNOWN);
    if (count_of(verdicts, count, WHOLE) + unknown == 0)
        tell_lost(scrub, extent);
    return first != 0 ? first : unknown > 0 ? ERR_UNAVAILABLE : 0;
}

/* --- rounds --- */

static void tell_round(struct scrub *scrub)
{
    struct job_view view;
    job_view(scrub->job, &view);
    if (scrub->walked > 0)
        log_info("scrub",
                 "a round has ended: %llu blobs, %llu bytes read; %llu replicas were damaged or missing, %llu extents "
                 "have no whole replica, %llu blobs could not be looked at as a whole",
                 (unsigned long long)view.done, (unsigned long long)view.bytes, (unsigned long long)view.found,
                 (unsigned long long)scrub->lost, (unsigned long long)view.missed);
    scrub->walked = scrub->lost = 0;
}

/* To the end of the index, and until the next round is due. */
static int round_of(struct scrub *scrub) SUSPENDS
{
    const struct walk_options options = {.index = scrub->options->index,
                                         .loop = scrub->options->loop,
                                         .width = WIDTH,
                                         .visit = visit,
                                         .arg = scrub};
    int rc = walk(scrub->job, &options);
    if (rc != 0)
        return rc;
    tell_round(scrub);
    job_idle(scrub->job, NULL);
    int64_t wait_ms = job_step_ms(scrub->job) + scrub->options->scrub_interval_ms - clock_wall_ms();
    if (wait_ms > scrub->options->scrub_interval_ms)
        wait_ms = scrub->options->scrub_interval_ms; /* the clock was set back */
    if ((rc = job_sleep(scrub->job, wait_ms)) == 0 && (rc = job_check(scrub->job)) == 0)
        rc = job_begin(scrub->job, ARCA__JOB__STEP__NONE);
    return rc;
}

static void run(void *arg, struct job *job) SUSPENDS
{
    struct scrub *scrub = arg;
    bool loaded = false;
    int last = 0;
    while (!job_stopping(job)) {
        int rc = loaded ? round_of(scrub) : job_load(job);
        if (!loaded && rc == ERR_NOT_FOUND)
            rc = job_begin(job, ARCA__JOB__STEP__NONE);
        loaded = loaded || rc == 0;
        if (rc == 0 || job_stopping(job))
            continue;
        if (rc != last)
            log_warn("scrub", "the search for damage is held up: %s", err_text(rc));
        last = rc;
        job_waits(job, "the index: %s", err_text(rc));
        (void)job_sleep(job, RETRY_MS); /* if it is to stop, the loop sees */
        job_waits(job, NULL);
    }
}

int scrub_create(const struct jobs_options *options, struct doubts *doubts, struct job **out)
{
    struct scrub *scrub = calloc(1, sizeof(*scrub));
    if (scrub == NULL)
        return ERR_NOMEM;
    scrub->options = options;
    scrub->doubts = doubts;
    struct job_options job = {.index = options->index,
                              .loop = options->loop,
                              .name = SCRUB_NAME,
                              .rate = options->scrub,
                              .run = run,
                              .free = free,
                              .arg = scrub};
    int rc = job_create(&job, &scrub->job);
    if (rc == 0)
        *out = scrub->job;
    else
        free(scrub);
    return rc;
}
