/* Azure Storage's Shared Key: what is signed, and its HMAC-SHA256. Pure.
 * learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key */
#ifndef ARCA_CRYPTO_SIGN_AZURE_H
#define ARCA_CRYPTO_SIGN_AZURE_H

#include "crypto/sign.h"

struct sign_azure_request {
    struct span account;
    struct span method;
    struct span path;        /* as it goes over the wire, with the account that an emulator has in it */
    struct span query;       /* encoded, without '?' */
    uint64_t content_length; /* of the body; the signed text has nothing for 0 (x-ms-version 2015-02-21 and newer) */
    const struct sign_header *headers; /* all that are sent; any case */
    size_t header_count;               /* at most SIGN_AZURE_HEADERS */
};

#define SIGN_AZURE_HEADERS    32
#define SIGN_AZURE_PARAMETERS 16
#define SIGN_AZURE_SIZE       45 /* base64 of an HMAC-SHA256, and a NUL */

/* The text to be signed, in the arena. ERR_SYNTAX (a broken %-escape), ERR_TOO_LARGE (too many headers or parameters),
 * ERR_NOMEM. */
int sign_azure_string(const struct sign_azure_request *request, struct arena *arena, struct span *out);

/* `key` is the account's, decoded. */
void sign_azure_signature(struct span key, struct span string, char out[SIGN_AZURE_SIZE]);

#endif
