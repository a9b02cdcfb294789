#include <stdio.h>
#include <string.h>
#include "arcactl.h"
#include "base/err.h"
#include "base/text.h"
#include "crypto/keyring.h"

struct secret {
    uint8_t bytes[CONFIG_SECRET_MAX];
    size_t length;
    enum keyring_unlock how;
};

static int read_secret(const struct request *request, struct secret *out)
{
    bool passphrase = request->passphrase_file != NULL;
    char why[512];

    out->how = passphrase ? KEYRING_PASSPHRASE : KEYRING_KEY_FILE;
    if (config_secret_read(passphrase ? request->passphrase_file : request->key_file,
                           passphrase ? CONFIG_UNLOCK_PASSPHRASE_FILE : CONFIG_UNLOCK_KEY_FILE, out->bytes,
                           &out->length, why, sizeof(why)) == 0)
        return EXIT_FINE;
    return trouble("%s", why);
}

static struct span secret_span(const struct secret *secret)
{
    return span_of(secret->bytes, secret->length);
}

static int explain(const struct request *request, int rc)
{
    switch (rc) {
    case ERR_EXISTS:
        return trouble("%s exists; a keyring is never overwritten, as the data that it unlocks would be lost",
                       request->file);
    case ERR_NOT_FOUND:
        return trouble("%s: there is no such keyring (or no such folder)", request->file);
    case ERR_CORRUPT:
        return trouble("%s is not a keyring, or it is damaged; restore it from its copy", request->file);
    case ERR_WRONG_KEY:
        return trouble("%s is not unlocked by this %s", request->file,
                       request->key_file != NULL ? "key file" : "passphrase");
    case ERR_INVALID:
        return trouble("the secret is too short: a key file needs at least 32 random bytes");
    default:
        return trouble("%s: %s", request->file, err_text(rc));
    }
}

int keyring_create_command(const struct request *request)
{
    struct secret secret;
    int status = read_secret(request, &secret);

    if (status == EXIT_FINE) {
        int rc = keyring_create(request->file, secret.how, secret_span(&secret));
        if (rc != 0)
            status = explain(request, rc);
        else
            printf("%s is made; keep a copy of it and of what unlocks it: without both, all data is lost\n",
                   request->file);
    }
    explicit_bzero(&secret, sizeof(secret));
    return status;
}

/* Opens the keyring, does `what` with it, and shows what it is then. */
static int with_keyring(const struct request *request,
                        int (*what)(struct keyring *, const char *, const struct secret *))
{
    struct secret secret;
    struct keyring *keyring;
    int rc = 0, status = read_secret(request, &secret);

    if (status == EXIT_FINE && (rc = keyring_open(request->file, secret.how, secret_span(&secret), &keyring)) == 0) {
        uint8_t id[KEYRING_ID_SIZE];
        char hex[2 * KEYRING_ID_SIZE + 1];
        if (what != NULL)
            rc = what(keyring, request->file, &secret);
        keyring_id(keyring, id);
        text_hex(span_of(id, sizeof(id)), hex);
        if (rc == 0)
            printf("keyring %s\nid %s\ngenerations 1 to %u\n", request->file, hex, keyring_generation(keyring));
        keyring_free(keyring);
    }
    explicit_bzero(&secret, sizeof(secret));
    return rc != 0 ? explain(request, rc) : status;
}

static int rotate(struct keyring *keyring, const char *path, const struct secret *secret)
{
    return keyring_rotate(keyring, path, secret->how, secret_span(secret));
}

int keyring_rotate_command(const struct request *request)
{
    return with_keyring(request, rotate);
}

int keyring_show_command(const struct request *request)
{
    return with_keyring(request, NULL);
}

struct keyring *config_keyring(const struct config *config)
{
    enum keyring_unlock how =
        config->keyring_unlock == CONFIG_UNLOCK_PASSPHRASE_FILE ? KEYRING_PASSPHRASE : KEYRING_KEY_FILE;
    uint8_t secret[CONFIG_SECRET_MAX];
    struct keyring *keyring = NULL;
    size_t length;
    char why[512];

    if (config_keyring_secret(config, secret, &length, why, sizeof(why)) != 0) {
        trouble("%s", why);
    } else {
        int rc = keyring_open(config->keyring_file, how, span_of(secret, length), &keyring);
        if (rc != 0)
            trouble("the keyring %s does not open: %s", config->keyring_file, err_text(rc));
    }
    explicit_bzero(secret, sizeof(secret));
    return keyring;
}
