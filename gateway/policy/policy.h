/* May they: the one place where a request is allowed or denied, before any handler. */
#ifndef ARCA_POLICY_POLICY_H
#define ARCA_POLICY_POLICY_H

#include "base/span.h"

struct policy_request {
    const char *user_id;  /* NULL: anonymous */
    const char *action;   /* "s3:GetObject" */
    struct span bucket;   /* empty: the service */
    struct span key;      /* empty: the bucket */
};

/* 0 or ERR_DENIED. Every user of the credentials file may do everything; anonymous requests nothing. */
int policy_decide(const struct policy_request *request);

#endif
