#include "roster.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "backends/registry.h"
#include "base/err.h"
#include "base/log.h"
#include "watched.h"

#define ARENA_LIMIT ((size_t)16 << 20)

/* --- settings --- */

/* All texts among the settings, and which of them say where the data is. */
static const struct {
    size_t offset;
    bool place;
} TEXTS[] = {
#define TEXT(member, place)                              \
    {                                                    \
        offsetof(struct backend_settings, member), place \
    }
    TEXT(name, true),          TEXT(driver, true), TEXT(path, true),    TEXT(endpoint, true),
    TEXT(bucket, true),        TEXT(prefix, true), TEXT(account, true), TEXT(credentials, false),
    TEXT(ca_file, false),      TEXT(proxy, false), TEXT(region, false), TEXT(storage_class, false),
    TEXT(jurisdiction, false),
#undef TEXT
};
#define TEXT_COUNT (sizeof(TEXTS) / sizeof(TEXTS[0]))

static char *text_at(const struct backend_settings *settings, size_t i)
{
    char *text;
    memcpy(&text, (const char *)settings + TEXTS[i].offset, sizeof(text));
    return text;
}

int settings_copy(struct arena *arena, const struct backend_settings *from, struct backend_settings *to)
{
    *to = *from;
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        char *text = text_at(from, i);
        if (text != NULL && (text = arena_strdup(arena, span_str(text))) == NULL)
            return ERR_NOMEM;
        memcpy((char *)to + TEXTS[i].offset, &text, sizeof(text));
    }
    return 0;
}

static bool same_texts(const struct backend_settings *a, const struct backend_settings *b, bool place)
{
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char *x = text_at(a, i), *y = text_at(b, i);
        /* What labels say is the topology's. */
        if (TEXTS[i].place != place || TEXTS[i].offset == offsetof(struct backend_settings, jurisdiction))
            continue;
        if (x != y && (x == NULL || y == NULL || strcmp(x, y) != 0))
            return false;
    }
    return true;
}

static bool same_way(const struct backend_settings *a, const struct backend_settings *b)
{
    return same_texts(a, b, false) && a->credentials_from == b->credentials_from && a->timeout_ms == b->timeout_ms &&
           a->connections == b->connections && a->virtual_host == b->virtual_host && a->signature == b->signature;
}

static struct file_mark mark_file(const char *path)
{
    struct stat st;
    if (path == NULL || stat(path, &st) != 0)
        return (struct file_mark){0};
    return (struct file_mark){st.st_dev, st.st_ino, (uint64_t)st.st_size,
                              st.st_ctim.tv_sec * 1000000000LL + st.st_ctim.tv_nsec};
}

static bool same_mark(const struct file_mark *a, const struct file_mark *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size && a->changed_ns == b->changed_ns;
}

/* Of a disk, which goes on working when its folder gets another path. Others have none. */
static struct file_mark mark_folder(const struct backend_settings *settings)
{
    struct file_mark mark = mark_file(settings->path);
    return (struct file_mark){.device = mark.device, .inode = mark.inode};
}

/* --- the roster --- */

int roster_init(struct roster *roster)
{
    roster->arena = arena_create(ARENA_LIMIT);
    return roster->arena != NULL ? 0 : ERR_NOMEM;
}

void roster_fini(struct roster *roster)
{
    for (size_t i = 0; i < roster->opened_count; i++)
        roster->opened[i]->ops->close(roster->opened[i]);
    if (roster->arena != NULL)
        arena_free(roster->arena);
}

int roster_find(const struct roster *roster, const char *name)
{
    size_t count = atomic_load(&roster->count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(atomic_load(&roster->seats[i].backend)->name, name) == 0)
            return (int)i;
    }
    return -1;
}

/* --- for a config --- */

static int open_fresh(const struct backend_settings *settings, struct candidate *out)
{
    struct backend *inner;
    int rc = backend_open(settings, &inner);
    if (rc != 0)
        return rc;
    if ((rc = watched_create(inner, &out->backend)) != 0)
        inner->ops->close(inner);
    out->fresh = rc == 0;
    return rc;
}

static int find_or_open(const struct roster *roster, const struct backend_settings *settings, struct candidate *out)
{
    int number = roster_find(roster, settings->name);
    const struct seat *seat = number >= 0 ? &roster->seats[number] : NULL;
    *out = (struct candidate){0};
    if (settings->credentials_from == BACKEND_CREDENTIALS_FILE)
        out->credentials = mark_file(settings->credentials);
    out->ca_file = mark_file(settings->ca_file);
    if (seat != NULL) {
        out->moved = !same_texts(&seat->settings, settings, true);
        if (out->moved && seat->folder.inode != 0) {
            out->folder = mark_folder(settings);
            out->renamed = same_mark(&seat->folder, &out->folder);
            out->moved = !out->renamed;
        }
        bool same = !out->moved && same_way(&seat->settings, settings) &&
                    same_mark(&seat->credentials, &out->credentials) && same_mark(&seat->ca_file, &out->ca_file);
        if (same || out->renamed) {
            if (seat->settings.segment_size != settings->segment_size)
                log_warn("backend_open", "backend %s: segment_size takes effect with a restart", settings->name);
            out->backend = atomic_load(&seat->backend);
            return 0;
        }
    }
    int rc = open_fresh(settings, out);
    if (rc == 0)
        out->folder = mark_folder(settings);
    return rc;
}

int roster_open(struct roster *roster, const struct config *config, struct candidate *out)
{
    for (size_t i = 0; i < config->backend_count; i++) {
        int rc = find_or_open(roster, &config->backends[i], &out[i]);
        if (rc != 0) {
            roster_reject(out, i);
            return rc;
        }
    }
    return 0;
}

void roster_reject(struct candidate *candidates, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (candidates[i].fresh)
            candidates[i].backend->ops->close(candidates[i].backend);
        candidates[i] = (struct candidate){0};
    }
}

int roster_seat(struct roster *roster, const struct config *config, struct candidate *candidates)
{
    size_t count = atomic_load(&roster->count), opened = roster->opened_count;
    for (size_t i = 0; i < config->backend_count; i++) {
        struct candidate *candidate = &candidates[i];
        if (!candidate->fresh && !candidate->renamed)
            continue;
        int number = roster_find(roster, config->backends[i].name);
        candidate->number = number >= 0 ? (size_t)number : count++;
        opened += candidate->fresh;
        if (count > STORE_BACKENDS_MAX || opened > OPENED_MAX) {
            log_error("backend_open", "too many backends came and went; the configuration needs a restart");
            return ERR_BUSY;
        }
        if (settings_copy(roster->arena, &config->backends[i], &candidate->settings) != 0)
            return ERR_NOMEM;
    }
    for (size_t i = 0; i < config->backend_count; i++) {
        struct candidate *candidate = &candidates[i];
        if (!candidate->fresh && !candidate->renamed)
            continue;
        struct seat *seat = &roster->seats[candidate->number];
        seat->settings = candidate->settings;
        if (!candidate->fresh)
            continue;
        seat->credentials = candidate->credentials;
        seat->ca_file = candidate->ca_file;
        seat->folder = candidate->folder;
        atomic_store(&seat->backend, candidate->backend);
        roster->opened[roster->opened_count++] = candidate->backend;
        candidate->fresh = false;
    }
    atomic_store(&roster->count, count);
    return 0;
}
