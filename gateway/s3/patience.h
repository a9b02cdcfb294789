/* Work that may take longer than clients, and what stands between, wait for the head of an answer. */
#ifndef ARCA_S3_PATIENCE_H
#define ARCA_S3_PATIENCE_H

#include "s3/request.h"

/* Runs fn(arg), on a fiber of its own, and returns what it returned. When that takes long, a 200 is sent with the
 * headers added so far, the XML declaration, and blanks from time to time: r->early is set then, and the operation goes
 * on as always; its XML document, or the error's, is the rest of that answer (S3 does the same, and clients look for an
 * Error in a 200). Only for operations that answer with XML. When the client has gone, fn's waits are cancelled.
 * ERR_CLOSED, ERR_TIMEOUT, ERR_CANCELED besides fn's own. */
int patience_run(struct s3_request *r, int (*fn)(void *arg), void *arg) SUSPENDS;

#endif
