/* The signing side of Signature Version 4; what is signed is computed by the verifier's code. */
#include "crypto/sign.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/err.h"

static int compare_names(const void *a, const void *b)
{
    return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

/* "host;x-amz-date": lower case, in order, each once. */
static int signed_names(const struct sign_request *request, struct arena *arena, struct span *out)
{
    struct span names[SIGN_CLIENT_HEADERS];
    size_t size = 0;
    uint8_t *text, *p;

    if (request->header_count > SIGN_CLIENT_HEADERS)
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < request->header_count; i++) {
        struct span name = arena_dup(arena, request->headers[i].name);
        if (name.ptr == NULL)
            return ERR_NOMEM;
        for (size_t j = 0; j < name.len; j++) {
            uint8_t *c = (uint8_t *)(uintptr_t)name.ptr + j;
            *c = *c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c;
        }
        names[i] = name;
        size += name.len + 1;
    }
    qsort(names, request->header_count, sizeof(*names), compare_names);
    text = p = arena_alloc(arena, size + 1);
    if (text == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < request->header_count; i++) {
        if (i > 0 && span_eq(names[i], names[i - 1]))
            continue;
        if (i > 0)
            *p++ = ';';
        if (names[i].len > 0)
            memcpy(p, names[i].ptr, names[i].len);
        p += names[i].len;
    }
    *out = span_of(text, (size_t)(p - text));
    return 0;
}

int sign_authorization(const struct sign_request *request, const struct sign_client *client, struct arena *arena,
                       struct span *out)
{
    struct span date = span_take(client->timestamp, 8), names;
    char hash[65], signature[65];
    uint8_t key[32];
    int rc = sign_canonical_hash(request, arena, hash);

    if (rc == 0)
        rc = signed_names(request, arena, &names);
    if (rc != 0)
        return rc;
    char *scope = arena_printf(arena, "%.*s/%.*s/%.*s/aws4_request", SPAN_FMT(date), SPAN_FMT(client->region),
                               SPAN_FMT(client->service));
    if (scope == NULL)
        return ERR_NOMEM;
    sign_key(client->secret, date, client->region, client->service, key);
    sign_signature(key, client->timestamp, span_str(scope), hash, signature);
    sodium_memzero(key, sizeof(key));
    char *value = arena_printf(arena, "AWS4-HMAC-SHA256 Credential=%.*s/%s, SignedHeaders=%.*s, Signature=%s",
                               SPAN_FMT(client->access_key), scope, SPAN_FMT(names), signature);
    *out = span_str(value);
    return value != NULL ? 0 : ERR_NOMEM;
}
