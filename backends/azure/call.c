/* One request to the store: its address, its signature, and what its failure means. */
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "private.h"

#define API_VERSION "2021-08-06" /* Put Blob of 5000 MiB (2019-12-12), x-ms-content-crc64 (2019-02-02) */
#define ARENA_LIMIT (256u << 10) /* bytes, for all attempts of one call */

int azure_call_begin(struct azure_call *call, struct azure *azure, const char *method, const char *key,
                     const char *query)
{
    *call = (struct azure_call){.azure = azure, .key = key, .query = query};
    call->fields[AZURE_FIELD_ERROR].name = "x-ms-error-code";
    call->fields[AZURE_FIELD_RANGE].name = "content-range";
    call->request = (struct remote_request){
        .method = method,
        .deadline_ms = loop_now_ms() + azure->timeout_ms,
        .fields = call->fields,
        .field_count = AZURE_FIELDS,
        .arena = arena_create(ARENA_LIMIT),
    };
    return call->request.arena != NULL ? 0 : ERR_NOMEM;
}

void azure_call_end(struct azure_call *call)
{
    arena_free(call->request.arena);
}

void azure_call_header(struct azure_call *call, const char *name, struct span value)
{
    call->headers[call->header_count++] = (struct sign_header){span_str(name), value};
}

/* --- the signature --- */

static int sign(struct azure_call *call, const char *path)
{
    struct azure *azure = call->azure;
    struct remote_request *request = &call->request;
    struct sign_azure_request what = {
        .account = span_str(azure->account),
        .method = span_str(request->method),
        .path = span_str(path),
        .query = span_str(call->query),
        .content_length = request->body.len,
        .headers = call->headers,
        .header_count = request->header_count,
    };
    struct span text;
    char signature[SIGN_AZURE_SIZE];
    int rc = sign_azure_string(&what, request->arena, &text);
    if (rc != 0)
        return rc;
    sign_azure_signature(span_of(azure->secret.bytes, azure->secret.length), text, signature);
    char *value = arena_printf(request->arena, "SharedKey %s:%s", azure->account, signature);
    if (value == NULL)
        return ERR_NOMEM;
    call->headers[request->header_count++] = (struct sign_header){SPAN_LITERAL("Authorization"), span_str(value)};
    return 0;
}

/* Anew for each attempt, since a date is signed. */
static int prepare(struct remote_request *request, void *arg)
{
    struct azure_call *call = arg;
    struct azure *azure = call->azure;
    const struct azure_secret *secret = &azure->secret;
    char *path = arena_printf(request->arena, "%s/%s%s%s", azure->endpoint.base_path, azure->container,
                              call->key[0] != '\0' ? "/" : "", call->key);
    if (path == NULL)
        return ERR_NOMEM;
    struct span token = secret->is_key ? SPAN_NONE : span_of(secret->bytes, secret->length);
    bool both = token.len > 0 && call->query[0] != '\0';
    request->url = arena_printf(request->arena, "%s://%s%s%s%s%s%.*s", azure->endpoint.tls ? "https" : "http",
                                azure->endpoint.host, path, token.len > 0 || call->query[0] != '\0' ? "?" : "",
                                call->query, both ? "&" : "", SPAN_FMT(token));
    if (request->url == NULL)
        return ERR_NOMEM;
    clock_http(clock_wall_ms(), call->date);
    request->headers = call->headers;
    request->header_count = call->header_count;
    call->headers[request->header_count++] = (struct sign_header){SPAN_LITERAL("x-ms-version"),
                                                                  SPAN_LITERAL(API_VERSION)};
    call->headers[request->header_count++] = (struct sign_header){SPAN_LITERAL("x-ms-date"), span_str(call->date)};
    return secret->is_key ? sign(call, path) : 0;
}

/* --- failures --- */

/* Codes that tell more than their status does. learn.microsoft.com/rest/api/storageservices/blob-service-error-codes */
struct meaning {
    const char *code;
    int rc;
    bool retry;
};

static int judge(struct remote_request *request, void *arg, bool *retry)
{
    static const struct meaning meanings[] = {
        {"BlobNotFound", ERR_NOT_FOUND, false},          {"Crc64Mismatch", ERR_IO, true},
        {"BlobArchived", ERR_UNAVAILABLE, false},        {"BlobBeingRehydrated", ERR_UNAVAILABLE, false},
        {"ContainerBeingDeleted", ERR_UNAVAILABLE, false}, {"AccountIsDisabled", ERR_UNAVAILABLE, false},
    };
    struct azure_call *call = arg;
    const struct remote_field *code = &call->fields[AZURE_FIELD_ERROR];
    for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++) {
        if (code->length > 0 && strcmp(code->value, meanings[i].code) == 0) {
            *retry = meanings[i].retry;
            return meanings[i].rc;
        }
    }
    int rc = remote_judge(request->answer.status, retry);
    return rc == ERR_NOT_FOUND ? ERR_UNAVAILABLE : rc; /* the container, the account, or some other server's word */
}

int azure_perform(struct azure_call *call)
{
    struct azure *azure = call->azure;
    struct remote_request *request = &call->request;
    char words[128];
    request->prepare = prepare;
    request->judge = judge;
    request->arg = call;
    int rc = remote_perform(azure->remote, request);
    if (rc == 0 || rc == ERR_NOT_FOUND || rc == ERR_CANCELED || rc == ERR_RANGE)
        return rc;
    remote_words(request, words, sizeof(words));
    log_warn("azure", "backend %s: %s %s/%s: %s", azure->backend.name, request->method, azure->container, call->key,
             words);
    return rc;
}
