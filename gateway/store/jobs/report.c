#include "report.h"

#include <stdio.h>
#include "base/clock.h"
#include "base/metrics.h"

void report_init(struct report *report, const char *name)
{
    *report = (struct report){0};
    pthread_mutex_init(&report->lock, NULL);
    snprintf(report->view.name, sizeof(report->view.name), "%s", name);
    report->metrics = metrics_job(report->view.name);
    meter_reset(&report->meter, clock_monotonic_ms());
}

void report_fini(struct report *report)
{
    pthread_mutex_destroy(&report->lock);
}

static enum job_state state_of(const struct report *report)
{
    if (report->paused)
        return JOB_PAUSED;
    return report->idle ? JOB_IDLE : report->view.why[0] != '\0' ? JOB_WAITING : JOB_RUNNING;
}

static void unlock(struct report *report)
{
    metrics_job_state(report->metrics, (int)state_of(report), report->view.done, report->view.total);
    pthread_mutex_unlock(&report->lock);
}

void report_begin(struct report *report, const char *step, const struct job_view *counts)
{
    pthread_mutex_lock(&report->lock);
    snprintf(report->view.step, sizeof(report->view.step), "%s", step);
    report->view.done = counts->done;
    report->view.total = 0;
    report->view.bytes = counts->bytes;
    report->view.found = counts->found;
    report->view.missed = counts->missed;
    report->view.started_ms = counts->started_ms;
    report->view.why[0] = '\0';
    report->idle = false;
    meter_reset(&report->meter, clock_monotonic_ms());
    unlock(report);
}

void report_add(struct report *report, uint64_t done, uint64_t bytes, uint64_t found, uint64_t missed)
{
    metrics_job_bytes(report->metrics, bytes);
    pthread_mutex_lock(&report->lock);
    report->view.done += done;
    report->view.bytes += bytes;
    report->view.found += found;
    report->view.missed += missed;
    meter_add(&report->meter, clock_monotonic_ms(), bytes, done);
    unlock(report);
}

void report_total(struct report *report, uint64_t total)
{
    pthread_mutex_lock(&report->lock);
    report->view.total = total;
    unlock(report);
}

void report_why(struct report *report, const char *why)
{
    pthread_mutex_lock(&report->lock);
    snprintf(report->view.why, sizeof(report->view.why), "%s", why != NULL ? why : "");
    unlock(report);
}

void report_idle(struct report *report, bool idle)
{
    pthread_mutex_lock(&report->lock);
    report->idle = idle;
    unlock(report);
}

void report_paused(struct report *report, bool paused)
{
    pthread_mutex_lock(&report->lock);
    report->paused = paused;
    unlock(report);
}

void report_view(struct report *report, struct job_view *out)
{
    pthread_mutex_lock(&report->lock);
    int64_t now_ms = clock_monotonic_ms();
    *out = report->view;
    out->state = state_of(report);
    out->rate = meter_bytes(&report->meter, now_ms);
    out->eta_ms = -1;
    if (out->state == JOB_RUNNING && out->total > 0)
        out->eta_ms = meter_eta_ms(&report->meter, now_ms, out->total > out->done ? out->total - out->done : 0);
    pthread_mutex_unlock(&report->lock);
}
