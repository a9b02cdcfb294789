#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "arcactl.h"
#include "base/err.h"
#include "store/ship/rebuild.h"

static void tell(void *arg, enum rebuild_line kind, const char *line)
{
    bool *open = arg; /* a line of progress stands on the terminal */
    bool terminal = isatty(STDERR_FILENO) != 0;

    if (kind == REBUILD_PROGRESS) {
        if (terminal)
            fprintf(stderr, "\r\033[K%s", line);
        *open = terminal;
        return;
    }
    if (*open)
        fputs("\r\033[K", stderr);
    *open = false;
    if (kind == REBUILD_ERROR)
        trouble("%s", line);
    else
        printf("%s%s\n", kind == REBUILD_FINDING ? "found: " : "", line);
    fflush(stdout);
}

static void summarize(const struct rebuild_options *options, const struct rebuild_result *result)
{
    printf("%s is made from %s up to mutation %" PRIu64 ": %" PRIu64 " buckets, %" PRIu64 " objects, %" PRIu64
           " unfinished uploads\n",
           options->config->index_path, options->from, result->sequence, result->buckets, result->objects,
           result->uploads);
    if (result->newer > 0)
        printf("%" PRIu64
               " extents on %s are not part of it: written later, or left of interrupted writes. They stay where "
               "they are\n",
               result->newer, options->from);
}

int rebuild_command(const struct request *request)
{
    struct config *config = request_config(request);
    struct keyring *keyring = config != NULL ? config_keyring(config) : NULL;
    struct rebuild_result result = {0};
    bool open = false;
    int status = EXIT_TROUBLE;

    if (keyring != NULL) {
        struct rebuild_options options = {.config = config,
                                          .keyring = keyring,
                                          .from = request->from,
                                          .force = request->force,
                                          .tell = tell,
                                          .arg = &open};
        int rc = rebuild(&options, &result);
        if (rc == 0)
            summarize(&options, &result);
        if (rc == ERR_CONFLICT)
            printf("nothing was made, because of %u findings; --force makes what can be made\n", result.findings);
        if (rc == 0 || rc == ERR_CONFLICT)
            status = result.findings > 0 ? EXIT_FINDINGS : EXIT_FINE;
    }
    keyring_free(keyring);
    config_free(config);
    return status;
}
