/* What comes from a backend, as a rebuild opens it: the header in the clear, the header inside, and the ledger's file. The first
 * byte chooses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "store/ship/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct keyring *open_keyring(void)
{
    static struct keyring *keyring;
    struct span secret = SPAN_LITERAL("a secret of at least thirty-two bytes");
    char folder[] = "/tmp/arca-fuzz-XXXXXX", path[64];
    if (keyring != NULL)
        return keyring;
    if (crypto_init() != 0 || mkdtemp(folder) == NULL)
        abort();
    snprintf(path, sizeof(path), "%s/keyring", folder);
    if (keyring_create(path, KEYRING_KEY_FILE, secret) != 0 || keyring_open(path, KEYRING_KEY_FILE, secret, &keyring) != 0)
        abort();
    unlink(path);
    rmdir(folder);
    return keyring;
}

/* What is sealed must open as what it was, and nothing else opens. */
static void seal_and_open(const uint8_t *data, size_t size)
{
    struct piece piece, got;
    struct blob_name name = {.bytes = {[16] = 0x80}};
    struct span content;
    struct bucket_key *key;
    if (piece_decode(span_of(data, size), &piece) != 0 || piece.length > 100000)
        return;
    if (piece.kind == PIECE_SNAPSHOT)
        name.bytes[16] |= 0x40;
    struct block block = {.capacity = piece_block_size(SUITE_AES_256_GCM, (size_t)piece.length)};
    block.data = calloc(1, block.capacity);
    if (block.data == NULL || journal_key_open(open_keyring(), 1, &key) != 0 ||
        piece_seal(key, SUITE_AES_256_GCM, &name, &piece, (size_t)piece.length, &block) != 0 ||
        piece_open(open_keyring(), &name, block.length, block.data, block.length, &got, &content) != 0 ||
        content.len != piece.length || memcmp(&got, &piece, sizeof(piece)) != 0)
        abort();
    bucket_key_free(key);
    free(block.data);
}

static void open_foreign(const uint8_t *data, size_t size)
{
    struct blob_name name = {.bytes = {[16] = 0x80}};
    struct piece piece;
    struct span content;
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    if (bytes == NULL)
        abort();
    memcpy(bytes, data, size);
    if (piece_open(open_keyring(), &name, size, bytes, size, &piece, &content) == 0)
        abort();
    free(bytes);
}

static void decode_ledgers(const uint8_t *data, size_t size)
{
    struct ledger *all;
    size_t count;
    bool clean;
    if (ledgers_decode(span_of(data, size), &all, &count, &clean) != 0)
        return;
    for (size_t i = 0; i < count; i++)
        ledger_free(&all[i]);
    free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const ways[])(const uint8_t *, size_t) = {seal_and_open, open_foreign, decode_ledgers};
    if (size > 0)
        ways[data[0] % 3](data + 1, size - 1);
    return 0;
}
