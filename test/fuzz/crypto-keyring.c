/* A keyring file that is torn, forged, or something else. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/envelope.h"
#include "crypto/keyring_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(struct span file)
{
    static const uint8_t secret[32];
    struct keyring_header header;
    struct root_key *keys;

    if (keyring_parse(file, &header) != 0 || header.how != KEYRING_KEY_FILE)
        return;
    keys = calloc(header.count, sizeof(*keys));
    if (keys == NULL)
        abort();
    keyring_unseal(file, &header, KEYRING_KEY_FILE, span_of(secret, sizeof(secret)), keys);
    free(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;

    if (crypto_init() != 0)
        abort();
    parse(span_of(data, size));
    /* Once more with a checksum that is right, which no fuzzer finds. */
    if (size < 32)
        return 0;
    copy = malloc(size);
    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    crypto_generichash(copy + size - 32, 32, copy, size - 32, NULL, 0);
    parse(span_of(copy, size));
    free(copy);
    return 0;
}
