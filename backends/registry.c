#include "registry.h"

#include <string.h>
#include "backends/azure/azure.h"
#include "backends/s3/s3.h"
#include "base/err.h"
#include "base/log.h"

static int open_disk(const struct backend_settings *settings, struct backend **out)
{
    struct disk_options options = {settings->name, settings->path, settings->segment_size};
    return disk_open(&options, out);
}

static const struct {
    const char *driver;
    int (*open)(const struct backend_settings *settings, struct backend **out);
} DRIVERS[] = {
    {"disk", open_disk},
    {"s3", s3_open},
    {"azure", azure_open},
};

int backend_open(const struct backend_settings *settings, struct backend **out)
{
    for (size_t i = 0; i < sizeof(DRIVERS) / sizeof(*DRIVERS); i++) {
        if (strcmp(settings->driver, DRIVERS[i].driver) == 0)
            return DRIVERS[i].open(settings, out);
    }
    log_error("backend_driver", "backend %s: there is no driver `%s`", settings->name, settings->driver);
    return ERR_INVALID;
}
