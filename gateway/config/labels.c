/* What a placement demands of its backends. */
#include <stdio.h>
#include <strings.h>
#include "base/err.h"
#include "config/config.h"
#include "config/work.h"

#define LIST_MAX 200 /* characters of the labels in a complaint */

static bool has_label(const struct backend_settings *backend, const struct config_placement *placement)
{
    for (size_t i = 0; backend != NULL && backend->jurisdiction != NULL && i < placement->jurisdiction_count; i++) {
        if (strcasecmp(backend->jurisdiction, placement->jurisdictions[i]) == 0)
            return true;
    }
    return false;
}

const char *config_unmet(const struct config *config, const struct config_placement *placement)
{
    for (size_t i = 0; placement->jurisdiction_count > 0 && i < placement->backend_count; i++) {
        if (!has_label(config_find_backend(config, placement->backends[i]), placement))
            return placement->backends[i];
    }
    return NULL;
}

static int refuse(struct work *w, size_t at, const struct config_placement *placement, const char *name)
{
    char list[LIST_MAX] = "";
    const struct backend_settings *backend = config_find_backend(w->config, name);
    const char *label = backend != NULL ? backend->jurisdiction : NULL;
    size_t used = 0;

    for (size_t i = 0; i < placement->jurisdiction_count && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "",
                                 placement->jurisdictions[i]);
    work_key(w, "placements[%zu].required_labels.jurisdiction", at);
    if (label == NULL)
        return document_refuse(w->document, w->key, "backend '%s' has no jurisdiction; it must be one of %s", name,
                               list);
    return document_refuse(w->document, w->key, "backend '%s' has the jurisdiction '%s'; it must be one of %s", name,
                           label, list);
}

int config_labels(struct work *w, size_t at)
{
    const struct file_labels *from = w->file->placements[at].required_labels;
    struct config_placement *to = &w->config->placements[at];
    int rc = 0;

    if (from == NULL)
        return 0;
    to->jurisdictions = arena_zalloc(w->arena, from->jurisdiction_count * sizeof(*to->jurisdictions));
    if (to->jurisdictions == NULL)
        return ERR_NOMEM;
    to->jurisdiction_count = from->jurisdiction_count;
    for (size_t i = 0; i < from->jurisdiction_count && rc == 0; i++)
        rc = work_copy(w, from->jurisdiction[i], &to->jurisdictions[i]);
    const char *unmet = rc == 0 ? config_unmet(w->config, to) : NULL;
    return unmet != NULL ? refuse(w, at, to, unmet) : rc;
}
