#include "http/md5_queue.h"

#include "base/err.h"
#include "base/list.h"
#include "base/loop.h"

/* Less than this is hashed in less time than a fiber is switched. */
#define WORTH_WAITING 512
/* For a piece from this size on it pays to look at the sockets once more: what other bodies bring meanwhile is hashed in
 * the same time. */
#define WORTH_GATHERING 32768

struct job {
    struct list node;
    struct md5_state *state;
    struct span bytes;
    struct fiber *fiber;
    bool done;
};

/* One a loop, touched on its thread only. */
static struct queue {
    struct list jobs;
    size_t count;   /* of jobs */
    bool gathering; /* a fiber will see to the start */
    struct loop_quiet quiet;
} queues[LOOPS_MAX];

static void run(void *arg)
{
    struct queue *queue = arg;
    while (!list_empty(&queue->jobs)) {
        struct md5_state *states[MD5_LANES_MAX];
        struct span bytes[MD5_LANES_MAX];
        struct job *jobs[MD5_LANES_MAX];
        size_t count = 0;
        while (count < MD5_LANES_MAX && !list_empty(&queue->jobs)) {
            jobs[count] = LIST_ENTRY(list_shift(&queue->jobs), struct job, node);
            states[count] = jobs[count]->state;
            bytes[count] = jobs[count]->bytes;
            count++;
        }
        queue->count -= count;
        md5_update_lanes(states, bytes, count);
        for (size_t i = 0; i < count; i++) {
            jobs[i]->done = true;
            fiber_wake(jobs[i]->fiber);
        }
    }
}

/* Lets the loop turn as long as that brings more. */
static void gather(struct queue *queue)
{
    size_t before;
    queue->gathering = true;
    do {
        before = queue->count;
        fiber_yield();
    } while (queue->count > before && queue->count < MD5_LANES_MAX);
    queue->gathering = false;
}

int md5_queue_update(struct md5_state *state, struct span bytes)
{
    struct fiber *self = fiber_self();
    if (self == NULL || bytes.len < WORTH_WAITING) {
        md5_update_lanes(&state, &bytes, 1);
        return 0;
    }
    struct loop *loop = fiber_loop(self);
    struct queue *queue = &queues[loop_number(loop)];
    if (queue->jobs.next == NULL)
        list_init(&queue->jobs);
    queue->quiet.fn = run;
    queue->quiet.arg = queue;

    struct job job = {.state = state, .bytes = bytes, .fiber = self};
    list_append(&queue->jobs, &job.node);
    queue->count++;
    if (bytes.len >= WORTH_GATHERING && !queue->gathering)
        gather(queue);
    if (!queue->gathering)
        loop_when_quiet(loop, &queue->quiet);
    int rc = 0;
    while (!job.done && rc == 0)
        rc = fiber_wait(DEADLINE_NONE);
    if (!job.done) {
        list_remove(&job.node);
        queue->count--;
        return rc;
    }
    return 0;
}
