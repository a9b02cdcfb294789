/* The admin listener's requests: /-/health/live, /-/health/ready, /-/metrics. */
#ifndef ARCA_ADMIN_ADMIN_H
#define ARCA_ADMIN_ADMIN_H

#include "http/http.h"

struct admin {
    /* 0 while the daemon can serve; else the error, and `why` in words. Called on a fiber. */
    int (*ready)(void *arg, char *why, size_t why_size) SUSPENDS;
    void *arg;
};

/* An http_handler; arg is the struct admin. */
void admin_handle(struct http_exchange *exchange, void *arg) SUSPENDS;

#endif
