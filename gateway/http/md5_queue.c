#include "http/md5_queue.h"

#include "base/err.h"
#include "base/iov.h"
#include "base/list.h"
#include "base/loop.h"

/* Less than this is hashed in less time than a fiber is switched. */
#define WORTH_WAITING 512
/* From this many bytes on a job is a large one: it takes so long that others should share the time. */
#define WORTH_GATHERING 32768
/* So many lanes cost no more than two. */
#define ENOUGH 8
/* What a stream gets of one turn of the loop, 0.4 ms, and of one pass: a pass's streams fit in the cache. */
#define SLICE ((size_t)256 << 10)
#define PASS  ((size_t)64 << 10)
/* How long a gatherer waits for one more: about what lies between two runs of clients that keep a disk busy. A round is
 * not held up longer than ENOUGH times that. */
#define GATHER_MS  3
#define DOUBTS_MAX 4 /* it is tried in one round of 16 at least */

struct job {
    struct list node;
    struct md5_state *state;
    struct iovec *pieces;
    int count;
    struct fiber *fiber;
    bool waits; /* for a round */
    bool leads; /* its fiber is to run the next round */
    bool done;
};

/* One a loop, touched on its thread only. */
static struct queue {
    struct list small; /* jobs, until no fiber can run */
    struct loop_quiet quiet;
    struct list large; /* jobs that wait for a round */
    size_t large_count;
    struct list round; /* jobs that are being hashed */
    bool led;          /* a fiber sees to the large ones */
    struct fiber *gatherer; /* while it waits for more */
    size_t bodies;          /* that are large, and under way */
    size_t crowd;           /* jobs of the last round */
    unsigned doubts, skips; /* how often, and how soon, it is tried whether more come */
} queues[LOOPS_MAX];

/* --- hashing --- */

static struct span next_bytes(struct job *job, size_t most)
{
    struct span bytes = span_take(span_of(job->pieces->iov_base, job->pieces->iov_len), most);
    iov_skip(&job->pieces, &job->count, bytes.len);
    return bytes;
}

/* Hashes the next bytes of up to MD5_LANES_MAX jobs from the head of the list; ends those that have no more. */
static void pass(struct list *list)
{
    struct md5_state *states[MD5_LANES_MAX] = {NULL};
    struct span bytes[MD5_LANES_MAX] = {{0}};
    struct job *jobs[MD5_LANES_MAX];
    size_t count = 0;
    for (struct list *node = list->next; node != list && count < MD5_LANES_MAX; node = node->next, count++) {
        jobs[count] = LIST_ENTRY(node, struct job, node);
        states[count] = jobs[count]->state;
        bytes[count] = next_bytes(jobs[count], PASS);
    }
    md5_update_lanes(states, bytes, count);
    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->count > 0)
            continue;
        list_remove(&jobs[i]->node);
        jobs[i]->done = true;
        if (jobs[i]->fiber != fiber_self())
            fiber_wake(jobs[i]->fiber);
    }
}

static void run_small(void *arg)
{
    struct queue *queue = arg;
    while (!list_empty(&queue->small))
        pass(&queue->small);
}

static struct queue *queue_of(const struct loop *loop)
{
    struct queue *queue = &queues[loop_number(loop)];
    if (queue->small.next == NULL) {
        list_init(&queue->small);
        list_init(&queue->large);
        list_init(&queue->round);
        queue->quiet = (struct loop_quiet){.fn = run_small, .arg = queue};
    }
    return queue;
}

/* --- large jobs: in rounds, so that those that were hashed together come again together --- */

/* Lets the loop turn as long as that brings more jobs. Then waits for as many as the last round had, and now and then
 * for more, the less often the longer no more came. A loop with other work does it meanwhile; one without has time. */
static void gather(struct queue *queue)
{
    bool curious = queue->skips == 0;
    size_t wanted = curious || queue->crowd > queue->bodies ? queue->bodies : queue->crowd;
    bool canceled = false, late = false;
    while (queue->large_count < ENOUGH && !canceled) {
        size_t before = queue->large_count;
        fiber_yield();
        if (queue->large_count > before)
            continue;
        if (late || queue->large_count >= wanted)
            break;
        queue->gatherer = fiber_self();
        int rc = fiber_wait(loop_now_ms() + GATHER_MS);
        queue->gatherer = NULL;
        late = rc == ERR_TIMEOUT; /* those that are ready now may still come */
        canceled = rc == ERR_CANCELED;
    }
    if (queue->large_count > queue->crowd)
        queue->doubts = queue->skips = 0;
    else if (curious)
        queue->skips = 1u << (queue->doubts < DOUBTS_MAX ? queue->doubts++ : DOUBTS_MAX);
    else
        queue->skips--;
    queue->crowd = queue->large_count;
}

static void run_round(struct queue *queue)
{
    for (size_t i = 0; i < MD5_LANES_MAX && !list_empty(&queue->large); i++) {
        struct job *job = LIST_ENTRY(list_shift(&queue->large), struct job, node);
        job->waits = false;
        list_append(&queue->round, &job->node);
        queue->large_count--;
    }
    for (size_t hashed = PASS;; hashed += PASS) {
        pass(&queue->round);
        if (list_empty(&queue->round))
            return;
        if (hashed % SLICE == 0)
            fiber_yield();
    }
}

/* The next round is seen to by the first of those that wait for it. */
static void hand_over(struct queue *queue)
{
    queue->led = !list_empty(&queue->large);
    if (!queue->led)
        return;
    struct job *next = LIST_ENTRY(queue->large.next, struct job, node);
    next->leads = true;
    fiber_wake(next->fiber);
}

static int finish(struct queue *queue, struct job *job)
{
    int rc = 0;
    while (!job->done && !job->leads && rc == 0)
        rc = fiber_wait(DEADLINE_NONE);
    if (job->leads && rc == 0) {
        gather(queue);
        run_round(queue);
    }
    if (!job->done) {
        list_remove(&job->node);
        queue->large_count -= job->waits;
    }
    if (job->leads)
        hand_over(queue);
    return job->done ? 0 : rc;
}

bool md5_queue_enter(int64_t length)
{
    struct fiber *self = fiber_self();
    if (self == NULL || (length >= 0 && length < WORTH_GATHERING))
        return false;
    queue_of(fiber_loop(self))->bodies++;
    return true;
}

void md5_queue_leave(void)
{
    queue_of(fiber_loop(fiber_self()))->bodies--;
}

int md5_queue_update(struct md5_state *state, struct iovec *pieces, int count)
{
    struct fiber *self = fiber_self();
    struct job job = {.state = state, .pieces = pieces, .count = count, .fiber = self};
    size_t bytes = iov_bytes(pieces, count);
    iov_skip(&job.pieces, &job.count, 0);
    if (self == NULL || bytes < WORTH_WAITING) {
        while (job.count > 0) {
            struct span some = next_bytes(&job, SIZE_MAX);
            md5_update_lanes(&state, &some, 1);
        }
        return 0;
    }
    struct loop *loop = fiber_loop(self);
    struct queue *queue = queue_of(loop);
    if (bytes < WORTH_GATHERING) {
        list_append(&queue->small, &job.node);
        loop_when_quiet(loop, &queue->quiet);
    } else {
        list_append(&queue->large, &job.node);
        job.waits = true;
        queue->large_count++;
        if (!queue->led)
            queue->led = job.leads = true;
        else if (queue->gatherer != NULL)
            fiber_wake(queue->gatherer);
    }
    return finish(queue, &job);
}
