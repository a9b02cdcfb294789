/* HTTP/1.1 to remote stores, for the drivers that speak it: libcurl on the loop, one multi a loop and backend, so that
 * connections are used again. No answer is trusted: lengths are capped, redirects are refused, and what may be tried
 * again is tried again, with backoff, within a budget and never past the deadline. */
#ifndef ARCA_BACKENDS_REMOTE_REMOTE_H
#define ARCA_BACKENDS_REMOTE_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/fiber.h"
#include "base/span.h"
#include "crypto/sign.h"

/* --- where --- */

/* "http://127.0.0.1:9000/base". Plain data. */
struct remote_endpoint {
    bool tls;
    char host[256];      /* as the Host header has it: with the port unless it is the scheme's */
    char base_path[256]; /* "" or "/..." without a last slash */
};
/* http or https, a host, perhaps a port and a path; no user, query or fragment. ERR_INVALID. */
int remote_endpoint_parse(const char *text, struct remote_endpoint *out);

/* --- one backend's client --- */

struct remote;

/* Zero: the default. */
struct remote_options {
    const char *name;           /* the backend's, for the log */
    const char *ca_file;        /* PEM; NULL: the system's */
    const char *proxy;          /* "http://proxy.clinic.example:3128"; NULL: none. The environment is not asked */
    int64_t connect_timeout_ms; /* 5 s */
    int64_t stall_timeout_ms;   /* 15 s: an attempt that has a connection and moves no byte for so long has failed */
    unsigned attempts;          /* 5 in all */
    unsigned connections;       /* 64 a loop */
    int64_t backoff_ms; /* 100 ms: doubles with every attempt up to 50 times that; a random part of it is waited */
};
/* ERR_NOMEM, ERR_INVALID (a CA file that cannot be read). Copies the options. */
int remote_create(const struct remote_options *options, struct remote **out);
/* No request is under way, and the loops have ended or run this. NULL is fine. */
void remote_free(struct remote *remote);

/* --- one request --- */

/* A chosen header of the answer. A value that is longer than there is room counts as absent. */
#define REMOTE_FIELD_MAX 255
struct remote_field {
    const char *name; /* set by the caller; any case */
    size_t length;    /* 0: absent */
    char value[REMOTE_FIELD_MAX + 1];
};

#define REMOTE_WORDS_MAX 4096
struct remote_answer {
    int status;             /* 0: none came */
    size_t length;          /* bytes of a 2xx answer's body at dst or in `text`; of HEAD 0 */
    int64_t content_length; /* as the header says, -1 without it; for HEAD */
    struct span words;      /* the body of any other answer, cut at REMOTE_WORDS_MAX; in the request's arena */
    char why[96];           /* what went wrong below HTTP; "" else */
};

struct remote_request {
    const char *method; /* "GET", "HEAD", "PUT", "POST" or "DELETE" */
    const char *url;    /* whole, with its query, encoded; its path is not normalised */
    struct span body;   /* sent with Content-Length; of PUT and POST, even when empty */
    /* Sent as they are; one whose value is empty is sent without one. Host is made of the URL unless it stands here. */
    const struct sign_header *headers;
    size_t header_count;
    /* Called before every attempt (NULL: none): signs anew, may change url and headers; allocates in `arena`. What it
     * returns but 0 ends the request. */
    int (*prepare)(struct remote_request *request, void *arg) SUSPENDS;
    /* Called after every answer that is not 2xx (NULL: remote_judge): what it means. */
    int (*judge)(struct remote_request *request, void *arg, bool *retry);
    void *arg;
    struct arena *arena; /* lives through the request; a few KiB an attempt */
    int64_t deadline_ms; /* as loop_now_ms, for all attempts together */
    /* Where the body of a 2xx answer goes: one that is longer than `capacity` fails with ERR_IO. Or, when dst is NULL,
     * to the end of *text, up to its cap; NULL: no body is wanted, any is dropped up to a limit. */
    uint8_t *dst;
    size_t capacity;
    struct buf *text;
    struct remote_field *fields;
    size_t field_count;
    bool once;                   /* no second attempt */
    struct remote_answer answer; /* of the last attempt */
};

/* 0: a 2xx answer came, whole. What remote_judge tells of others; ERR_IO (broken, too long, cut), ERR_UNAVAILABLE (not
 * reached, overloaded), ERR_TIMEOUT, ERR_CANCELED, ERR_NOMEM, and what `prepare` and `judge` return. The bytes at dst
 * are defined after 0 only. Logs nothing: the caller knows what it wanted. */
int remote_perform(struct remote *remote, struct remote_request *request) SUSPENDS;

/* What a status means for a store: 404 and 410 ERR_NOT_FOUND; 401 and 403 ERR_DENIED; 416 ERR_RANGE; 409 and 412
 * ERR_CONFLICT; 507 ERR_NOSPC; 408, 429, 500, 502, 503, 504 ERR_UNAVAILABLE, and they and 409 may be tried again; 413
 * ERR_TOO_LARGE; redirects and all others ERR_IO. */
int remote_judge(int status, bool *retry);

/* The last attempt in words, for logs and probes: "503 SlowDown", "connect: connection refused". Never a secret. */
void remote_words(const struct remote_request *request, char *out, size_t size);

#endif
