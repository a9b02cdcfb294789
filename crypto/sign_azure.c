#include "crypto/sign_azure.h"

#include <ctype.h>
#include <sodium.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"

struct pair {
    struct span name, value;
};

static struct span lower(struct arena *arena, struct span s)
{
    uint8_t *copy = arena_alloc(arena, s.len + 1);
    for (size_t i = 0; copy != NULL && i < s.len; i++)
        copy[i] = (uint8_t)tolower(s.ptr[i]);
    return copy != NULL ? span_of(copy, s.len) : SPAN_NONE;
}

static int decode(struct arena *arena, struct span s, struct span *out)
{
    uint8_t *copy = arena_alloc(arena, s.len + 1);
    size_t length;
    if (copy == NULL)
        return ERR_NOMEM;
    int rc = text_uri_decode(s, false, copy, &length);
    *out = span_of(copy, length);
    return rc;
}

/* Keeps them sorted by name and value. */
static void insert(struct pair *pairs, size_t count, struct pair new)
{
    size_t i = count;
    for (; i > 0; i--) {
        int order = span_cmp(pairs[i - 1].name, new.name);
        if (order < 0 || (order == 0 && span_cmp(pairs[i - 1].value, new.value) <= 0))
            break;
        pairs[i] = pairs[i - 1];
    }
    pairs[i] = new;
}

static struct span header(const struct sign_azure_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (span_ieq(request->headers[i].name, span_str(name)))
            return span_trim(request->headers[i].value);
    }
    return SPAN_NONE;
}

static int append_headers(struct buf *text, const struct sign_azure_request *request, struct arena *arena)
{
    struct pair pairs[SIGN_AZURE_HEADERS];
    size_t count = 0;
    if (request->header_count > SIGN_AZURE_HEADERS)
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < request->header_count; i++) {
        struct span name = lower(arena, request->headers[i].name);
        if (name.ptr == NULL)
            return ERR_NOMEM;
        if (span_starts(name, SPAN_LITERAL("x-ms-")))
            insert(pairs, count++, (struct pair){name, span_trim(request->headers[i].value)});
    }
    for (size_t i = 0; i < count; i++) {
        buf_append(text, pairs[i].name);
        buf_append_str(text, ":");
        buf_append(text, pairs[i].value);
        buf_append_str(text, "\n");
    }
    return 0;
}

/* Values of one name follow each other, separated by commas. */
static int append_resource(struct buf *text, const struct sign_azure_request *request, struct arena *arena)
{
    struct pair pairs[SIGN_AZURE_PARAMETERS];
    size_t count = 0;
    for (struct span rest = request->query, part; rest.len > 0;) {
        struct pair new;
        rest = span_split(rest, '&', &part);
        struct span value = span_split(part, '=', &new.name);
        if (count == SIGN_AZURE_PARAMETERS)
            return ERR_TOO_LARGE;
        int rc = decode(arena, new.name, &new.name);
        if (rc == 0)
            rc = decode(arena, value, &new.value);
        if (rc != 0)
            return rc;
        new.name = lower(arena, new.name);
        if (new.name.ptr == NULL)
            return ERR_NOMEM;
        insert(pairs, count++, new);
    }
    buf_append_str(text, "/");
    buf_append(text, request->account);
    buf_append(text, request->path);
    for (size_t i = 0; i < count; i++) {
        bool again = i > 0 && span_eq(pairs[i].name, pairs[i - 1].name);
        buf_append_str(text, again ? "," : "\n");
        if (!again) {
            buf_append(text, pairs[i].name);
            buf_append_str(text, ":");
        }
        buf_append(text, pairs[i].value);
    }
    return 0;
}

int sign_azure_string(const struct sign_azure_request *request, struct arena *arena, struct span *out)
{
    static const char *const before[] = {"content-encoding", "content-language"};
    static const char *const after[] = {"content-md5", "content-type", "date", "if-modified-since", "if-match",
                                        "if-none-match", "if-unmodified-since", "range"};
    struct buf text = {0};
    buf_append(&text, request->method);
    buf_append_str(&text, "\n");
    for (size_t i = 0; i < sizeof(before) / sizeof(*before); i++) {
        buf_append(&text, header(request, before[i]));
        buf_append_str(&text, "\n");
    }
    if (request->content_length > 0)
        buf_append_u64(&text, request->content_length);
    buf_append_str(&text, "\n");
    for (size_t i = 0; i < sizeof(after) / sizeof(*after); i++) {
        buf_append(&text, header(request, after[i]));
        buf_append_str(&text, "\n");
    }
    int rc = append_headers(&text, request, arena);
    if (rc == 0)
        rc = append_resource(&text, request, arena);
    if (rc == 0)
        rc = text.failed;
    if (rc == 0) {
        *out = arena_dup(arena, buf_span(&text));
        rc = out->ptr != NULL ? 0 : ERR_NOMEM;
    }
    buf_free(&text);
    return rc;
}

void sign_azure_signature(struct span key, struct span string, char out[SIGN_AZURE_SIZE])
{
    crypto_auth_hmacsha256_state state;
    uint8_t digest[crypto_auth_hmacsha256_BYTES];

    crypto_auth_hmacsha256_init(&state, key.ptr, key.len);
    crypto_auth_hmacsha256_update(&state, string.ptr, string.len);
    crypto_auth_hmacsha256_final(&state, digest);
    sodium_memzero(&state, sizeof(state));
    text_base64(span_of(digest, sizeof(digest)), out);
}
