#include <sodium.h>
#include <string.h>
#include "backends/remote/secrets.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "private.h"

#define KEY_MIN 16 /* bytes; Azure's have 64 */

static int take_key(const char *text, struct azure_secret *out)
{
    size_t capacity = strlen(text);
    out->is_key = true;
    out->bytes = sodium_malloc(capacity + 1);
    if (out->bytes == NULL)
        return ERR_NOMEM;
    int rc = text_unbase64(span_str(text), out->bytes, capacity, &out->length);
    return rc == 0 && out->length >= KEY_MIN ? 0 : ERR_INVALID;
}

/* As the portal shows it, perhaps with its question mark: already encoded for a URL. */
static int take_token(const char *text, struct azure_secret *out)
{
    struct span token = span_str(text[0] == '?' ? text + 1 : text);
    if (span_find_byte(token, '#') >= 0 ||
        !(span_starts(token, SPAN_LITERAL("sig=")) || span_find(token, SPAN_LITERAL("&sig=")) >= 0))
        return ERR_INVALID;
    out->is_key = false;
    out->bytes = sodium_malloc(token.len);
    if (out->bytes == NULL)
        return ERR_NOMEM;
    out->length = token.len;
    memcpy(out->bytes, token.ptr, token.len);
    return 0;
}

int azure_secret_load(const struct backend_settings *settings, struct azure_secret *out)
{
    static const char *const keys[] = {"key", "sas_token"};
    struct secrets *secrets;
    int rc = secrets_load(settings, keys, 2, &secrets);
    if (rc != 0)
        return rc;
    const char *key = secrets->values[0], *token = secrets->values[1];
    if ((key[0] != '\0') == (token[0] != '\0'))
        rc = ERR_INVALID;
    else
        rc = key[0] != '\0' ? take_key(key, out) : take_token(token, out);
    secrets_free(secrets);
    if (rc == ERR_INVALID)
        log_error("azure_secret", "backend %s: credentials are either key, the account's in base64, or sas_token, a "
                  "shared access signature", settings->name);
    if (rc != 0)
        azure_secret_free(out);
    return rc;
}

void azure_secret_free(struct azure_secret *secret)
{
    sodium_free(secret->bytes); /* wipes */
    secret->bytes = NULL;
}
