/* arcactl's commands. Each writes what it was asked for to standard output and complaints to standard error, and
 * returns the exit status. */
#ifndef ARCA_TOOLS_ARCACTL_H
#define ARCA_TOOLS_ARCACTL_H

#include <stdbool.h>
#include "config/config.h"

enum exit_status {
    EXIT_FINE = 0,
    EXIT_FINDINGS = 1, /* the command did its work, and what it looked at is not in order */
    EXIT_TROUBLE = 2,  /* wrong usage, or the work could not be done */
};

/* The command line. What was not given is NULL or false. */
struct request {
    const char *file; /* the argument without a dash */
    const char *config;
    const char *index;
    const char *key_file;
    const char *passphrase_file;
    bool deep;
    bool json;
};

int keyring_create_command(const struct request *request);
int keyring_rotate_command(const struct request *request);
int keyring_show_command(const struct request *request);
int check_command(const struct request *request);
int journal_dump_command(const struct request *request);
int config_check_command(const struct request *request);
int version_command(const struct request *request);

/* "arcactl: ..." on standard error; returns EXIT_TROUBLE. */
int trouble(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Loads --config; complains and returns NULL if that fails. */
struct config *request_config(const struct request *request);

#endif
