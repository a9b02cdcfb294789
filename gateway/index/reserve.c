#include "index/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#define NAME     "reserve"
#define RETRY_MS 1000

static void take(struct reserve *reserve)
{
    int fd = open(reserve->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int error = fd < 0 ? errno : posix_fallocate(fd, 0, (off_t)reserve->size);
    if (fd >= 0)
        close(fd);
    reserve->missing = error == ENOSPC || error == EDQUOT;
    reserve->retry_ms = clock_monotonic_ms() + RETRY_MS;
    if (error == 0)
        return;
    unlink(reserve->path);
    if (!reserve->missing)
        log_warn("index_reserve", "%s cannot be made, deletions on a full disk may fail: %s", reserve->path,
                 strerror(error));
}

int reserve_init(struct reserve *reserve, const char *folder, uint64_t size)
{
    reserve->size = size;
    int rc = path_join(reserve->path, folder, NAME);
    if (rc == 0)
        take(reserve);
    return rc;
}

bool reserve_release(struct reserve *reserve)
{
    if (reserve->missing)
        return false;
    unlink(reserve->path);
    reserve->missing = true;
    reserve->retry_ms = clock_monotonic_ms() + RETRY_MS;
    log_warn("index_reserve", "the disk of the index is full: only deletions are taken until there is room again");
    return true;
}

bool reserve_held(struct reserve *reserve)
{
    if (reserve->missing && clock_monotonic_ms() >= reserve->retry_ms) {
        take(reserve);
        if (!reserve->missing)
            log_info("index_reserve", "the disk of the index has room again");
    }
    return !reserve->missing;
}
