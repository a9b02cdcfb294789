/* The one thread that appends. It takes all puts that are queued, writes them with few pwritev calls, syncs once, and
 * answers them all; meanwhile the next batch gathers by itself. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"

#define BATCH_RECORDS 256
#define BATCH_BYTES   (64u << 20)
#define BATCH_VECTORS (3 * BATCH_RECORDS + 1)
#define PIECE         (1u << 20) /* IO of a large batch is started after each piece, while the next one is copied */
/* Small batches are followed by zeroes, so that the next ones overwrite allocated blocks: a sync that changes neither size
 * nor extents needs no commit of the file system's journal. Measured on ext4, one 4 KiB record a sync: 6,100 syncs/s
 * appending, 4,600 into fallocate()d blocks (their conversion is journalled as well), 11,400 into zeroes. */
#define AHEAD         (1u << 20)
#define AHEAD_BATCH   (256u << 10) /* bytes: larger batches gain nothing from it */
/* Large blobs go around the page cache: 0.03 ms of CPU a MiB instead of 0.2 to 0.9 (a copy, and pages to find for it). They
 * are placed so that their data begins with a block. Their blocks are reserved in large steps, for fewer extents. */
#define DIRECT_MIN    (256u << 10)
#define DIRECT_ALIGN  4096u
#define RESERVE       (64u << 20)

struct disk_writer {
    struct disk *disk;
    struct thread *thread;
    pthread_mutex_t lock; /* guards the queue, stop and settled */
    pthread_cond_t wake;
    struct disk_put *queue;
    struct disk_put **queue_tail;
    bool stop;
    bool settled; /* nothing came since settle() */
    /* of the thread: */
    struct segment *active; /* NULL until the first put */
    int direct;             /* the active segment's file for direct IO; -1: not possible here */
    uint64_t tail;          /* where the next record goes, at the earliest */
    uint64_t size;          /* of the file: the tail, and zeroes behind it */
    uint64_t reserved;      /* blocks are allocated up to here */
    size_t count;           /* puts in the batch */
    struct disk_put *batch[BATCH_RECORDS];
    uint8_t headers[BATCH_RECORDS][RECORD_HEADER_SIZE];
    uint64_t reached;       /* all before is written */
    int vectors;            /* not written yet; the first one goes to `reached` */
    struct iovec iov[BATCH_VECTORS];
};

static uint8_t zeroes[AHEAD + 2 * DIRECT_ALIGN]; /* never written, so it has no memory of its own */

void disk_fail(struct disk *disk, const char *what, int error_number)
{
    if (!atomic_exchange(&disk->failed, true))
        log_error("disk_failed", "backend %s: %s: %s; it is read-only until it is opened again", disk->backend.name,
                  what, strerror(error_number));
}

static uint64_t record_end(const struct disk_put *put)
{
    return segment_align(put->offset + RECORD_HEADER_SIZE + put->header.length);
}

static bool goes_direct(const struct disk_writer *writer, const struct disk_put *put)
{
    return writer->direct >= 0 && put->header.length >= DIRECT_MIN && (uintptr_t)put->data % DIRECT_ALIGN == 0;
}

/* --- the batch --- */

/* Takes puts off the queue as long as they fit in the segment and the batch, and places them. Returns the bytes they need. */
static uint64_t gather(struct disk_writer *writer, struct disk_put **queue)
{
    uint64_t end = writer->tail;
    writer->count = 0;
    while (*queue != NULL && writer->count < BATCH_RECORDS) {
        struct disk_put *put = *queue;
        put->offset = end;
        if (goes_direct(writer, put)) /* zeroes before the header do not disturb a walk */
            put->offset += -(end + RECORD_HEADER_SIZE) & (DIRECT_ALIGN - 1);
        uint64_t next = record_end(put);
        bool alone = writer->count == 0 && writer->tail == SEGMENT_HEADER_SIZE; /* too large for any segment */
        if (!alone && (next > writer->disk->segment_size ||
                       (writer->count > 0 && next - writer->tail > BATCH_BYTES)))
            break;
        *queue = put->next;
        writer->batch[writer->count++] = put;
        end = next;
    }
    return end - writer->tail;
}

/* Writes the vectors at `reached` and moves it, also on failure. 0 or an errno. */
static int flush(struct disk_writer *writer)
{
    int fd = writer->active->fd;
    struct iovec *iov = writer->iov;
    int count = writer->vectors;
    writer->vectors = 0;
    while (count > 0) {
        size_t bytes = 0;
        int n = 0;
        while (n < count && n < IOV_MAX && bytes < PIECE)
            bytes += iov[n++].iov_len;
        size_t over = bytes > PIECE ? bytes - PIECE : 0;
        iov[n - 1].iov_len -= over;
        ssize_t done = pwritev(fd, iov, n, (off_t)writer->reached);
        iov[n - 1].iov_len += over;
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? errno : EIO;
        size_t left = (size_t)done;
        while (count > 0 && left >= iov->iov_len) {
            left -= iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            *iov = (struct iovec){(uint8_t *)iov->iov_base + left, iov->iov_len - left};
            (void)sync_file_range(fd, (off_t)writer->reached, done, SYNC_FILE_RANGE_WRITE);
        }
        writer->reached += (uint64_t)done;
    }
    return 0;
}

static void add(struct disk_writer *writer, const void *data, uint64_t length)
{
    if (length > 0)
        writer->iov[writer->vectors++] = (struct iovec){(void *)(uintptr_t)data, (size_t)length};
}

/* Writes the whole blocks of a large blob past the page cache; *done says how many bytes. A file system that refuses is not
 * asked again. 0 or an errno. */
static int write_direct(struct disk_writer *writer, const struct disk_put *put, uint64_t *done)
{
    uint64_t whole = put->header.length & ~(uint64_t)(DIRECT_ALIGN - 1);
    uint64_t end = put->offset + RECORD_HEADER_SIZE + whole;
    *done = 0;
    if (end > writer->reserved) {
        uint64_t until = end + RESERVE < writer->disk->segment_size ? end + RESERVE : writer->disk->segment_size;
        if (until > end && fallocate(writer->active->fd, FALLOC_FL_KEEP_SIZE, (off_t)writer->reached,
                                     (off_t)(until - writer->reached)) == 0)
            writer->reserved = until;
    }
    while (*done < whole) {
        ssize_t n = pwrite(writer->direct, put->data + *done, whole - *done, (off_t)writer->reached);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EINVAL) {
            close(writer->direct);
            writer->direct = -1;
            writer->disk->direct = false;
            return 0;
        }
        if (n <= 0)
            return n < 0 ? errno : EIO;
        *done += (uint64_t)n;
        writer->reached += (uint64_t)n;
        if (n % DIRECT_ALIGN != 0) /* the rest is not aligned any more */
            return 0;
    }
    return 0;
}

/* Writes the batch. 0 or an errno; what counts is how far it reached: zeroes ahead may be missing. */
static int write_batch(struct disk_writer *writer, uint64_t bytes)
{
    uint64_t at = writer->tail;
    writer->reached = at;
    writer->vectors = 0;
    for (size_t i = 0; i < writer->count; i++) {
        const struct disk_put *put = writer->batch[i];
        uint64_t direct = 0;
        record_header_encode(writer->active->number, put->offset, &put->header, writer->headers[i]);
        add(writer, zeroes, put->offset - at);
        add(writer, writer->headers[i], RECORD_HEADER_SIZE);
        if (goes_direct(writer, put)) {
            int error_number = flush(writer);
            if (error_number == 0)
                error_number = write_direct(writer, put, &direct);
            if (error_number != 0)
                return error_number;
        }
        add(writer, put->data + direct, put->header.length - direct);
        at = put->offset + RECORD_HEADER_SIZE + put->header.length;
    }
    uint64_t end = writer->tail + bytes;
    uint64_t fill = end - at;
    if (bytes <= AHEAD_BATCH && end > writer->size && end < writer->disk->segment_size) {
        uint64_t ahead = (end + AHEAD) & ~(uint64_t)(PUNCH_BLOCK - 1);
        fill = (ahead < writer->disk->segment_size ? ahead : writer->disk->segment_size) - at;
    }
    add(writer, zeroes, fill);
    return flush(writer);
}

static bool no_space(int error_number)
{
    return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
}

/* Forgets what a failed write left behind the tail, so that it can never pass for records later. */
static void roll_back(struct disk_writer *writer)
{
    if (ftruncate(writer->active->fd, (off_t)writer->tail) != 0)
        disk_fail(writer->disk, "ftruncate", errno);
    writer->size = writer->reserved = writer->tail;
}

/* Ends the file at `size`, without the blocks that are reserved behind it: they go even if that is its size already. */
static void trim(struct disk_writer *writer, uint64_t size)
{
    if (ftruncate(writer->active->fd, (off_t)size) != 0)
        log_warn("disk_truncate", "backend %s: segment %u: %s", writer->disk->backend.name, writer->active->number,
                 strerror(errno));
    else
        writer->size = writer->reserved = size;
}

/* Writes and syncs the batch at the tail. */
static int append(struct disk_writer *writer, uint64_t bytes)
{
    struct disk *disk = writer->disk;
    int error_number = write_batch(writer, bytes);
    if (writer->reached < writer->tail + bytes) {
        if (no_space(error_number)) {
            roll_back(writer);
            disk->wanted = bytes;
            return ERR_NOSPC;
        }
        disk_fail(disk, "write", error_number);
        return ERR_IO;
    }
    uint64_t start = clock_monotonic_ns();
    if (disk_fdatasync(writer->active->fd) != 0) {
        /* The kernel may have dropped the pages and would report success the next time: never sync again. */
        disk_fail(disk, "fdatasync", errno);
        return ERR_IO;
    }
    metrics_observe(METRIC_DISK_SYNC, clock_monotonic_ns() - start);
    metrics_add(METRIC_DISK_RECORDS, (int64_t)writer->count);
    if (writer->reached > writer->size)
        writer->size = writer->reached;
    disk->wanted = 0;
    return 0;
}

static void begin(struct disk_writer *writer, struct segment *segment)
{
    writer->active = segment;
    writer->tail = segment_align(segment->end);
    writer->size = writer->reserved = segment->end;
    writer->direct = writer->disk->direct ? segment_reopen(&writer->disk->table, segment, O_WRONLY | O_DIRECT) : -1;
}

/* Ends the active segment. If it is not the last and nothing lives in it, it goes: either the tidy thread sees that it
 * is sealed when it takes the last record from it, or it is seen here that none is left. */
static void seal(struct disk_writer *writer, bool last)
{
    struct disk *disk = writer->disk;
    struct segment *segment = writer->active;
    if (segment == NULL)
        return;
    if (writer->direct >= 0)
        close(writer->direct);
    if (!disk->failed)
        trim(writer, writer->tail);
    atomic_store(&segment->sealed, true);
    if (!last && !disk->failed && atomic_load(&segment->live) == 0)
        (void)segment_delete(&disk->table, segment); /* or when a listing finds it */
    segment_release(&disk->table, segment);
    writer->active = NULL;
}

static int rotate(struct disk_writer *writer)
{
    struct segment *next;
    int rc = segment_create(&writer->disk->table, &next);
    if (rc == ERR_NOSPC)
        writer->disk->wanted = PUNCH_BLOCK;
    if (rc == ERR_IO)
        disk_fail(writer->disk, "new segment", errno);
    if (rc != 0)
        return rc;
    seal(writer, false);
    begin(writer, next);
    return 0;
}

/* No put came for a while. A segment in which nothing lives makes room for a new one: its own places must not be given
 * out a second time. Else the zeroes ahead stay, which the next small put would have to write again. */
static void settle(struct disk_writer *writer)
{
    if (writer->active == NULL || writer->disk->failed)
        return;
    bool empty = atomic_load(&writer->active->live) == 0;
    if (empty && writer->tail > SEGMENT_HEADER_SIZE && rotate(writer) == 0)
        return;
    if (empty || writer->reserved > writer->size)
        trim(writer, empty ? writer->tail : writer->size);
}

/* Answers the batch. A put is its fiber's memory again as soon as its completion is posted. */
static void answer(struct disk_writer *writer, int rc)
{
    for (size_t i = 0; i < writer->count; i++) {
        struct disk_put *put = writer->batch[i];
        if (rc == 0) {
            struct disk_place place = {writer->active->number, put->offset, put->header.length};
            disk_place_encode(&place, put->out);
        }
        completion_post(&put->done, rc);
    }
}

/* Does one batch from the head of the queue. */
static void step(struct disk_writer *writer, struct disk_put **queue)
{
    int rc = writer->disk->failed ? ERR_READONLY : 0;
    uint64_t bytes = writer->active != NULL ? gather(writer, queue) : 0;
    if (bytes == 0) {
        if (rc == 0)
            rc = rotate(writer);
        if (rc != 0) {
            writer->batch[0] = *queue;
            writer->count = 1;
            *queue = (*queue)->next;
            answer(writer, rc);
            return;
        }
        bytes = gather(writer, queue);
    }
    if (rc == 0)
        rc = append(writer, bytes);
    if (rc == 0) { /* before the answers: who has a locator may read, or remove, at once */
        atomic_store(&writer->active->end, writer->tail + bytes);
        atomic_fetch_add(&writer->active->live, writer->count);
    }
    answer(writer, rc);
    if (rc == 0)
        writer->tail += bytes;
}

/* --- the queue --- */

/* Waits for what is next. Whether nothing came for long. The lock is held. */
static bool rest(struct disk_writer *writer)
{
    int64_t until_ms = clock_monotonic_ms() + disk_settle_ms;
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    return pthread_cond_clockwait(&writer->wake, &writer->lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT;
}

/* The lock is held, but not meanwhile. */
static void unlocked_settle(struct disk_writer *writer)
{
    writer->settled = true;
    pthread_mutex_unlock(&writer->lock);
    settle(writer);
    pthread_mutex_lock(&writer->lock);
}

/* All that is queued, in order; NULL when the writer is to end. */
static struct disk_put *take(struct disk_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    while (writer->queue == NULL && !writer->stop) {
        if (writer->settled)
            pthread_cond_wait(&writer->wake, &writer->lock);
        else if (rest(writer) && writer->queue == NULL && !writer->stop)
            unlocked_settle(writer);
    }
    struct disk_put *queue = writer->queue;
    writer->settled = false;
    writer->queue = NULL;
    writer->queue_tail = &writer->queue;
    pthread_mutex_unlock(&writer->lock);
    return queue;
}

static void run(void *arg)
{
    struct disk_writer *writer = arg;
    struct disk_put *queue;
    while ((queue = take(writer)) != NULL) {
        while (queue != NULL)
            step(writer, &queue);
    }
    seal(writer, true);
}

void disk_writer_put(struct disk_writer *writer, struct disk_put *put)
{
    put->next = NULL;
    pthread_mutex_lock(&writer->lock);
    bool idle = writer->queue == NULL;
    *writer->queue_tail = put;
    writer->queue_tail = &put->next;
    pthread_mutex_unlock(&writer->lock);
    if (idle)
        pthread_cond_signal(&writer->wake);
}

void disk_writer_unsettle(struct disk_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    writer->settled = false;
    pthread_mutex_unlock(&writer->lock);
    pthread_cond_signal(&writer->wake);
}

int disk_writer_start(struct disk *disk, struct segment *active, struct disk_writer **out)
{
    struct disk_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return ERR_NOMEM;
    writer->disk = disk;
    writer->queue_tail = &writer->queue;
    if (active != NULL) {
        begin(writer, active);
        atomic_store(&active->sealed, false);
    }
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->wake, NULL);
    int rc = thread_start("arca-disk-write", run, writer, &writer->thread);
    if (rc != 0) {
        if (active != NULL && writer->direct >= 0)
            close(writer->direct);
        free(writer);
        return rc;
    }
    *out = writer;
    return 0;
}

void disk_writer_stop(struct disk_writer *writer)
{
    if (writer == NULL)
        return;
    pthread_mutex_lock(&writer->lock);
    writer->stop = true;
    pthread_mutex_unlock(&writer->lock);
    pthread_cond_signal(&writer->wake);
    thread_join(writer->thread);
    pthread_cond_destroy(&writer->wake);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}
