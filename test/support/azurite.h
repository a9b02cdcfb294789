/* Azurite for a test: an account with a key of its own, and a container. */
#ifndef ARCA_TEST_AZURITE_H
#define ARCA_TEST_AZURITE_H

#include "backends/azure/azure.h"
#include "backends/azure/private.h"
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

static inline void azurite_write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (file == NULL || fchmod(fileno(file), 0600) != 0 || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
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
    azurite_write_file(azurite->key_file, "key: " AZURITE_KEY "\n");
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

static inline void azurite_stop(struct azurite *azurite)
{
    server_stop(&azurite->server);
    free(azurite->endpoint);
    free(azurite->key_file);
    folder_remove(azurite->folder);
}

#endif
