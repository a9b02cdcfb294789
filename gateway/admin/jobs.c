/* Background work: what it does, and stopping and going on. */
#include "admin/private.h"
#include "base/err.h"
#include "base/log.h"

static json_t *number_or_null(bool known, uint64_t number)
{
    return known ? json_integer((json_int_t)number) : json_null();
}

static json_t *job_json(const struct job_view *job)
{
    return json_pack("{s:o, s:o, s:s, s:o, s:I, s:o, s:I, s:I, s:o, s:I, s:I, s:o}", "name", json_text(job->name),
                     "step", json_text(job->step), "state", job_state_name(job->state), "why", json_text(job->why),
                     "done", (json_int_t)job->done, "total", number_or_null(job->total > 0, job->total), "bytes",
                     (json_int_t)job->bytes, "rate", (json_int_t)job->rate, "eta_ms",
                     number_or_null(job->eta_ms >= 0, (uint64_t)job->eta_ms), "found", (json_int_t)job->found, "missed",
                     (json_int_t)job->missed, "started_ms",
                     number_or_null(job->started_ms > 0, (uint64_t)job->started_ms));
}

void get_jobs(struct admin_request *r)
{
    struct jobs *jobs = running_jobs(r);
    if (jobs == NULL)
        return;
    struct job_view *views = arena_alloc(r->arena, JOBS_VIEW_MAX * sizeof(*views));
    size_t count = views != NULL ? r->admin->ops->jobs_view(jobs, views, JOBS_VIEW_MAX) : 0;
    json_t *list = views != NULL ? json_array() : NULL;
    for (size_t i = 0; i < count && list != NULL; i++) {
        if (json_array_append_new(list, job_json(&views[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    answer_json(r, 200, json_pack("{s:o}", "jobs", list));
}

static void set_paused(struct admin_request *r, bool paused)
{
    struct jobs *jobs = running_jobs(r);
    if (jobs == NULL)
        return;
    int rc = r->admin->ops->jobs_pause(jobs, r->name, paused);
    if (rc == 0) {
        log_info("control", "job %.*s is %s by %s", SPAN_FMT(r->name), paused ? "paused" : "resumed",
                 http_peer(r->exchange));
        answer_json(r, 200, json_pack("{s:b}", "paused", paused));
    } else if (rc == ERR_NOT_FOUND) {
        answer_error(r, rc, "there is no job '%.*s': `arcactl jobs` shows those that there are", SPAN_FMT(r->name));
    } else if (rc == ERR_UNSUPPORTED) {
        answer_error(r, rc, "%.*s does not pause; scrub and changes of placements do", SPAN_FMT(r->name));
    } else {
        answer_error(r, rc, "%s", err_text(rc));
    }
}

void post_pause(struct admin_request *r)
{
    set_paused(r, true);
}

void post_resume(struct admin_request *r)
{
    set_paused(r, false);
}
