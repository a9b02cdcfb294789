#include "auth/credentials.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "config/document.h"

#define CREDENTIALS_MAX 4096

struct credentials {
    atomic_uint references;
    size_t count;
    struct credential *entries; /* by access key */
    char *secrets;              /* sodium_malloc'd: one after the other, each NUL-terminated */
    struct arena *arena;        /* the rest */
};

/* --- the file --- */

struct file_entry {
    char *name, *access_key, *secret_key, *user_id, *display_name;
};

#define TEXT(key, flags, member, min, max) \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), struct file_entry, member, min, max)

static const cyaml_schema_field_t entry_fields[] = {
    TEXT("name", 0, name, 1, 64),
    TEXT("access_key", 0, access_key, 3, 128),
    TEXT("secret_key", 0, secret_key, 8, 256),
    TEXT("user_id", 0, user_id, 1, 128),
    TEXT("display_name", CYAML_FLAG_OPTIONAL, display_name, 1, 255),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t entry_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_entry, entry_fields)};
static const cyaml_schema_value_t list_schema = {
    CYAML_VALUE_SEQUENCE(CYAML_FLAG_POINTER, struct file_entry, &entry_schema, 1, CREDENTIALS_MAX)};

/* What may stand in a signature's scope and in XML. */
static int check_entry(struct document *document, size_t i, const struct file_entry *entries)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~@+";
    const struct file_entry *entry = &entries[i];
    const char *const shown[] = {entry->name, entry->user_id, entry->display_name};
    char key[64];

    if (strspn(entry->access_key, allowed) != strlen(entry->access_key)) {
        snprintf(key, sizeof(key), "[%zu].access_key", i);
        return document_refuse(document, key, "may have A-Z, a-z, 0-9 and -._~@+ only");
    }
    for (size_t j = 0; j < sizeof(shown) / sizeof(*shown); j++) {
        for (const char *c = shown[j]; c != NULL && *c != '\0'; c++) {
            if ((unsigned char)*c < 0x20 || *c == 0x7f) {
                snprintf(key, sizeof(key), "[%zu]", i);
                return document_refuse(document, key, "control characters have no place in names");
            }
        }
    }
    for (size_t j = 0; j < i; j++) {
        bool same_name = strcmp(entries[j].name, entry->name) == 0;
        if (!same_name && strcmp(entries[j].access_key, entry->access_key) != 0)
            continue;
        snprintf(key, sizeof(key), "[%zu].%s", i, same_name ? "name" : "access_key");
        return document_refuse(document, key, "'%s' is taken by entry [%zu]; choose another",
                               same_name ? entry->name : entry->access_key, j);
    }
    return 0;
}

/* --- the set --- */

static int compare_entries(const void *a, const void *b)
{
    const struct credential *x = a, *y = b;

    return strcmp(x->access_key, y->access_key);
}

static char *copy(struct credentials *set, const char *text)
{
    return arena_strdup(set->arena, span_str(text));
}

static int fill(struct credentials *set, const struct file_entry *entries, const struct span *secrets)
{
    size_t size = 0, used = 0;

    for (size_t i = 0; i < set->count; i++)
        size += secrets[i].len + 1;
    set->secrets = sodium_malloc(size);
    set->entries = arena_zalloc(set->arena, set->count * sizeof(*set->entries));
    if (set->secrets == NULL || set->entries == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < set->count; i++) {
        struct credential *to = &set->entries[i];
        const struct file_entry *from = &entries[i];
        to->name = copy(set, from->name);
        to->access_key = copy(set, from->access_key);
        to->user_id = copy(set, from->user_id);
        to->display_name = copy(set, from->display_name != NULL ? from->display_name : from->name);
        if (to->name == NULL || to->access_key == NULL || to->user_id == NULL || to->display_name == NULL)
            return ERR_NOMEM;
        to->secret_key = set->secrets + used;
        memcpy(to->secret_key, secrets[i].ptr, secrets[i].len + 1);
        used += secrets[i].len + 1;
    }
    sodium_mprotect_readonly(set->secrets);
    qsort(set->entries, set->count, sizeof(*set->entries), compare_entries);
    return 0;
}

static int build(const struct file_entry *entries, size_t count, const struct span *secrets, struct credentials **out)
{
    struct credentials *set = calloc(1, sizeof(*set));
    int rc = ERR_NOMEM;

    if (set == NULL)
        return ERR_NOMEM;
    atomic_init(&set->references, 1);
    set->count = count;
    set->arena = arena_create(8U << 20);
    if (set->arena != NULL)
        rc = fill(set, entries, secrets);
    if (rc != 0)
        credentials_unref(set);
    else
        *out = set;
    return rc;
}

static int load(struct document *document, struct credentials **out)
{
    struct file_entry *entries = NULL;
    struct span *secrets = NULL;
    unsigned count = 0;
    int rc = document_check(document, &list_schema);

    if (rc != 0)
        return rc;
    secrets = calloc(CREDENTIALS_MAX, sizeof(*secrets));
    if (secrets == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < CREDENTIALS_MAX; i++) {
        char key[64];
        snprintf(key, sizeof(key), "[%zu].secret_key", i);
        secrets[i] = document_take_secret(document, key);
        if (secrets[i].ptr == NULL)
            break;
    }
    rc = document_fill(document, &list_schema, (void **)&entries, &count);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = check_entry(document, i, entries);
    if (rc == 0)
        rc = build(entries, count, secrets, out);
    if (entries != NULL)
        document_fill_free(&list_schema, entries, count);
    free(secrets);
    return rc;
}

int credentials_load(const char *path, char *why, size_t why_size, struct credentials **out)
{
    struct document *document;
    struct stat st;

    if (sodium_init() < 0)
        return ERR_BUG;
    int rc = document_read(path, why, why_size, &document);
    if (rc != 0)
        return rc;
    rc = load(document, out);
    document_free(document);
    if (rc == ERR_NOMEM)
        snprintf(why, why_size, "%s: out of memory", path);
    if (rc == 0 && stat(path, &st) == 0 && (st.st_mode & S_IROTH) != 0)
        log_warn("credentials", "%s can be read by everybody on this machine; chmod 600 it", path);
    return rc;
}

struct credentials *credentials_ref(struct credentials *credentials)
{
    atomic_fetch_add_explicit(&credentials->references, 1, memory_order_relaxed);
    return credentials;
}

void credentials_unref(struct credentials *credentials)
{
    if (credentials == NULL || atomic_fetch_sub_explicit(&credentials->references, 1, memory_order_acq_rel) != 1)
        return;
    sodium_free(credentials->secrets); /* wipes */
    arena_free(credentials->arena);
    free(credentials);
}

const struct credential *credentials_find(const struct credentials *credentials, struct span access_key)
{
    size_t low = 0, high = credentials->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = span_cmp(access_key, span_str(credentials->entries[middle].access_key));
        if (order == 0)
            return &credentials->entries[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

size_t credentials_count(const struct credentials *credentials)
{
    return credentials->count;
}
