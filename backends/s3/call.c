/* One request to an S3 store: signing, and what its answers mean. */
#include <stdio.h>
#include <string.h>
#include "backends/remote/xml.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "s3_private.h"

#define CALL_ARENA  (256 << 10)
#define SKEW_MAX_MS (24 * 3600000LL)

/* --- signing --- */

static struct sign_header header(const char *name, const char *value)
{
    return (struct sign_header){span_str(name), span_str(value)};
}

/* Anew for every attempt: the time and the keys may be others. */
static int prepare(struct remote_request *request, void *arg) SUSPENDS
{
    struct call *call = arg;
    struct s3 *s3 = call->s3;
    s3_keys_put(call->key);
    call->key = NULL;
    int rc = s3_keys_get(s3->keys, request->deadline_ms, &call->key);
    if (rc != 0)
        return rc;
    clock_basic(clock_wall_ms() + atomic_load(&s3->skew_ms), call->timestamp);
    struct sign_header *headers = call->headers;
    size_t count = 0;
    headers[count++] = header("Host", s3->host);
    headers[count++] = header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    headers[count++] = header("x-amz-date", call->timestamp);
    if (call->key->session_token[0] != '\0')
        headers[count++] = header("x-amz-security-token", call->key->session_token);
    for (size_t i = 0; i < call->own_count; i++)
        headers[count++] = call->own[i];
    const struct sign_request signable = {.method = span_str(request->method),
                                          .path = span_str(call->path),
                                          .query = span_str(call->query),
                                          .headers = headers,
                                          .header_count = count,
                                          .payload_hash = SPAN_LITERAL("UNSIGNED-PAYLOAD")};
    const struct sign_client client = {span_str(call->key->access_key), span_str(call->key->secret_key),
                                       span_str(call->timestamp), span_str(s3->region), SPAN_LITERAL("s3")};
    struct span authorization;
    rc = sign_authorization(&signable, &client, request->arena, &authorization);
    headers[count++] = (struct sign_header){SPAN_LITERAL("Authorization"), authorization};
    request->headers = headers;
    request->header_count = count;
    return rc;
}

/* --- what answers mean --- */

static void expire_keys(struct call *call)
{
    s3_keys_expired(call->s3->keys, call->key);
}

/* The store says that our clock is wrong, and what its own shows. A date that is far off is no reason to sign for it.
 */
static void take_clock(struct call *call)
{
    int64_t seconds;
    const struct remote_field *date = &call->fields[CALL_FIELDS - 1];
    if (clock_parse_http(span_of(date->value, date->length), &seconds) != 0)
        return;
    int64_t skew_ms = seconds * 1000 - clock_wall_ms();
    if (skew_ms > SKEW_MAX_MS || skew_ms < -SKEW_MAX_MS)
        return;
    log_warn("s3_clock", "backend %s: its clock is %lld s ahead of ours; check this machine's", call->s3->backend.name,
             (long long)(skew_ms / 1000));
    atomic_store(&call->s3->skew_ms, skew_ms);
}

/* Where an error's code tells more than its status. */
static const struct meaning {
    const char *code;
    int rc;
    bool retry;
    void (*act)(struct call *call);
} meanings[] = {
    {"BadDigest", ERR_IO, true, NULL}, /* damaged on the way */
    {"ExpiredToken", ERR_DENIED, true, expire_keys},
    {"InternalError", ERR_UNAVAILABLE, true, NULL},
    {"NoSuchBucket", ERR_UNAVAILABLE, false, NULL}, /* nothing is known of the blob */
    {"QuotaExceeded", ERR_NOSPC, false, NULL},      /* Ceph */
    {"RequestTimeTooSkewed", ERR_DENIED, true, take_clock},
    {"RequestTimeout", ERR_UNAVAILABLE, true, NULL}, /* a 400 */
    {"SlowDown", ERR_UNAVAILABLE, true, NULL},
    {"XAmzContentChecksumMismatch", ERR_IO, true, NULL},
    {"XMinioStorageFull", ERR_NOSPC, false, NULL},
};

static int judge(struct remote_request *request, void *arg, bool *retry)
{
    struct call *call = arg;
    call->code[0] = '\0';
    if (request->answer.words.len > 0)
        remote_xml_find(request->answer.words, "Code", call->code, sizeof(call->code));
    for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++) {
        if (strcmp(call->code, meanings[i].code) != 0)
            continue;
        if (meanings[i].act != NULL)
            meanings[i].act(call);
        *retry = meanings[i].retry;
        return meanings[i].rc;
    }
    return remote_judge(request->answer.status, retry);
}

/* --- a call --- */

int call_begin(struct s3 *s3, const char *what, const char *method, const char *path, struct call *call)
{
    *call = (struct call){.s3 = s3, .what = what, .query = (char *)(uintptr_t) ""};
    call->fields[CALL_FIELDS - 1].name = "date";
    call->fields[0].name = "";
    struct arena *arena = arena_create(CALL_ARENA);
    if (arena == NULL)
        return ERR_NOMEM;
    call->path = arena_printf(arena, "%s%s", s3->root, path);
    if (call->path == NULL) {
        arena_free(arena);
        return ERR_NOMEM;
    }
    call->request = (struct remote_request){.method = method,
                                            .prepare = prepare,
                                            .judge = judge,
                                            .arg = call,
                                            .arena = arena,
                                            .deadline_ms = loop_now_ms() + s3->timeout_ms,
                                            .fields = call->fields,
                                            .field_count = CALL_FIELDS};
    return 0;
}

void call_header(struct call *call, const char *name, const char *value)
{
    call->own[call->own_count++] = header(name, value);
}

void call_wants(struct call *call, const char *name)
{
    call->fields[0].name = name;
}

int call_perform(struct call *call)
{
    struct s3 *s3 = call->s3;
    char words[128];
    call->request.url = arena_printf(call->request.arena, "%s://%s%s%s%s", s3->tls ? "https" : "http", s3->host,
                                     call->path, call->query[0] != '\0' ? "?" : "", call->query);
    if (call->request.url == NULL)
        return ERR_NOMEM;
    int rc = remote_perform(s3->remote, &call->request);
    if (rc != 0 && rc != ERR_CANCELED && rc != ERR_NOT_FOUND) {
        remote_words(&call->request, words, sizeof(words));
        log_warn("s3", "backend %s: %s: %s", s3->backend.name, call->what, words);
    }
    return rc;
}

void call_end(struct call *call)
{
    s3_keys_put(call->key);
    arena_free(call->request.arena);
}
