#include "s3/patience.h"

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "object/aside.h"
#include "s3/xml_out.h"

/* Proxies and clients give up after 30 to 60 seconds of silence. What fails within this time still gets a status that
 * says so. */
#define PATIENCE_MS 5000

static int send_early(struct s3_request *r) SUSPENDS
{
    struct span declaration = SPAN_LITERAL(XML_DECLARATION), blank = SPAN_LITERAL(" ");
    if (r->early)
        return http_answer_write(r->exchange, &blank, 1);
    r->early = true;
    http_answer_header(r->exchange, "Content-Type", SPAN_LITERAL("application/xml"));
    http_answer_begin(r->exchange, 200, -1);
    return http_answer_write(r->exchange, &declaration, 1); /* blanks before it would be no XML */
}

struct patient {
    struct s3_request *request;
    int (*fn)(void *arg);
    void *arg;
};

/* What is logged on the other fiber belongs to the request, too. */
static int run(void *arg) SUSPENDS
{
    const struct patient *patient = arg;
    log_request_id(http_request_id(patient->request->exchange));
    return patient->fn(patient->arg);
}

int patience_run(struct s3_request *r, int (*fn)(void *arg), void *arg)
{
    struct patient patient = {r, fn, arg};
    struct aside aside;
    int rc = 0;
    aside_start(&aside, run, &patient);
    while (rc == 0 && aside_running(&aside)) {
        rc = aside_wait(&aside, loop_now_ms() + PATIENCE_MS);
        if (rc == ERR_TIMEOUT)
            rc = send_early(r);
    }
    if (rc == 0)
        return aside.rc;
    aside_cancel(&aside);
    return rc;
}
