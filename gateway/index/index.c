#include "index/index.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "index/private.h"
#include "index/recover.h"
#include "index/snapshot.h"
#include "index/writer.h"

/* What is kept back for deletions on a full disk: the first segment that is begun then takes one. */
#define RESERVE_SEGMENTS 2

struct index {
    struct index_options options;
    struct index_paths paths;
    int lock;
    struct recovered recovered;
    struct snapshots *snapshots;
    struct writer *writer;
    char path[PATH_SIZE];
    char boot_id[64];
};

struct view *index_view(struct index *index)
{
    return index->recovered.view;
}

/* --- opening and closing --- */

static int open_threads(struct index *index)
{
    struct snapshots_options options = {.path = index->paths.snapshot,
                                        .journal = index->paths.journal,
                                        .view = index->recovered.view,
                                        .least = index->options.snapshot_min,
                                        .since = index->recovered.journal_bytes};
    int rc = snapshots_start(&options, &index->snapshots);
    return rc != 0 ? rc
                   : writer_start(&index->recovered, index->snapshots, index->paths.root,
                                  RESERVE_SEGMENTS * journal_segment_size(index->recovered.journal), &index->writer);
}

static int open_folders(struct index *index)
{
    int rc = index_paths_init(&index->paths, index->options.path);
    if (rc != 0 || (rc = folder_make(index->paths.root)) != 0 ||
        (rc = folder_lock(index->paths.root, &index->lock)) != 0)
        return rc;
    if ((rc = folder_make(index->paths.journal)) == 0 && (rc = folder_make(index->paths.snapshot)) == 0)
        rc = folder_make(index->paths.view);
    if (rc != 0)
        close(index->lock);
    return rc;
}

/* The caller's strings need not outlive the call. */
static int copy_options(struct index *index, const struct index_options *options)
{
    index->options = *options;
    size_t boot_len = options->boot_id != NULL ? strlen(options->boot_id) : 0;
    if (boot_len >= sizeof(index->boot_id))
        return ERR_TOO_LARGE;
    if (options->boot_id != NULL) {
        memcpy(index->boot_id, options->boot_id, boot_len + 1);
        index->options.boot_id = index->boot_id;
    }
    index->options.path = index->path;
    return path_join(index->path, options->path, NULL);
}

int index_open(const struct index_options *options, struct index **out)
{
    if (sodium_init() < 0)
        return ERR_BUG;
    struct index *index = calloc(1, sizeof(*index));
    if (index == NULL)
        return ERR_NOMEM;
    int rc = copy_options(index, options);
    if (rc != 0 || (rc = open_folders(index)) != 0)
        goto err0;
    if ((rc = recover(&index->options, &index->paths, &index->recovered)) != 0)
        goto err1;
    if ((rc = open_threads(index)) != 0)
        goto err2;
    *out = index;
    return 0;

err2:
    snapshots_stop(index->snapshots);
    view_close(index->recovered.view);
    journal_close(index->recovered.journal);
err1:
    close(index->lock);
err0:
    free(index);
    return rc;
}

void index_close(struct index *index)
{
    if (index == NULL)
        return;
    writer_stop(index->writer);
    snapshots_stop(index->snapshots);
    int rc = view_sync(index->recovered.view);
    view_close(index->recovered.view);
    if (rc == 0)
        rc = recover_mark_clean(&index->options, &index->paths);
    if (rc != 0)
        log_error("index_close", "not closed cleanly: %s; the next start makes the view again", err_text(rc));
    journal_close(index->recovered.journal);
    close(index->lock);
    free(index);
}

/* --- mutations --- */

int index_apply(struct index *index, const Arca__Mutation *mutation)
{
    int result = ERR_BUG;
    writer_apply(index->writer, &mutation, 1, &result);
    return result;
}

void index_apply_all(struct index *index, const Arca__Mutation *const *mutations, size_t count, int *results)
{
    writer_apply(index->writer, mutations, count, results);
}

int index_ready(struct index *index)
{
    return writer_ready(index->writer);
}

/* --- shipping --- */

void index_mark(struct index *index, struct index_mark *out)
{
    writer_mark(index->writer, out);
}

void index_shipping_begin(struct index *index, const struct index_shipping *shipping)
{
    writer_shipping_begin(index->writer, shipping);
}

void index_shipping_end(struct index *index)
{
    writer_shipping_end(index->writer);
}

void index_shipped(struct index *index, uint64_t sequence, int64_t safe_ms, bool stalled)
{
    writer_shipped(index->writer, sequence, safe_ms, stalled);
}

int64_t index_safe_ms(struct index *index)
{
    return writer_safe_ms(index->writer);
}

const struct index_paths *index_paths(const struct index *index)
{
    return &index->paths;
}
