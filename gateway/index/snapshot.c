#include "index/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "base/worker.h"
#include "index/durable.h"
#include "index/journal.h"
#include "index/lmdb/records.h"

#define LEAST_DEFAULT (64ULL << 20)
#define TEMPORARY     "tmp"
#define SUM           "sum"
#define SUM_SIZE      32

struct snapshots {
    struct snapshots_options options;
    struct thread *thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool due;
    bool stop;
    uint64_t since; /* the writer's own */
};

/* --- files --- */

static int file_sum(const char *path, char hex[2 * SUM_SIZE + 1])
{
    static const size_t chunk = 1 << 20;
    crypto_generichash_state state;
    uint8_t sum[SUM_SIZE], *bytes = malloc(chunk);
    if (bytes == NULL)
        return ERR_NOMEM;
    int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        free(bytes);
        return err_from_errno(errno);
    }
    crypto_generichash_init(&state, NULL, 0, SUM_SIZE);
    ssize_t n;
    while ((n = read(fd, bytes, chunk)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            rc = err_from_errno(errno);
            break;
        }
        crypto_generichash_update(&state, bytes, (size_t)n);
    }
    crypto_generichash_final(&state, sum, SUM_SIZE);
    text_hex(span_of(sum, SUM_SIZE), hex);
    close(fd);
    free(bytes);
    return rc;
}

/* Which mutation a copy ends with: only the copy itself knows. */
static int copy_meta(const char *path, struct meta *meta)
{
    struct view *view;
    struct txn *txn;
    char lock[PATH_SIZE];
    int rc = view_open(path, 0, &view);
    if (rc != 0)
        return rc;
    if ((rc = view_read(view, &txn)) == 0) {
        rc = meta_get(txn, meta);
        view_read_end(txn);
    }
    view_close(view);
    if (rc != 0)
        return rc;
    if ((rc = path_join(lock, path, "lock.mdb")) == 0)
        unlink(lock);
    return rc;
}

static int verify(const char *snapshot)
{
    char data[PATH_SIZE], sum[PATH_SIZE], hex[2 * SUM_SIZE + 1], stored[2 * SUM_SIZE + 1];
    size_t len;
    int rc = path_join(data, snapshot, SNAPSHOT_DATA);
    if (rc != 0 || (rc = path_join(sum, snapshot, SUM)) != 0 ||
        (rc = file_read(sum, stored, sizeof(stored), &len)) != 0 || (rc = file_sum(data, hex)) != 0)
        return rc;
    return span_eq(span_of(stored, len), span_str(hex)) ? 0 : ERR_CORRUPT;
}

/* --- taking one --- */

static int remove_older(const char *path, uint64_t sequence)
{
    uint64_t *all;
    size_t count;
    char older[PATH_SIZE];
    int rc = folder_numbers(path, "", &all, &count);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < count && rc == 0; i++)
        if (all[i] < sequence && (rc = path_of_number(older, path, all[i], "")) == 0)
            rc = folder_remove(older);
    free(all);
    return rc;
}

static int seal_copy(const char *copy, uint64_t *sequence)
{
    char data[PATH_SIZE], hex[2 * SUM_SIZE + 1];
    struct meta meta;
    int rc = path_join(data, copy, SNAPSHOT_DATA);
    if (rc != 0 || (rc = copy_meta(copy, &meta)) != 0 || (rc = file_sum(data, hex)) != 0 ||
        (rc = file_sync(data)) != 0)
        return rc;
    *sequence = meta.sequence;
    return file_write(copy, SUM, span_str(hex));
}

/* One of the same mutation that is whole stays: it may be the only one, and the journal before it is gone. */
static int put_in_place(const char *copy, const char *final)
{
    int rc = verify(final);
    if (rc == 0)
        return folder_remove(copy);
    if (rc != ERR_NOT_FOUND && rc != ERR_CORRUPT)
        return rc;
    if ((rc = folder_remove(final)) != 0)
        return rc;
    return rename(copy, final) == 0 ? 0 : err_from_errno(errno);
}

static int take(const struct snapshots_options *options)
{
    char copy[PATH_SIZE], final[PATH_SIZE];
    uint64_t sequence = 0;
    int64_t start = clock_monotonic_ms();
    int rc = path_join(copy, options->path, TEMPORARY);
    if (rc != 0 || (rc = folder_remove(copy)) != 0 || (rc = folder_make(copy)) != 0 ||
        (rc = view_copy(options->view, copy)) != 0 || (rc = seal_copy(copy, &sequence)) != 0 ||
        (rc = path_of_number(final, options->path, sequence, "")) != 0)
        return rc;
    if ((rc = put_in_place(copy, final)) != 0 || (rc = folder_sync(options->path)) != 0 ||
        (rc = remove_older(options->path, sequence)) != 0 || (rc = journal_trim(options->journal, sequence)) != 0)
        return rc;
    log_info("index_snapshot", "of mutation %" PRIu64 " taken in %" PRId64 " ms", sequence,
             clock_monotonic_ms() - start);
    return 0;
}

/* --- the thread --- */

static void run(void *arg)
{
    struct snapshots *snapshots = arg;
    pthread_mutex_lock(&snapshots->lock);
    for (;;) {
        while (!snapshots->due && !snapshots->stop)
            pthread_cond_wait(&snapshots->wake, &snapshots->lock);
        if (snapshots->stop)
            break;
        snapshots->due = false;
        pthread_mutex_unlock(&snapshots->lock);
        int rc = take(&snapshots->options);
        if (rc != 0)
            log_error("index_snapshot", "none taken: %s; the journal keeps growing until one is", err_text(rc));
        pthread_mutex_lock(&snapshots->lock);
    }
    pthread_mutex_unlock(&snapshots->lock);
}

int snapshots_start(const struct snapshots_options *options, struct snapshots **out)
{
    struct snapshots *snapshots = calloc(1, sizeof(*snapshots));
    if (snapshots == NULL)
        return ERR_NOMEM;
    snapshots->options = *options;
    snapshots->since = options->since;
    if (options->least == 0)
        snapshots->options.least = LEAST_DEFAULT;
    pthread_mutex_init(&snapshots->lock, NULL);
    pthread_cond_init(&snapshots->wake, NULL);
    int rc = thread_start("arca-snapshot", run, snapshots, &snapshots->thread);
    if (rc != 0) {
        snapshots_stop(snapshots);
        return rc;
    }
    *out = snapshots;
    return 0;
}

void snapshots_stop(struct snapshots *snapshots)
{
    if (snapshots == NULL)
        return;
    pthread_mutex_lock(&snapshots->lock);
    snapshots->stop = true;
    pthread_cond_signal(&snapshots->wake);
    pthread_mutex_unlock(&snapshots->lock);
    thread_join(snapshots->thread);
    pthread_cond_destroy(&snapshots->wake);
    pthread_mutex_destroy(&snapshots->lock);
    free(snapshots);
}

void snapshots_grown(struct snapshots *snapshots, uint64_t bytes)
{
    snapshots->since += bytes;
    if (snapshots->since < snapshots->options.least || snapshots->since < view_used(snapshots->options.view) / 2)
        return;
    snapshots->since = 0;
    pthread_mutex_lock(&snapshots->lock);
    snapshots->due = true;
    pthread_cond_signal(&snapshots->wake);
    pthread_mutex_unlock(&snapshots->lock);
}

/* --- restoring --- */

static int restore(const char *snapshot, const char *view)
{
    char data[PATH_SIZE], copy[PATH_SIZE], final[PATH_SIZE];
    int rc = verify(snapshot);
    if (rc != 0 || (rc = path_join(data, snapshot, SNAPSHOT_DATA)) != 0 ||
        (rc = path_join(copy, view, TEMPORARY)) != 0 || (rc = path_join(final, view, SNAPSHOT_DATA)) != 0 ||
        (rc = file_copy(data, copy)) != 0)
        return rc;
    return rename(copy, final) == 0 ? 0 : err_from_errno(errno);
}

int snapshot_restore(const char *path, uint64_t first, const char *view)
{
    uint64_t *all;
    size_t count;
    char snapshot[PATH_SIZE];
    int rc = folder_numbers(path, "", &all, &count);
    if (rc != 0)
        return rc;
    rc = ERR_NOT_FOUND;
    for (size_t i = count; i > 0 && all[i - 1] + 1 >= first; i--) {
        int failed = path_of_number(snapshot, path, all[i - 1], "");
        if (failed == 0 && (failed = restore(snapshot, view)) == 0) {
            log_info("index_restore", "view made from %s", snapshot);
            rc = 0;
            break;
        }
        log_error("index_restore", "%s: %s", snapshot, err_text(failed));
        if (failed != ERR_CORRUPT && failed != ERR_NOT_FOUND) {
            rc = failed;
            break;
        }
    }
    free(all);
    return rc;
}

int snapshot_any(const char *path, bool *any)
{
    uint64_t *all;
    size_t count;
    int rc = folder_numbers(path, "", &all, &count);
    if (rc != 0)
        return rc;
    *any = count != 0;
    free(all);
    return 0;
}

/* --- shipped ones --- */

int snapshot_open(const char *path, uint64_t sequence, struct index_snapshot *out)
{
    char snapshot[PATH_SIZE], data[PATH_SIZE], sum[PATH_SIZE], hex[2 * SUM_SIZE + 1];
    struct stat st;
    size_t len;
    int rc = path_of_number(snapshot, path, sequence, "");
    if (rc != 0 || (rc = path_join(data, snapshot, SNAPSHOT_DATA)) != 0 || (rc = path_join(sum, snapshot, SUM)) != 0 ||
        (rc = file_read(sum, hex, sizeof(hex), &len)) != 0)
        return rc;
    if (text_unhex(span_of(hex, len), out->sum, sizeof(out->sum)) != 0)
        return ERR_CORRUPT;
    out->sequence = sequence;
    out->fd = open(data, O_RDONLY | O_CLOEXEC);
    if (out->fd < 0 || fstat(out->fd, &st) != 0) {
        rc = err_from_errno(errno);
        if (out->fd >= 0)
            close(out->fd);
        return rc;
    }
    out->size = (uint64_t)st.st_size;
    return 0;
}

int snapshot_adopt(const char *snapshot, uint64_t sequence, const uint8_t sum[INDEX_HASH_SIZE],
                   uint8_t hash[INDEX_HASH_SIZE])
{
    char data[PATH_SIZE], hex[2 * SUM_SIZE + 1], wanted[2 * SUM_SIZE + 1];
    struct meta meta;
    text_hex(span_of(sum, SUM_SIZE), wanted);
    int rc = path_join(data, snapshot, SNAPSHOT_DATA);
    if (rc != 0 || (rc = file_sum(data, hex)) != 0)
        return rc;
    if (strcmp(hex, wanted) != 0)
        return ERR_CORRUPT;
    if ((rc = copy_meta(snapshot, &meta)) != 0)
        return rc;
    if (meta.sequence != sequence)
        return ERR_CORRUPT;
    memcpy(hash, meta.last_hash, META_HASH_SIZE);
    return (rc = file_sync(data)) != 0 ? rc : file_write(snapshot, SUM, span_str(hex));
}
