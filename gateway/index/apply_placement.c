/* The sets of placements, and the work that outlives the process. */
#include "base/err.h"
#include "index/apply.h"

static bool name_valid(const char *name)
{
    size_t len = strnlen(name, NAME_LENGTH_MAX + 1);
    return len > 0 && len <= NAME_LENGTH_MAX;
}

static bool members_valid(const Arca__Placement *placement)
{
    size_t wanted = 0, written = 0;
    if (placement->n_members > MEMBERS_MAX)
        return false;
    for (size_t i = 0; i < placement->n_members; i++) {
        const Arca__Member *member = placement->members[i];
        if (!name_valid(member->backend) || (unsigned)member->role > ARCA__MEMBER__ROLE__DRAINING)
            return false;
        for (size_t j = 0; j < i; j++)
            if (strcmp(member->backend, placement->members[j]->backend) == 0)
                return false;
        wanted += member_wanted(member);
        written += member->role != ARCA__MEMBER__ROLE__DRAINING;
    }
    return wanted > 0 && placement->write_quorum > 0 && placement->write_quorum <= written;
}

bool placement_valid(const Arca__Placement *placement)
{
    if (!name_valid(placement->name) || !members_valid(placement) || placement->n_configured > MEMBERS_MAX ||
        placement->configured_quorum > MEMBERS_MAX)
        return false;
    for (size_t i = 0; i < placement->n_configured; i++)
        if (!name_valid(placement->configured[i]))
            return false;
    return true;
}

bool placement_settled(const Arca__Placement *placement)
{
    for (size_t i = 0; i < placement->n_members; i++)
        if (placement->members[i]->role != ARCA__MEMBER__ROLE__MEMBER)
            return false;
    return true;
}

int placement_takes_bucket(struct apply *apply, const char *name)
{
    const Arca__Placement *set;
    if (name[0] == '\0')
        return 0;
    int rc = name_valid(name) ? tally_set(apply->tally, apply->txn, name, &set) : ERR_NOT_FOUND;
    if (rc != 0)
        return rc;
    return set != NULL && set->n_configured > 0 ? 0 : ERR_NOT_FOUND;
}

const char *job_placement(const char *job)
{
    const size_t prefix = sizeof(JOB_PLACEMENT) - 1;
    return strncmp(job, JOB_PLACEMENT, prefix) == 0 ? job + prefix : NULL;
}

bool job_valid(const Arca__Job *job)
{
    size_t len = strnlen(job->name, JOB_NAME_MAX + 1);
    const char *placement = job_placement(job->name);
    return len > 0 && len <= JOB_NAME_MAX && (unsigned)job->step <= ARCA__JOB__STEP__DONE &&
           (placement == NULL || name_valid(placement)) &&
           (job->after.len == 0 || blob_id_valid(record_bytes(job->after)));
}

static int job_put(struct apply *apply, const Arca__Job *job)
{
    return record_put(apply->txn, TABLE_JOBS, span_str(job->name), job);
}

static int job_delete(struct apply *apply, struct span name)
{
    int rc = txn_delete(apply->txn, TABLE_JOBS, name);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int apply_set_placement(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__Placement *placement = mutation->set_placement->placement;
    const Arca__Job *job = mutation->set_placement->job;
    char name[JOB_NAME_MAX + 1] = JOB_PLACEMENT;
    if (placement == NULL || !placement_valid(placement) || (job == NULL && !placement_settled(placement)))
        return ERR_INVALID;
    strcat(name, placement->name);
    if (job != NULL && (!job_valid(job) || strcmp(job->name, name) != 0))
        return ERR_INVALID;
    int rc = record_put(apply->txn, TABLE_PLACEMENTS, span_str(placement->name), placement);
    tally_forget_set(apply->tally, placement->name);
    if (rc != 0)
        return rc;
    return job != NULL ? job_put(apply, job) : job_delete(apply, span_str(name));
}

/* The set of the placement that a job of this name changes. *out is NULL if it is another kind of job, or has none. */
static int changed_set(struct apply *apply, const char *job, const Arca__Placement **out)
{
    const char *placement = job_placement(job);
    *out = NULL;
    if (placement == NULL || !name_valid(placement))
        return 0;
    return tally_set(apply->tally, apply->txn, placement, out);
}

int apply_set_job(struct apply *apply, const Arca__Mutation *mutation)
{
    const Arca__Job *job = mutation->set_job->job;
    const Arca__Placement *set;
    if (job == NULL || !job_valid(job))
        return ERR_INVALID;
    int rc = changed_set(apply, job->name, &set);
    if (rc != 0)
        return rc;
    return job_placement(job->name) != NULL && set == NULL ? ERR_NOT_FOUND : job_put(apply, job);
}

int apply_remove_job(struct apply *apply, const Arca__Mutation *mutation)
{
    const char *name = mutation->remove_job->name;
    const Arca__Placement *set;
    size_t len = strnlen(name, JOB_NAME_MAX + 1);
    if (len == 0 || len > JOB_NAME_MAX)
        return ERR_INVALID;
    int rc = changed_set(apply, name, &set);
    if (rc != 0)
        return rc;
    return set != NULL && !placement_settled(set) ? ERR_CONFLICT : job_delete(apply, span_of(name, len));
}
