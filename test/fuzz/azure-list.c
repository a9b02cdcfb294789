/* What an Azure store answers to a listing. */
#include <stdlib.h>
#include "backends/azure/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct blob_batch batch;
    struct blob_cursor cursor = {.length = 1, .bytes = "m"};
    if (azure_list_parse(span_of(data, size), "p", &cursor, &batch) == 0) {
        if (batch.count > BLOB_BATCH || cursor.end != (cursor.length == 0))
            abort();
        for (size_t i = 0; i < batch.count; i++) {
            if (batch.entries[i].locator.length != 0)
                abort();
        }
    }
    return 0;
}
