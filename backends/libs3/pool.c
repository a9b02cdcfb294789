/* Threads that run requests. Each drives libs3 step by step, rather than letting it block, so that a request can be given up:
 * libs3 itself knows neither deadlines nor cancellation. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/select.h>
#include "base/err.h"
#include "base/worker.h"
#include "private.h"

#define LOOK_MS  50 /* how long an abandoned request goes on at most */
#define BLIND_MS 5  /* between looks at sockets that select cannot watch */

struct pool {
    pthread_mutex_t lock; /* guards the queue */
    pthread_cond_t filled;
    struct list queue;
    bool stop;
    unsigned count;
    struct thread *threads[];
};

/* libs3 keeps curl handles for all threads in one place. Nobody may take one while a request is torn down, whose handle is
 * there before it has left its context, nor while there may be one that a put has spoiled. */
static pthread_mutex_t handles = PTHREAD_MUTEX_INITIALIZER;

/* --- one request, on a thread --- */

/* The body of a put that fails may be one that curl wanted to send again and could not. curl 8 asks for that again whenever
 * the handle is used, in vain, whatever the request is. */
static void renew_spoiled_handles(const struct job *job)
{
    if (job->kind == JOB_PUT && job->finished && job->status != S3StatusOK && job->moved > 0)
        request_renew_handles(job);
}

/* `job`: the one that is in the context, or NULL. It is finished as interrupted. */
static void destroy(S3RequestContext **context, const struct job *job)
{
    if (*context == NULL)
        return;
    pthread_mutex_lock(&handles);
    S3_destroy_request_context(*context);
    if (job != NULL)
        renew_spoiled_handles(job);
    pthread_mutex_unlock(&handles);
    *context = NULL;
}

static S3Status step(const struct job *job, S3RequestContext *context, int *remaining)
{
    if (job->kind != JOB_PUT)
        return S3_runonce_request_context(context, remaining);
    pthread_mutex_lock(&handles);
    S3Status status = S3_runonce_request_context(context, remaining);
    renew_spoiled_handles(job);
    pthread_mutex_unlock(&handles);
    return status;
}

/* Sockets beyond FD_SETSIZE are left out by curl: they are looked at again and again. */
static void await_sockets(S3RequestContext *context)
{
    fd_set readable, writable, failed;
    int last = -1;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_ZERO(&failed);
    int64_t wait_ms = S3_get_request_context_timeout(context);
    if (wait_ms < 0 || wait_ms > LOOK_MS)
        wait_ms = LOOK_MS;
    if (S3_get_request_context_fdsets(context, &readable, &writable, &failed, &last) != S3StatusOK || last < 0)
        wait_ms = wait_ms < BLIND_MS ? wait_ms : BLIND_MS;
    struct timeval timeout = {.tv_usec = (suseconds_t)(wait_ms * 1000)};
    select(last + 1, &readable, &writable, &failed, &timeout);
}

static bool to_be_given_up(struct job *job)
{
    int64_t now_ms = loop_now_ms();
    job->stalled = now_ms - job->moved_ms > job->libs3->stall_ms;
    return job->stalled || now_ms >= job->deadline_ms || atomic_load(&job->abandoned);
}

static void run(struct job *job, S3RequestContext **context)
{
    job->moved_ms = loop_now_ms();
    if (*context == NULL && S3_create_request_context(context) != S3StatusOK) {
        *context = NULL;
        job->status = S3StatusOutOfMemory;
        return;
    }
    pthread_mutex_lock(&handles);
    request_begin(job, *context);
    pthread_mutex_unlock(&handles);
    while (!job->finished) {
        int remaining = 0;
        S3Status status = step(job, *context, &remaining);
        if (job->finished)
            return;
        if (status != S3StatusOK || remaining == 0 || to_be_given_up(job)) {
            destroy(context, job);
            if (!job->finished)
                job->status = S3StatusInterrupted;
            return;
        }
        await_sockets(*context);
    }
}

/* On the loop: the fiber may be waiting in either way. */
static void finished(void *arg)
{
    struct job *job = arg;
    struct fiber *fiber = job->fiber;
    completion_post(&job->done, 0);
    fiber_wake(fiber);
}

static struct job *take(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (list_empty(&pool->queue) && !pool->stop)
        pthread_cond_wait(&pool->filled, &pool->lock);
    struct list *node = list_shift(&pool->queue);
    struct job *job = node != NULL ? LIST_ENTRY(node, struct job, link) : NULL;
    if (job != NULL)
        job->queued = false;
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void work(void *arg)
{
    struct pool *pool = arg;
    S3RequestContext *context = NULL;
    struct job *job;
    while ((job = take(pool)) != NULL) {
        run(job, &context);
        /* Without memory for a message the fiber finds out when its deadline has come. */
        if (loop_post(job->loop, finished, job) != 0)
            completion_post(&job->done, 0);
    }
    destroy(&context, NULL);
}

/* --- from a fiber --- */

static bool withdraw(struct pool *pool, struct job *job)
{
    pthread_mutex_lock(&pool->lock);
    bool queued = job->queued;
    if (queued)
        list_remove(&job->link);
    job->queued = false;
    pthread_mutex_unlock(&pool->lock);
    return queued;
}

int pool_run(struct pool *pool, struct job *job)
{
    job->fiber = fiber_self();
    job->loop = fiber_loop(job->fiber);
    job->moved = 0;
    job->overflow = job->stalled = job->finished = false;
    job->content_length = -1;
    job->status = S3StatusInterrupted;
    atomic_store(&job->abandoned, false);
    completion_init(&job->done);
    pthread_mutex_lock(&pool->lock);
    job->queued = true;
    list_append(&pool->queue, &job->link);
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_signal(&pool->filled);
    while (!job->done.done) {
        int rc = fiber_wait(job->deadline_ms);
        if (rc == 0)
            continue;
        atomic_store(&job->abandoned, true);
        if (!withdraw(pool, job))
            completion_wait(&job->done);
        return rc;
    }
    return 0;
}

int pool_create(unsigned threads, struct pool **out)
{
    struct pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));
    if (pool == NULL)
        return ERR_NOMEM;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->filled, NULL);
    list_init(&pool->queue);
    for (; pool->count < threads; pool->count++) {
        int rc = thread_start("arca-libs3", work, pool, &pool->threads[pool->count]);
        if (rc != 0) {
            pool_free(pool);
            return rc;
        }
    }
    *out = pool;
    return 0;
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_broadcast(&pool->filled);
    for (unsigned i = 0; i < pool->count; i++)
        thread_join(pool->threads[i]);
    pthread_cond_destroy(&pool->filled);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
