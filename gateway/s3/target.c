#include "s3/target.h"

#include "base/err.h"
#include "base/text.h"
#include "index/index.h"
#include "s3/error.h"

static bool is_lower_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool ends(struct span s, struct span suffix)
{
    return s.len >= suffix.len && span_eq(span_skip(s, s.len - suffix.len), suffix);
}

static bool looks_like_ipv4(struct span name)
{
    unsigned dots = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '.')
            dots++;
        else if (name.ptr[i] < '0' || name.ptr[i] > '9')
            return false;
    }
    return dots == 3;
}

bool target_bucket_name_valid(struct span name)
{
    if (name.len < 3 || name.len > 63 || !is_lower_or_digit(name.ptr[0]) || !is_lower_or_digit(name.ptr[name.len - 1]))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (!is_lower_or_digit(c) && c != '-' && c != '.')
            return false;
        if (c == '.' && name.ptr[i + 1] == '.')
            return false;
    }
    return !looks_like_ipv4(name) && !span_starts(name, SPAN_LITERAL("xn--")) &&
           !span_starts(name, SPAN_LITERAL("sthree-")) && !ends(name, SPAN_LITERAL("-s3alias")) &&
           !ends(name, SPAN_LITERAL("--ol-s3"));
}

int target_decode(struct span text, struct arena *arena, struct span *out)
{
    size_t len = 0;
    uint8_t *bytes = arena_alloc(arena, text.len + 1);
    if (bytes == NULL)
        return ERR_NOMEM;
    if (text.len > 0 && text_uri_decode(text, false, bytes, &len) != 0)
        return S3_INVALID_URI;
    bytes[len] = 0;
    *out = span_of(bytes, len);
    if (len > KEY_MAX)
        return S3_KEY_TOO_LONG;
    if (memchr(bytes, 0, len) != NULL || !text_is_utf8(*out))
        return S3_INVALID_URI;
    return 0;
}

static int parse_query(struct span query, struct arena *arena, struct s3_target *out)
{
    size_t count = 1;
    for (size_t i = 0; i < query.len; i++)
        count += query.ptr[i] == '&';
    uint8_t *at = arena_alloc(arena, query.len);
    out->params = arena_alloc(arena, count * sizeof(*out->params));
    if (at == NULL || out->params == NULL)
        return ERR_NOMEM;
    while (query.len > 0) {
        struct span pair, name;
        query = span_split(query, '&', &pair);
        struct span value = span_split(pair, '=', &name);
        if (name.len == 0)
            continue;
        struct s3_param *param = &out->params[out->param_count++];
        size_t len = 0;
        if (text_uri_decode(name, true, at, &len) != 0)
            return S3_INVALID_URI;
        param->name = span_of(at, len);
        at += len;
        len = 0;
        if (value.len > 0 && text_uri_decode(value, true, at, &len) != 0)
            return S3_INVALID_URI;
        param->has_value = value.ptr != NULL;
        param->value = span_of(at, len);
        at += len;
    }
    return 0;
}

/* The labels before a configured domain, or SPAN_NONE. */
static struct span bucket_of_host(struct span host, char *const *domains, size_t domain_count)
{
    ptrdiff_t colon = span_find_byte(host, ':');
    if (colon >= 0)
        host = span_take(host, (size_t)colon);
    for (size_t i = 0; i < domain_count; i++) {
        struct span domain = span_str(domains[i]);
        if (host.len <= domain.len + 1)
            continue;
        size_t at = host.len - domain.len;
        if (host.ptr[at - 1] == '.' && span_ieq(span_skip(host, at), domain))
            return span_take(host, at - 1);
    }
    return SPAN_NONE;
}

int target_parse(struct span host, struct span path, struct span query, char *const *domains, size_t domain_count,
                 struct arena *arena, struct s3_target *out)
{
    *out = (struct s3_target){0};
    struct span rest = span_skip(path, 1), name = bucket_of_host(host, domains, domain_count);
    out->host_bucket = name;
    if (name.ptr == NULL)
        rest = span_split(rest, '/', &name);
    int rc = target_decode(name, arena, &out->bucket);
    if (rc == S3_KEY_TOO_LONG)
        rc = S3_INVALID_BUCKET_NAME;
    if (rc == 0)
        rc = target_decode(rest, arena, &out->key);
    if (rc == 0 && out->bucket.len == 0 && out->key.len > 0)
        rc = S3_INVALID_BUCKET_NAME;
    if (rc == 0 && query.len > 0)
        rc = parse_query(query, arena, out);
    return rc;
}

struct span target_param(const struct s3_target *target, const char *name)
{
    for (size_t i = 0; i < target->param_count; i++) {
        if (span_eq_str(target->params[i].name, name))
            return target->params[i].value;
    }
    return SPAN_NONE;
}
