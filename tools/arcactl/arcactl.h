/* arcactl's commands. Each writes what it was asked for to standard output and complaints to standard error, and
 * returns the exit status. */
#ifndef ARCA_TOOLS_ARCACTL_H
#define ARCA_TOOLS_ARCACTL_H

#include <stdbool.h>
#include "config/config.h"
#include "crypto/keyring.h"

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
    const char *backends;  /* "a,b" */
    unsigned write_quorum; /* 0: not given */
    char name[100];        /* of a job or placement; "" */
    const char *from;      /* a backend */
    bool force;
    bool deep;
    bool json;
    bool watch;
};

int keyring_create_command(const struct request *request);
int keyring_rotate_command(const struct request *request);
int keyring_show_command(const struct request *request);
int check_command(const struct request *request);
int rebuild_command(const struct request *request);
int journal_dump_command(const struct request *request);
int jobs_command(const struct request *request);
int jobs_pause_command(const struct request *request);
int jobs_resume_command(const struct request *request);
int placement_show_command(const struct request *request);
int placement_set_command(const struct request *request);
int config_check_command(const struct request *request);
int version_command(const struct request *request);

/* "arcactl: ..." on standard error; returns EXIT_TROUBLE. */
int trouble(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Loads --config; complains and returns NULL if that fails. */
struct config *request_config(const struct request *request);
/* Opens the config's keyring; complains and returns NULL if that fails. */
struct keyring *config_keyring(const struct config *config);

#endif
