/* The S3 protocol over the engine: http_handler that routes, authenticates, authorises, and runs one operation. */
#ifndef ARCA_S3_S3_H
#define ARCA_S3_S3_H

#include "http/http.h"

struct s3;
struct auth;
struct engine;

struct s3_options {
    struct auth *auth;
    struct engine *engine;
    const char *region; /* all strings are borrowed: they outlive the s3 */
    char *const *domains; /* virtual-host style below these */
    size_t domain_count;
    bool access_log;
};

int s3_create(const struct s3_options *options, struct s3 **out); /* ERR_NOMEM */
void s3_free(struct s3 *s3);

/* An http_handler; arg is the struct s3. */
void s3_handle(struct http_exchange *exchange, void *arg) SUSPENDS;

#endif
