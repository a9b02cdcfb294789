/* What the files of this folder share. */
#ifndef ARCA_BACKENDS_LIBS3_PRIVATE_H
#define ARCA_BACKENDS_LIBS3_PRIVATE_H

#include <libs3.h>
#include <stdatomic.h>
#include "backends/remote/blob_key.h"
#include "backends/remote/retry.h"
#include "backends/remote/secrets.h"
#include "base/list.h"
#include "base/loop.h"
#include "libs3.h"

struct pool;

struct libs3 {
    struct backend backend;
    struct pool *pool;
    struct secrets *secrets;
    struct retry_budget budget;
    S3BucketContext bucket; /* points to what follows and to the secrets */
    char *host;
    char *bucket_name;
    char prefix[BLOB_KEY_PREFIX_MAX + 1];
    int64_t timeout_ms;
    int64_t stall_ms;
};

/* What a page of a listing has told so far; begins anew with each attempt. */
struct page {
    const char *prefix;
    struct blob_batch *out;
    bool ended;     /* the end mark was among the keys */
    bool truncated; /* the store says that there is more */
    bool crowded;   /* more blobs than were asked for */
    struct blob_cursor last; /* the last key */
};

enum job_kind { JOB_PUT, JOB_GET, JOB_SIZE, JOB_REMOVE, JOB_LIST, JOB_PROBE };

/* One request; on the stack of the fiber that waits for it. */
struct job {
    struct list link;
    bool queued; /* under the pool's lock */
    struct libs3 *libs3;
    enum job_kind kind;
    const char *key;   /* of a listing: the marker, or NULL */
    struct span data;  /* put */
    const char *md5;   /* in base64 */
    uint64_t offset;   /* get */
    uint64_t length;
    uint8_t *dst;
    struct page *page; /* list */
    int64_t deadline_ms;
    atomic_bool abandoned; /* the fiber wants it to end at once */
    /* of the attempt: */
    size_t moved;      /* bytes of the body, either way */
    int64_t moved_ms;  /* when */
    bool overflow;     /* more came than was asked for */
    bool stalled;
    bool finished;
    S3Status status;
    int64_t content_length; /* of the answer, -1 unknown */
    struct fiber *fiber;
    struct loop *loop;
    struct completion done;
};

/* --- pool.c: threads that run requests, each with connections of its own --- */
int pool_create(unsigned threads, struct pool **out); /* ERR_NOMEM, ERR_IO */
void pool_free(struct pool *pool);                    /* nothing is queued; NULL is fine */
/* One attempt: 0 (look at job->status), ERR_CANCELED, ERR_TIMEOUT. No thread knows the job any more when it returns. */
int pool_run(struct pool *pool, struct job *job) SUSPENDS;

/* --- request.c: jobs as libs3 has them --- */
void request_begin(struct job *job, S3RequestContext *context);
/* Replaces the curl handles that libs3 keeps by new ones. Nobody begins a request meanwhile. */
void request_renew_handles(const struct job *job);

#endif
