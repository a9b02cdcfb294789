/* Credentials as a metadata service answers: what is taken can stand in a header. */
#include <stdlib.h>
#include <string.h>
#include "backends/s3/metadata.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct secrets *secrets;
    int64_t expires_ms;
    if (secrets == NULL && (secrets = secrets_create()) == NULL)
        abort();
    memset(secrets, 0, sizeof(*secrets));
    if (metadata_parse(span_of(data, size), secrets, &expires_ms) != 0)
        return 0;
    for (size_t i = 0; i < S3_SECRETS; i++) {
        for (const char *c = secrets->values[i]; *c != '\0'; c++) {
            if (*c <= ' ' || *c >= 0x7f)
                abort();
        }
    }
    if (secrets->values[SECRET_ACCESS_KEY_ID][0] == '\0' || secrets->values[SECRET_SECRET_ACCESS_KEY][0] == '\0')
        abort();
    return 0;
}
