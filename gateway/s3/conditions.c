#include "s3/conditions.h"

#include "base/clock.h"
#include "base/err.h"

static bool date(struct span text, int64_t *out)
{
    return text.ptr != NULL && clock_parse_http(text, out) == 0;
}

void conditions_read(const struct http_request *request, bool copy_source, struct conditions *out)
{
    static const char *const names[2][4] = {
        {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"},
        {"x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match", "x-amz-copy-source-if-modified-since",
         "x-amz-copy-source-if-unmodified-since"},
    };
    const char *const *name = names[copy_source];
    *out =
        (struct conditions){.if_match = http_header(request, name[0]), .if_none_match = http_header(request, name[1])};
    out->has_modified_since = date(http_header(request, name[2]), &out->modified_since);
    out->has_unmodified_since = date(http_header(request, name[3]), &out->unmodified_since);
}

struct span conditions_etag_bare(struct span etag)
{
    etag = span_trim(etag);
    if (span_starts(etag, SPAN_LITERAL("W/")))
        etag = span_skip(etag, 2);
    if (etag.len >= 2 && etag.ptr[0] == '"' && etag.ptr[etag.len - 1] == '"')
        etag = span_of(etag.ptr + 1, etag.len - 2);
    return etag;
}

bool conditions_etag_listed(struct span list, struct span etag)
{
    if (span_eq_str(span_trim(list), "*"))
        return true;
    while (list.len > 0) {
        struct span one;
        list = span_split(list, ',', &one);
        if (span_eq(conditions_etag_bare(one), etag))
            return true;
    }
    return false;
}

int conditions_check(const struct conditions *conditions, struct span etag, int64_t modified_ms)
{
    int64_t modified = modified_ms / 1000;
    if (conditions->if_match.ptr != NULL) {
        if (!conditions_etag_listed(conditions->if_match, etag))
            return ERR_PRECONDITION;
    } else if (conditions->has_unmodified_since && modified > conditions->unmodified_since) {
        return ERR_PRECONDITION;
    }
    if (conditions->if_none_match.ptr != NULL) {
        if (conditions_etag_listed(conditions->if_none_match, etag))
            return ERR_NOT_MODIFIED;
    } else if (conditions->has_modified_since && modified <= conditions->modified_since) {
        return ERR_NOT_MODIFIED;
    }
    return 0;
}

bool conditions_if_range(struct span header, struct span etag, int64_t modified_ms)
{
    if (header.ptr == NULL)
        return true;
    int64_t seconds;
    if (clock_parse_http(header, &seconds) == 0)
        return seconds == modified_ms / 1000;
    return !span_starts(header, SPAN_LITERAL("W/")) && span_eq(conditions_etag_bare(header), etag);
}

static int etags(struct span list, struct arena *arena, char ***out, size_t *count)
{
    size_t n = 1;
    for (size_t i = 0; i < list.len; i++)
        n += list.ptr[i] == ',';
    *out = arena_alloc(arena, n * sizeof(**out));
    if (*out == NULL)
        return ERR_NOMEM;
    for (*count = 0; *count < n; (*count)++) {
        struct span one;
        list = span_split(list, ',', &one);
        (*out)[*count] = arena_strdup(arena, conditions_etag_bare(one));
        if ((*out)[*count] == NULL)
            return ERR_NOMEM;
    }
    return 0;
}

int conditions_precondition(const struct conditions *conditions, struct arena *arena, Arca__Precondition **out)
{
    *out = NULL;
    /* If-Modified-Since means nothing but for GET and HEAD (RFC 9110 13.1.3). */
    if (conditions->if_match.ptr == NULL && conditions->if_none_match.ptr == NULL && !conditions->has_unmodified_since)
        return 0;
    Arca__Precondition *condition = arena_alloc(arena, sizeof(*condition));
    if (condition == NULL)
        return ERR_NOMEM;
    arca__precondition__init(condition);
    *out = condition;
    int rc = 0;
    if (span_eq_str(conditions->if_match, "*")) {
        condition->must_exist = true;
    } else if (conditions->if_match.ptr != NULL) {
        rc = etags(conditions->if_match, arena, &condition->if_match, &condition->n_if_match);
    } else if (conditions->has_unmodified_since) {
        condition->has_unmodified_since = true;
        condition->unmodified_since = conditions->unmodified_since;
    }
    if (rc == 0 && span_eq_str(conditions->if_none_match, "*"))
        condition->must_not_exist = true;
    else if (rc == 0 && conditions->if_none_match.ptr != NULL)
        rc = etags(conditions->if_none_match, arena, &condition->if_none_match, &condition->n_if_none_match);
    return rc;
}
