#include "metadata.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"

#define ANSWER_MAX 16384
#define ROLE_MAX   128

/* --- the document --- */

static int take_text(const json_t *document, const char *name, char out[SECRET_SIZE])
{
    const char *text = json_string_value(json_object_get(document, name));
    if (text == NULL || strlen(text) >= SECRET_SIZE)
        return ERR_SYNTAX;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f)
            return ERR_SYNTAX;
    }
    strcpy(out, text);
    return text[0] != '\0' ? 0 : ERR_SYNTAX;
}

static void wipe(json_t *document)
{
    const char *name;
    json_t *value;
    json_object_foreach(document, name, value)
    {
        if (json_is_string(value))
            sodium_memzero((char *)(uintptr_t)json_string_value(value), json_string_length(value));
    }
}

int metadata_parse(struct span json, struct secrets *out, int64_t *expires_ms)
{
    int64_t seconds;
    json_t *document = json_loadb((const char *)json.ptr, json.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(document)) {
        json_decref(document);
        return ERR_SYNTAX;
    }
    int rc = take_text(document, "AccessKeyId", out->values[SECRET_ACCESS_KEY_ID]);
    if (rc == 0)
        rc = take_text(document, "SecretAccessKey", out->values[SECRET_SECRET_ACCESS_KEY]);
    if (rc == 0 && json_object_get(document, "Token") != NULL)
        rc = take_text(document, "Token", out->values[SECRET_SESSION_TOKEN]);
    *expires_ms = INT64_MAX;
    const char *expires = json_string_value(json_object_get(document, "Expiration"));
    if (rc == 0 && expires != NULL) {
        rc = clock_parse_iso(span_str(expires), &seconds);
        *expires_ms = rc == 0 ? seconds * 1000 : 0;
    }
    wipe(document);
    json_decref(document);
    return rc;
}

/* --- the service --- */

struct call {
    struct remote *remote;
    struct arena *arena;
    struct remote_endpoint endpoint;
    int64_t deadline_ms;
    char *why;
    size_t why_size;
};

static int ask(const struct call *call, const char *method, const char *url, const struct sign_header *header,
               struct buf *answer) SUSPENDS
{
    struct remote_request request = {.method = method,
                                     .url = url,
                                     .headers = header,
                                     .header_count = header != NULL,
                                     .arena = call->arena,
                                     .deadline_ms = call->deadline_ms,
                                     .text = answer};
    if (url == NULL)
        return ERR_NOMEM;
    answer->cap = ANSWER_MAX;
    if (answer->ptr == NULL && buf_reserve(answer, ANSWER_MAX) == NULL) /* it never moves: all of it is wiped */
        return ERR_NOMEM;
    int rc = remote_perform(call->remote, &request);
    if (rc != 0)
        remote_words(&request, call->why, call->why_size);
    return rc;
}

static void wipe_buf(struct buf *buf)
{
    if (buf->ptr != NULL)
        sodium_memzero(buf->ptr, buf->allocated); /* a failed attempt has left more than len tells */
    buf_free(buf);
}

static int begin(struct call *call, const char *address)
{
    if (remote_endpoint_parse(address, &call->endpoint) != 0) {
        snprintf(call->why, call->why_size, "the address of the metadata service must begin with http:// or https://");
        return ERR_INVALID;
    }
    call->arena = arena_create(ANSWER_MAX * 8);
    return call->arena != NULL ? 0 : ERR_NOMEM;
}

static char *url_of(const struct call *call, const char *path, struct span last)
{
    const struct remote_endpoint *at = &call->endpoint;
    return arena_printf(call->arena, "%s://%s%s%s%.*s", at->tls ? "https" : "http", at->host, at->base_path, path,
                        SPAN_FMT(last));
}

/* What the service answers with goes into a URL or a header. */
static bool is_word(struct span text, size_t most)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f || strchr("/?#%", text.ptr[i]) != NULL)
            return false;
    }
    return text.len > 0 && text.len <= most;
}

static int ec2(const struct call *call, struct buf *token, struct buf *role, struct buf *answer) SUSPENDS
{
    static const char path[] = "/latest/meta-data/iam/security-credentials/";
    const struct sign_header ttl = {SPAN_LITERAL("X-aws-ec2-metadata-token-ttl-seconds"), SPAN_LITERAL("21600")};
    int rc = ask(call, "PUT", url_of(call, "/latest/api/token", SPAN_LITERAL("")), &ttl, token);
    if (rc != 0)
        return rc;
    struct sign_header header = {SPAN_LITERAL("X-aws-ec2-metadata-token"), span_trim(buf_span(token))};
    for (size_t i = 0; i < header.value.len; i++) {
        if (header.value.ptr[i] <= ' ' || header.value.ptr[i] >= 0x7f)
            return ERR_SYNTAX;
    }
    if ((rc = ask(call, "GET", url_of(call, path, SPAN_LITERAL("")), &header, role)) != 0)
        return rc;
    struct span name, rest = span_split(buf_span(role), '\n', &name);
    (void)rest; /* an instance has one role */
    if (!is_word(name = span_trim(name), ROLE_MAX))
        return ERR_SYNTAX;
    return ask(call, "GET", url_of(call, path, name), &header, answer);
}

static int finish(struct call *call, int rc, struct buf *answer, struct secrets *out, int64_t *expires_ms)
{
    if (rc == 0)
        rc = metadata_parse(buf_span(answer), out, expires_ms);
    if (rc == ERR_SYNTAX)
        snprintf(call->why, call->why_size, "the metadata service answers with no credentials");
    wipe_buf(answer);
    arena_free(call->arena);
    return rc;
}

int metadata_ec2(struct remote *remote, const char *address, int64_t deadline_ms, struct secrets *out,
                 int64_t *expires_ms, char *why, size_t why_size)
{
    struct call call = {.remote = remote, .deadline_ms = deadline_ms, .why = why, .why_size = why_size};
    struct buf token = {0}, role = {0}, answer = {0};
    int rc = begin(&call, address != NULL ? address : "http://169.254.169.254");
    if (rc != 0)
        return rc;
    rc = ec2(&call, &token, &role, &answer);
    wipe_buf(&token);
    buf_free(&role);
    return finish(&call, rc, &answer, out, expires_ms);
}

/* ECS tells each container where to ask: a whole address, or a path on the agent's. */
static char *ecs_address(const char *address)
{
    const char *full = getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *path = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    char *out = NULL;
    int rc;
    if (address == NULL && full != NULL)
        rc = asprintf(&out, "%s", full);
    else if (path != NULL)
        rc = asprintf(&out, "%s%s", address != NULL ? address : "http://169.254.170.2", path);
    else
        rc = asprintf(&out, "%s", address != NULL ? address : "");
    return rc >= 0 ? out : NULL;
}

int metadata_ecs(struct remote *remote, const char *address, int64_t deadline_ms, struct secrets *out,
                 int64_t *expires_ms, char *why, size_t why_size)
{
    struct call call = {.remote = remote, .deadline_ms = deadline_ms, .why = why, .why_size = why_size};
    const char *token = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    const struct sign_header header = {SPAN_LITERAL("Authorization"), span_str(token)};
    struct buf answer = {0};
    char *url = ecs_address(address);
    if (url == NULL)
        return ERR_NOMEM;
    int rc = begin(&call, url);
    if (rc == 0) {
        rc = ask(&call, "GET", url, token != NULL ? &header : NULL, &answer);
        rc = finish(&call, rc, &answer, out, expires_ms);
    }
    free(url);
    return rc;
}
