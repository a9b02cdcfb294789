/* What remote.c and multi.c share. */
#ifndef ARCA_BACKENDS_REMOTE_REMOTE_PRIVATE_H
#define ARCA_BACKENDS_REMOTE_REMOTE_PRIVATE_H

#include <curl/curl.h>
#include "base/loop.h"
#include "remote.h"
#include "retry.h"

struct multi;

struct remote {
    struct remote_options options; /* defaults filled in; the texts are copies */
    struct retry_budget budget;
    struct multi *multis[LOOPS_MAX]; /* each of its loop's thread alone */
};

/* One exchange; on the stack of the fiber that waits for it. */
struct attempt {
    struct remote_request *request;
    const struct remote *remote;
    struct fiber *fiber;
    CURL *easy;
    struct curl_slist *headers;
    size_t sent;       /* bytes of the request's body */
    size_t dropped;    /* bytes of the answer's body that nobody wants */
    size_t head;       /* bytes of the answer's head */
    size_t text_start; /* of request->text before it */
    int64_t moved_ms;  /* when bytes moved last; far ahead until it has a connection */
    int64_t retry_after_ms;
    bool overflow; /* the answer was longer than it may be */
    int failed;    /* what a callback failed with */
    bool done;
    CURLcode code; /* once done */
    char error[CURL_ERROR_SIZE];
};

/* --- exchange.c --- */

/* Once, whatever comes of it: fills request->answer and `attempt`. What multi_run tells, ERR_NOMEM, ERR_INVALID (a
 * header that is none). */
int exchange_run(struct remote *remote, struct remote_request *request, struct attempt *attempt) SUSPENDS;

/* --- multi.c --- */

/* Runs an easy handle that is set up to its end: 0 (look at attempt->code), ERR_CANCELED, ERR_TIMEOUT (the deadline),
 * ERR_UNAVAILABLE (nothing moved for the stall timeout), ERR_NOMEM. */
int multi_run(struct multi *multi, struct attempt *attempt) SUSPENDS;
/* The calling loop's, made at the first use. NULL when out of memory. */
struct multi *multi_of_loop(struct remote *remote);
void multi_free(struct multi *multi); /* NULL is fine */
/* A fresh easy handle, or one as good as fresh. NULL when out of memory. */
CURL *multi_take_easy(struct multi *multi);
void multi_give_easy(struct multi *multi, CURL *easy);

#endif
