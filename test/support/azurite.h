/* Azurite for a test: an account with a key of its own, and a container. */
#ifndef ARCA_TEST_AZURITE_H
#define ARCA_TEST_AZURITE_H

#include "backends/azure/azure.h"
#include "backends/azure/private.h"
#include "base/text.h"
#include "blobs.h"
#include "server.h"

#define AZURITE_KEY "YXJjYSBjb250cmFjdCB0ZXN0cywgYSBrZXkgZm9yIG5vYm9keQ=="

struct azurite {
    struct server server;
    char *folder;
    char *key_file;
    char *endpoint;
    struct backend_settings settings;
};

static inline bool azurite_installed(void)
{
    char *program = server_source("build/tools/azurite/node_modules/azurite/dist/src/blob/main.js");
    bool here = access(program, R_OK) == 0 && system("node --version >/dev/null 2>&1") == 0;
    free(program);
    return here;
}

static inline void azurite_run_container(void *arg)
{
    struct blob_op *op = arg;
    struct azure_call call;
    op->rc = azure_call_begin(&call, (struct azure *)(void *)op->backend, "PUT", "", "restype=container");
    if (op->rc == 0)
        op->rc = azure_perform(&call);
    azure_call_end(&call);
}

/* What it stores goes to memory. False when it does not start. */
static inline bool azurite_start(struct azurite *azurite)
{
    char *program = server_source("build/tools/azurite/node_modules/azurite/dist/src/blob/main.js");
    char accounts[] = "AZURITE_ACCOUNTS=arca:" AZURITE_KEY;
    *azurite = (struct azurite){.folder = folder_make()};
    char *argv[] = {"node", program, "--silent", "--disableTelemetry", "--inMemoryPersistence", "--blobPort", "0", NULL};
    bool started = server_start(argv, accounts, &azurite->server);
    free(program);
    if (!started)
        return false;
    if (asprintf(&azurite->key_file, "%s/credentials", azurite->folder) < 0 ||
        asprintf(&azurite->endpoint, "http://127.0.0.1:%u/arca", azurite->server.port) < 0)
        abort();
    file_write_private(azurite->key_file, "key: " AZURITE_KEY "\n");
    azurite->settings = (struct backend_settings){
        .name = "contract",
        .driver = "azure",
        .endpoint = azurite->endpoint,
        .bucket = "blobs",
        .account = "arca",
        .credentials_from = BACKEND_CREDENTIALS_FILE,
        .credentials = azurite->key_file,
    };
    struct blob_op op = {0};
    if (azure_open(&azurite->settings, &op.backend) != 0)
        return false;
    on_fiber(azurite_run_container, &op);
    op.backend->ops->close(op.backend);
    return op.rc == 0;
}

/* The credentials of a service SAS for the container: what `permissions` ("rwdl") allow, from now on for some ms. The
 * caller frees the text. learn.microsoft.com/rest/api/storageservices/create-service-sas, for versions since 2020-12-06 */
static inline char *azurite_sas(const char *permissions, int64_t valid_ms)
{
    static const char version[] = "2021-08-06";
    char until[CLOCK_ISO_SIZE], signature[SIGN_AZURE_SIZE], *text, *token;
    uint8_t key[sizeof(AZURITE_KEY)];
    size_t key_len;
    struct buf encoded = {.cap = 1024};
    clock_iso(clock_wall_ms() + valid_ms, until);
    strcpy(until + 19, "Z"); /* no fraction of a second */
    if (text_unbase64(SPAN_LITERAL(AZURITE_KEY), key, sizeof(key), &key_len) != 0 ||
        asprintf(&text, "%s\n\n%s\n/blob/arca/blobs\n\n\n\n%s\nc\n\n\n\n\n\n\n", permissions, until, version) < 0)
        abort();
    sign_azure_signature(span_of(key, key_len), span_str(text), signature);
    text_uri_encode(&encoded, span_str(signature), false);
    if (encoded.failed != 0 || asprintf(&token, "sas_token: sv=%s&sr=c&sp=%s&se=%s&sig=%.*s\n", version, permissions,
                                        until, SPAN_FMT(buf_span(&encoded))) < 0)
        abort();
    buf_free(&encoded);
    free(text);
    return token;
}

static inline void azurite_stop(struct azurite *azurite)
{
    server_stop(&azurite->server);
    free(azurite->endpoint);
    free(azurite->key_file);
    folder_remove(azurite->folder);
}

#endif
