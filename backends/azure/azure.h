/* The driver for Azure Blob Storage (and what speaks its protocol, such as Azurite): block blobs in one container, signed
 * with the account's key or sent with a shared access signature. */
#ifndef ARCA_BACKENDS_AZURE_AZURE_H
#define ARCA_BACKENDS_AZURE_AZURE_H

#include "backends/backend.h"
#include "backends/settings.h"

/* `bucket` is the container; without an endpoint it is https://ACCOUNT.blob.core.windows.net, that of an emulator has the
 * account as its path. Of the credentials either `key` or `sas_token` is there (of the environment AZURE_STORAGE_KEY, with
 * the prefix AZURE_STORAGE); a token must allow read, write, delete and list.
 * ERR_INVALID (a setting that is missing or wrong), ERR_NOT_FOUND, ERR_IO (its files), ERR_NOMEM; logged. */
int azure_open(const struct backend_settings *settings, struct backend **out);

#endif
