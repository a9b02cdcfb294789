#include "index/recover.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "index/apply.h"
#include "index/snapshot.h"

#define STATE         "state"
#define STATE_SIZE    128
#define BOOT_ID_FILE  "/proc/sys/kernel/random/boot_id"
#define REPLAY_BATCH  1000
#define REPLAY_BYTES  (4U << 20)
#define SCRATCH_LIMIT (64U << 20)

int index_paths_init(struct index_paths *paths, const char *root)
{
    int rc = path_join(paths->root, root, NULL);
    if (rc != 0 || (rc = path_join(paths->journal, root, "journal")) != 0 ||
        (rc = path_join(paths->snapshot, root, "snapshot")) != 0)
        return rc;
    return path_join(paths->view, root, "view");
}

/* --- the mark: "running BOOT" or "clean BOOT". LMDB is not synced while it runs, so that after another boot only a
 * clean view is whole; after a killed process it is, since the kernel has its pages. --- */

static void boot_id(const struct index_options *options, char out[STATE_SIZE / 2])
{
    size_t len;
    if (options->boot_id != NULL) {
        snprintf(out, STATE_SIZE / 2, "%s", options->boot_id);
    } else if (file_read(BOOT_ID_FILE, out, STATE_SIZE / 2 - 1, &len) == 0 && len > 0) {
        out[len] = '\0';
        out[strcspn(out, "\n")] = '\0';
    } else {
        snprintf(out, STATE_SIZE / 2, "unknown");
    }
}

static int mark(const struct index_options *options, const struct index_paths *paths, const char *what)
{
    char boot[STATE_SIZE / 2], text[STATE_SIZE];
    boot_id(options, boot);
    snprintf(text, sizeof(text), "%s %s\n", what, boot);
    return file_write(paths->root, STATE, span_str(text));
}

int recover_mark_clean(const struct index_options *options, const struct index_paths *paths)
{
    return mark(options, paths, "clean");
}

static int view_trusted(const struct index_options *options, const struct index_paths *paths, bool *trusted)
{
    char file[PATH_SIZE], boot[STATE_SIZE / 2], text[STATE_SIZE];
    size_t len;
    *trusted = false;
    int rc = path_join(file, paths->root, STATE);
    if (rc != 0 || (rc = file_read(file, text, sizeof(text), &len)) != 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    boot_id(options, boot);
    struct span what, id = span_split(span_trim(span_of(text, len)), ' ', &what);
    if (id.len > 0 && id.ptr[id.len - 1] == '\n')
        id.len--;
    *trusted = span_eq_str(what, "clean") ||
               (span_eq_str(what, "running") && span_eq_str(id, boot) && !span_eq_str(id, "unknown"));
    return 0;
}

/* --- replay --- */

struct replay {
    const struct index_options *options;
    const struct index_paths *paths;
    struct view *view;
    struct txn txn;
    bool open;
    struct meta meta;
    struct arena *arena;
    struct tally *tally;
    uint64_t records, bytes; /* of the open transaction */
    uint64_t replayed;
    bool unfit; /* the view does not belong to the journal, or is damaged */
};

static int replay_commit(struct replay *replay)
{
    if (!replay->open)
        return 0;
    replay->open = false;
    replay->records = replay->bytes = 0;
    int rc = tally_write(replay->tally, &replay->txn);
    if (rc != 0 || (rc = meta_put(&replay->txn, &replay->meta)) != 0) {
        txn_abort(&replay->txn);
        return rc;
    }
    return txn_commit(&replay->txn);
}

static int replay_apply(struct replay *replay, const struct journal_entry *record)
{
    Arca__Mutation *mutation;
    int rc = 0;
    /* Not clean any more from here on: what is written is not synced. */
    if (replay->replayed == 0 && (rc = mark(replay->options, replay->paths, "running")) != 0)
        return rc;
    if (!replay->open) {
        if ((rc = view_write(replay->view, &replay->txn)) != 0)
            return rc;
        replay->open = true;
    }
    arena_reset(replay->arena);
    if ((rc = record_unpack(&arca__mutation__descriptor, replay->arena, record->payload, &mutation)) != 0)
        return rc;
    struct apply apply = {
        .txn = &replay->txn, .meta = &replay->meta, .arena = replay->arena, .tally = replay->tally};
    replay->txn.touched = false;
    rc = apply_mutation(&apply, mutation);
    if (rc == 0 && !replay->txn.touched)
        rc = ERR_CORRUPT;
    if (rc != 0)
        return rc;
    replay->meta.sequence = record->sequence;
    memcpy(replay->meta.last_hash, record->hash, META_HASH_SIZE);
    replay->replayed++;
    replay->bytes += record->payload.len;
    return ++replay->records < REPLAY_BATCH && replay->bytes < REPLAY_BYTES ? 0 : replay_commit(replay);
}

static int replay_record(const struct journal_place *place, void *arg)
{
    struct replay *replay = arg;
    const struct journal_entry *record = place->record;
    bool fits;
    if (record->sequence == replay->meta.sequence)
        fits = memcmp(record->hash, replay->meta.last_hash, META_HASH_SIZE) == 0;
    else
        fits = record->sequence == replay->meta.sequence + 1 &&
               memcmp(record->previous, replay->meta.last_hash, META_HASH_SIZE) == 0;
    if (!fits) {
        replay->unfit = true;
        return ERR_CORRUPT;
    }
    if (record->sequence == replay->meta.sequence)
        return 0;
    int rc = replay_apply(replay, record);
    if (rc != 0 && rc != ERR_NOMEM && rc != ERR_NOSPC && rc != ERR_IO) {
        log_error("journal_replay", "%s at offset %" PRIu64 ": mutation %" PRIu64 " cannot be applied: %s",
                  place->segment, record->offset, record->sequence, err_text(rc));
        replay->unfit = true;
        rc = ERR_CORRUPT;
    }
    return rc;
}

static int replay_all(struct replay *replay, const char *journal, struct journal_scan *scan)
{
    struct txn *txn;
    int rc = view_read(replay->view, &txn);
    if (rc != 0)
        return rc;
    rc = meta_get(txn, &replay->meta);
    view_read_end(txn);
    if (rc != 0) {
        replay->unfit = rc == ERR_CORRUPT;
        return rc;
    }
    uint64_t from = replay->meta.sequence;
    if ((rc = journal_scan(journal, from != 0 ? from : 1, replay_record, replay, scan)) == 0 &&
        (rc = replay_commit(replay)) == 0 &&
        (scan->sequence < replay->meta.sequence || scan->first > from + 1)) {
        log_error("index_view", "the view stands at mutation %" PRIu64 " and the journal has %" PRIu64 " to %" PRIu64,
                  replay->meta.sequence, scan->first, scan->sequence);
        replay->unfit = true;
        rc = ERR_CORRUPT;
    }
    if (replay->open)
        txn_abort(&replay->txn);
    replay->open = false;
    return rc;
}

/* --- opening --- */

static int view_discard(const struct index_paths *paths)
{
    int rc = folder_remove(paths->view);
    return rc != 0 ? rc : folder_make(paths->view);
}

/* An empty view if the journal reaches back to the first mutation, else the newest snapshot. */
static int view_rebuild(const struct index_paths *paths)
{
    struct journal_scan scan;
    int rc = view_discard(paths);
    if (rc != 0 || (rc = journal_scan(paths->journal, UINT64_MAX, NULL, NULL, &scan)) != 0)
        return rc;
    if ((rc = snapshot_restore(paths->snapshot, scan.first, paths->view)) == ERR_NOT_FOUND) {
        if (scan.first == 1)
            return 0;
        log_error("index_rebuild", "the journal begins with mutation %" PRIu64 " and no whole snapshot reaches it: "
                                   "restore %s from a copy", scan.first, paths->snapshot);
        return ERR_CORRUPT;
    }
    return rc;
}

/* One attempt with the view as it is. */
static int attempt(const struct index_options *options, const struct index_paths *paths, struct arena *arena,
                   struct recovered *out, bool *unfit)
{
    struct replay replay = {.options = options, .paths = paths, .arena = arena};
    struct journal_scan scan;
    *unfit = false;
    int rc = view_open(paths->view, options->map_size, &replay.view);
    if (rc != 0) {
        *unfit = rc == ERR_CORRUPT;
        return rc;
    }
    replay.tally = tally_create();
    rc = replay.tally != NULL ? replay_all(&replay, paths->journal, &scan) : ERR_NOMEM;
    tally_free(replay.tally);
    if (rc == 0)
        rc = journal_open(paths->journal, options->segment_size, &scan, &out->journal);
    if (rc != 0) {
        *unfit = replay.unfit;
        view_close(replay.view);
        return rc;
    }
    if (replay.replayed != 0)
        log_info("journal_replay", "%" PRIu64 " mutations replayed", replay.replayed);
    out->view = replay.view;
    out->meta = replay.meta;
    out->journal_bytes = scan.bytes;
    return 0;
}

/* A journal that is gone is not made anew beside a view: that would pass for an empty index. */
static int refuse_lost_journal(const struct index_paths *paths, bool *fresh)
{
    struct journal_scan scan;
    char data[PATH_SIZE];
    bool any;
    int rc = journal_scan(paths->journal, UINT64_MAX, NULL, NULL, &scan);
    *fresh = !scan.found;
    if (rc != 0 || scan.found)
        return rc;
    if ((rc = snapshot_any(paths->snapshot, &any)) != 0 || (rc = path_join(data, paths->view, "data.mdb")) != 0)
        return rc;
    if (!any && access(data, F_OK) != 0)
        return 0;
    log_error("journal_lost", "%s has no segments although there is a view or a snapshot: restore it from a copy",
              paths->journal);
    return ERR_CORRUPT;
}

/* The first segment comes before the view, so that a crash in between does not look like a lost journal. */
static int journal_first(const struct index_options *options, const struct index_paths *paths)
{
    struct journal *journal;
    struct journal_scan scan = {.first = 1};
    int rc = journal_open(paths->journal, options->segment_size, &scan, &journal);
    if (rc == 0)
        journal_close(journal);
    return rc;
}

int recover(const struct index_options *options, const struct index_paths *paths, struct recovered *out)
{
    bool trusted, unfit, fresh;
    int rc = refuse_lost_journal(paths, &fresh);
    if (rc != 0 || (fresh && (rc = journal_first(options, paths)) != 0) ||
        (rc = view_trusted(options, paths, &trusted)) != 0)
        return rc;
    struct arena *arena = arena_create(SCRATCH_LIMIT);
    if (arena == NULL)
        return ERR_NOMEM;
    if (!trusted)
        rc = view_rebuild(paths);
    if (rc == 0) {
        rc = attempt(options, paths, arena, out, &unfit);
        if (unfit && trusted) {
            log_warn("index_view", "the view is of no use and is made again");
            if ((rc = mark(options, paths, "running")) == 0 && (rc = view_rebuild(paths)) == 0)
                rc = attempt(options, paths, arena, out, &unfit);
        }
    }
    arena_free(arena);
    if (rc == 0 && (rc = mark(options, paths, "running")) != 0) {
        view_close(out->view);
        journal_close(out->journal);
    }
    return rc;
}
