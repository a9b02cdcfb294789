#include <argp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arcactl.h"
#include "base/log.h"
#include "crypto/envelope.h"

enum {
    TAKES_FILE = 1,
    TAKES_CONFIG = 2,
    TAKES_INDEX = 4, /* instead of --config */
    TAKES_SECRET = 8,
    TAKES_DEEP = 16,
    TAKES_JSON = 32,
    TAKES_NAME = 64, /* an argument, which may be of several words */
    TAKES_WATCH = 128,
    TAKES_BACKENDS = 256,
    TAKES_FROM = 512,
};

/* The one list of commands. */
static const struct command {
    const char *words;
    unsigned takes;
    int (*run)(const struct request *request);
    const char *does;
} commands[] = {
    {"keyring create", TAKES_FILE | TAKES_SECRET, keyring_create_command,
     "Makes a new keyring with one root key. Keep a copy of it and of what unlocks it: without them all data is lost."},
    {"keyring rotate", TAKES_FILE | TAKES_SECRET, keyring_rotate_command,
     "Adds a root key. arcad wraps the bucket keys with it at its next start; no data is rewritten."},
    {"keyring show", TAKES_FILE | TAKES_SECRET, keyring_show_command, "Shows id and generation of a keyring, no keys."},
    {"check", TAKES_CONFIG | TAKES_DEEP, check_command,
     "Compares journal, index and backends: what is missing, orphaned or damaged. arcad must not run."},
    {"rebuild", TAKES_CONFIG | TAKES_FROM, rebuild_command,
     "Makes a lost index anew from what a backend holds of it. arcad must not run."},
    {"journal dump", TAKES_CONFIG | TAKES_INDEX | TAKES_JSON, journal_dump_command,
     "Shows the journal's records, oldest first. arcad may run."},
    {"jobs pause", TAKES_NAME | TAKES_CONFIG, jobs_pause_command,
     "Pauses a job, over restarts: scrub, or 'placement NAME'."},
    {"jobs resume", TAKES_NAME | TAKES_CONFIG, jobs_resume_command, "Lets a paused job go on."},
    {"jobs", TAKES_CONFIG | TAKES_WATCH | TAKES_JSON, jobs_command,
     "Shows garbage, repair, scrub and changes of placements as they are, and how far they are. arcad must run."},
    {"placement show", TAKES_CONFIG | TAKES_JSON, placement_show_command,
     "Shows the backends of each placement, their roles and states, and what they hold. arcad must run."},
    {"placement set", TAKES_NAME | TAKES_CONFIG | TAKES_BACKENDS | TAKES_WATCH, placement_set_command,
     "Makes a placement consist of these backends, while clients work. arcad must run."},
    {"config check", TAKES_FILE, config_check_command, "Checks an arca.yaml and the files that it names."},
    {"version", 0, version_command, "Shows the version."},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(*commands))

/* --- options --- */

enum {
    KEY_CONFIG = 'c',
    KEY_INDEX = 'i',
    KEY_KEY_FILE = 'k',
    KEY_PASSPHRASE_FILE = 'p',
    KEY_DEEP = 'd',
    KEY_JSON = 'j',
    KEY_WATCH = 'w',
    KEY_BACKENDS = 'b',
    KEY_WRITE_QUORUM = 'q',
    KEY_FROM = 'f',
    KEY_FORCE = 'F',
};

static const struct {
    unsigned taken_by;
    struct argp_option option;
} options[] = {
    {TAKES_CONFIG, {"config", KEY_CONFIG, "FILE", 0, "arca.yaml", 0}},
    {TAKES_INDEX, {"index", KEY_INDEX, "FOLDER", 0, "the index's folder, instead of --config", 0}},
    {TAKES_SECRET, {"key-file", KEY_KEY_FILE, "FILE", 0, "unlocks the keyring: a file of at least 32 random bytes", 0}},
    {TAKES_SECRET,
     {"passphrase-file", KEY_PASSPHRASE_FILE, "FILE", 0, "unlocks the keyring: a file with a passphrase", 0}},
    {TAKES_DEEP, {"deep", KEY_DEEP, NULL, 0, "also reads all data and verifies it with the keyring", 0}},
    {TAKES_BACKENDS, {"backends", KEY_BACKENDS, "A,B,...", 0, "in the order in which reads are to prefer them", 0}},
    {TAKES_BACKENDS,
     {"write-quorum", KEY_WRITE_QUORUM, "N", 0, "how many of them must have a write (if not given: as before)", 0}},
    {TAKES_FROM, {"from", KEY_FROM, "BACKEND", 0, "the backend to make it from", 0}},
    {TAKES_FROM, {"force", KEY_FORCE, NULL, 0, "also when something is missing, or newer elsewhere", 0}},
    {TAKES_WATCH, {"watch", KEY_WATCH, NULL, 0, "shows it again and again, until it is done", 0}},
    {TAKES_JSON, {"json", KEY_JSON, NULL, 0, "one JSON object a line", 0}},
};
#define OPTION_COUNT (sizeof(options) / sizeof(*options))

struct parse {
    const struct command *command;
    struct request request;
};

static void check_complete(const struct parse *parse, struct argp_state *state)
{
    const struct request *r = &parse->request;
    unsigned takes = parse->command->takes;

    if ((takes & TAKES_FILE) && r->file == NULL)
        argp_error(state, "name the file");
    if ((takes & TAKES_INDEX) && (r->config == NULL) == (r->index == NULL))
        argp_error(state, "give --config or --index");
    if ((takes & TAKES_CONFIG) && !(takes & TAKES_INDEX) && r->config == NULL)
        argp_error(state, "give --config");
    if ((takes & TAKES_SECRET) && (r->key_file == NULL) == (r->passphrase_file == NULL))
        argp_error(state, "give --key-file or --passphrase-file");
    if ((takes & TAKES_NAME) && r->name[0] == '\0')
        argp_error(state, "give a name");
    if ((takes & TAKES_BACKENDS) && r->backends == NULL)
        argp_error(state, "give --backends");
    if ((takes & TAKES_FROM) && r->from == NULL)
        argp_error(state, "give --from");
}

static void take_argument(struct parse *parse, char *arg, struct argp_state *state)
{
    struct request *r = &parse->request;
    unsigned takes = parse->command->takes;
    size_t length = strlen(r->name);

    if ((takes & TAKES_NAME) && strlen(arg) + 2 <= sizeof(r->name) - length)
        snprintf(r->name + length, sizeof(r->name) - length, "%s%s", length > 0 ? " " : "", arg);
    else if ((takes & TAKES_FILE) && r->file == NULL)
        r->file = arg;
    else
        argp_error(state, "'%s' is one argument too many", arg);
}

static void take_quorum(struct request *r, const char *arg, struct argp_state *state)
{
    uint64_t number;

    if (span_to_u64(span_str(arg), &number) != 0 || number < 1 || number > 16)
        argp_error(state, "--write-quorum is a number from 1 to that of the backends");
    r->write_quorum = (unsigned)number;
}

static error_t take_option(int key, char *arg, struct argp_state *state)
{
    struct parse *parse = state->input;
    struct request *r = &parse->request;

    switch (key) {
    case KEY_CONFIG:
        r->config = arg;
        return 0;
    case KEY_INDEX:
        r->index = arg;
        return 0;
    case KEY_KEY_FILE:
        r->key_file = arg;
        return 0;
    case KEY_PASSPHRASE_FILE:
        r->passphrase_file = arg;
        return 0;
    case KEY_DEEP:
        r->deep = true;
        return 0;
    case KEY_FROM:
        r->from = arg;
        return 0;
    case KEY_FORCE:
        r->force = true;
        return 0;
    case KEY_JSON:
        r->json = true;
        return 0;
    case KEY_WATCH:
        r->watch = true;
        return 0;
    case KEY_BACKENDS:
        r->backends = arg;
        return 0;
    case KEY_WRITE_QUORUM:
        take_quorum(r, arg, state);
        return 0;
    case ARGP_KEY_ARG:
        take_argument(parse, arg, state);
        return 0;
    case ARGP_KEY_END:
        check_complete(parse, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void parse_options(struct parse *parse, int argc, char **argv)
{
    struct argp_option taken[OPTION_COUNT + 1] = {0};
    size_t count = 0;

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (options[i].taken_by & parse->command->takes)
            taken[count++] = options[i].option;
    }
    const struct argp argp = {.options = taken,
                              .parser = take_option,
                              .args_doc = parse->command->takes & TAKES_FILE   ? "FILE"
                                          : parse->command->takes & TAKES_NAME ? "NAME"
                                                                               : NULL,
                              .doc = parse->command->does};
    argp_err_exit_status = EXIT_TROUBLE;
    argp_parse(&argp, argc, argv, 0, NULL, parse);
}

/* --- commands --- */

static void usage(FILE *to)
{
    fputs("arcactl: administration of an Arca gateway\n\n", to);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  arcactl %-16s %s\n", commands[i].words, commands[i].does);
    fputs("\n  arcactl COMMAND --help shows a command's options.\n"
          "  Exit status: 0 in order, 1 something was found, 2 wrong usage or trouble.\n",
          to);
}

/* How many of the arguments are the command's words; 0: another command. */
static int matches(const struct command *command, int argc, char **argv)
{
    const char *space = strchr(command->words, ' ');

    if (space == NULL)
        return argc > 1 && strcmp(argv[1], command->words) == 0 ? 1 : 0;
    size_t first = (size_t)(space - command->words);
    return argc > 2 && strlen(argv[1]) == first && strncmp(argv[1], command->words, first) == 0 &&
                   strcmp(argv[2], space + 1) == 0
               ? 2
               : 0;
}

int trouble(const char *format, ...)
{
    va_list args;

    fputs("arcactl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_TROUBLE;
}

struct config *request_config(const struct request *request)
{
    struct config *config;
    char why[1024];

    if (config_load(request->config, why, sizeof(why), &config) == 0)
        return config;
    trouble("%s", why);
    return NULL;
}

int config_check_command(const struct request *request)
{
    struct config *config;
    char why[1024];

    if (config_load(request->file, why, sizeof(why), &config) != 0) {
        fprintf(stderr, "%s\n", why);
        return EXIT_FINDINGS;
    }
    config_free(config);
    printf("%s is in order\n", request->file);
    return EXIT_FINE;
}

int version_command(const struct request *request)
{
    (void)request;
    puts("arcactl " ARCA_VERSION);
    return EXIT_FINE;
}

static int run(const struct command *command, int words, int argc, char **argv)
{
    struct parse parse = {.command = command};
    char name[64];

    snprintf(name, sizeof(name), "arcactl %s", command->words);
    argv[words] = name;
    parse_options(&parse, argc - words, argv + words);
    log_setup(LOG_WARN, LOG_TEXT);
    if (crypto_init() != 0)
        return trouble("the cryptographic libraries do not start");
    int status = command->run(&parse.request);
    if (fflush(stdout) != 0 || ferror(stdout))
        return trouble("standard output cannot be written");
    return status;
}

int main(int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0 || strcmp(argv[1], "help") == 0)) {
        usage(stdout);
        return EXIT_FINE;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return version_command(NULL);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        int words = matches(&commands[i], argc, argv);
        if (words > 0)
            return run(&commands[i], words, argc, argv);
    }
    usage(stderr);
    return EXIT_TROUBLE;
}
