#include "admin/change.h"

#include <jansson.h>
#include "base/err.h"

#define DEPTH_MAX 8

/* jansson parses recursively: no text gets there that opens more than a few. Brackets in strings count, too: no name
 * has any. */
static bool is_deep(struct span text)
{
    unsigned depth = 0;
    for (size_t i = 0; i < text.len; i++) {
        depth += text.ptr[i] == '[' || text.ptr[i] == '{';
        if (depth > DEPTH_MAX)
            return true;
    }
    return false;
}

static int take_backend(const json_t *value, struct arena *arena, struct change *out, char *why, size_t why_size)
{
    struct span name = json_is_string(value) ? span_of(json_string_value(value), json_string_length(value)) : SPAN_NONE;
    if (name.len == 0)
        return err_refuse(why, why_size, "backends must be an array of names");
    if (out->count == CHANGE_BACKENDS_MAX)
        return err_refuse(why, why_size, "a placement has at most %d backends", CHANGE_BACKENDS_MAX);
    for (size_t i = 0; i < out->count; i++) {
        if (span_eq(out->backends[i], name))
            return err_refuse(why, why_size, "backend '%.*s' is named twice", SPAN_FMT(span_take(name, 32)));
    }
    out->backends[out->count] = arena_dup(arena, name);
    return out->backends[out->count++].ptr != NULL ? 0 : ERR_NOMEM;
}

static int take_all(json_t *root, struct arena *arena, struct change *out, char *why, size_t why_size)
{
    const char *key;
    json_t *value, *item;
    size_t i;
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "write_quorum") == 0) {
            json_int_t quorum = json_integer_value(value);
            if (quorum < 1 || quorum > CHANGE_BACKENDS_MAX)
                return err_refuse(why, why_size, "write_quorum must be a number from 1 to that of the backends");
            out->write_quorum = (unsigned)quorum;
        } else if (strcmp(key, "backends") != 0) {
            return err_refuse(why, why_size, "there is no key '%.32s'; backends and write_quorum are known", key);
        } else {
            json_array_foreach(value, i, item)
            {
                int rc = take_backend(item, arena, out, why, why_size);
                if (rc != 0)
                    return rc;
            }
        }
    }
    return out->count > 0 ? 0 : err_refuse(why, why_size, "name the backends: {\"backends\": [\"a\", \"b\"]}");
}

int change_parse(struct span text, struct arena *arena, struct change *out, char *why, size_t why_size)
{
    json_error_t error;
    *out = (struct change){0};
    if (is_deep(text))
        return err_refuse(why, why_size, "the body is too deeply nested");
    json_t *root = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return json_error_code(&error) == json_error_out_of_memory
                   ? ERR_NOMEM
                   : err_refuse(why, why_size, "the body is no JSON: %s", error.text);
    int rc = json_is_object(root) ? take_all(root, arena, out, why, why_size)
                                  : err_refuse(why, why_size, "the body must be a JSON object");
    json_decref(root);
    return rc;
}
