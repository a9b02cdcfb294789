/* Any text as arca.yaml: a config or a complaint of one line. */
#include <stdlib.h>
#include <string.h>
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config = NULL;
    char why[512] = "";

    if (config_parse("/dev/arca.yaml", span_of(data, size), why, sizeof(why), &config) == 0)
        config_free(config);
    else if (why[0] == '\0' || strpbrk(why, "\r\n\033") != NULL)
        abort();
    return 0;
}
