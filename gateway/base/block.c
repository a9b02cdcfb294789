#include "base/block.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "base/asan.h"
#include "base/err.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/metrics.h"

#define PAGE        ((size_t)4096)
#define MAP_FROM    ((size_t)128 << 10) /* mapped from here on; below it malloc's memory is good enough */
#define HUGE_FROM   ((size_t)4 << 20)   /* in huge pages: cheaper to copy into and to pin for the disk */
#define HUGE_PAGE   ((size_t)2 << 20)
/* What a loop keeps; all together as much as the budget at most. Five large bodies have two extents of 8 MiB each in
 * flight: memory that is mapped anew for each costs a tenth of a PUT. */
#define CACHE_BYTES ((size_t)96 << 20)
#define STEPS       16                  /* size classes in a doubling, so that at most 1/16 is wasted */
#define CLASSES     (STEPS * 11)        /* 4 KiB to 64 MiB */

/* A block and its memory, in use or kept. */
struct memory {
    struct block block; /* the first member: a block is its memory */
    size_t size;        /* bytes allocated */
    size_t charge;      /* bytes taken from the budget */
    struct list same;   /* kept: of this class */
    struct list age;    /* kept: of this loop, oldest first */
};

/* Touched by its loop only, but for what the budget's mutex guards. */
struct loop_share {
    struct list classes[CLASSES];
    struct list ages;
    size_t kept;
    bool ready;
    struct list granted; /* mutex: waiters whose bytes are reserved */
    struct loop_signal signal;
    struct budget *budget;
};

struct budget {
    pthread_mutex_t mutex;
    size_t limit, used;
    struct list waiters; /* oldest first, of all loops */
    atomic_size_t kept;  /* bytes, of all loops */
    struct loop_share shares[LOOPS_MAX];
};

struct waiter {
    struct list link; /* budget.waiters, then loop_share.granted */
    size_t charge;
    struct fiber *fiber;
    bool granted;
};

/* --- the budget --- */

static void wake_granted(void *arg)
{
    struct loop_share *share = arg;
    pthread_mutex_lock(&share->budget->mutex);
    LIST_EACH(node, &share->granted)
        fiber_wake(LIST_ENTRY(node, struct waiter, link)->fiber);
    pthread_mutex_unlock(&share->budget->mutex);
}

struct budget *budget_create(size_t bytes)
{
    struct budget *budget = calloc(1, sizeof(*budget));
    if (budget == NULL)
        return NULL;
    pthread_mutex_init(&budget->mutex, NULL);
    budget->limit = bytes;
    list_init(&budget->waiters);
    for (unsigned i = 0; i < LOOPS_MAX; i++) {
        struct loop_share *share = &budget->shares[i];
        list_init(&share->granted);
        share->budget = budget;
        share->signal.fn = wake_granted;
        share->signal.arg = share;
    }
    return budget;
}

size_t budget_limit(struct budget *budget)
{
    return budget->limit;
}

size_t budget_used(struct budget *budget)
{
    pthread_mutex_lock(&budget->mutex);
    size_t used = budget->used;
    pthread_mutex_unlock(&budget->mutex);
    return used;
}

/* Under the mutex. Strictly in order: a big one at the head is not overtaken by small ones for ever. */
static void grant(struct budget *budget)
{
    while (!list_empty(&budget->waiters)) {
        struct waiter *waiter = LIST_ENTRY(budget->waiters.next, struct waiter, link);
        if (waiter->charge > budget->limit - budget->used)
            return;
        struct loop *loop = fiber_loop(waiter->fiber);
        struct loop_share *share = &budget->shares[loop_number(loop)];
        budget->used += waiter->charge;
        waiter->granted = true;
        list_remove(&waiter->link);
        list_append(&share->granted, &waiter->link);
        loop_signal(loop, &share->signal);
    }
}

static int wait_for_grant(struct budget *budget, struct waiter *waiter, int64_t deadline_ms)
{
    for (;;) {
        int rc = fiber_wait(deadline_ms);
        pthread_mutex_lock(&budget->mutex);
        bool granted = waiter->granted;
        if (granted || rc != 0)
            list_remove(&waiter->link);
        if (!granted && rc != 0)
            grant(budget); /* those behind may fit */
        pthread_mutex_unlock(&budget->mutex);
        if (granted || rc != 0)
            return granted ? 0 : rc;
    }
}

static int take(struct budget *budget, size_t charge, int64_t deadline_ms)
{
    struct waiter waiter = {.charge = charge, .fiber = fiber_self()};
    pthread_mutex_lock(&budget->mutex);
    bool fits = list_empty(&budget->waiters) && charge <= budget->limit - budget->used;
    if (fits)
        budget->used += charge;
    else
        list_append(&budget->waiters, &waiter.link);
    pthread_mutex_unlock(&budget->mutex);
    if (!fits) {
        metrics_add(METRIC_BODY_MEMORY_WAITS, 1);
        int rc = wait_for_grant(budget, &waiter, deadline_ms);
        if (rc != 0)
            return rc;
    }
    metrics_add(METRIC_BODY_MEMORY, (int64_t)charge);
    return 0;
}

static void give_back(struct budget *budget, size_t charge)
{
    pthread_mutex_lock(&budget->mutex);
    budget->used -= charge;
    grant(budget);
    pthread_mutex_unlock(&budget->mutex);
    metrics_add(METRIC_BODY_MEMORY, -(int64_t)charge);
}

/* --- memory --- */

/* 4 KiB steps to 64 KiB, then STEPS to each doubling. */
static size_t round_up(size_t capacity, size_t *class)
{
    size_t step = PAGE, first = 0;
    while (capacity > 2 * STEPS * step) {
        step *= 2;
        first += STEPS;
    }
    size_t steps = capacity == 0 ? 1 : (capacity - 1) / step + 1;
    *class = first + steps - 1;
    return steps * step;
}

static void *map(size_t size)
{
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return data != MAP_FAILED ? data : NULL;
}

/* On the boundary of a huge page: what is mapped for that is given back around it. */
static void *map_huge(size_t size)
{
    uint8_t *data = map(size + HUGE_PAGE);
    if (data == NULL)
        return NULL;
    size_t before = -(uintptr_t)data & (HUGE_PAGE - 1), after = HUGE_PAGE - before;
    if (before > 0)
        munmap(data, before);
    data += before;
    munmap(data + size, after);
    (void)madvise(data, size, MADV_HUGEPAGE);
    return data;
}

static struct memory *memory_create(size_t size)
{
    struct memory *memory = malloc(sizeof(*memory));
    if (memory == NULL)
        return NULL;
    memory->block.data = size >= HUGE_FROM  ? map_huge(size)
                         : size >= MAP_FROM ? map(size)
                                            : aligned_alloc(PAGE, size);
    if (memory->block.data == NULL) {
        free(memory);
        return NULL;
    }
    memory->size = size;
    list_init(&memory->same);
    list_init(&memory->age);
    return memory;
}

static void memory_free(struct memory *memory)
{
    ASAN_UNPOISON(memory->block.data, memory->size);
    if (memory->size >= MAP_FROM)
        munmap(memory->block.data, memory->size);
    else
        free(memory->block.data);
    free(memory);
}

static void share_init(struct loop_share *share)
{
    for (size_t i = 0; i < CLASSES; i++)
        list_init(&share->classes[i]);
    list_init(&share->ages);
    share->ready = true;
}

static void unkeep(struct loop_share *share, struct memory *memory)
{
    list_remove(&memory->same);
    list_remove(&memory->age);
    share->kept -= memory->size;
    atomic_fetch_sub_explicit(&share->budget->kept, memory->size, memory_order_relaxed);
    metrics_add(METRIC_BODY_MEMORY_KEPT, -(int64_t)memory->size);
}

static bool keeps_too_much(const struct loop_share *share)
{
    size_t kept = atomic_load_explicit(&share->budget->kept, memory_order_relaxed);
    return share->kept > CACHE_BYTES || (share->kept > 0 && kept > share->budget->limit);
}

static void keep(struct loop_share *share, struct memory *memory, size_t class)
{
    list_append(share->classes[class].next, &memory->same); /* the newest is the first to be used again */
    list_append(&share->ages, &memory->age);
    share->kept += memory->size;
    atomic_fetch_add_explicit(&share->budget->kept, memory->size, memory_order_relaxed);
    metrics_add(METRIC_BODY_MEMORY_KEPT, (int64_t)memory->size);
    ASAN_POISON(memory->block.data, memory->size);
    while (keeps_too_much(share)) {
        struct memory *oldest = LIST_ENTRY(share->ages.next, struct memory, age);
        unkeep(share, oldest);
        memory_free(oldest);
    }
}

/* Where the calling thread keeps memory; NULL if it is no loop's. */
static struct loop_share *own_share(struct budget *budget)
{
    struct loop *loop = loop_self();
    if (loop == NULL)
        return NULL;
    struct loop_share *share = &budget->shares[loop_number(loop)];
    if (!share->ready)
        share_init(share);
    return share;
}

void budget_free(struct budget *budget)
{
    if (budget == NULL)
        return;
    for (unsigned i = 0; i < LOOPS_MAX; i++) {
        struct loop_share *share = &budget->shares[i];
        while (share->ready && !list_empty(&share->ages)) {
            struct memory *memory = LIST_ENTRY(share->ages.next, struct memory, age);
            unkeep(share, memory);
            memory_free(memory);
        }
    }
    pthread_mutex_destroy(&budget->mutex);
    free(budget);
}

/* --- blocks --- */

int block_create(struct budget *budget, size_t capacity, int64_t deadline_ms, struct block **out)
{
    size_t class;
    if (capacity > budget->limit)
        return ERR_TOO_LARGE;
    size_t size = round_up(capacity, &class);
    size_t charge = size < budget->limit ? size : budget->limit;
    int rc = take(budget, charge, deadline_ms);
    if (rc != 0)
        return rc;

    struct memory *memory = NULL;
    struct loop_share *share = own_share(budget);
    if (share != NULL && class < CLASSES && !list_empty(&share->classes[class])) {
        memory = LIST_ENTRY(share->classes[class].next, struct memory, same);
        unkeep(share, memory);
    } else {
        memory = memory_create(size);
    }
    if (memory == NULL) {
        give_back(budget, charge);
        return ERR_NOMEM;
    }
    ASAN_POISON(memory->block.data, memory->size);
    ASAN_UNPOISON(memory->block.data, capacity);
    memory->charge = charge;
    memory->block.budget = budget;
    memory->block.capacity = capacity;
    memory->block.length = 0;
    atomic_init(&memory->block.references, 1);
    *out = &memory->block;
    return 0;
}

struct block *block_ref(struct block *block)
{
    atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    return block;
}

void block_unref(struct block *block)
{
    if (block == NULL || atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) != 1)
        return;
    struct memory *memory = (struct memory *)(void *)block;
    struct budget *budget = block->budget;
    struct loop_share *share = own_share(budget);
    size_t charge = memory->charge;
    size_t class;
    round_up(memory->size, &class);
    if (share != NULL && class < CLASSES)
        keep(share, memory, class);
    else
        memory_free(memory);
    give_back(budget, charge);
}
