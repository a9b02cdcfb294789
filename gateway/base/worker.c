#include "base/worker.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"

#define NAME_SIZE 16 /* the kernel's, with NUL */

struct thread {
    pthread_t id;
    char name[NAME_SIZE];
    void (*fn)(void *arg);
    void *arg;
};

static void *thread_main(void *arg)
{
    struct thread *thread = arg;
    pthread_setname_np(pthread_self(), thread->name);
    thread->fn(thread->arg);
    return NULL;
}

int thread_start(const char *name, void (*fn)(void *arg), void *arg, struct thread **out)
{
    struct thread *thread = malloc(sizeof(*thread));
    if (thread == NULL)
        return ERR_NOMEM;
    snprintf(thread->name, sizeof(thread->name), "%.*s", NAME_SIZE - 1, name);
    thread->fn = fn;
    thread->arg = arg;

    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited */
    int rc = pthread_create(&thread->id, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        free(thread);
        return rc == ENOMEM ? ERR_NOMEM : ERR_IO;
    }
    *out = thread;
    return 0;
}

void thread_join(struct thread *thread)
{
    if (thread == NULL)
        return;
    pthread_join(thread->id, NULL);
    free(thread);
}

/* On the stack of the fiber that waits for it. */
struct job {
    struct job *next;
    int (*fn)(void *arg);
    void *arg;
    struct completion completion;
};

struct worker_pool {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct job *first, **last;
    bool ending;
    bool (*tick)(void *arg);
    void *tick_arg;
    int64_t every_ms;
    int64_t due_ms; /* when the next tick is; DEADLINE_NONE: none is, or it runs */
    unsigned count;
    struct thread *threads[];
};

/* The mutex is held. */
static void next_tick(struct worker_pool *pool)
{
    if (pool->tick != NULL && pool->due_ms == DEADLINE_NONE)
        pool->due_ms = clock_monotonic_ms() + pool->every_ms;
}

/* Waits for a job, or for the time of a tick, which it runs. The mutex is held, but not meanwhile. */
static void idle(struct worker_pool *pool)
{
    int64_t due_ms = pool->due_ms;
    if (due_ms == DEADLINE_NONE) {
        pthread_cond_wait(&pool->filled, &pool->mutex);
    } else if (clock_monotonic_ms() < due_ms) {
        struct timespec due = {due_ms / 1000, due_ms % 1000 * 1000000};
        pthread_cond_clockwait(&pool->filled, &pool->mutex, CLOCK_MONOTONIC, &due);
    } else {
        pool->due_ms = DEADLINE_NONE;
        pthread_mutex_unlock(&pool->mutex);
        bool again = pool->tick(pool->tick_arg);
        pthread_mutex_lock(&pool->mutex);
        if (again)
            next_tick(pool);
    }
}

static void work(void *arg)
{
    struct worker_pool *pool = arg;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        struct job *job = pool->first;
        if (job == NULL) {
            if (pool->ending)
                break;
            idle(pool);
            continue;
        }
        pool->first = job->next;
        if (pool->first == NULL)
            pool->last = &pool->first;
        pthread_mutex_unlock(&pool->mutex);
        completion_post(&job->completion, job->fn(job->arg));
        pthread_mutex_lock(&pool->mutex);
        next_tick(pool);
    }
    pthread_mutex_unlock(&pool->mutex);
}

int worker_pool_create(const char *name, unsigned threads, struct worker_pool **out)
{
    struct worker_pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(struct thread *));
    if (pool == NULL)
        return ERR_NOMEM;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->filled, NULL);
    pool->last = &pool->first;
    pool->due_ms = DEADLINE_NONE;
    for (; pool->count < threads; pool->count++) {
        char numbered[64];
        snprintf(numbered, sizeof(numbered), "%.32s-%u", name, pool->count);
        int rc = thread_start(numbered, work, pool, &pool->threads[pool->count]);
        if (rc != 0) {
            worker_pool_free(pool);
            return rc;
        }
    }
    *out = pool;
    return 0;
}

void worker_pool_tick(struct worker_pool *pool, int64_t every_ms, bool (*tick)(void *arg), void *arg)
{
    pthread_mutex_lock(&pool->mutex);
    pool->tick = tick;
    pool->tick_arg = arg;
    pool->every_ms = every_ms;
    pthread_mutex_unlock(&pool->mutex);
}

void worker_pool_free(struct worker_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->ending = true;
    pthread_cond_broadcast(&pool->filled);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->count; i++)
        thread_join(pool->threads[i]);
    pthread_cond_destroy(&pool->filled);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

int worker_call(struct worker_pool *pool, int (*fn)(void *arg), void *arg)
{
    struct job job = {.fn = fn, .arg = arg};
    completion_init(&job.completion);
    pthread_mutex_lock(&pool->mutex);
    *pool->last = &job;
    pool->last = &job.next;
    pthread_cond_signal(&pool->filled);
    pthread_mutex_unlock(&pool->mutex);
    return completion_wait(&job.completion);
}
