/* The whole file, and every way in which it can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/err.h"
#include "config/config.h"

static char folder[256];

static void write_file(const char *name, const char *text)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static const char *const files[] = {"cert.pem", "key.pem", "credentials.yaml", "keyring", "keyring.key"};

static int make_folder(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(folder, sizeof(folder), "%s/arca-config-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(folder) == NULL)
        return -1;
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
        write_file(files[i], "0123456789abcdef0123456789abcdef\n");
    return 0;
}

static int remove_folder(void **state)
{
    char path[512];

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/arca.yaml", folder);
    unlink(path);
    return rmdir(folder);
}

static const char least[] = "listeners:\n"                                     /* 1 */
                            "  - address: 127.0.0.1\n"                         /* 2 */
                            "    port: 9000\n"                                 /* 3 */
                            "credentials: credentials.yaml\n"                  /* 4 */
                            "keyring:\n"                                       /* 5 */
                            "  file: keyring\n"                                /* 6 */
                            "  unlock: {key_file: keyring.key}\n"              /* 7 */
                            "index: {path: index}\n"                           /* 8 */
                            "backends:\n"                                      /* 9 */
                            "  - {name: local, driver: disk, path: objects}\n" /* 10 */
                            "placements:\n"                                    /* 11 */
                            "  - name: default\n"                              /* 12 */
                            "    backends: [local]\n"                          /* 13 */
                            "    write_quorum: 1\n"                            /* 14 */
                            "default_placement: default\n";                    /* 15 */

static int parse(const char *text, char why[512], struct config **out)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/arca.yaml", folder);
    why[0] = '\0';
    return config_parse(path, span_str(text), why, 512, out);
}

static void assert_path(const char *actual, const char *name)
{
    char expected[512];

    snprintf(expected, sizeof(expected), "%s/%s", folder, name);
    assert_string_equal(actual, expected);
}

static void defaults_are_filled_in(void **state)
{
    struct config *c;
    char why[512];

    (void)state;
    int rc = parse(least, why, &c);
    assert_string_equal(why, "");
    assert_int_equal(rc, 0);
    assert_int_equal(c->listener_count, 1);
    assert_string_equal(c->listeners[0].address, "127.0.0.1");
    assert_int_equal(c->listeners[0].port, 9000);
    assert_null(c->listeners[0].certificate);
    assert_null(c->admin_address);
    assert_path(c->control_socket, "index/control.sock");
    assert_string_equal(c->region, "us-east-1");
    assert_int_equal(c->domain_count, 0);
    assert_path(c->credentials_file, "credentials.yaml");
    assert_path(c->keyring_file, "keyring");
    assert_int_equal(c->keyring_unlock, CONFIG_UNLOCK_KEY_FILE);
    assert_path(c->keyring_secret, "keyring.key");
    assert_path(c->index_path, "index");
    assert_path(c->backends[0].path, "objects");
    assert_string_equal(c->backends[0].driver, "disk");
    assert_true(c->backends[0].segment_size == 256ULL << 20);
    assert_string_equal(c->placements[0].backends[0], "local");
    assert_string_equal(c->default_placement, "default");
    assert_int_equal(c->loops, 0);
    assert_true(c->limits.body_memory == 256ULL << 20);
    assert_int_equal(c->limits.connections, 4096);
    assert_int_equal(c->limits.head_timeout_ms, 10000);
    assert_int_equal(c->limits.body_timeout_ms, 60000);
    assert_int_equal(c->limits.idle_timeout_ms, 120000);
    assert_int_equal(c->limits.drain_timeout_ms, 30000);
    assert_true(c->limits.extent_size == 8ULL << 20);
    assert_string_equal(c->suite, "aes-256-gcm");
    assert_int_equal(c->garbage.grace_ms, 900000);
    assert_int_equal(c->garbage.operations, 10000);
    assert_int_equal(c->repair.rate, 50 << 20);
    assert_int_equal(c->repair.operations, 500);
    assert_null(c->journal.placement);
    assert_int_equal(c->log.level, LOG_INFO);
    assert_int_equal(c->log.format, LOG_TEXT);
    assert_true(c->log.access);
    config_free(c);
}

static void a_default_placement_is_found(void **state)
{
    static const char text[] = "listeners: [{address: localhost, port: 0}]\n"
                               "credentials: credentials.yaml\n"
                               "keyring: {file: keyring, unlock: {key_file: keyring.key}}\n"
                               "index: {path: index}\n"
                               "backends: [{name: a, driver: disk, path: a}]\n"
                               "placements: [{name: one, backends: [a], write_quorum: 1}]\n"
                               "limits: {}\n"
                               "log: {}\n"
                               "domains: []\n"
                               "encryption: {\"suite\": \"aegis-256\"}\n";
    struct config *c;
    char why[512];

    (void)state;
    int rc = parse(text, why, &c);
    assert_string_equal(why, "");
    assert_int_equal(rc, 0);
    assert_string_equal(c->default_placement, "one");
    assert_int_equal(c->domain_count, 0);
    assert_int_equal(c->limits.connections, 4096);
    assert_string_equal(c->suite, "aegis-256");
    config_free(c);

    char two[1024];
    snprintf(two, sizeof(two), "%.*s, {name: default, backends: [a], write_quorum: 1}]%s",
             (int)(strstr(text, "]\nlimits") - text), text, strstr(text, "\nlimits"));
    assert_int_equal(parse(two, why, &c), 0);
    assert_string_equal(c->default_placement, "default");
    config_free(c);
    memcpy(strstr(two, "name: default"), "name: another", 13);
    assert_int_equal(parse(two, why, &c), ERR_INVALID);
    assert_non_null(strstr(why, "default_placement: is missing"));
}

static void every_key_is_taken(void **state)
{
    static const char text[] =
        "listeners:\n"
        "  - {address: 127.0.0.1, port: 9000}\n"
        "  - {address: '::1', port: 9443, tls: {certificate: cert.pem, key: key.pem}}\n"
        "admin: {address: 127.0.0.1, port: 9001}\n"
        "control: {socket: run/arca.sock}\n"
        "region: eu-central-1\n"
        "domains: [s3.clinic.example, s3.local]\n"
        "credentials: credentials.yaml\n"
        "keyring: {file: keyring, unlock: {passphrase_file: keyring.key}}\n"
        "index: {path: /var/lib/arca/index}\n"
        "backends:\n"
        "  - {name: a, driver: disk, path: a, segment_size: 64MiB, jurisdiction: DE, cost: 3}\n"
        "  - {name: b, driver: disk, path: b, jurisdiction: eu}\n"
        "placements:\n"
        "  - {name: both, backends: [b, a], write_quorum: 2, required_labels: {jurisdiction: [DE, EU]}}\n"
        "  - {name: one, backends: [a], write_quorum: 1}\n"
        "default_placement: one\n"
        "loops: 2\n"
        "limits: {body_memory: 1GiB, connections: 10, head_timeout: 1500ms, body_timeout: 2m, idle_timeout: 1h,\n"
        "         drain_timeout: 5s, extent_size: 1088KiB}\n"
        "encryption: {suite: aegis-256}\n"
        "garbage: {grace: 1h, operations: 5}\n"
        "repair: {rate: 2MiB, operations: 7}\n"
        "journal: {placement: both, mode: sync, interval: 5s}\n"
        "scrub: {rate: 0, operations: 3, interval: 7d, verify: header}\n"
        "log: {level: debug, format: json, access: false}\n";
    struct config *c;
    char why[512];

    (void)state;
    int rc = parse(text, why, &c);
    assert_string_equal(why, "");
    assert_int_equal(rc, 0);
    assert_int_equal(c->listener_count, 2);
    assert_string_equal(c->listeners[1].address, "::1");
    assert_path(c->listeners[1].certificate, "cert.pem");
    assert_path(c->listeners[1].key, "key.pem");
    assert_string_equal(c->admin_address, "127.0.0.1");
    assert_int_equal(c->admin_port, 9001);
    assert_path(c->control_socket, "run/arca.sock");
    assert_string_equal(c->region, "eu-central-1");
    assert_string_equal(c->domains[1], "s3.local");
    assert_int_equal(c->keyring_unlock, CONFIG_UNLOCK_PASSPHRASE_FILE);
    assert_string_equal(c->index_path, "/var/lib/arca/index");
    assert_true(c->backends[0].segment_size == 64ULL << 20);
    assert_int_equal(c->placements[0].backend_count, 2);
    assert_string_equal(c->placements[0].backends[0], "b");
    assert_int_equal(c->placements[0].write_quorum, 2);
    assert_string_equal(c->backends[0].jurisdiction, "DE");
    assert_int_equal(c->backends[0].cost, 3);
    assert_int_equal(c->placements[0].jurisdiction_count, 2);
    assert_string_equal(c->placements[0].jurisdictions[1], "EU");
    assert_int_equal(c->placements[1].jurisdiction_count, 0);
    assert_string_equal(c->default_placement, "one");
    assert_int_equal(c->loops, 2);
    assert_true(c->limits.body_memory == 1ULL << 30);
    assert_int_equal(c->limits.connections, 10);
    assert_int_equal(c->limits.head_timeout_ms, 1500);
    assert_int_equal(c->limits.body_timeout_ms, 120000);
    assert_int_equal(c->limits.idle_timeout_ms, 3600000);
    assert_int_equal(c->limits.drain_timeout_ms, 5000);
    assert_true(c->limits.extent_size == 1088ULL << 10);
    assert_string_equal(c->suite, "aegis-256");
    assert_int_equal(c->garbage.grace_ms, 3600000);
    assert_int_equal(c->garbage.operations, 5);
    assert_int_equal(c->repair.rate, 2 << 20);
    assert_int_equal(c->repair.operations, 7);
    assert_string_equal(c->journal.placement->name, "both");
    assert_true(c->journal.sync);
    assert_int_equal(c->journal.interval_ms, 5000);
    assert_int_equal(c->scrub.rate, 0);
    assert_int_equal(c->scrub.operations, 3);
    assert_int_equal(c->scrub.interval_ms, 7 * 24 * 3600000);
    assert_true(c->scrub.headers_only);
    assert_int_equal(c->log.level, LOG_DEBUG);
    assert_int_equal(c->log.format, LOG_JSON);
    assert_false(c->log.access);
    uint8_t secret[CONFIG_SECRET_MAX];
    size_t length;
    assert_int_equal(config_keyring_secret(c, secret, &length, why, sizeof(why)), 0);
    assert_int_equal(length, 32); /* a passphrase ends before its newline */
    config_free(c);
}

static void a_label_that_is_not_met_is_told_by_name(void **state)
{
    static const char text[] = "listeners: [{address: localhost, port: 0}]\n"
                               "credentials: credentials.yaml\n"
                               "keyring: {file: keyring, unlock: {key_file: keyring.key}}\n"
                               "index: {path: index}\n"
                               "backends:\n"
                               "  - {name: a, driver: disk, path: a, jurisdiction: DE}\n"
                               "  - {name: b, driver: disk, path: b, jurisdiction: us}\n"
                               "placements:\n"
                               "  - name: one\n"
                               "    backends: [a, b]\n"
                               "    write_quorum: 1\n"
                               "    required_labels:\n"
                               "      jurisdiction: [DE]\n";
    struct config *c;
    char why[512];

    (void)state;
    assert_int_equal(parse(text, why, &c), ERR_INVALID);
    assert_non_null(strstr(why, ":13: placements[0].required_labels.jurisdiction: backend 'b' has the jurisdiction "
                                "'us'; it must be one of DE"));
}

/* `from` of the least file becomes `to`; the complaint starts with LINE: KEY and has `what` in it. */
static const struct wrong {
    const char *from, *to;
    const char *where, *what;
} wrongs[] = {
    {"default_placement: default\n", "default_placement: default\nlimts: {}\n",
     "16: limts:", "unknown key 'limts'; did you mean 'limits'?"},
    {"    port: 9000", "    prot: 9000", "3: listeners[0].prot:", "did you mean 'port'?"},
    {"    port: 9000", "    zzzzzzz: 9000", "3: listeners[0].zzzzzzz:", "choose from address, port, tls"},
    {"    port: 9000\n", "", "2: listeners[0].port:", "is missing"},
    {"  file: keyring\n", "", "6: keyring.file:", "is missing"},
    {"credentials: credentials.yaml\n", "", "1: credentials:", "is missing"},
    {"port: 9000", "port: 65536", "3: listeners[0].port:", "must be a number from 0 to 65535, not '65536'"},
    {"port: 9000", "port: -1", "3: listeners[0].port:", "not '-1'"},
    {"port: 9000", "port: http", "3: listeners[0].port:", "not 'http'"},
    {"port: 9000", "port: 0x2328", "3: listeners[0].port:", "must be a number"},
    {"port: 9000", "port: 010", "3: listeners[0].port:", "must be a number"},
    {"port: 9000", "port: '9000'", "3: listeners[0].port:", "must be a number"},
    {"port: 9000", "port: [9000]", "3: listeners[0].port:", "must be a single value"},
    {"port: 9000", "port: 9000\n    port: 9001", "4: listeners[0].port:", "is given twice, first in line 3"},
    {"address: 127.0.0.1", "address:", "2: listeners[0].address:", "is empty"},
    {"  - address: 127.0.0.1\n    port: 9000\n", "  {address: a, port: 9000}\n", "1: listeners:", "must be a list"},
    {"  - address: 127.0.0.1\n    port: 9000\n", "  []\n", "1: listeners:", "needs at least 1 entry"},
    {"index: {path: index}", "index: index", "8: index:", "must be a mapping"},
    {"driver: disk", "driver: dsik", "10: backends[0].driver:", "unknown value 'dsik'; did you mean 'disk'?"},
    {"driver: disk", "driver: 0", "10: backends[0].driver:", "unknown value '0'; choose from disk"},
    {"name: local", "name: Local", "10: backends[0].name:", "may have a-z, 0-9 and '-' only"},
    {"path: objects}\n", "path: objects}\n  - {name: local, driver: disk, path: b}\n",
     "11: backends[1].name:", "taken"},
    {"path: objects}\n", "path: objects}\n  - {name: b, driver: disk, path: objects}\n",
     "11: backends[1].path:", "same"},
    {"path: objects}", "path: objects, segment_size: 256MB}",
     "10: backends[0].segment_size:", "must be a size such as"},
    {"path: objects}", "path: objects, segment_size: 1KiB}", "10: backends[0].segment_size:", "must be from"},
    {"backends: [local]", "backends: [locl]", "13: placements[0].backends[0]:", "did you mean 'local'?"},
    {"backends: [local]", "backends: [tape]", "13: placements[0].backends[0]:", "add it under backends"},
    {"backends: [local]", "backends: [local, local]", "13: placements[0].backends[1]:", "names 'local' twice"},
    {"write_quorum: 1", "write_quorum: 0", "14: placements[0].write_quorum:", "must be from 1 to"},
    {"write_quorum: 1", "write_quorum: 2", "14: placements[0].write_quorum:", "(1), not 2"},
    {"write_quorum: 1", "write_quorum: 1\n    required_labels: {jurisdiction: [DE, EU]}",
     "15: placements[0].required_labels.jurisdiction:", "backend 'local' has no jurisdiction; it must be one of DE, EU"},
    {"write_quorum: 1", "write_quorum: 1\n    required_labels: {country: [DE]}",
     "15: placements[0].required_labels.country:", "unknown"},
    {"default_placement: default", "default_placement: other", "15: default_placement:", "no placement 'other'"},
    {"default_placement: default\n", "default_placement: default\nlimits: {extent_size: 1025KiB}\n",
     "16: limits.extent_size:", "multiple of 64KiB"},
    {"default_placement: default\n", "default_placement: default\nlimits: {extent_size: 128MiB}\n",
     "16: limits.extent_size:", "must be from"},
    {"default_placement: default\n", "default_placement: default\nlimits: {body_memory: 8MiB}\n",
     "16: limits.body_memory:", "two extents"},
    {"default_placement: default\n", "default_placement: default\nlimits: {connections: 0}\n",
     "16: limits.connections:", "from 1"},
    {"default_placement: default\n", "default_placement: default\nlimits:\n  head_timeout: 10\n",
     "17: limits.head_timeout:", "must be a duration such as"},
    {"default_placement: default\n", "default_placement: default\nlimits:\n  head_timeout: 99999999999999999999h\n",
     "17: limits.head_timeout:", "must be a duration such as"},
    {"default_placement: default\n", "default_placement: default\nlimits:\n  head_timeout: 9999999999999999h\n",
     "17: limits.head_timeout:", "must be a duration such as"},
    {"default_placement: default\n", "default_placement: default\nloops: 65\n", "16: loops:", "must be from 0"},
    {"default_placement: default\n", "default_placement: default\nscrub: {rate: 1B}\n",
     "16: scrub.rate:", "must be from 1024 KiB to 1073741824 KiB, not '1B'"},
    {"default_placement: default\n", "default_placement: default\nscrub: {rate: 2048GiB}\n",
     "16: scrub.rate:", "must be from 1024 KiB to 1073741824 KiB, not '2048GiB'"},
    {"default_placement: default\n", "default_placement: default\nscrub: {rate: 1}\n",
     "16: scrub.rate:", "must be a size such as"},
    {"default_placement: default\n", "default_placement: default\nregion: EU\n", "16: region:", "may have"},
    {"default_placement: default\n", "default_placement: default\ndomains: [S3.x]\n", "16: domains[0]:", "lower-case"},
    {"default_placement: default\n", "default_placement: default\nencryption: {suite: aes-256-gmc}\n",
     "16: encryption.suite:", "did you mean 'aes-256-gcm'?"},
    {"default_placement: default\n", "default_placement: default\nlog: {access: maybe}\n",
     "16: log.access:", "must be true or false, not 'maybe'"},
    {"default_placement: default\n", "default_placement: default\nlog: {level: loud}\n",
     "16: log.level:", "choose from debug, info, warn, error"},
    {"default_placement: default\n", "default_placement: default\n---\na: b\n", "16:", "only one document"},
    {"{key_file: keyring.key}", "{}", "7: keyring.unlock:", "exactly one of"},
    {"{key_file: keyring.key}", "{key_file: keyring.key, credential: c}", "7: keyring.unlock:", "exactly one of"},
    {"{key_file: keyring.key}", "{credential: ../c}", "7: keyring.unlock.credential:", "not a path"},
    {"{key_file: keyring.key}", "{key_file: nokey}",
     "7: keyring.unlock.key_file:", "nokey cannot be read: No such file"},
    {"credentials: credentials.yaml", "credentials: none.yaml", "4: credentials:", "none.yaml cannot be read"},
    {"credentials: credentials.yaml", "credentials: .", "4: credentials:", "is a folder"},
    {"  file: keyring\n", "  file: none\n", "6: keyring.file:", "none cannot be read"},
    {"    port: 9000\n", "    port: 9000\n    tls: {certificate: no.pem, key: key.pem}\n",
     "4: listeners[0].tls.certificate:", "no.pem cannot be read"},
    {"    port: 9000\n", "    port: 9000\n    tls: {certificate: cert.pem, key: no.pem}\n",
     "4: listeners[0].tls.key:", "no.pem cannot be read"},
    {"    port: 9000\n", "    port: 9000\n    tls: {certificate: cert.pem}\n",
     "4: listeners[0].tls.key:", "is missing"},
    {"    port: 9000\n", "    port: 9000\n  - {address: 127.0.0.1, port: 9000}\n",
     "4: listeners[1].port:", "is the same"},
    {"{path: index}", "{path: &a index}", "8:", "anchors and tags"},
    {"{path: index}", "{path: *a}", "8:", "aliases"},
    {"{path: index}", "{path: !!str index}", "8:", "anchors and tags"},
    {"{path: index}", "{path: \"in\\0dex\"}", "8:", "NUL"},
    {"{path: index}", "{path: \"in\n dex\"}", "8:", "must stand on one line"},
    {"{path: index}", "{path: \"index}", "16:", "while scanning a quoted scalar that begins in line 8"},
    {"{path: index}", "{path: 'index'", "9:", "not YAML: did not find expected ',' or '}'"},
    {"{path: index}", "[[[[[[[[[[[[[[[[[[[[[[[[", "8:", "nested too deeply"},
    {"{path: index}", "{[a]: index}", "8:", "a key must be a word"},
    {"{path: index}", "{path: \xff}", "1:", "must be UTF-8"},
    {"index: {path: index}", "<<: {path: index}", "8: <<:", "unknown key"},
};

static void each_mistake_is_told_with_line_and_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrongs) / sizeof(*wrongs); i++) {
        const struct wrong *w = &wrongs[i];
        const char *at = strstr(least, w->from);
        char text[2048], where[512], why[512];
        struct config *c = NULL;

        assert_non_null(at);
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - least), least, w->to, at + strlen(w->from));
        snprintf(where, sizeof(where), "%s/arca.yaml:%s", folder, w->where);
        assert_int_equal(parse(text, why, &c), ERR_INVALID);
        if (strncmp(why, where, strlen(where)) != 0 || strstr(why, w->what) == NULL)
            fail_msg("'%s' -> '%s': %s", w->from, w->to, why);
        assert_null(c);
    }
}

static void files_that_are_none(void **state)
{
    char path[512], why[512];
    struct config *c;

    (void)state;
    snprintf(path, sizeof(path), "%s/arca.yaml", folder);
    assert_int_equal(config_load(path, why, sizeof(why), &c), ERR_NOT_FOUND);
    assert_non_null(strstr(why, "arca.yaml: cannot be read: No such file"));
    assert_int_equal(config_load(folder, why, sizeof(why), &c), ERR_INVALID);
    write_file("arca.yaml", "");
    assert_int_equal(config_load(path, why, sizeof(why), &c), ERR_INVALID);
    assert_non_null(strstr(why, "arca.yaml:1: the file is empty"));
    write_file("arca.yaml", least);
    assert_int_equal(config_load(path, why, sizeof(why), &c), 0);
    config_free(c);
    assert_int_equal(truncate(path, (1 << 20) + 1), 0);
    assert_int_equal(config_load(path, why, sizeof(why), &c), ERR_INVALID);
    assert_non_null(strstr(why, "larger than 1 MiB"));
}

static void credentials_of_the_service(void **state)
{
    static const char text[] = "listeners: [{address: 127.0.0.1, port: 0}]\n"
                               "credentials: credentials.yaml\n"
                               "keyring: {file: keyring, unlock: {credential: keyring.key}}\n"
                               "index: {path: index}\n"
                               "backends: [{name: local, driver: disk, path: objects}]\n"
                               "placements: [{name: default, backends: [local], write_quorum: 1}]\n"
                               "default_placement: default\n";
    uint8_t secret[CONFIG_SECRET_MAX];
    struct config *c;
    size_t length;
    char why[512];

    (void)state;
    unsetenv("CREDENTIALS_DIRECTORY");
    assert_int_equal(parse(text, why, &c), 0);
    assert_int_equal(config_keyring_secret(c, secret, &length, why, sizeof(why)), ERR_NOT_FOUND);
    assert_non_null(strstr(why, "CREDENTIALS_DIRECTORY"));
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    assert_int_equal(config_keyring_secret(c, secret, &length, why, sizeof(why)), 0);
    assert_int_equal(length, 33);
    config_free(c);
    setenv("CREDENTIALS_DIRECTORY", "/nowhere", 1);
    assert_int_equal(parse(text, why, &c), ERR_INVALID);
    assert_non_null(strstr(why, ":3: keyring.unlock.credential: /nowhere/keyring.key cannot be read"));
    unsetenv("CREDENTIALS_DIRECTORY");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_filled_in), cmocka_unit_test(a_default_placement_is_found),
        cmocka_unit_test(a_label_that_is_not_met_is_told_by_name),
        cmocka_unit_test(every_key_is_taken),     cmocka_unit_test(each_mistake_is_told_with_line_and_key),
        cmocka_unit_test(files_that_are_none),    cmocka_unit_test(credentials_of_the_service),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
