#include "store/ship/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/loop.h"
#include "base/text.h"

#define FIBERS_MAX 16
#define FIBERS     16         /* that read headers */
#define PIECES_MAX (1U << 20) /* as many as no lane leaves: a listing without end must not take all memory */

/* --- many at once --- */

struct crew {
    struct fiber *boss, *fibers[FIBERS_MAX];
    size_t next, count;
    unsigned working;
    int (*fn)(void *arg, size_t i) SUSPENDS;
    void *arg;
    int rc;
};

static void leave(struct crew *crew)
{
    for (size_t i = 0; i < FIBERS_MAX; i++)
        crew->fibers[i] = crew->fibers[i] == fiber_self() ? NULL : crew->fibers[i];
    crew->working--;
    fiber_wake(crew->boss);
}

static void work(void *arg) SUSPENDS
{
    struct crew *crew = arg;
    while (crew->rc == 0 && crew->next < crew->count) {
        int rc = crew->fn(crew->arg, crew->next++);
        crew->rc = crew->rc == 0 ? rc : crew->rc;
    }
    leave(crew);
}

static void cancel(struct crew *crew)
{
    crew->rc = ERR_CANCELED;
    for (size_t i = 0; i < FIBERS_MAX; i++) {
        if (crew->fibers[i] != NULL)
            fiber_cancel(crew->fibers[i]);
    }
}

int survey_each(size_t count, unsigned fibers, int (*fn)(void *arg, size_t i) SUSPENDS, void *arg) SUSPENDS
{
    struct crew crew = {.boss = fiber_self(), .count = count, .fn = fn, .arg = arg};
    int rc = 0;
    for (unsigned i = 0; i < fibers && i < FIBERS_MAX && i < count && rc == 0; i++) {
        rc = fiber_spawn(fiber_loop(crew.boss), work, &crew, &crew.fibers[i]);
        crew.working += rc == 0;
    }
    if (rc != 0 && crew.working == 0)
        return rc;
    while (crew.working > 0) {
        if (crew.rc != ERR_CANCELED && fiber_wait(DEADLINE_NONE) == ERR_CANCELED)
            cancel(&crew);
        else if (crew.rc == ERR_CANCELED)
            fiber_yield(); /* waiting is over for one that is cancelled */
    }
    return crew.rc;
}

/* --- the listing --- */

static int add(struct stored_list *out, const struct blob_entry *entry)
{
    struct stored stored = {.name = entry->name, .locator = entry->locator, .size = entry->size};
    int rc = out->count < PIECES_MAX ? stored_reserve(out) : ERR_TOO_LARGE;
    if (rc == 0)
        stored_insert(out, out->count, &stored);
    return rc;
}

int survey_list(struct backend *backend, struct stored_list *out) SUSPENDS
{
    struct blob_cursor cursor = {0};
    struct blob_batch *batch = malloc(sizeof(*batch));
    int rc = batch != NULL ? 0 : ERR_NOMEM;
    while (rc == 0 && !cursor.end) {
        rc = backend->ops->list(backend, &cursor, batch);
        for (size_t i = 0; rc == 0 && i < batch->count; i++) {
            const struct blob_entry *entry = &batch->entries[i];
            if (name_is_piece(&entry->name))
                rc = add(out, entry);
        }
    }
    free(batch);
    return rc;
}

/* --- headers --- */

struct opening {
    struct survey *out;
    const struct stored_list *listed;
    struct keyring *keyring;
    void (*progress)(void *arg, size_t done, size_t all);
    void *arg;
    size_t done;
};

static void note_damage(struct survey *out, const struct blob_name *name, int rc)
{
    char hex[2 * BLOB_NAME_SIZE + 1];
    text_hex(span_of(name->bytes, BLOB_NAME_SIZE), hex);
    if (out->damaged++ == 0)
        snprintf(out->damage, sizeof(out->damage), "%s: %s", hex, err_text(rc));
}

bool survey_damage(int rc)
{
    return rc == ERR_CORRUPT || rc == ERR_FORMAT || rc == ERR_UNSUPPORTED || rc == ERR_NOT_FOUND;
}

static int open_one(void *arg, size_t i) SUSPENDS
{
    struct opening *opening = arg;
    struct survey *out = opening->out;
    struct stored stored = opening->listed->all[i];
    uint64_t size = stored.size, head = piece_head_size(size);
    struct span content;
    uint8_t *bytes = malloc(head > 0 ? (size_t)head : 1);
    if (bytes == NULL)
        return ERR_NOMEM;
    int rc = out->backend->ops->get(out->backend, &stored.name, &stored.locator, 0, head, bytes);
    if (rc == 0)
        rc = piece_open(opening->keyring, &stored.name, size, bytes, head, &stored.piece, &content);
    free(bytes);
    opening->done++;
    if (opening->progress != NULL)
        opening->progress(opening->arg, opening->done, opening->listed->count);
    if (rc == 0) {
        if ((rc = stored_reserve(&out->pieces)) == 0)
            stored_insert(&out->pieces, out->pieces.count, &stored);
        return rc;
    }
    if (rc == ERR_WRONG_KEY)
        out->foreign++;
    else if (survey_damage(rc))
        note_damage(out, &stored.name, rc);
    return rc == ERR_WRONG_KEY || survey_damage(rc) ? 0 : rc;
}

int survey_open(struct survey *out, const struct stored_list *listed, struct keyring *keyring,
                void (*progress)(void *arg, size_t done, size_t all), void *arg) SUSPENDS
{
    struct opening opening = {.out = out, .listed = listed, .keyring = keyring, .progress = progress, .arg = arg};
    return survey_each(listed->count, FIBERS, open_one, &opening);
}

void survey_free(struct survey *survey)
{
    free(survey->pieces.all);
    survey->pieces = (struct stored_list){0};
}
