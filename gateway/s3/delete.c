#include "base/clock.h"
#include "base/err.h"
#include "s3/checked_body.h"
#include "s3/conditions.h"
#include "s3/delete.h"
#include "s3/objects_write.h"
#include "s3/operations.h"
#include "s3/xml_in.h"
#include "s3/xml_out.h"

static Arca__Precondition *condition_of(struct arena *arena, Arca__Precondition **condition)
{
    if (*condition == NULL) {
        *condition = arena_alloc(arena, sizeof(**condition));
        if (*condition != NULL)
            arca__precondition__init(*condition);
    }
    return *condition;
}

static bool any_date(struct span text, int64_t *seconds)
{
    return clock_parse_http(text, seconds) == 0 || clock_parse_iso(text, seconds) == 0;
}

static int add_modified(struct span text, struct arena *arena, Arca__Precondition **condition)
{
    Arca__Precondition *c = condition_of(arena, condition);
    if (c == NULL)
        return ERR_NOMEM;
    c->has_modified_exact = true;
    return any_date(text, &c->modified_exact) ? 0 : ERR_SYNTAX;
}

static int add_size(struct span text, struct arena *arena, Arca__Precondition **condition)
{
    Arca__Precondition *c = condition_of(arena, condition);
    if (c == NULL)
        return ERR_NOMEM;
    c->has_size = true;
    return span_to_u64(text, &c->size) == 0 ? 0 : ERR_SYNTAX;
}

/* Deleting what is not there succeeds, whatever its size or time was to be; only If-Match wants an object
 * (docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html). */
static int absent_is_fine(int rc, const Arca__Precondition *condition)
{
    bool wanted = condition != NULL && (condition->must_exist || condition->n_if_match > 0);
    return rc == ERR_NO_SUCH_KEY && !wanted ? 0 : rc;
}

int op_delete_object(struct s3_request *r)
{
    struct span modified = s3_header(r, "x-amz-if-match-last-modified-time"),
                size = s3_header(r, "x-amz-if-match-size");
    Arca__Precondition *condition = NULL;
    int rc = s3_version(r, s3_param(r, "versionId"));
    if (rc == 0)
        rc = write_precondition(r, &condition);
    if (rc == 0 && modified.ptr != NULL && add_modified(modified, r->arena, &condition) != 0)
        return s3_fail_argument(r, "x-amz-if-match-last-modified-time", modified, "Not a date");
    if (rc == 0 && size.ptr != NULL && add_size(size, r->arena, &condition) != 0)
        return s3_fail_argument(r, "x-amz-if-match-size", size, "Not a number of bytes");
    if (rc == 0)
        rc = absent_is_fine(object_delete(r->engine, r->arena, r->bucket, r->target.key, condition), condition);
    return rc != 0 ? write_failure(r, rc, condition) : s3_answer_empty(r, 204);
}

/* --- DeleteObjects --- */

static int entry_opened(void *arg, unsigned depth, struct span name)
{
    struct delete_list *list = arg;
    if (depth != 2 || !span_eq_str(name, "Object"))
        return 0;
    if (list->count == DELETE_MAX)
        return ERR_SYNTAX;
    list->entries[list->count++] = (struct delete_entry){0};
    return 0;
}

static int entry_closed(void *arg, unsigned depth, struct span name, struct span text)
{
    struct delete_list *list = arg;
    if (depth == 2 && span_eq_str(name, "Quiet"))
        list->quiet = span_ieq(span_trim(text), SPAN_LITERAL("true"));
    if (depth == 2 && span_eq_str(name, "Object"))
        return list->count > 0 && list->entries[list->count - 1].key.len > 0 ? 0 : ERR_SYNTAX;
    if (depth != 3 || list->count == 0)
        return 0;
    struct delete_entry *entry = &list->entries[list->count - 1];
    if (span_eq_str(name, "Key")) {
        entry->key = arena_dup(list->arena, text);
        return entry->key.ptr != NULL ? 0 : ERR_NOMEM;
    }
    if (span_eq_str(name, "VersionId"))
        entry->other_version = text.len > 0 && !span_eq_str(text, "null");
    if (span_eq_str(name, "LastModifiedTime"))
        return add_modified(text, list->arena, &entry->condition);
    if (span_eq_str(name, "Size"))
        return add_size(text, list->arena, &entry->condition);
    if (span_eq_str(name, "ETag") && text.len > 0) {
        struct conditions conditions = {.if_match = span_trim(text)};
        Arca__Precondition *match, *condition = condition_of(list->arena, &entry->condition);
        if (condition == NULL || conditions_precondition(&conditions, list->arena, &match) != 0)
            return ERR_NOMEM;
        condition->must_exist = match->must_exist;
        condition->if_match = match->if_match;
        condition->n_if_match = match->n_if_match;
    }
    return 0;
}

int delete_parse(struct span body, struct arena *arena, struct delete_list *out)
{
    *out = (struct delete_list){.arena = arena, .entries = arena_alloc(arena, DELETE_MAX * sizeof(*out->entries))};
    if (out->entries == NULL)
        return ERR_NOMEM;
    struct xml_reader reader = {.opened = entry_opened, .closed = entry_closed, .arg = out};
    int rc = xml_in_parse(body, "Delete", &reader);
    return rc == 0 && out->count == 0 ? ERR_SYNTAX : rc;
}

static int admissible(struct s3_request *r, const struct delete_entry *entry)
{
    if (entry->key.len > KEY_MAX)
        return ERR_KEY_TOO_LONG;
    if (entry->other_version)
        return S3_NO_SUCH_VERSION;
    return s3_authorize(r, "s3:DeleteObject", r->target.bucket, entry->key);
}

static int delete_listed(struct s3_request *r, const struct delete_list *list, int *results)
{
    struct span *keys = arena_alloc(r->arena, list->count * sizeof(*keys));
    Arca__Precondition **conditions = arena_alloc(r->arena, list->count * sizeof(Arca__Precondition *));
    int *outcomes = arena_alloc(r->arena, list->count * sizeof(*outcomes));
    if (keys == NULL || conditions == NULL || outcomes == NULL)
        return ERR_NOMEM;
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        results[i] = admissible(r, &list->entries[i]);
        if (results[i] != 0)
            continue;
        keys[count] = list->entries[i].key;
        conditions[count++] = list->entries[i].condition;
    }
    if (count > 0)
        object_delete_all(r->engine, r->arena, r->bucket, keys, conditions, count, outcomes);
    count = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (results[i] == 0)
            results[i] = absent_is_fine(outcomes[count++], list->entries[i].condition);
    }
    return 0;
}

static int answer_deleted(struct s3_request *r, const struct delete_list *list, const int *results)
{
    struct buf xml = {0};
    xml_begin(&xml, "DeleteResult");
    for (size_t i = 0; i < list->count; i++) {
        /* A key with control bytes would make the whole answer unreadable to boto3: better one line less. */
        if (results[i] == 0 && (list->quiet || !xml_carries(list->entries[i].key)))
            continue;
        const char *element = results[i] == 0 ? "Deleted" : "Error";
        xml_open(&xml, element);
        xml_text(&xml, "Key", list->entries[i].key);
        if (results[i] != 0) {
            const struct s3_error_row *row = s3_error_row(results[i]);
            xml_str(&xml, "Code", row->code);
            xml_str(&xml, "Message", row->message);
        }
        xml_close(&xml, element);
    }
    xml_close(&xml, "DeleteResult");
    return s3_answer_xml(r, 200, &xml);
}

int op_delete_objects(struct s3_request *r)
{
    struct delete_list list;
    struct buf body;
    if (!checked_body_has_digest(r))
        return s3_fail(r, S3_INVALID_REQUEST, "Missing required header for this request: Content-MD5");
    int rc = checked_body_read_all(r, 0, &body);
    if (rc == 0)
        rc = delete_parse(buf_span(&body), r->arena, &list);
    buf_free(&body);
    if (rc != 0)
        return rc == ERR_SYNTAX ? S3_MALFORMED_XML : rc;
    int *results = arena_alloc(r->arena, list.count * sizeof(*results));
    if (results == NULL)
        return ERR_NOMEM;
    rc = delete_listed(r, &list, results);
    return rc != 0 ? rc : answer_deleted(r, &list, results);
}
