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
#define PIECE         (1u << 20) /* IO of a large batch is started after each piece, while the next one is copied */
/* Small batches are followed by zeroes, so that the next ones overwrite allocated blocks: a sync that changes neither size
 * nor extents needs no commit of the file system's journal. Measured on ext4, one 4 KiB record a sync: 6,100 syncs/s
 * appending, 4,600 into fallocate()d blocks (their conversion is journalled as well), 11,400 into zeroes. */
#define AHEAD         (1u << 20)
#define AHEAD_BATCH   (256u << 10) /* bytes: larger batches gain nothing from it */

struct disk_writer {
    struct disk *disk;
    struct thread *thread;
    pthread_mutex_t lock; /* guards the queue and stop */
    pthread_cond_t wake;
    struct disk_put *queue;
    struct disk_put **queue_tail;
    bool stop;
    /* of the thread: */
    struct segment *active; /* NULL until the first put */
    uint64_t tail;          /* where the next record goes */
    uint64_t size;          /* of the file: the tail, and zeroes behind it */
    size_t count;           /* puts in the batch */
    struct disk_put *batch[BATCH_RECORDS];
    uint8_t headers[BATCH_RECORDS][SEGMENT_ALIGN + RECORD_HEADER_SIZE];
    struct iovec iov[2 * BATCH_RECORDS + 1];
};

static uint8_t zeroes[AHEAD + PUNCH_BLOCK]; /* never written, so it has no memory of its own */

void disk_fail(struct disk *disk, const char *what, int error_number)
{
    if (!atomic_exchange(&disk->failed, true))
        log_error("disk_failed", "backend %s: %s: %s; it is read-only until it is opened again", disk->backend.name,
                  what, strerror(error_number));
}

static uint64_t record_size(const struct disk_put *put)
{
    return segment_align(RECORD_HEADER_SIZE + put->header.length);
}

/* --- the batch --- */

/* Takes puts off the queue as long as they fit in the segment and the batch. Returns the bytes they need. */
static uint64_t gather(struct disk_writer *writer, struct disk_put **queue)
{
    uint64_t room = writer->disk->segment_size > writer->tail ? writer->disk->segment_size - writer->tail : 0;
    uint64_t bytes = 0;
    writer->count = 0;
    while (*queue != NULL && writer->count < BATCH_RECORDS) {
        struct disk_put *put = *queue;
        uint64_t size = record_size(put);
        bool alone = writer->count == 0 && writer->tail == SEGMENT_HEADER_SIZE; /* too large for any segment */
        if (!alone && (bytes + size > room || (bytes > 0 && bytes + size > BATCH_BYTES)))
            break;
        *queue = put->next;
        writer->batch[writer->count++] = put;
        bytes += size;
    }
    return bytes;
}

/* One vector a header (with the padding before it) and one a blob; the last one pads, and zeroes ahead. */
static int build(struct disk_writer *writer, uint64_t bytes)
{
    uint32_t number = writer->active->number;
    uint64_t offset = writer->tail;
    int n = 0;
    size_t pad = 0;
    for (size_t i = 0; i < writer->count; i++) {
        const struct disk_put *put = writer->batch[i];
        uint8_t *header = writer->headers[i];
        memset(header, 0, SEGMENT_ALIGN);
        record_header_encode(number, offset, &put->header, header + SEGMENT_ALIGN);
        writer->iov[n++] = (struct iovec){header + SEGMENT_ALIGN - pad, pad + RECORD_HEADER_SIZE};
        if (put->header.length > 0)
            writer->iov[n++] = (struct iovec){(void *)(uintptr_t)put->data, (size_t)put->header.length};
        pad = (size_t)(record_size(put) - RECORD_HEADER_SIZE - put->header.length);
        offset += record_size(put);
    }
    uint64_t ahead = 0;
    if (bytes <= AHEAD_BATCH && offset > writer->size) {
        ahead = ((offset + AHEAD) & ~(uint64_t)(PUNCH_BLOCK - 1)) - offset;
        uint64_t room = writer->disk->segment_size > offset ? writer->disk->segment_size - offset : 0;
        ahead = ahead < room ? ahead : room;
    }
    if (pad + ahead > 0)
        writer->iov[n++] = (struct iovec){zeroes, pad + (size_t)ahead};
    return n;
}

/* Writes the vectors at the tail; *written counts bytes, also on failure. 0 or an errno. */
static int write_out(int fd, struct iovec *iov, int count, uint64_t offset, uint64_t *written)
{
    *written = 0;
    while (count > 0) {
        size_t bytes = 0;
        int n = 0;
        while (n < count && n < IOV_MAX && bytes < PIECE)
            bytes += iov[n++].iov_len;
        size_t over = bytes > PIECE ? bytes - PIECE : 0;
        iov[n - 1].iov_len -= over;
        ssize_t done = pwritev(fd, iov, n, (off_t)(offset + *written));
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
            (void)sync_file_range(fd, (off_t)(offset + *written), done, SYNC_FILE_RANGE_WRITE);
        }
        *written += (uint64_t)done;
    }
    return 0;
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
    writer->size = writer->tail;
}

/* Writes and syncs the batch at the tail. */
static int append(struct disk_writer *writer, uint64_t bytes)
{
    struct disk *disk = writer->disk;
    int fd = writer->active->fd;
    uint64_t written;
    int error_number = write_out(fd, writer->iov, build(writer, bytes), writer->tail, &written);
    if (written < bytes) {
        if (no_space(error_number)) {
            roll_back(writer);
            disk->wanted = bytes;
            return ERR_NOSPC;
        }
        disk_fail(disk, "write", error_number);
        return ERR_IO;
    }
    uint64_t start = clock_monotonic_ns();
    if (disk_fdatasync(fd) != 0) {
        /* The kernel may have dropped the pages and would report success the next time: never sync again. */
        disk_fail(disk, "fdatasync", errno);
        return ERR_IO;
    }
    metrics_observe(METRIC_DISK_SYNC, clock_monotonic_ns() - start);
    metrics_add(METRIC_DISK_RECORDS, (int64_t)writer->count);
    if (writer->tail + written > writer->size)
        writer->size = writer->tail + written;
    disk->wanted = 0;
    return 0;
}

/* Ends the active segment, without the zeroes behind its tail. */
static void seal(struct disk_writer *writer)
{
    if (writer->active == NULL)
        return;
    if (!writer->disk->failed && ftruncate(writer->active->fd, (off_t)writer->tail) != 0)
        log_warn("disk_truncate", "backend %s: segment %u: %s", writer->disk->backend.name, writer->active->number,
                 strerror(errno));
    atomic_store(&writer->active->sealed, true);
    segment_release(&writer->disk->table, writer->active);
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
    seal(writer);
    writer->active = next;
    writer->tail = writer->size = SEGMENT_HEADER_SIZE;
    return 0;
}

/* Answers the batch. A put is its fiber's memory again as soon as its completion is posted. */
static void answer(struct disk_writer *writer, int rc)
{
    struct disk_place place = {.segment = writer->active != NULL ? writer->active->number : 0, .offset = writer->tail};
    for (size_t i = 0; i < writer->count; i++) {
        struct disk_put *put = writer->batch[i];
        place.length = put->header.length;
        if (rc == 0)
            disk_place_encode(&place, put->out);
        place.offset += record_size(put);
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
    if (rc == 0) /* before the answers: who has a locator may read at once */
        atomic_store(&writer->active->end, writer->tail + bytes);
    answer(writer, rc);
    if (rc == 0)
        writer->tail += bytes;
}

/* --- the queue --- */

/* All that is queued, in order; NULL when the writer is to end. */
static struct disk_put *take(struct disk_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    while (writer->queue == NULL && !writer->stop)
        pthread_cond_wait(&writer->wake, &writer->lock);
    struct disk_put *queue = writer->queue;
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
    seal(writer);
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

int disk_writer_start(struct disk *disk, struct segment *active, struct disk_writer **out)
{
    struct disk_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return ERR_NOMEM;
    writer->disk = disk;
    writer->active = active;
    writer->queue_tail = &writer->queue;
    if (active != NULL) {
        writer->tail = segment_align(active->end);
        writer->size = active->end;
        atomic_store(&active->sealed, false);
    }
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->wake, NULL);
    int rc = thread_start("arca-disk-write", run, writer, &writer->thread);
    if (rc != 0) {
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
