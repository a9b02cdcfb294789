#include "auth/auth.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include "auth/claim.h"
#include "auth/signing_keys.h"
#include "auth/sigv2.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"

#define SIGNED_MAX     128 /* names in SignedHeaders */
#define UNSIGNED_VALUE "UNSIGNED-PAYLOAD"

struct auth {
    pthread_mutex_t lock; /* of set and keys; held for a few instructions at a time */
    struct credentials *set;
    struct signing_keys *keys;
    char *file;
    char *region;
};

int auth_create(const struct auth_options *options, char *why, size_t why_size, struct auth **out)
{
    struct auth *auth = calloc(1, sizeof(*auth));
    int rc = ERR_NOMEM;

    if (auth == NULL || sodium_init() < 0) {
        free(auth);
        snprintf(why, why_size, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    pthread_mutex_init(&auth->lock, NULL);
    auth->file = strdup(options->credentials_file);
    auth->region = strdup(options->region);
    auth->keys = signing_keys_create();
    if (auth->file != NULL && auth->region != NULL && auth->keys != NULL)
        rc = credentials_load(auth->file, why, why_size, &auth->set);
    else
        snprintf(why, why_size, "%s", err_text(ERR_NOMEM));
    if (rc != 0)
        auth_free(auth);
    else
        *out = auth;
    return rc;
}

int auth_reload(struct auth *auth, char *why, size_t why_size)
{
    struct credentials *fresh, *old;
    int rc = credentials_load(auth->file, why, why_size, &fresh);

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&auth->lock);
    old = auth->set;
    auth->set = fresh;
    signing_keys_wipe(auth->keys);
    pthread_mutex_unlock(&auth->lock);
    credentials_unref(old);
    return 0;
}

void auth_free(struct auth *auth)
{
    if (auth == NULL)
        return;
    credentials_unref(auth->set);
    signing_keys_free(auth->keys);
    pthread_mutex_destroy(&auth->lock);
    free(auth->file);
    free(auth->region);
    free(auth);
}

/* --- the payload's kind --- */

static int classify_payload(struct span text, struct auth_identity *out)
{
    static const struct {
        struct span text;
        enum auth_payload payload;
    } kinds[] = {
        {SPAN_LITERAL(UNSIGNED_VALUE), AUTH_PAYLOAD_UNSIGNED},
        {SPAN_LITERAL("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), AUTH_PAYLOAD_CHUNKED_SIGNED},
        {SPAN_LITERAL("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"), AUTH_PAYLOAD_CHUNKED_SIGNED_TRAILER},
        {SPAN_LITERAL("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), AUTH_PAYLOAD_CHUNKED_UNSIGNED_TRAILER},
    };

    if (text.len == 64) {
        out->payload = AUTH_PAYLOAD_SHA256;
        return text_unhex(text, out->sha256, sizeof(out->sha256)) == 0 ? 0 : ERR_INVALID;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (span_eq(text, kinds[i].text)) {
            out->payload = kinds[i].payload;
            return 0;
        }
    }
    return span_starts(text, SPAN_LITERAL("STREAMING-AWS4-ECDSA-")) ? ERR_UNSUPPORTED : ERR_INVALID;
}

/* What the canonical request has in the place of the payload's hash. The signed chunks of a presigned request, or of
 * one with a V2 signature, would need a seed that is not there, and its unsigned ones have been a way around the
 * signature elsewhere: such a body is plain. */
static int find_payload(const struct claim *claim, const struct claim_headers *headers, struct auth_identity *out,
                        struct span *text)
{
    int rc;

    if (headers->content_sha256s > 1)
        return ERR_INVALID;
    *text = headers->content_sha256;
    if (claim->kind == CLAIM_QUERY && claim->content_sha256.ptr != NULL)
        *text = claim->content_sha256;
    if (text->ptr == NULL) {
        if (claim->kind == CLAIM_HEADER)
            return ERR_INVALID;
        *text = SPAN_LITERAL(UNSIGNED_VALUE);
    }
    rc = classify_payload(*text, out);
    if (rc != 0)
        return rc;
    bool chunked = out->payload != AUTH_PAYLOAD_SHA256 && out->payload != AUTH_PAYLOAD_UNSIGNED;
    if (claim->kind != CLAIM_HEADER && claim->kind != CLAIM_NONE && chunked)
        return ERR_INVALID;
    if (claim->kind == CLAIM_NONE && chunked && out->payload != AUTH_PAYLOAD_CHUNKED_UNSIGNED_TRAILER)
        return ERR_INVALID;
    return 0;
}

/* --- time --- */

/* The request's own time, as the string that is signed has it. */
static int find_time(const struct claim *claim, const struct claim_headers *headers, char timestamp[CLOCK_BASIC_SIZE],
                     int64_t *seconds)
{
    int malformed = claim->kind == CLAIM_QUERY ? ERR_AUTH_QUERY : ERR_DENIED;
    struct span text = claim->kind == CLAIM_QUERY ? claim->timestamp : headers->amz_date;

    if (text.ptr == NULL && claim->kind == CLAIM_HEADER) {
        if (headers->dates != 1)
            return ERR_DENIED;
        /* Some clients write Date in the form of x-amz-date. */
        text = headers->date;
        if (clock_parse_basic(text, seconds) != 0 && clock_parse_http(text, seconds) != 0)
            return ERR_DENIED;
    } else if (headers->amz_dates > 1 || clock_parse_basic(text, seconds) != 0) {
        return malformed;
    }
    clock_basic(*seconds * 1000, timestamp);
    if (!span_eq(claim->date, span_of(timestamp, 8)))
        return claim->kind == CLAIM_QUERY ? ERR_AUTH_QUERY : ERR_AUTH_HEADER;
    return 0;
}

static int check_time(const struct claim *claim, int64_t seconds, int64_t now)
{
    if (seconds - now > AUTH_SKEW_SECONDS)
        return ERR_SKEWED;
    if (claim->kind == CLAIM_QUERY)
        return now - seconds > (int64_t)claim->expires ? ERR_EXPIRED : 0;
    return now - seconds > AUTH_SKEW_SECONDS ? ERR_SKEWED : 0;
}

/* --- signed headers --- */

struct signed_names {
    struct span names[SIGNED_MAX];
    bool found[SIGNED_MAX];
    size_t count;
};

static int split_names(const struct claim *claim, struct signed_names *out)
{
    int malformed = claim->kind == CLAIM_QUERY ? ERR_AUTH_QUERY : ERR_AUTH_HEADER;
    struct span rest = claim->signed_headers;
    bool host = false;

    out->count = 0;
    while (rest.ptr != NULL) {
        struct span name;
        rest = span_split(rest, ';', &name);
        if (name.len == 0 || out->count == SIGNED_MAX)
            return malformed;
        for (size_t i = 0; i < out->count; i++) {
            if (span_ieq(out->names[i], name))
                return malformed;
        }
        host = host || span_ieq(name, SPAN_LITERAL("host"));
        out->found[out->count] = false;
        out->names[out->count++] = name;
    }
    return host ? 0 : ERR_DENIED;
}

/* An x-amz-* header changes what a request does, so that an unsigned one must not be obeyed. The payload's hash stands
 * in the canonical request by itself. */
static bool must_be_signed(struct span name)
{
    return name.len > 6 && span_ieq(span_take(name, 6), SPAN_LITERAL("x-amz-")) &&
           !span_ieq(name, SPAN_LITERAL("x-amz-content-sha256"));
}

/* All headers of the signed names. ERR_DENIED: one is absent, or one that had to be signed is not. */
static int collect_headers(const struct http_request *request, struct signed_names *names, struct arena *arena,
                           struct sign_request *out)
{
    struct sign_header *headers = arena_alloc(arena, (request->header_count + names->count) * sizeof(*headers));
    size_t count = 0;

    if (headers == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < request->header_count; i++) {
        struct span name = request->headers[i].name;
        size_t j = 0;
        while (j < names->count && (names->names[j].len != name.len || !span_ieq(names->names[j], name)))
            j++;
        if (j < names->count) {
            names->found[j] = true;
            headers[count++] = (struct sign_header){name, request->headers[i].value};
        } else if (must_be_signed(name)) {
            return ERR_DENIED;
        }
    }
    for (size_t j = 0; j < names->count; j++) {
        if (names->found[j])
            continue;
        /* Proxies answer and remove it; it has this one value. */
        if (!span_ieq(names->names[j], SPAN_LITERAL("expect")))
            return ERR_DENIED;
        headers[count++] = (struct sign_header){names->names[j], SPAN_LITERAL("100-continue")};
    }
    out->headers = headers;
    out->header_count = count;
    return 0;
}

/* --- the signature --- */

static void find_key(struct auth *auth, const struct credentials *set, const struct credential *who, struct span date,
                     uint8_t key[32])
{
    pthread_mutex_lock(&auth->lock);
    bool found = auth->set == set && signing_keys_get(auth->keys, who, date, key);
    pthread_mutex_unlock(&auth->lock);
    if (found)
        return;
    sign_key(span_str(who->secret_key), date, span_str(auth->region), SPAN_LITERAL("s3"), key);
    pthread_mutex_lock(&auth->lock);
    if (auth->set == set) /* else a reload came between, and `who` is of the old set */
        signing_keys_put(auth->keys, who, date, key);
    pthread_mutex_unlock(&auth->lock);
}

/* Compares the signature; out->chain is left as the seed of signed chunks. */
static int check_signature(struct auth *auth, const struct claim *claim, const struct sign_request *signable,
                           struct arena *arena, struct auth_identity *out)
{
    struct sign_chain *chain = &out->chain;
    char hash[65];
    int rc = sign_canonical_hash(signable, arena, hash);

    if (rc != 0)
        return rc;
    if ((size_t)snprintf(chain->scope, sizeof(chain->scope), "%.*s/%s/s3/aws4_request", SPAN_FMT(claim->date),
                         auth->region) >= sizeof(chain->scope))
        return ERR_WRONG_REGION;
    find_key(auth, out->set, out->who, claim->date, chain->key);
    sign_signature(chain->key, span_str(chain->timestamp), span_str(chain->scope), hash, chain->previous);
    return sign_equal(claim->signature, chain->previous) ? 0 : ERR_SIGNATURE;
}

static int verify_claim(struct auth *auth, const struct http_request *request, const struct claim *claim,
                        const struct claim_headers *headers, struct arena *arena, int64_t now_wall_ms,
                        struct auth_identity *out)
{
    struct sign_request signable = {.method = request->method_name, .path = request->path, .query = request->query};
    struct signed_names names;
    int64_t seconds;
    int rc = find_payload(claim, headers, out, &signable.payload_hash);

    if (rc != 0 || claim->kind == CLAIM_NONE)
        return rc;
    if ((rc = find_time(claim, headers, out->chain.timestamp, &seconds)) != 0)
        return rc;
    if (!span_eq_str(claim->region, auth->region))
        return ERR_WRONG_REGION;
    out->who = credentials_find(out->set, claim->access_key);
    if (out->who == NULL)
        return ERR_NO_SUCH_ACCESS_KEY;
    if ((rc = split_names(claim, &names)) != 0 || (rc = check_time(claim, seconds, now_wall_ms / 1000)) != 0 ||
        (rc = collect_headers(request, &names, arena, &signable)) != 0)
        return rc;
    if (claim->kind == CLAIM_QUERY) {
        out->presigned = true;
        signable.skip_parameter = SPAN_LITERAL("X-Amz-Signature");
    }
    return check_signature(auth, claim, &signable, arena, out);
}

static int verify_v2_claim(const struct http_request *request, struct span host_bucket, const struct claim *claim,
                           const struct claim_headers *headers, struct arena *arena, int64_t now_wall_ms,
                           struct auth_identity *out)
{
    struct span payload;
    int rc = find_payload(claim, headers, out, &payload);

    if (rc != 0)
        return rc;
    out->presigned = claim->kind == CLAIM_V2_QUERY;
    out->who = credentials_find(out->set, claim->access_key);
    if (out->who == NULL)
        return ERR_NO_SUCH_ACCESS_KEY;
    return sigv2_check(request, host_bucket, claim, headers, out->who, arena, now_wall_ms / 1000);
}

int auth_verify(struct auth *auth, const struct http_request *request, struct span host_bucket, struct arena *arena,
                int64_t now_wall_ms, struct auth_identity *out)
{
    struct claim_headers headers;
    struct claim claim;
    int rc;

    *out = (struct auth_identity){.payload = AUTH_PAYLOAD_UNSIGNED, .region = auth->region};
    claim_find_headers(request, &headers);
    rc = claim_parse(request, &headers, arena, &claim);
    if (rc != 0)
        return rc;
    if (claim.kind != CLAIM_NONE) {
        pthread_mutex_lock(&auth->lock);
        out->set = credentials_ref(auth->set);
        pthread_mutex_unlock(&auth->lock);
    }
    if (claim.kind == CLAIM_V2_HEADER || claim.kind == CLAIM_V2_QUERY)
        rc = verify_v2_claim(request, host_bucket, &claim, &headers, arena, now_wall_ms, out);
    else
        rc = verify_claim(auth, request, &claim, &headers, arena, now_wall_ms, out);
    if (rc != 0)
        auth_release(out);
    return rc;
}

void auth_release(struct auth_identity *identity)
{
    sign_chain_wipe(&identity->chain);
    credentials_unref(identity->set);
    identity->set = NULL;
    identity->who = NULL;
}
