#include <inttypes.h>
#include <stdio.h>
#include "base/err.h"
#include "crypto/envelope.h"
#include "index/check.h"

/* --- extents --- */

/* What a joining backend does not have yet is its placement's job's to find. */
static int filling(struct check *check, const char *placement, bool *out)
{
    char name[JOB_NAME_MAX + 1];
    Arca__Job *job;
    snprintf(name, sizeof(name), JOB_PLACEMENT "%s", placement);
    int rc = record_get(check->txn, TABLE_JOBS, span_str(name), &arca__job__descriptor, check->arena, &job);
    *out = rc == 0 && job->step == ARCA__JOB__STEP__BACKFILL;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int check_whole(struct check *check, const Arca__Blob *blob, uint32_t number, Arca__Replica *const *replicas,
                       size_t count)
{
    const Arca__Placement *set;
    bool excused;
    int rc = tally_set(check->tally, check->txn, blob->placement, &set);
    if (rc != 0 || replicas_whole(set, replicas, count))
        return rc;
    struct record_key key = key_numbered(blob->id.data, number);
    rc = exists(check, TABLE_REPAIRS, record_key_span(&key), &excused);
    if (rc == 0 && !excused && replicas_whole(NULL, replicas, count))
        rc = filling(check, blob->placement, &excused);
    if (rc == 0 && !excused)
        found_id(check, "extent", record_key_span(&key), "lacks good replicas and is not up for repair");
    return rc;
}

int check_extent(struct check *check, const Arca__Blob *blob, uint32_t number, Arca__Replica *const *replicas,
                 size_t count)
{
    uint64_t size = envelope_blob_extent_size((enum envelope_suite)blob->suite, blob->size, blob->extent_size,
                                              blob->extent_count, number);
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = tally_add(check->tally, check->txn, blob->placement, replicas[i]->backend, -1, size);
    return rc == 0 && blob->references != 0 ? check_whole(check, blob, number, replicas, count) : rc;
}

/* --- placements and jobs --- */

static int check_placement(struct check *check, struct span key, struct span value)
{
    Arca__Placement *placement;
    char job[JOB_NAME_MAX + 1];
    bool there = true;
    int rc = record_unpack(&arca__placement__descriptor, check->arena, value, &placement);
    if (rc != 0)
        return rc;
    if (!span_eq(span_str(placement->name), key) || !placement_valid(placement))
        return ERR_CORRUPT;
    if (placement_settled(placement))
        return 0;
    snprintf(job, sizeof(job), JOB_PLACEMENT "%s", placement->name);
    rc = exists(check, TABLE_JOBS, span_str(job), &there);
    if (rc == 0 && !there)
        found(check, "placement %s: its members change, and no job does it", placement->name);
    return rc;
}

static int check_job(struct check *check, struct span key, struct span value)
{
    Arca__Job *job;
    bool there;
    int rc = record_unpack(&arca__job__descriptor, check->arena, value, &job);
    if (rc != 0)
        return rc;
    if (!span_eq(span_str(job->name), key) || !job_valid(job))
        return ERR_CORRUPT;
    const char *placement = job_placement(job->name);
    if (placement == NULL)
        return 0;
    rc = exists(check, TABLE_PLACEMENTS, span_str(placement), &there);
    if (rc == 0 && !there)
        found(check, "job %s: there is no such placement", job->name);
    return rc;
}

/* --- holdings --- */

/* A row that no extent gave a reason for is seen, too. */
static int check_holding(struct check *check, struct span key, struct span value)
{
    Arca__Holding *holding;
    uint8_t expected[HOLDING_KEY_MAX];
    int rc = record_unpack(&arca__holding__descriptor, check->arena, value, &holding);
    if (rc != 0 || (rc = tally_add(check->tally, check->txn, holding->placement, holding->backend, 0, 0)) != 0)
        return rc;
    size_t len = holding_key(holding->placement, holding->backend, expected);
    return span_eq(span_of(expected, len), key) && holding->replicas != 0 ? 0 : ERR_CORRUPT;
}

static void report_holding(const char *placement, const char *backend, uint64_t replicas, uint64_t bytes, void *arg)
{
    if (replicas != 0 || bytes != 0)
        found(arg, "placement %s on %s: %" PRId64 " replicas and %" PRId64 " bytes more are counted than there are",
              placement, backend, (int64_t)replicas, (int64_t)bytes);
}

int check_placements(struct check *check)
{
    int rc = each(check, TABLE_PLACEMENTS, check_placement);
    if (rc != 0 || (rc = each(check, TABLE_JOBS, check_job)) != 0 ||
        (rc = each(check, TABLE_HOLDINGS, check_holding)) != 0)
        return rc;
    tally_each(check->tally, report_holding, check);
    return 0;
}
