/* The section `backends` of arca.yaml: what each driver takes and needs. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "config/config.h"

static char folder[] = "/tmp/arca-test-XXXXXX";

static const char *const files[] = {"credentials.yaml", "keyring", "keyring.key", "minio.keys", "ca.pem"};

static void file_path(const char *name, char out[256])
{
    snprintf(out, 256, "%s/%s", folder, name);
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        char path[256];
        file_path(files[i], path);
        FILE *file = fopen(path, "w");
        if (file == NULL || fputs("x\n", file) < 0 || fclose(file) != 0)
            return -1;
    }
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        char path[256];
        file_path(files[i], path);
        unlink(path);
    }
    return rmdir(folder);
}

/* `backends` are lines from the 7th on. */
static int parse(const char *backends, char why[512], struct config **out)
{
    char path[256], text[4096];
    file_path("arca.yaml", path);
    snprintf(text, sizeof(text),
             "listeners: [{address: 127.0.0.1, port: 9000}]\n"
             "credentials: credentials.yaml\n"
             "keyring: {file: keyring, unlock: {key_file: keyring.key}}\n"
             "index: {path: index}\n"
             "placements: [{name: default, backends: [one], write_quorum: 1}]\n"
             "backends:\n%s",
             backends);
    why[0] = '\0';
    return config_parse(path, span_str(text), why, 512, out);
}

static void remote_stores(void **state)
{
    static const char text[] =
        "  - name: one\n"
        "    driver: s3\n"
        "    endpoint: https://s3.eu-central-1.amazonaws.com\n"
        "    bucket: clinic-arca\n"
        "    prefix: gateway/1\n"
        "    region: eu-central-1\n"
        "    addressing: virtual-host\n"
        "    signature: v4\n"
        "    storage_class: STANDARD_IA\n"
        "    credentials: {file: minio.keys}\n"
        "    ca_file: ca.pem\n"
        "    proxy: http://proxy.clinic.example:3128\n"
        "    timeout: 30s\n"
        "    connections: 16\n"
        "    jurisdiction: eu\n"
        "    cost: 3\n"
        "  - {name: two, driver: s3, endpoint: 'http://h:9000', bucket: b-1, signature: v2,\n"
        "     credentials: {environment: MINIO}}\n"
        "  - {name: three, driver: s3, endpoint: 'http://h:9000', bucket: b-1, prefix: x, credentials: {metadata: "
        "ec2}}\n"
        "  - name: four\n"
        "    driver: azure\n"
        "    endpoint: https://arca.blob.core.windows.net\n"
        "    account: arca\n"
        "    container: blobs\n"
        "    credentials: {file: minio.keys}\n"
        "  - {name: five, driver: s3, endpoint: 'http://g', bucket: b-1,\n"
        "     credentials: {metadata: ecs, endpoint: 'http://169.254.170.3'}}\n";
    struct config *c;
    char why[512], path[256];

    (void)state;
    int rc = parse(text, why, &c);
    assert_string_equal(why, "");
    assert_int_equal(rc, 0);
    const struct backend_settings *one = &c->backends[0], *two = &c->backends[1];
    assert_string_equal(one->driver, "s3");
    assert_string_equal(one->endpoint, "https://s3.eu-central-1.amazonaws.com");
    assert_string_equal(one->bucket, "clinic-arca");
    assert_string_equal(one->prefix, "gateway/1");
    assert_string_equal(one->region, "eu-central-1");
    assert_int_equal(one->virtual_host, 1);
    assert_int_equal(one->signature, 4);
    assert_string_equal(one->storage_class, "STANDARD_IA");
    assert_int_equal(one->credentials_from, BACKEND_CREDENTIALS_FILE);
    file_path("minio.keys", path);
    assert_string_equal(one->credentials, path);
    file_path("ca.pem", path);
    assert_string_equal(one->ca_file, path);
    assert_string_equal(one->proxy, "http://proxy.clinic.example:3128");
    assert_int_equal(one->timeout_ms, 30000);
    assert_int_equal(one->connections, 16);
    assert_string_equal(one->jurisdiction, "eu");
    assert_int_equal(one->cost, 3);
    assert_int_equal(two->credentials_from, BACKEND_CREDENTIALS_ENVIRONMENT);
    assert_string_equal(two->credentials, "MINIO");
    assert_int_equal(two->signature, 2);
    assert_int_equal(c->backends[2].signature, 4);
    assert_int_equal(two->timeout_ms, 60000);
    assert_int_equal(two->connections, 64);
    assert_null(two->region);
    assert_null(two->jurisdiction);
    assert_int_equal(c->backends[2].credentials_from, BACKEND_CREDENTIALS_EC2);
    assert_null(c->backends[2].credentials);
    assert_string_equal(c->backends[3].bucket, "blobs");
    assert_string_equal(c->backends[3].account, "arca");
    assert_int_equal(c->backends[4].credentials_from, BACKEND_CREDENTIALS_ECS);
    assert_string_equal(c->backends[4].credentials, "http://169.254.170.3");
    config_free(c);
}

#define S3 "{name: one, driver: s3, endpoint: 'http://h', bucket: blobs, credentials: {file: minio.keys}"

static const struct wrong {
    const char *backend;
    const char *where, *what;
} wrongs[] = {
    {"{name: one, driver: disk}", "7: backends[0].path:", "is missing; driver disk needs it"},
    {"{name: one, driver: disk, path: a, bucket: b}", "7: backends[0].bucket:", "means nothing to driver disk"},
    {"{name: one, driver: s3, bucket: blobs, credentials: {file: minio.keys}}",
     "7: backends[0].endpoint:", "is missing"},
    {"{name: one, driver: s3, endpoint: 'http://h', credentials: {file: minio.keys}}",
     "7: backends[0].bucket:", "is missing"},
    {"{name: one, driver: s3, endpoint: 'http://h', bucket: blobs}", "7: backends[0].credentials:", "is missing"},
    {S3 ", path: a}", "7: backends[0].path:", "means nothing to driver s3"},
    {S3 ", account: a}", "7: backends[0].account:", "means nothing to driver s3"},
    {S3 ", addressing: host}", "7: backends[0].addressing:", "choose from path, virtual-host"},
    {S3 ", signature: v3}", "7: backends[0].signature:", "v4"},
    {S3 ", connections: 0}", "7: backends[0].connections:", "must be from 1"},
    {S3 ", timeout: 5}", "7: backends[0].timeout:", "must be a duration"},
    {S3 ", cost: 10}", "7: backends[0].cost:", "must be from 0"},
    {S3 ", jurisdiction: E_U}", "7: backends[0].jurisdiction:", "may have"},
    {S3 ", ca_file: nowhere.pem}", "7: backends[0].ca_file:", "cannot be read"},
    {S3 ", proxy: proxy}", "7: backends[0].proxy:", "must be a URL"},
    {"{name: one, driver: s3, endpoint: h, bucket: blobs, credentials: {file: minio.keys}}",
     "7: backends[0].endpoint:", "must be a URL"},
    {"{name: one, driver: s3, endpoint: 'http://h', bucket: Blobs, credentials: {file: minio.keys}}",
     "7: backends[0].bucket:", "may have"},
    {"{name: one, driver: s3, endpoint: 'http://h', bucket: blobs, credentials: {file: nokeys}}",
     "7: backends[0].credentials.file:", "cannot be read"},
    {"{name: one, driver: s3, endpoint: 'http://h', bucket: blobs, credentials: {}}",
     "7: backends[0].credentials:", "exactly one of"},
    {"{name: one, driver: s3, endpoint: 'http://h', bucket: blobs, credentials: {file: minio.keys, environment: A}}",
     "7: backends[0].credentials:", "exactly one of"},
    {"{name: one, driver: s3, endpoint: 'http://h', bucket: blobs, credentials: {environment: a}}",
     "7: backends[0].credentials.environment:", "may have"},
    {"{name: one, driver: s3, endpoint: 'http://h', bucket: blobs, credentials: {file: minio.keys, endpoint: "
     "'http://m'}}",
     "7: backends[0].credentials.endpoint:", "metadata"},
    {"{name: one, driver: azure, endpoint: 'http://h', account: a, container: c, credentials: {metadata: ec2}}",
     "7: backends[0].credentials.metadata:", "s3 only"},
    {S3 "}\n  - {name: two, driver: s3, endpoint: 'http://h', bucket: blobs, credentials: {environment: A}}",
     "8: backends[1].endpoint:", "is the same as backends[0]'s"},
    {S3 ", signature: v2, storage_class: GLACIER}", "7: backends[0].storage_class:", "means nothing to signature v2"},
    {S3 ", signature: v2, proxy: 'http://p'}", "7: backends[0].proxy:", "means nothing to signature v2"},
    {"{name: one, driver: s3, signature: v2, endpoint: 'http://h', bucket: blobs, credentials: {metadata: ec2}}",
     "7: backends[0].credentials.metadata:", "signature v4 only"},
    {S3 "}\n  - {name: two, driver: s3, endpoint: 'http://H/', bucket: blobs, credentials: {environment: A}}",
     "8: backends[1].endpoint:", "is the same as backends[0]'s"},
    {S3 "}\n  - {name: two, driver: s3, endpoint: 'http://h:80', bucket: blobs, credentials: {environment: A}}",
     "8: backends[1].endpoint:", "is the same as backends[0]'s"},
    {S3 "}\n  - {name: two, driver: disk, path: /srv/a}\n  - {name: three, driver: disk, path: /srv//a/}",
     "9: backends[2].path:", "is the same as backends[1]'s"},
};

static void mistakes_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrongs) / sizeof(*wrongs); i++) {
        char text[1024], why[512];
        struct config *c;
        snprintf(text, sizeof(text), "  - %s\n", wrongs[i].backend);
        int rc = parse(text, why, &c);
        const char *line = strstr(why, "arca.yaml:");
        if (rc != ERR_INVALID || line == NULL || strncmp(line + 10, wrongs[i].where, strlen(wrongs[i].where)) != 0 ||
            strstr(why, wrongs[i].what) == NULL)
            fail_msg("%s\n  says: %s", wrongs[i].backend, why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remote_stores),
        cmocka_unit_test(mistakes_are_told),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
