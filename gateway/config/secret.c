#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/err.h"

static int read_up_to(int fd, uint8_t *out, size_t capacity, size_t *length)
{
    *length = 0;
    while (*length < capacity) {
        ssize_t n = read(fd, out + *length, capacity - *length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return (int)n;
        *length += (size_t)n;
    }
    return 0;
}

int config_secret_read(const char *path, enum config_unlock how, uint8_t *out, size_t *length, char *why,
                       size_t why_size)
{
    uint8_t more;
    int rc, fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read_up_to(fd, out, CONFIG_SECRET_MAX, length) != 0) {
        rc = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
        snprintf(why, why_size, "%s: cannot be read: %s", path, strerror(errno));
    } else if (*length == CONFIG_SECRET_MAX && read(fd, &more, 1) != 0) {
        rc = ERR_INVALID;
        snprintf(why, why_size, "%s: a secret has at most %d bytes", path, CONFIG_SECRET_MAX);
    } else {
        if (how == CONFIG_UNLOCK_PASSPHRASE_FILE && *length > 0 && out[*length - 1] == '\n')
            --*length;
        rc = *length > 0 ? 0 : ERR_INVALID;
        if (rc != 0)
            snprintf(why, why_size, "%s: is empty; it must hold the secret that unlocks the keyring", path);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

int config_keyring_secret(const struct config *config, uint8_t *out, size_t *length, char *why, size_t why_size)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    char path[4096];

    if (config->keyring_unlock != CONFIG_UNLOCK_CREDENTIAL)
        return config_secret_read(config->keyring_secret, config->keyring_unlock, out, length, why, why_size);
    if (folder == NULL ||
        (size_t)snprintf(path, sizeof(path), "%s/%s", folder, config->keyring_secret) >= sizeof(path)) {
        snprintf(why, why_size,
                 "the keyring's unlock credential '%s' needs CREDENTIALS_DIRECTORY, which systemd sets for units with "
                 "LoadCredential",
                 config->keyring_secret);
        return ERR_NOT_FOUND;
    }
    return config_secret_read(path, config->keyring_unlock, out, length, why, why_size);
}
