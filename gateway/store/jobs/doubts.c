#include "doubts.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "store/private.h"
#include "store/replicas.h"
#include "store/suspects.h"
#include "store/watched.h"
#include "verify.h"

#define ARENA_LIMIT ((size_t)4 << 20)

struct doubt {
    struct suspect replica;
    unsigned looks;  /* in a row that failed while the backend worked */
    int64_t next_ms; /* loop_now_ms */
};

/* A backend of which replicas were read. */
struct watch {
    struct watch *next;
    char backend[sizeof(((struct suspect *)NULL)->backend)];
    bool given; /* `last` is a replica that it gave */
    struct suspect last;
    struct doubt doubts[DOUBTS_MAX]; /* the next to be looked at first */
    size_t count;
};

struct doubts {
    const struct jobs_options *options;
    int64_t look_ms;
    struct fiber *fiber; /* of the loop's thread */
    atomic_bool stop;
    struct arena *arena;
    struct watch *watches;
};

static bool stopping(const struct doubts *doubts)
{
    return atomic_load(&doubts->stop) || fiber_canceled(doubts->fiber);
}

/* --- what is noted --- */

static struct watch *find_watch(const struct doubts *doubts, const char *backend)
{
    struct watch *watch = doubts->watches;
    while (watch != NULL && strcmp(watch->backend, backend) != 0)
        watch = watch->next;
    return watch;
}

static struct watch *add_watch(struct doubts *doubts, const char *backend)
{
    struct watch *watch = find_watch(doubts, backend);
    if (watch == NULL && (watch = calloc(1, sizeof(*watch))) != NULL) {
        snprintf(watch->backend, sizeof(watch->backend), "%s", backend);
        watch->next = doubts->watches;
        doubts->watches = watch;
    }
    return watch;
}

static bool is_same(const struct suspect *suspect, const Arca__Replica *replica, const struct blob_name *name)
{
    return memcmp(&suspect->name, name, sizeof(*name)) == 0 && strcmp(suspect->backend, replica->backend) == 0 &&
           span_eq(span_of(suspect->locator.bytes, suspect->locator.length),
                   span_of(replica->locator.data, replica->locator.len));
}

bool doubts_refused(int rc)
{
    return rc == ERR_IO || rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT || rc == ERR_CLOSED || rc == ERR_DENIED;
}

bool doubts_has(const struct doubts *doubts, const Arca__Replica *replica, const struct blob_name *name)
{
    const struct watch *watch = find_watch(doubts, replica->backend);
    for (size_t i = 0; watch != NULL && i < watch->count; i++) {
        if (is_same(&watch->doubts[i].replica, replica, name))
            return true;
    }
    return false;
}

void doubts_note(struct doubts *doubts, const Arca__Replica *replica, const struct blob_name *name)
{
    struct watch *watch = add_watch(doubts, replica->backend);
    struct suspect suspect;
    if (watch == NULL || watch->count == DOUBTS_MAX || doubts_has(doubts, replica, name) ||
        suspect_fill(&suspect, replica, name) != 0)
        return;
    watch->doubts[watch->count++] = (struct doubt){.replica = suspect, .next_ms = loop_now_ms() + doubts->look_ms};
}

void doubts_given(struct doubts *doubts, const Arca__Replica *replica, const struct blob_name *name)
{
    struct watch *watch = add_watch(doubts, replica->backend);
    if (watch != NULL)
        watch->given = suspect_fill(&watch->last, replica, name) == 0;
}

/* --- looks --- */

/* An extent's rows, and which of its replicas it is about. */
struct rows {
    Arca__Blob *blob;
    Arca__Replica **replicas, *replica;
    size_t count;
};

/* As the index has it now. False: it is not there any more, or suspect already. */
static bool find_rows(struct doubts *doubts, const struct suspect *suspect, struct rows *rows) SUSPENDS
{
    *rows = (struct rows){0};
    if (replicas_find(doubts->options->index, &suspect->name, doubts->arena, &rows->blob, &rows->replicas,
                      &rows->count) != 0 ||
        rows->blob->references == 0)
        return false;
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->replicas[i]->state == ARCA__REPLICA__STATE__GOOD &&
            is_same(suspect, rows->replicas[i], &suspect->name))
            rows->replica = rows->replicas[i];
    }
    return rows->replica != NULL;
}

static bool is_up(const struct doubts *doubts, const char *name, struct backend **out)
{
    return store_find_backend(doubts->options->store, name, out) == 0 &&
           health_state(watched_health(*out), loop_now_ms()) != HEALTH_DOWN;
}

/* It answers, and gives what it gave before. Without anything that it gave, what it refuses must be few. */
static bool backend_works(struct doubts *doubts, struct watch *watch, struct backend *backend) SUSPENDS
{
    struct backend_health answer;
    struct rows rows;
    struct suspect last = watch->last; /* it may be another in a moment */
    if (backend->ops->probe(backend, &answer) != 0 || answer.state == BACKEND_DOWN)
        return false;
    watch->given = watch->given && find_rows(doubts, &last, &rows);
    if (!watch->given)
        return watch->count <= DOUBTS_FEW;
    return verify_replica(doubts->options, rows.blob, &last.name, rows.replica, true, NULL) == 0;
}

static bool other_is_whole(struct doubts *doubts, const struct rows *rows, const struct blob_name *name) SUSPENDS
{
    for (size_t i = 0; i < rows->count; i++) {
        const Arca__Replica *other = rows->replicas[i];
        if (other != rows->replica && other->state == ARCA__REPLICA__STATE__GOOD &&
            verify_replica(doubts->options, rows->blob, name, other, false, NULL) == 0)
            return true;
    }
    return false;
}

/* True: it goes on being in doubt. */
static bool look(struct doubts *doubts, struct watch *watch, struct doubt *doubt) SUSPENDS
{
    struct rows rows;
    struct backend *backend;
    uint64_t bytes;
    arena_reset(doubts->arena);
    if (!find_rows(doubts, &doubt->replica, &rows) || rows.count < 2)
        return false;
    if (!is_up(doubts, watch->backend, &backend)) {
        doubt->looks = 0;
        return true;
    }
    int rc = verify_replica(doubts->options, rows.blob, &doubt->replica.name, rows.replica, false, &bytes);
    if (rc == ERR_CORRUPT || rc == ERR_NOT_FOUND)
        (void)suspect_quarantine(&doubt->replica, doubts->options->index); /* what fails is told, and found again */
    if (rc == 0)
        doubts_given(doubts, rows.replica, &doubt->replica.name);
    if (rc == 0 || rc == ERR_CORRUPT || rc == ERR_NOT_FOUND)
        return false;
    if (bytes > 0 || !doubts_refused(rc) || !backend_works(doubts, watch, backend)) {
        doubt->looks = 0;
        return true;
    }
    if (++doubt->looks < DOUBTS_LOOKS)
        return true;
    if (other_is_whole(doubts, &rows, &doubt->replica.name)) {
        log_warn("refused", "backend %s works, and refuses one extent again and again: %s", watch->backend,
                 err_text(rc));
        (void)suspect_quarantine(&doubt->replica, doubts->options->index);
    }
    return false;
}

/* The first of a backend, if it is time. Others may be noted behind it meanwhile; none but this takes any away. */
static void look_at_first(struct doubts *doubts, struct watch *watch) SUSPENDS
{
    if (watch->count == 0 || loop_now_ms() < watch->doubts[0].next_ms)
        return;
    struct doubt doubt = watch->doubts[0];
    bool keep = look(doubts, watch, &doubt);
    watch->count--;
    memmove(&watch->doubts[0], &watch->doubts[1], watch->count * sizeof(doubt));
    doubt.next_ms = loop_now_ms() + doubts->look_ms;
    if (keep)
        watch->doubts[watch->count++] = doubt;
}

/* --- the fiber --- */

static void run(void *arg) SUSPENDS
{
    struct doubts *doubts = arg;
    doubts->fiber = fiber_self();
    while (!stopping(doubts)) {
        for (struct watch *watch = doubts->watches; watch != NULL && !stopping(doubts); watch = watch->next)
            look_at_first(doubts, watch);
        /* One after the other: looks that fail must not be so many that the backend seems to be down. */
        int64_t until_ms = loop_now_ms() + doubts->look_ms / DOUBTS_MAX;
        while (!stopping(doubts) && fiber_wait(until_ms) == 0)
            continue;
    }
    doubts->fiber = NULL;
}

static void begin(void *arg)
{
    struct doubts *doubts = arg;
    if (atomic_load(&doubts->stop))
        return;
    int rc = fiber_spawn(doubts->options->loop, run, doubts, &doubts->fiber);
    if (rc != 0)
        log_error("doubts", "what backends refuse is not looked at again: %s", err_text(rc));
}

int doubts_start(const struct jobs_options *options, struct doubts **out)
{
    struct doubts *doubts = calloc(1, sizeof(*doubts));
    if (doubts == NULL)
        return ERR_NOMEM;
    doubts->options = options;
    doubts->look_ms = options->doubt_ms > 0 ? options->doubt_ms : DOUBTS_MS;
    doubts->arena = arena_create(ARENA_LIMIT);
    if (doubts->arena == NULL || loop_post(options->loop, begin, doubts) != 0) {
        doubts_free(doubts);
        return ERR_NOMEM;
    }
    *out = doubts;
    return 0;
}

static void cancel(void *arg)
{
    struct doubts *doubts = arg;
    if (doubts->fiber != NULL)
        fiber_cancel(doubts->fiber);
}

void doubts_stop(struct doubts *doubts)
{
    atomic_store(&doubts->stop, true);
    (void)loop_post(doubts->options->loop, cancel, doubts); /* without memory for it, it ends after its wait */
}

void doubts_free(struct doubts *doubts)
{
    struct watch *next;
    if (doubts == NULL)
        return;
    for (struct watch *watch = doubts->watches; watch != NULL; watch = next) {
        next = watch->next;
        free(watch);
    }
    if (doubts->arena != NULL)
        arena_free(doubts->arena);
    free(doubts);
}
