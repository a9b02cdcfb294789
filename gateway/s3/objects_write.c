#include "s3/objects_write.h"

#include "base/err.h"
#include "s3/checked_body.h"
#include "s3/checksums.h"
#include "s3/conditions.h"
#include "s3/headers.h"
#include "s3/operations.h"

Arca__Object *write_object_record(struct s3_request *r)
{
    Arca__Object *object = arena_alloc(r->arena, sizeof(*object));
    if (object == NULL)
        return NULL;
    arca__object__init(object);
    object->owner_id = arena_strdup(r->arena, span_str(r->identity.who->user_id));
    object->owner_name = arena_strdup(r->arena, span_str(r->identity.who->display_name));
    return object->owner_id != NULL && object->owner_name != NULL ? object : NULL;
}

int write_precondition(struct s3_request *r, Arca__Precondition **out)
{
    struct conditions conditions;
    conditions_read(r->http, false, &conditions);
    return conditions_precondition(&conditions, r->arena, out);
}

int write_failure(struct s3_request *r, int rc, const Arca__Precondition *precondition)
{
    if (rc == ERR_CONFLICT)
        return S3_CONDITIONAL_CONFLICT;
    if (rc != ERR_PRECONDITION || precondition == NULL || (!precondition->must_exist && precondition->n_if_match == 0))
        return rc;
    Arca__Object *object;
    return index_object_get(r->index, r->bucket->id, r->target.key, r->arena, &object, NULL) == ERR_NO_SUCH_KEY
               ? ERR_NO_SUCH_KEY
               : rc;
}

int op_put_object(struct s3_request *r)
{
    struct checked_body body = {0};
    struct object_put put = {
        .bucket = r->bucket,
        .key = r->target.key,
        .object = write_object_record(r),
        .seal = {checked_body_described, &body},
        .size_max = PUT_SIZE_MAX,
        .deadline_ms = DEADLINE_NONE,
    };
    if (put.object == NULL)
        return ERR_NOMEM;
    int rc = headers_check_write(r);
    if (rc == 0)
        rc = headers_read(r, &put.object->headers);
    if (rc == 0)
        rc = write_precondition(r, &put.precondition);
    if (rc == 0)
        rc = checked_body_open(r, DIGEST_NONE, 0, &body);
    if (rc == 0 && body.source->length > (int64_t)PUT_SIZE_MAX)
        rc = ERR_TOO_LARGE;
    if (rc == 0) {
        put.body = body.source;
        rc = object_put(r->engine, r->arena, &put);
        r->retry_after_s = put.retry_after_s;
    }
    checked_body_close(&body);
    if (rc != 0)
        return write_failure(r, rc, put.precondition);
    headers_write_etag(r, put.object->etag);
    headers_write_encryption(r);
    checksums_write(r, put.object->checksums, put.object->n_checksums, 0);
    return s3_answer_empty(r, 200);
}
