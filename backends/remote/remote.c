#include <libxml/parser.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "base/err.h"
#include "base/metrics.h"
#include "remote_private.h"
#include "xml.h"

#define RETRY_AFTER_MAX_MS 30000 /* what a store asks for beyond this is not waited for */

/* --- the endpoint --- */

/* "host:443" of https stays "host": what is signed is what is sent. */
static void drop_default_port(struct remote_endpoint *endpoint)
{
    const char *port = endpoint->tls ? ":443" : ":80";
    size_t host = strlen(endpoint->host), length = strlen(port);
    if (host > length && strcmp(endpoint->host + host - length, port) == 0)
        endpoint->host[host - length] = '\0';
}

int remote_endpoint_parse(const char *text, struct remote_endpoint *out)
{
    static const char host_bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]";
    static const char path_bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_~/";
    *out = (struct remote_endpoint){.tls = strncasecmp(text, "https://", 8) == 0};
    if (!out->tls && strncasecmp(text, "http://", 7) != 0)
        return ERR_INVALID;
    text += out->tls ? 8 : 7;
    size_t host = strcspn(text, "/"), path = strlen(text + host);
    const char *base = text + host;
    while (path > 0 && base[path - 1] == '/')
        path--;
    if (host == 0 || host >= sizeof(out->host) || strspn(text, host_bytes) < host || path >= sizeof(out->base_path) ||
        strspn(base, path_bytes) < path)
        return ERR_INVALID;
    memcpy(out->host, text, host);
    memcpy(out->base_path, base, path);
    drop_default_port(out);
    return out->host[0] != ':' ? 0 : ERR_INVALID;
}

/* --- life --- */

static int global_rc = ERR_NOMEM;

static void global_init(void)
{
    xmlInitParser(); /* before other threads use it */
    if (sodium_init() >= 0 && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        global_rc = 0;
}

static int copy(const char *text, const char **out)
{
    *out = text != NULL ? strdup(text) : NULL;
    return text == NULL || *out != NULL ? 0 : ERR_NOMEM;
}

int remote_create(const struct remote_options *options, struct remote **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    if (global_rc != 0)
        return global_rc;
    if (options->ca_file != NULL && access(options->ca_file, R_OK) != 0)
        return ERR_INVALID;
    struct remote *remote = calloc(1, sizeof(*remote));
    if (remote == NULL)
        return ERR_NOMEM;
    struct remote_options *to = &remote->options;
    to->connect_timeout_ms = options->connect_timeout_ms > 0 ? options->connect_timeout_ms : 5000;
    to->stall_timeout_ms = options->stall_timeout_ms > 0 ? options->stall_timeout_ms : 15000;
    to->attempts = options->attempts > 0 ? options->attempts : 5;
    to->connections = options->connections > 0 ? options->connections : 64;
    to->backoff_ms = options->backoff_ms > 0 ? options->backoff_ms : 100;
    retry_budget_init(&remote->budget);
    if (copy(options->name, &to->name) != 0 || copy(options->ca_file, &to->ca_file) != 0 ||
        copy(options->proxy, &to->proxy) != 0) {
        remote_free(remote);
        return ERR_NOMEM;
    }
    *out = remote;
    return 0;
}

void remote_free(struct remote *remote)
{
    if (remote == NULL)
        return;
    for (size_t i = 0; i < LOOPS_MAX; i++)
        multi_free(remote->multis[i]);
    free((char *)(uintptr_t)remote->options.name);
    free((char *)(uintptr_t)remote->options.ca_file);
    free((char *)(uintptr_t)remote->options.proxy);
    free(remote);
}

/* --- what is tried again --- */

struct verdict {
    int status;
    int rc;
    bool retry;
};

int remote_judge(int status, bool *retry)
{
    static const struct verdict verdicts[] = {
        {401, ERR_DENIED, false},     {403, ERR_DENIED, false},     {404, ERR_NOT_FOUND, false},
        {408, ERR_UNAVAILABLE, true}, {409, ERR_CONFLICT, true},    {410, ERR_NOT_FOUND, false},
        {412, ERR_CONFLICT, false},   {413, ERR_TOO_LARGE, false},  {416, ERR_RANGE, false},
        {429, ERR_UNAVAILABLE, true}, {500, ERR_UNAVAILABLE, true}, {502, ERR_UNAVAILABLE, true},
        {503, ERR_UNAVAILABLE, true}, {504, ERR_UNAVAILABLE, true}, {507, ERR_NOSPC, false},
    };
    *retry = false;
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++) {
        if (verdicts[i].status == status) {
            *retry = verdicts[i].retry;
            return verdicts[i].rc;
        }
    }
    return ERR_IO;
}

static int judge_code(CURLcode code, bool *retry)
{
    *retry = true;
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT: /* of the connect; all others are timed by us */
    case CURLE_SSL_CONNECT_ERROR:
        return ERR_UNAVAILABLE;
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_WEIRD_SERVER_REPLY:
        return ERR_IO;
    case CURLE_OUT_OF_MEMORY:
        *retry = false;
        return ERR_NOMEM;
    case CURLE_PEER_FAILED_VERIFICATION: /* of a certificate: only a person can help */
    case CURLE_SSL_CACERT_BADFILE:
        *retry = false;
        return ERR_UNAVAILABLE;
    default:
        *retry = false;
        return ERR_IO;
    }
}

/* `retry` tells whether another attempt may help. */
static int attempt_once(struct remote *remote, struct remote_request *request, int64_t *retry_after_ms, bool *retry)
{
    struct attempt attempt;
    *retry = false;
    *retry_after_ms = 0;
    request->answer = (struct remote_answer){.content_length = -1};
    int rc = request->prepare != NULL ? request->prepare(request, request->arg) : 0;
    if (rc != 0)
        return rc;
    metrics_add(METRIC_BACKEND_REQUESTS, 1);
    rc = exchange_run(remote, request, &attempt);
    *retry_after_ms = attempt.retry_after_ms;
    if (rc != 0) {
        *retry = rc == ERR_UNAVAILABLE;
        return rc;
    }
    if (attempt.failed != 0)
        return attempt.failed;
    if (attempt.code != CURLE_OK)
        return judge_code(attempt.code, retry);
    int status = request->answer.status;
    if (status >= 200 && status < 300)
        return 0;
    return request->judge != NULL ? request->judge(request, request->arg, retry) : remote_judge(status, retry);
}

int remote_perform(struct remote *remote, struct remote_request *request)
{
    unsigned attempts = request->once ? 1 : remote->options.attempts;
    for (unsigned attempt = 1;; attempt++) {
        bool retry;
        int64_t retry_after_ms;
        int rc = attempt_once(remote, request, &retry_after_ms, &retry);
        if (rc == 0)
            retry_budget_earn(&remote->budget);
        if (rc == 0 || !retry || attempt >= attempts || !retry_budget_take(&remote->budget))
            return rc;
        int paused = retry_after_ms > RETRY_AFTER_MAX_MS
                         ? ERR_TIMEOUT
                         : retry_pause(remote->options.backoff_ms, attempt, retry_after_ms, request->deadline_ms);
        if (paused != 0)
            return paused == ERR_CANCELED ? paused : rc;
        metrics_add(METRIC_BACKEND_RETRIES, 1);
    }
}

void remote_words(const struct remote_request *request, char *out, size_t size)
{
    const struct remote_answer *answer = &request->answer;
    char code[64];
    if (answer->why[0] != '\0') {
        snprintf(out, size, "%s", answer->why);
        return;
    }
    remote_xml_find(answer->words, "Code", code, sizeof(code));
    if (answer->status == 0)
        snprintf(out, size, "not sent");
    else
        snprintf(out, size, "%d%s%s", answer->status, code[0] != '\0' ? " " : "", code);
}
