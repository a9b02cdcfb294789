/* The section `journal`. */
#include "base/err.h"
#include "config/work.h"

int config_journal(struct work *w)
{
    const struct file_journal *from = w->file->journal;
    struct config *to = w->config;

    to->journal.interval_ms = 30000;
    if (from == NULL)
        return 0;
    to->journal.placement = config_find_placement(to, from->placement);
    if (to->journal.placement == NULL)
        return document_refuse(w->document, "journal.placement", "there is no placement '%s'; add it under placements",
                               from->placement);
    to->journal.sync = from->mode != NULL && *from->mode != 0;
    return work_duration(w, "journal.interval", from->interval, 100, 60000, &to->journal.interval_ms);
}
