#include "registry.h"

#include <string.h>
#include "backends/azure/azure.h"
#include "backends/libs3/libs3.h"
#include "backends/s3/s3.h"
#include "base/err.h"
#include "base/log.h"

static int open_disk(const struct backend_settings *settings, struct backend **out)
{
    struct disk_options options = {settings->name, settings->path, settings->segment_size};
    return disk_open(&options, out);
}

static int open_s3(const struct backend_settings *settings, struct backend **out)
{
    if (settings->signature != 2)
        return s3_open(settings, out);
#ifdef ARCA_LIBS3
    return libs3_open(settings, out);
#else
    log_error("backend_driver", "backend %s: this arca was built without libs3, which signature 2 needs",
              settings->name);
    return ERR_UNSUPPORTED;
#endif
}

static const struct {
    const char *driver;
    int (*open)(const struct backend_settings *settings, struct backend **out);
} DRIVERS[] = {
    {"disk", open_disk},
    {"s3", open_s3},
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
