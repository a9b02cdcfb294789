/* Survey, choice, copy, recovery, comparison. */
#include "store/ship/rebuild.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "index/durable.h"
#include "store/ship/chain.h"
#include "store/ship/rebuild_private.h"

#define COPIES 4 /* pieces at once */
#define SUFFIX ".rebuild"

void rebuild_tell(struct rebuild *rebuild, enum rebuild_line kind, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    rebuild->result->findings += kind == REBUILD_FINDING;
    rebuild->options->tell(rebuild->options->arg, kind, line);
}

void rebuild_time(int64_t time_ms, char out[32])
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(out, 32, "an unknown time");
}

static void progress(void *arg, size_t done, size_t all)
{
    struct rebuild *rebuild = arg;
    int64_t now_ms = clock_monotonic_ms();
    if (done < all && now_ms < rebuild->told_at)
        return;
    rebuild->told_at = now_ms + 500;
    rebuild_tell(rebuild, REBUILD_PROGRESS, "%s: %zu of %zu pieces", rebuild->doing, done, all);
}

/* --- what there is --- */

void rebuild_tell_survey(struct rebuild *rebuild, const struct survey *survey)
{
    if (survey->foreign > 0)
        rebuild_tell(rebuild, REBUILD_NOTE, "%" PRIu64 " pieces on %s belong to another keyring and are left alone",
                     survey->foreign, survey->backend->name);
    if (survey->damaged > 0)
        rebuild_tell(rebuild, REBUILD_FINDING,
                     "%" PRIu64 " pieces on %s were changed or cut, and are not used; one is %s", survey->damaged,
                     survey->backend->name, survey->damage);
}

static int survey_from(struct rebuild *rebuild) SUSPENDS
{
    struct stored_list listed = {0};
    rebuild->survey.backend = rebuild->backend;
    int rc = survey_list(rebuild->backend, &listed);
    if (rc != 0)
        rebuild_tell(rebuild, REBUILD_ERROR, "%s cannot be listed: %s", rebuild->backend->name, err_text(rc));
    rebuild->doing = "looking at what there is";
    if (rc == 0 && (rc = survey_open(&rebuild->survey, &listed, rebuild->options->keyring, progress, rebuild)) != 0)
        rebuild_tell(rebuild, REBUILD_ERROR, "%s cannot be read: %s", rebuild->backend->name, err_text(rc));
    free(listed.all);
    if (rc == 0)
        rebuild_tell_survey(rebuild, &rebuild->survey);
    return rc;
}

static int choose(struct rebuild *rebuild, uint64_t below)
{
    char when[32];
    const struct chain *chain = &rebuild->chain;
    const struct stored_list *pieces = &rebuild->survey.pieces;
    int rc = chain_choose(pieces, below, &rebuild->chain);
    if (rc != 0) {
        bool foreign = rc == ERR_NOT_FOUND && pieces->count == 0 && rebuild->survey.foreign > 0;
        rebuild_tell(rebuild, REBUILD_ERROR, "%s holds nothing that an index can be made from%s",
                     rebuild->backend->name, foreign ? ": its pieces belong to another keyring" : "");
        return foreign ? ERR_WRONG_KEY : rc;
    }
    rebuild_time(chain->time_ms, when);
    rebuild_tell(rebuild, REBUILD_NOTE, "%s has the index up to mutation %" PRIu64 ", shipped %s",
                 rebuild->backend->name, chain->last, when);
    size_t gap = chain_gap(pieces, chain);
    if (gap == SIZE_MAX)
        return 0;
    const struct piece *piece = &pieces->all[gap].piece;
    if (piece->first > chain->last + 1)
        rebuild_tell(rebuild, REBUILD_FINDING,
                     "mutations %" PRIu64 " to %" PRIu64
                     " are missing from %s, and what came after them is lost without",
                     chain->last + 1, piece->first - 1, rebuild->backend->name);
    else
        rebuild_tell(rebuild, REBUILD_FINDING,
                     "fork: mutations %" PRIu64 " to %" PRIu64 " on %s do not follow from the rest", piece->first,
                     piece->last, rebuild->backend->name);
    return 0;
}

/* --- copying --- */

/* A piece that turned out to be no good: another way may lead to the same end. */
static void drop_piece(struct rebuild *rebuild, size_t number, int rc)
{
    struct stored *stored = &rebuild->survey.pieces.all[number];
    rebuild_tell(rebuild, REBUILD_FINDING,
                 "a piece with mutations %" PRIu64 " to %" PRIu64 " on %s does not verify: %s", stored->piece.first,
                 stored->piece.last, rebuild->backend->name, err_text(rc));
    rebuild->dropped = true;
    stored->piece.kind = 0;
}

static int copy_piece(void *arg, size_t i) SUSPENDS
{
    struct rebuild *rebuild = arg;
    const struct chain *chain = &rebuild->chain;
    size_t number = i < chain->part_count ? chain->parts[i] : chain->pieces[i - chain->part_count];
    const struct stored *stored = &rebuild->survey.pieces.all[number];
    struct piece piece;
    struct span content;
    uint8_t *bytes = malloc((size_t)stored->size);
    if (bytes == NULL)
        return ERR_NOMEM;
    int rc = rebuild->backend->ops->get(rebuild->backend, &stored->name, &stored->locator, 0, stored->size, bytes);
    if (rc == 0)
        rc = piece_open(rebuild->options->keyring, &stored->name, stored->size, bytes, stored->size, &piece, &content);
    if (survey_damage(rc)) {
        drop_piece(rebuild, number, rc);
        rc = 0;
    } else if (rc != 0) {
        rebuild_tell(rebuild, REBUILD_ERROR, "%s cannot be read: %s", rebuild->backend->name, err_text(rc));
    } else if (piece.kind == PIECE_SNAPSHOT) {
        rc = index_copy_snapshot(rebuild->path, piece.file, piece.offset, content);
    } else {
        rc = index_copy_segment(rebuild->path, piece.file, piece.offset, content);
    }
    free(bytes);
    progress(rebuild, ++rebuild->copied, chain->part_count + chain->piece_count);
    return rc;
}

/* Pieces that are not needed tell whether there is another history: sorted by their last mutation. */
struct witnesses {
    struct rebuild *rebuild;
    const struct piece **all;
    size_t count, next;
    const struct piece *fork;          /* the first that disagrees */
    uint8_t snapshot[INDEX_HASH_SIZE]; /* of its last mutation */
    bool parted;                       /* which is another one in the journal */
};

static int compare_last(const void *a, const void *b)
{
    const struct piece *x = *(const struct piece *const *)a, *y = *(const struct piece *const *)b;
    return (x->last > y->last) - (x->last < y->last);
}

static int hear_record(uint64_t sequence, const uint8_t hash[INDEX_HASH_SIZE], void *arg)
{
    struct witnesses *witnesses = arg;
    if (sequence == witnesses->rebuild->chain.snapshot)
        witnesses->parted = memcmp(witnesses->snapshot, hash, INDEX_HASH_SIZE) != 0;
    while (witnesses->next < witnesses->count && witnesses->all[witnesses->next]->last <= sequence) {
        const struct piece *piece = witnesses->all[witnesses->next++];
        if (piece->last == sequence && witnesses->fork == NULL && memcmp(piece->after, hash, INDEX_HASH_SIZE) != 0)
            witnesses->fork = piece;
    }
    return 0;
}

/* One that ended before what was kept began is what a rebuild leaves behind; one that goes on beside it is a second
 * gateway's. */
static void tell_fork(struct rebuild *rebuild, const struct piece *fork)
{
    const struct chain *chain = &rebuild->chain;
    int64_t kept_ms = chain->time_ms;
    char when[32];
    for (size_t i = chain->piece_count; i > 0; i--) {
        const struct piece *piece = &rebuild->survey.pieces.all[chain->pieces[i - 1]].piece;
        if (piece->last < fork->last)
            break;
        kept_ms = piece->time_ms;
    }
    rebuild_time(fork->time_ms, when);
    rebuild_tell(rebuild, fork->time_ms >= kept_ms ? REBUILD_FINDING : REBUILD_NOTE,
                 "fork: %s has another history up to mutation %" PRIu64 ", shipped %s, which is not taken",
                 rebuild->backend->name, fork->last, when);
}

/* A snapshot that was left behind by a history that was given up: there is an older one that the journal goes on from.
 */
static void drop_snapshot(struct rebuild *rebuild)
{
    const struct chain *chain = &rebuild->chain;
    rebuild_tell(rebuild, REBUILD_NOTE,
                 "the snapshot of mutation %" PRIu64 " on %s is of another history, and is not taken", chain->snapshot,
                 rebuild->backend->name);
    rebuild->dropped = true;
    for (size_t i = 0; i < chain->part_count; i++)
        rebuild->survey.pieces.all[chain->parts[i]].piece.kind = 0;
}

/* A journal that begins behind the snapshot. */
static bool goes_on_from(const struct rebuild *rebuild, const uint8_t hash[INDEX_HASH_SIZE])
{
    const struct chain *chain = &rebuild->chain;
    const struct piece *first = &rebuild->survey.pieces.all[chain->pieces[0]].piece;
    return first->first != chain->snapshot + 1 || memcmp(first->before, hash, INDEX_HASH_SIZE) == 0;
}

static int finish_copy(struct rebuild *rebuild)
{
    const struct stored_list *pieces = &rebuild->survey.pieces;
    struct chain *chain = &rebuild->chain;
    struct witnesses witnesses = {.rebuild = rebuild, .all = calloc(pieces->count + 1, sizeof(*witnesses.all))};
    uint8_t hash[INDEX_HASH_SIZE] = {0};
    if (witnesses.all == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < pieces->count; i++)
        if (pieces->all[i].piece.kind == PIECE_JOURNAL)
            witnesses.all[witnesses.count++] = &pieces->all[i].piece;
    qsort(witnesses.all, witnesses.count, sizeof(*witnesses.all), compare_last);
    int rc = 0;
    if (chain->snapshot != 0 &&
        (rc = index_copy_snapshot_end(rebuild->path, chain->snapshot, chain->sum, hash)) == ERR_CORRUPT) {
        for (size_t i = 0; i < chain->part_count; i++)
            drop_piece(rebuild, chain->parts[i], rc);
        rc = 0;
    } else if (rc == 0) {
        memcpy(witnesses.snapshot, hash, sizeof(hash));
        witnesses.parted = chain->piece_count > 0 && !goes_on_from(rebuild, hash);
        if (chain->piece_count > 0)
            memcpy(hash, chain->hash, sizeof(hash));
        rc = index_copy_end(rebuild->path, chain->last, hash, hear_record, &witnesses);
    }
    if (rc == 0 && witnesses.parted)
        drop_snapshot(rebuild);
    else if (rc == 0 && witnesses.fork != NULL)
        tell_fork(rebuild, witnesses.fork);
    free(witnesses.all);
    return rc;
}

static int copy(struct rebuild *rebuild) SUSPENDS
{
    int rc = index_copy_discard(rebuild->path);
    rebuild->doing = "copying";
    rebuild->copied = 0;
    rebuild->dropped = false;
    if (rc == 0)
        rc = index_copy_begin(rebuild->path);
    if (rc == 0)
        rc = survey_each(rebuild->chain.part_count + rebuild->chain.piece_count, COPIES, copy_piece, rebuild);
    return rc == 0 && !rebuild->dropped ? finish_copy(rebuild) : rc;
}

/* --- the course --- */

bool rebuild_stops(const struct rebuild *rebuild)
{
    return rebuild->result->findings > 0 && !rebuild->options->force;
}

static int fetch(struct rebuild *rebuild) SUSPENDS
{
    int rc = survey_from(rebuild);
    if (rc == 0)
        rc = choose(rebuild, UINT64_MAX);
    if (rc == 0)
        rc = rebuild_compare(rebuild);
    while (rc == 0) {
        if (rebuild_stops(rebuild))
            return ERR_CONFLICT;
        if ((rc = copy(rebuild)) != 0 || !rebuild->dropped)
            break;
        chain_free(&rebuild->chain);
        rc = choose(rebuild, UINT64_MAX);
    }
    return rc == 0 && rebuild_stops(rebuild) ? ERR_CONFLICT : rc;
}

struct task {
    struct rebuild *rebuild;
    int (*fn)(struct rebuild *rebuild) SUSPENDS;
    int rc;
};

static void run_task(void *arg) SUSPENDS
{
    struct task *task = arg;
    task->rc = task->fn(task->rebuild);
}

/* On a loop of its own, until it is done. */
static int on_loop(struct rebuild *rebuild, int (*fn)(struct rebuild *rebuild) SUSPENDS)
{
    struct task task = {rebuild, fn, 0};
    struct loop *loop;
    int rc = loop_create(&(struct loop_options){.number = 0}, &loop);
    if (rc != 0)
        return rc;
    if ((rc = fiber_spawn(loop, run_task, &task, NULL)) == 0) {
        loop_stop(loop); /* it ends with its last fiber */
        loop_run(loop);
        rc = task.rc;
    }
    loop_free(loop);
    return rc;
}

static int open_store(struct rebuild *rebuild)
{
    const struct config *config = rebuild->options->config;
    struct backend_settings *from = config_find_backend(config, rebuild->options->from);
    if (from == NULL) {
        rebuild_tell(rebuild, REBUILD_ERROR, "the config names no backend %s", rebuild->options->from);
        return ERR_NOT_FOUND;
    }
    int rc = store_open(config, &rebuild->store);
    if (rc != 0 && rc != ERR_LOCKED) { /* another one is lost, too, perhaps */
        struct config alone = *config;
        alone.backends = from;
        alone.backend_count = 1;
        alone.placement_count = 0;
        rebuild_tell(rebuild, REBUILD_NOTE, "not all backends open: %s. Only %s is looked at", err_text(rc),
                     from->name);
        rc = store_open(&alone, &rebuild->store);
    }
    if (rc != 0)
        rebuild_tell(rebuild, REBUILD_ERROR, rc == ERR_LOCKED ? "a backend is %s: stop arcad first" : "backends: %s",
                     err_text(rc));
    struct backend *backend;
    for (size_t i = 0; rc == 0 && (backend = store_backend(rebuild->store, i)) != NULL; i++) {
        if (strcmp(backend->name, from->name) == 0)
            rebuild->backend = backend;
    }
    return rc;
}

static int make(struct rebuild *rebuild)
{
    struct index_options options = {.path = rebuild->path};
    int rc = on_loop(rebuild, fetch);
    if (rc != 0)
        return rc;
    rebuild_tell(rebuild, REBUILD_PROGRESS, "applying the journal");
    if ((rc = index_open(&options, &rebuild->index)) != 0) {
        rebuild_tell(rebuild, REBUILD_ERROR, "what was copied does not open as an index: %s", err_text(rc));
        return rc;
    }
    rc = on_loop(rebuild, rebuild_adopt);
    index_close(rebuild->index);
    return rc == 0 && rebuild_stops(rebuild) ? ERR_CONFLICT : rc;
}

static bool is_free(const char *path)
{
    return access(path, F_OK) != 0 || rmdir(path) == 0;
}

static int sync_parent(const char *path)
{
    char parent[PATH_SIZE];
    int rc = path_join(parent, path, "..");
    return rc != 0 ? rc : folder_sync(parent);
}

int rebuild(const struct rebuild_options *options, struct rebuild_result *out)
{
    struct rebuild rebuild = {.options = options, .result = out};
    const char *path = options->config->index_path;
    *out = (struct rebuild_result){0};
    int n = snprintf(rebuild.path, sizeof(rebuild.path), "%s" SUFFIX, path);
    if (n < 0 || (size_t)n >= sizeof(rebuild.path))
        return ERR_TOO_LARGE;
    if (!is_free(path)) {
        rebuild_tell(&rebuild, REBUILD_ERROR, "%s is there, and not empty: move it away first", path);
        return ERR_EXISTS;
    }
    int rc = open_store(&rebuild);
    if (rc == 0)
        rc = make(&rebuild);
    if (rc == 0 && (rename(rebuild.path, path) != 0 || sync_parent(path) != 0)) {
        rebuild_tell(&rebuild, REBUILD_ERROR, "%s cannot be put in place", path);
        rc = ERR_IO;
    }
    if (rc != 0 && rc != ERR_EXISTS)
        (void)index_copy_discard(rebuild.path);
    out->sequence = rebuild.chain.last;
    out->time_ms = rebuild.chain.time_ms;
    chain_free(&rebuild.chain);
    survey_free(&rebuild.survey);
    store_close(rebuild.store);
    return rc;
}
