/* What the files of this room share. */
#ifndef ARCA_ADMIN_PRIVATE_H
#define ARCA_ADMIN_PRIVATE_H

#include <jansson.h>
#include "admin/admin.h"

struct admin_request {
    struct http_exchange *exchange;
    struct admin *admin;
    struct arena *arena;
    struct span name; /* what stands for '*' in the path, decoded */
};

void answer_text(struct admin_request *r, int status, const char *type, struct span body) SUSPENDS;
/* Takes `json` over; NULL: out of memory. */
void answer_json(struct admin_request *r, int status, json_t *json) SUSPENDS;
/* {"error": NAME, "message": ...} with the status that fits. */
void answer_error(struct admin_request *r, int rc, const char *format, ...) SUSPENDS
    __attribute__((format(printf, 3, 4)));
/* NULL when background work has not begun; answered then. */
struct jobs *running_jobs(struct admin_request *r) SUSPENDS;

/* A string of any bytes: what is not UTF-8 becomes '?'. */
json_t *json_text(const char *text);

/* --- jobs.c --- */
void get_jobs(struct admin_request *r) SUSPENDS;
void post_pause(struct admin_request *r) SUSPENDS;
void post_resume(struct admin_request *r) SUSPENDS;

/* --- placements.c --- */
void get_placements(struct admin_request *r) SUSPENDS;
void get_backends(struct admin_request *r) SUSPENDS;
void post_placement(struct admin_request *r) SUSPENDS;

#endif
