/* arcactl jobs: background work, as a table, as lines or as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "arcactl.h"
#include "base/err.h"
#include "control.h"
#include "store/jobs/jobs.h"
#include "table.h"
#include "watch.h"

#define BAR         20
#define WATCH_MS    1000
#define TOLD_MAX    (JOBS_VIEW_MAX + 1) /* what is told apart in lines: jobs, and arcad */
#define WHY_SIZE    1024

/* In thousandths; -1: not known. */
static int permille(const json_t *job)
{
    uint64_t done = control_number(job, "done"), total = control_number(job, "total");
    if (total == 0)
        return -1;
    return done >= total ? 1000 : (int)((double)done / (double)total * 1000);
}

static void progress_text(const json_t *job, char out[TABLE_CELL])
{
    int share = permille(job);
    char bar[BAR + 1] = "";
    if (share < 0) {
        snprintf(out, TABLE_CELL, "-");
        return;
    }
    for (int i = 0; i < BAR; i++)
        bar[i] = i < share * BAR / 1000 ? '#' : '.';
    snprintf(out, TABLE_CELL, "[%s] %3d.%d %%", bar, share / 10, share % 10);
}

static void rate_text(const json_t *job, char out[TABLE_CELL])
{
    char bytes[HUMAN_SIZE];
    snprintf(out, TABLE_CELL, "%s/s", human_bytes(control_number(job, "rate"), bytes));
}

static void left_text(const json_t *job, char out[HUMAN_SIZE])
{
    const json_t *eta = json_object_get(job, "eta_ms");
    if (json_is_integer(eta))
        human_duration(json_integer_value(eta), out);
    else
        snprintf(out, HUMAN_SIZE, "-");
}

static bool add_job(struct table *table, const json_t *job)
{
    char progress[TABLE_CELL], done[TABLE_CELL], bytes[HUMAN_SIZE], rate[TABLE_CELL], left[HUMAN_SIZE], found[32],
        missed[32];
    unsigned long long total = control_number(job, "total"), so_far = control_number(job, "done");
    progress_text(job, progress);
    rate_text(job, rate);
    left_text(job, left);
    snprintf(done, sizeof(done), total > 0 ? "%llu of %llu" : "%llu", so_far, total);
    snprintf(found, sizeof(found), "%llu", (unsigned long long)control_number(job, "found"));
    snprintf(missed, sizeof(missed), "%llu", (unsigned long long)control_number(job, "missed"));
    struct table_row *row =
        table_add(table, control_text(job, "name"), control_text(job, "step"), control_text(job, "state"), progress,
                  done, human_bytes(control_number(job, "bytes"), bytes), rate, left, found, missed);
    if (row != NULL)
        snprintf(row->note, sizeof(row->note), "%s", control_text(job, "why"));
    return row != NULL;
}

static int print_table(const json_t *jobs, struct buf *out)
{
    struct table table = {.columns = "lllllrrrrr"};
    const json_t *job;
    size_t i;
    bool fine = table_add(&table, "NAME", "STEP", "STATE", "PROGRESS", "DONE", "BYTES", "RATE", "LEFT", "FOUND",
                          "MISSED") != NULL;
    json_array_foreach(jobs, i, job)
        fine = fine && add_job(&table, job);
    if (fine)
        table_print(&table, out);
    table_free(&table);
    return fine ? out->failed : ERR_NOMEM;
}

static void print_json(const json_t *jobs)
{
    const json_t *job;
    size_t i;
    json_array_foreach(jobs, i, job)
    {
        json_dumpf(job, stdout, JSON_COMPACT);
        putchar('\n');
    }
}

/* Those of `only`, or all; *out is the caller's. */
static int fetch(const struct config *config, const char *only, json_t **out, char *why, size_t why_size)
{
    json_t *answer = NULL, *job, *list = json_array();
    size_t i;
    int rc = list != NULL ? control_get(config, "/-/jobs", &answer, why, why_size) : ERR_NOMEM;
    json_array_foreach(json_object_get(answer, "jobs"), i, job)
    {
        if (rc == 0 && (only == NULL || strcmp(control_text(job, "name"), only) == 0))
            rc = json_array_append(list, job) == 0 ? 0 : ERR_NOMEM;
    }
    json_decref(answer);
    if (rc == 0)
        *out = list;
    else
        json_decref(list);
    return rc;
}

/* --- watching --- */

struct screen {
    bool terminal, json;
    unsigned lines;                              /* that were drawn last and are drawn over */
    struct {
        char name[100], said[300];
    } told[TOLD_MAX]; /* what was said of each job last, where lines are printed */
    size_t told_count;
};

/* No line is broken by the terminal: it would be counted as one and take two. */
static void draw(struct screen *screen, const struct buf *text)
{
    struct winsize size = {0};
    size_t width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 200;
    unsigned height = size.ws_row > 1 ? size.ws_row - 1U : 1000;
    struct span rest = buf_span(text), line;
    if (screen->lines > 0)
        printf("\033[%uA", screen->lines);
    printf("\r\033[J");
    for (screen->lines = 0; rest.len > 0 && screen->lines < height; screen->lines++) {
        rest = span_split(rest, '\n', &line);
        printf("%.*s\n", SPAN_FMT(span_take(line, width)));
    }
}

static void say(struct screen *screen, const char *name, const char *text)
{
    size_t i = 0;
    char now[32];
    time_t seconds = time(NULL);
    while (i < screen->told_count && strcmp(screen->told[i].name, name) != 0)
        i++;
    if (i < screen->told_count && strcmp(screen->told[i].said, text) == 0)
        return;
    if (i < TOLD_MAX) {
        screen->told_count += i == screen->told_count;
        snprintf(screen->told[i].name, sizeof(screen->told[i].name), "%s", name);
        snprintf(screen->told[i].said, sizeof(screen->told[i].said), "%s", text);
    }
    strftime(now, sizeof(now), "%H:%M:%S", localtime(&seconds));
    printf("%s %s%s%s\n", now, name, name[0] != '\0' ? " " : "", text);
}

/* A line each time that step, state or whole percent changes. */
static void say_job(struct screen *screen, const json_t *job)
{
    char text[300], share[16] = "";
    const char *step = control_text(job, "step"), *why = control_text(job, "why");
    int known = permille(job);
    if (known >= 0)
        snprintf(share, sizeof(share), " %d %%", known / 10);
    snprintf(text, sizeof(text), "%s%s%s%s%s%s", step, step[0] != '\0' ? " " : "", control_text(job, "state"), share,
             why[0] != '\0' ? ": " : "", why);
    say(screen, control_text(job, "name"), text);
}

static int show(struct screen *screen, const json_t *jobs)
{
    const json_t *job;
    size_t i;
    int rc = 0;
    if (screen->json) {
        print_json(jobs);
    } else if (screen->terminal) {
        struct buf text = {0};
        rc = print_table(jobs, &text);
        if (rc == 0)
            draw(screen, &text);
        buf_free(&text);
    } else {
        json_array_foreach(jobs, i, job)
            say_job(screen, job);
    }
    return fflush(stdout) != 0 ? ERR_IO : rc;
}

/* arcad may be restarted while it is watched: its jobs go on, and so does this. */
static int show_absence(struct screen *screen, const char *why)
{
    if (screen->json)
        return 0;
    if (screen->terminal) {
        struct buf text = {0};
        buf_printf(&text, "%s\n", why);
        draw(screen, &text);
        buf_free(&text);
    } else {
        say(screen, "", why);
    }
    return fflush(stdout) != 0 ? ERR_IO : 0;
}

/* A change that is done is idle, or forgotten by an arcad that was restarted since. */
static bool is_over(const json_t *jobs)
{
    const json_t *job = json_array_get(jobs, 0);
    return job == NULL || strcmp(control_text(job, "state"), "idle") == 0;
}

int watch_jobs(const struct config *config, const char *only, bool json)
{
    struct screen *screen = calloc(1, sizeof(*screen));
    char why[WHY_SIZE] = "";
    bool over = false, reached = only != NULL; /* whoever asks for one has just started it */
    int rc = screen != NULL ? 0 : ERR_NOMEM;
    if (screen != NULL) {
        screen->json = json;
        screen->terminal = isatty(STDOUT_FILENO) == 1;
    }
    while (rc == 0 && !over) {
        json_t *jobs = NULL;
        rc = fetch(config, only, &jobs, why, sizeof(why));
        if (rc == 0) {
            rc = show(screen, jobs);
            over = only != NULL && is_over(jobs);
            reached = true;
        } else if (rc == ERR_UNAVAILABLE && reached) {
            rc = show_absence(screen, why);
        }
        json_decref(jobs);
        if (rc == 0 && !over)
            nanosleep(&(struct timespec){.tv_sec = WATCH_MS / 1000, .tv_nsec = WATCH_MS % 1000 * 1000000}, NULL);
    }
    free(screen);
    return rc != 0 ? trouble("%s", why[0] != '\0' ? why : err_text(rc)) : EXIT_FINE;
}

/* --- commands --- */

int jobs_command(const struct request *request)
{
    char why[WHY_SIZE] = "";
    json_t *jobs = NULL;
    struct buf text = {0};
    struct config *config = request_config(request);
    int status = EXIT_FINE;
    if (config == NULL)
        return EXIT_TROUBLE;
    if (request->watch) {
        status = watch_jobs(config, NULL, request->json);
        goto out;
    }
    int rc = fetch(config, NULL, &jobs, why, sizeof(why));
    if (rc == 0 && request->json)
        print_json(jobs);
    else if (rc == 0 && (rc = print_table(jobs, &text)) == 0)
        fwrite(text.ptr, 1, text.len, stdout);
    if (rc != 0)
        status = trouble("%s", why[0] != '\0' ? why : err_text(rc));
out:
    buf_free(&text);
    json_decref(jobs);
    config_free(config);
    return status;
}

static int set_paused(const struct request *request, const char *verb, const char *done)
{
    char why[WHY_SIZE] = "";
    json_t *answer = NULL;
    struct config *config = request_config(request);
    if (config == NULL)
        return EXIT_TROUBLE;
    char *path = control_path("/-/jobs/", request->name, verb);
    int rc = path != NULL ? control_post(config, path, NULL, &answer, why, sizeof(why)) : ERR_NOMEM;
    if (rc == 0)
        printf("%s %s\n", request->name, done);
    free(path);
    json_decref(answer);
    config_free(config);
    return rc != 0 ? trouble("%s", why[0] != '\0' ? why : err_text(rc)) : EXIT_FINE;
}

int jobs_pause_command(const struct request *request)
{
    return set_paused(request, "/pause", "is paused, over restarts, until it is resumed");
}

int jobs_resume_command(const struct request *request)
{
    return set_paused(request, "/resume", "goes on");
}
