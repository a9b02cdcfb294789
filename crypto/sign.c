/* Why the low-level calls: see digest.c. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/sign.h"

#include <openssl/sha.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

/* --- the canonical request --- */

struct parameter {
    struct span name, value; /* canonically encoded */
};

struct canonical_header {
    struct span name; /* any case */
    struct span value;
    size_t position; /* equal names keep the order they came in */
};

static bool unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

/* Decodes and encodes again, byte by byte, as `in` may be encoded in any of several ways. `also` is one more character
 * that stays as it is, or 0. Writes at most 3 bytes for each of `in`; returns the end, NULL for a broken escape. */
static uint8_t *recode(uint8_t *out, struct span in, bool plus_is_space, uint8_t also)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];

        if (c == '%') {
            int high = i + 2 < in.len ? text_hex_digit(in.ptr[i + 1]) : -1;
            int low = i + 2 < in.len ? text_hex_digit(in.ptr[i + 2]) : -1;

            if (high < 0 || low < 0)
                return NULL;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (unreserved(c) || (c == also && also != 0)) {
            *out++ = c;
        } else {
            *out++ = '%';
            *out++ = (uint8_t)digits[c >> 4];
            *out++ = (uint8_t)digits[c & 15];
        }
    }
    return out;
}

static uint8_t *put(uint8_t *out, struct span s)
{
    if (s.len > 0)
        memcpy(out, s.ptr, s.len);
    return out + s.len;
}

static uint8_t *put_lower(uint8_t *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        *out++ = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? s.ptr[i] | 0x20 : s.ptr[i];
    return out;
}

static int compare_parameters(const void *a, const void *b)
{
    const struct parameter *x = a, *y = b;
    int order = span_cmp(x->name, y->name);

    return order != 0 ? order : span_cmp(x->value, y->value);
}

/* Parameters in order, as `name=value` joined by '&'; a missing value is an empty one. */
static int put_query(const struct sign_request *request, struct arena *arena, uint8_t **out)
{
    struct span query = request->query;
    size_t count = 0, most = 1;
    struct parameter *parameters;
    uint8_t *text, *p = *out;

    if (query.len == 0)
        return 0;
    for (size_t i = 0; i < query.len; i++)
        most += query.ptr[i] == '&';
    parameters = arena_alloc(arena, most * sizeof(*parameters));
    text = arena_alloc(arena, 3 * query.len);
    if (parameters == NULL || text == NULL)
        return ERR_NOMEM;
    while (query.len > 0) {
        struct span one, name, value;
        uint8_t *middle, *end;

        query = span_split(query, '&', &one);
        if (one.len == 0)
            continue;
        value = span_split(one, '=', &name);
        middle = recode(text, name, true, 0);
        end = middle != NULL ? recode(middle, value, true, 0) : NULL;
        if (end == NULL)
            return ERR_SYNTAX;
        name = span_of(text, (size_t)(middle - text));
        value = span_of(middle, (size_t)(end - middle));
        text = end;
        if (request->skip_parameter.len == 0 || !span_eq(name, request->skip_parameter))
            parameters[count++] = (struct parameter){name, value};
    }
    qsort(parameters, count, sizeof(*parameters), compare_parameters);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            *p++ = '&';
        p = put(p, parameters[i].name);
        *p++ = '=';
        p = put(p, parameters[i].value);
    }
    *out = p;
    return 0;
}

static int compare_names(struct span a, struct span b)
{
    size_t common = a.len < b.len ? a.len : b.len;

    for (size_t i = 0; i < common; i++) {
        uint8_t x = a.ptr[i] >= 'A' && a.ptr[i] <= 'Z' ? a.ptr[i] | 0x20 : a.ptr[i];
        uint8_t y = b.ptr[i] >= 'A' && b.ptr[i] <= 'Z' ? b.ptr[i] | 0x20 : b.ptr[i];

        if (x != y)
            return x < y ? -1 : 1;
    }
    return (a.len > b.len) - (a.len < b.len);
}

static int compare_headers(const void *a, const void *b)
{
    const struct canonical_header *x = a, *y = b;
    int order = compare_names(x->name, y->name);

    return order != 0 ? order : (x->position > y->position) - (x->position < y->position);
}

/* Without outer blanks; a run of spaces inside becomes one. */
static uint8_t *put_header_value(uint8_t *out, struct span value)
{
    value = span_trim(value);
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] != ' ' || value.ptr[i - 1] != ' ')
            *out++ = value.ptr[i];
    }
    return out;
}

/* `name:value` lines, an empty line, the names joined by ';'. */
static int put_headers(const struct sign_request *request, struct arena *arena, uint8_t **out)
{
    size_t count = request->header_count;
    struct canonical_header *headers = arena_alloc(arena, (count + 1) * sizeof(*headers));
    uint8_t *p = *out;

    if (headers == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        headers[i] = (struct canonical_header){request->headers[i].name, request->headers[i].value, i};
    qsort(headers, count, sizeof(*headers), compare_headers);
    for (size_t i = 0; i < count; i++) {
        bool same = i > 0 && compare_names(headers[i].name, headers[i - 1].name) == 0;
        bool more = i + 1 < count && compare_names(headers[i].name, headers[i + 1].name) == 0;

        if (!same) {
            p = put_lower(p, headers[i].name);
            *p++ = ':';
        }
        p = put_header_value(p, headers[i].value);
        *p++ = more ? ',' : '\n';
    }
    *p++ = '\n';
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_names(headers[i].name, headers[i - 1].name) == 0)
            continue;
        if (i > 0)
            *p++ = ';';
        p = put_lower(p, headers[i].name);
    }
    *out = p;
    return 0;
}

/* The most bytes that the canonical request can have. */
static int canonical_size_max(const struct sign_request *request, size_t *out)
{
    size_t size = 16, encoded;

    if (__builtin_add_overflow(request->path.len, request->query.len, &encoded) ||
        __builtin_mul_overflow(encoded, 3, &encoded) || __builtin_add_overflow(size, encoded, &size) ||
        __builtin_add_overflow(size, request->query.len + 1, &size) || /* '=' where it is missing */
        __builtin_add_overflow(size, request->method.len, &size) ||
        __builtin_add_overflow(size, request->payload_hash.len, &size))
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < request->header_count; i++) {
        if (__builtin_add_overflow(size, 2 * request->headers[i].name.len, &size) ||
            __builtin_add_overflow(size, request->headers[i].value.len + 4, &size))
            return ERR_TOO_LARGE;
    }
    *out = size;
    return 0;
}

int sign_canonical_hash(const struct sign_request *request, struct arena *arena, char out[65])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    uint8_t *text, *p;
    size_t size;
    int rc = canonical_size_max(request, &size);

    if (rc != 0)
        return rc;
    text = p = arena_alloc(arena, size);
    if (text == NULL)
        return ERR_NOMEM;
    p = put(p, request->method);
    *p++ = '\n';
    if (request->path.len == 0)
        *p++ = '/';
    p = recode(p, request->path, false, '/');
    if (p == NULL)
        return ERR_SYNTAX;
    *p++ = '\n';
    rc = put_query(request, arena, &p);
    if (rc != 0)
        return rc;
    *p++ = '\n';
    rc = put_headers(request, arena, &p);
    if (rc != 0)
        return rc;
    *p++ = '\n';
    p = put(p, request->payload_hash);
    SHA256(text, (size_t)(p - text), digest);
    text_hex(span_of(digest, sizeof(digest)), out);
    return 0;
}

/* --- HMAC-SHA256 and what is signed with it --- */

#define BLOCK 64

struct hmac {
    SHA256_CTX inner, outer;
};

static void hmac_init(struct hmac *hmac, struct span key)
{
    uint8_t pad[BLOCK] = {0};

    if (key.len > BLOCK)
        SHA256(key.ptr, key.len, pad);
    else if (key.len > 0)
        memcpy(pad, key.ptr, key.len);
    for (size_t i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36;
    SHA256_Init(&hmac->inner);
    SHA256_Update(&hmac->inner, pad, BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    SHA256_Init(&hmac->outer);
    SHA256_Update(&hmac->outer, pad, BLOCK);
    sodium_memzero(pad, sizeof(pad));
}

static void hmac_add(struct hmac *hmac, struct span s)
{
    if (s.len > 0)
        SHA256_Update(&hmac->inner, s.ptr, s.len);
}

static void hmac_final(struct hmac *hmac, uint8_t out[32])
{
    SHA256_Final(out, &hmac->inner);
    SHA256_Update(&hmac->outer, out, 32);
    SHA256_Final(out, &hmac->outer);
    sodium_memzero(hmac, sizeof(*hmac));
}

static void hmac_once(const uint8_t key[32], struct span s, uint8_t out[32])
{
    struct hmac hmac;

    hmac_init(&hmac, span_of(key, 32));
    hmac_add(&hmac, s);
    hmac_final(&hmac, out);
}

void sign_key(struct span secret, struct span date, struct span region, struct span service, uint8_t out[32])
{
    uint8_t prefixed[4 + BLOCK] = "AWS4";
    struct span first = {prefixed, 4 + secret.len};
    struct hmac hmac;

    /* A key longer than a block stands for its hash (RFC 2104). */
    if (first.len > BLOCK) {
        SHA256_CTX context;

        SHA256_Init(&context);
        SHA256_Update(&context, prefixed, 4);
        SHA256_Update(&context, secret.ptr, secret.len);
        SHA256_Final(prefixed, &context);
        sodium_memzero(&context, sizeof(context));
        first.len = SHA256_DIGEST_LENGTH;
    } else if (secret.len > 0) {
        memcpy(prefixed + 4, secret.ptr, secret.len);
    }
    hmac_init(&hmac, first);
    hmac_add(&hmac, date);
    hmac_final(&hmac, out);
    sodium_memzero(prefixed, sizeof(prefixed));
    hmac_once(out, region, out);
    hmac_once(out, service, out);
    hmac_once(out, SPAN_LITERAL("aws4_request"), out);
}

/* The lines, joined by '\n', signed. */
static void sign_lines(const uint8_t key[32], const struct span *lines, size_t count, char out[65])
{
    uint8_t signature[32];
    struct hmac hmac;

    hmac_init(&hmac, span_of(key, 32));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            hmac_add(&hmac, SPAN_LITERAL("\n"));
        hmac_add(&hmac, lines[i]);
    }
    hmac_final(&hmac, signature);
    text_hex(span_of(signature, sizeof(signature)), out);
}

void sign_signature(const uint8_t key[32], struct span timestamp, struct span scope, const char canonical_hash[65],
                    char out[65])
{
    const struct span lines[] = {SPAN_LITERAL("AWS4-HMAC-SHA256"), timestamp, scope, span_of(canonical_hash, 64)};

    sign_lines(key, lines, 4, out);
}

/* Of no bytes at all: a chunk's (absent) headers. */
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

void sign_chunk(struct sign_chain *chain, const uint8_t data_sha256[32], char out[65])
{
    char hash[65];
    const struct span lines[] = {SPAN_LITERAL("AWS4-HMAC-SHA256-PAYLOAD"),
                                 span_str(chain->timestamp),
                                 span_str(chain->scope),
                                 span_of(chain->previous, 64),
                                 SPAN_LITERAL(EMPTY_SHA256),
                                 span_of(hash, 64)};

    text_hex(span_of(data_sha256, 32), hash);
    sign_lines(chain->key, lines, 6, out);
    memcpy(chain->previous, out, sizeof(chain->previous));
}

void sign_trailer(struct sign_chain *chain, const uint8_t trailer_sha256[32], char out[65])
{
    char hash[65];
    const struct span lines[] = {SPAN_LITERAL("AWS4-HMAC-SHA256-TRAILER"), span_str(chain->timestamp),
                                 span_str(chain->scope), span_of(chain->previous, 64), span_of(hash, 64)};

    text_hex(span_of(trailer_sha256, 32), hash);
    sign_lines(chain->key, lines, 5, out);
    memcpy(chain->previous, out, sizeof(chain->previous));
}

void sign_chain_wipe(struct sign_chain *chain)
{
    sodium_memzero(chain, sizeof(*chain));
}

bool sign_equal(struct span given, const char expected[65])
{
    return given.len == 64 && sodium_memcmp(given.ptr, expected, 64) == 0;
}
