/* Jobs as libs3 has them: calls and their callbacks, all on the job's thread. */
#include <string.h>
#include "end_mark.h"
#include "private.h"

static void moved(struct job *job, size_t bytes)
{
    job->moved += bytes;
    job->moved_ms = loop_now_ms();
}

static S3Status on_properties(const S3ResponseProperties *properties, void *arg)
{
    struct job *job = arg;
    job->content_length = (int64_t)properties->contentLength;
    moved(job, 0);
    return atomic_load(&job->abandoned) ? S3StatusAbortedByCallback : S3StatusOK;
}

static void on_complete(S3Status status, const S3ErrorDetails *details, void *arg)
{
    (void)details;
    struct job *job = arg;
    job->status = status;
    job->finished = true;
}

static int on_put_data(int size, char *buffer, void *arg)
{
    struct job *job = arg;
    if (atomic_load(&job->abandoned))
        return -1;
    struct span some = span_take(span_skip(job->data, job->moved), (size_t)size);
    if (some.len > 0)
        memcpy(buffer, some.ptr, some.len);
    moved(job, some.len);
    return (int)some.len;
}

static S3Status on_get_data(int size, const char *buffer, void *arg)
{
    struct job *job = arg;
    job->overflow = (size_t)size > job->length - job->moved;
    if (job->overflow || atomic_load(&job->abandoned))
        return S3StatusAbortedByCallback;
    memcpy(job->dst + job->moved, buffer, (size_t)size);
    moved(job, (size_t)size);
    return S3StatusOK;
}

/* A key that is not ours may be longer than a cursor. Behind its beginning and the highest character, none of ours is
 * skipped: they are shorter. */
static void take_last(struct blob_cursor *last, struct span key)
{
    static const char highest[] = "\xf4\x8f\xbf\xbf";
    size_t room = sizeof(last->bytes) - (sizeof(highest) - 1);
    struct span some = span_take(key, room);
    memcpy(last->bytes, some.ptr, some.len);
    last->length = (uint8_t)some.len;
    if (key.len > room) {
        memcpy(last->bytes + room, highest, sizeof(highest) - 1);
        last->length = sizeof(last->bytes);
    }
}

static S3Status on_keys(int truncated, const char *next, int count, const S3ListBucketContent *keys, int prefixes,
                        const char **prefix, void *arg)
{
    (void)next, (void)prefixes, (void)prefix;
    struct job *job = arg;
    struct page *page = job->page;
    moved(job, 0);
    if (page == NULL)
        return S3StatusOK;
    page->truncated = truncated != 0;
    for (int i = 0; i < count; i++) {
        struct span key = span_str(keys[i].key);
        struct blob_name name;
        take_last(&page->last, key);
        if (end_mark_is(page->prefix, key))
            page->ended = true;
        if (!blob_key_parse(page->prefix, key, &name))
            continue;
        if (page->out->count == BLOB_BATCH) {
            page->crowded = true;
            return S3StatusAbortedByCallback;
        }
        page->out->entries[page->out->count++] = (struct blob_entry){.name = name, .size = keys[i].size};
    }
    return S3StatusOK;
}

static const S3ResponseHandler response_handler = {on_properties, on_complete};

static void begin_list(struct job *job, S3RequestContext *context)
{
    static const S3ListBucketHandler handler = {{on_properties, on_complete}, on_keys};
    char prefix[BLOB_KEY_PREFIX_MAX + 2];
    struct page *page = job->page;
    size_t length = strlen(job->libs3->prefix);
    memcpy(prefix, job->libs3->prefix, length);
    memcpy(prefix + length, "/", 2);
    if (page != NULL) {
        page->out->count = 0;
        page->ended = page->truncated = page->crowded = false;
        page->last.length = 0;
    }
    S3_list_bucket(&job->libs3->bucket, length > 0 ? prefix : NULL, job->key, NULL, page != NULL ? BLOB_BATCH : 1,
                   context, &handler, job);
}

void request_begin(struct job *job, S3RequestContext *context)
{
    static const S3PutObjectHandler put_handler = {{on_properties, on_complete}, on_put_data};
    static const S3GetObjectHandler get_handler = {{on_properties, on_complete}, on_get_data};
    const S3BucketContext *bucket = &job->libs3->bucket;
    const S3PutProperties properties = {.contentType = "application/octet-stream", .md5 = job->md5, .expires = -1};
    switch (job->kind) {
    case JOB_PUT:
        S3_put_object(bucket, job->key, job->data.len, &properties, context, &put_handler, job);
        break;
    case JOB_GET:
        S3_get_object(bucket, job->key, NULL, job->offset, job->length, context, &get_handler, job);
        break;
    case JOB_SIZE:
        S3_head_object(bucket, job->key, context, &response_handler, job);
        break;
    case JOB_REMOVE:
        S3_delete_object(bucket, job->key, context, &response_handler, job);
        break;
    case JOB_LIST:
    case JOB_PROBE:
        begin_list(job, context);
    }
}

/* --- curl handles --- */

#define HANDLES_KEPT 32 /* by libs3; of more, it closes those that come back last */

static S3Status ignore_properties(const S3ResponseProperties *properties, void *arg)
{
    (void)properties, (void)arg;
    return S3StatusOK;
}

static void ignore_end(S3Status status, const S3ErrorDetails *details, void *arg)
{
    (void)status, (void)details, (void)arg;
}

/* Requests that have a handle each and are never sent. NULL without memory. */
static S3RequestContext *take_handles(const struct job *job)
{
    static const S3ResponseHandler handler = {ignore_properties, ignore_end};
    S3RequestContext *context;
    if (S3_create_request_context(&context) != S3StatusOK)
        return NULL;
    for (int i = 0; i < HANDLES_KEPT; i++)
        S3_head_object(&job->libs3->bucket, job->key, context, &handler, NULL);
    return context;
}

/* The second time they are new: they are given back first, and then there is no room for the others. */
void request_renew_handles(const struct job *job)
{
    S3RequestContext *old = take_handles(job), *new = take_handles(job);
    if (new != NULL)
        S3_destroy_request_context(new);
    if (old != NULL)
        S3_destroy_request_context(old);
}
