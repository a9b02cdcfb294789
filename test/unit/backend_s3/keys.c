/* Where the keys of an S3 store come from. */
#include "unit.h"

#include "backends/s3/keys.h"
#include "backends/s3/metadata.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "blobs.h"
#include "scripted_server.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static char *folder;
static struct scripted server;

static int setup(void **state)
{
    (void)state;
    folder = folder_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

struct get {
    struct s3_keys *keys;
    const struct s3_key *key;
    int rc;
};

static void run_get(void *arg)
{
    struct get *get = arg;
    get->rc = s3_keys_get(get->keys, loop_now_ms() + 5000, &get->key);
}

static int get_key(struct s3_keys *keys, const struct s3_key **out)
{
    struct get get = {.keys = keys};
    on_fiber(run_get, &get);
    *out = get.key;
    return get.rc;
}

/* --- files and the environment --- */

static char *write_file(const char *text)
{
    char *path;
    assert_true(asprintf(&path, "%s/keys", folder) > 0);
    FILE *file = fopen(path, "w");
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fchmod(fileno(file), 0600), 0);
    fclose(file);
    return path;
}

static int create_from_file(const char *text, struct s3_keys **out)
{
    char *path = write_file(text);
    struct backend_settings settings = {.name = "s", .credentials_from = BACKEND_CREDENTIALS_FILE, .credentials = path};
    int rc = s3_keys_create(&settings, out);
    free(path);
    return rc;
}

static void file(void **state)
{
    (void)state;
    struct s3_keys *keys;
    const struct s3_key *key, *renewed;
    assert_int_equal(create_from_file("# of the store\r\naccess_key_id: AK\r\nsecret_access_key: \"s:e#c\"\r\n", &keys),
                     0);
    assert_int_equal(get_key(keys, &key), 0);
    assert_string_equal(key->access_key, "AK");
    assert_string_equal(key->secret_key, "s:e#c");
    assert_string_equal(key->session_token, "");
    /* the store says that they have expired: the file may have new ones */
    free(write_file("access_key_id: AK2\nsecret_access_key: new\nsession_token: 't'\n"));
    s3_keys_expired(keys, key);
    assert_int_equal(get_key(keys, &renewed), 0);
    assert_string_equal(key->access_key, "AK"); /* whoever has it keeps it */
    assert_string_equal(renewed->access_key, "AK2");
    assert_string_equal(renewed->session_token, "t");
    s3_keys_put(renewed);
    s3_keys_put(key);
    s3_keys_free(keys);
}

static void files_that_are_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "access_key_id: AK\n",
        "access_key_id: AK\nsecret_access_key:\n",
        "access_key_id: AK\naccess_key_id: AK\nsecret_access_key: s\n",
        "access_key_id: AK\nsecret_access_key: s\nother: x\n",
        "access_key_id: A K\nsecret_access_key: s\n",
        "access_key_id AK\nsecret_access_key: s\n",
    };
    struct s3_keys *keys;
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_int_equal(create_from_file(texts[i], &keys), ERR_INVALID);
    struct backend_settings settings = {
        .name = "s", .credentials_from = BACKEND_CREDENTIALS_FILE, .credentials = (char *)(uintptr_t) "/nowhere/keys"};
    assert_int_equal(s3_keys_create(&settings, &keys), ERR_NOT_FOUND);
}

static void environment(void **state)
{
    (void)state;
    struct backend_settings settings = {.name = "s",
                                        .credentials_from = BACKEND_CREDENTIALS_ENVIRONMENT,
                                        .credentials = (char *)(uintptr_t) "ARCA_UNIT"};
    struct s3_keys *keys;
    const struct s3_key *key;
    setenv("ARCA_UNIT_ACCESS_KEY_ID", "AK", 1);
    assert_int_equal(s3_keys_create(&settings, &keys), ERR_INVALID);
    setenv("ARCA_UNIT_SECRET_ACCESS_KEY", "secret", 1);
    assert_int_equal(s3_keys_create(&settings, &keys), 0);
    assert_int_equal(get_key(keys, &key), 0);
    assert_string_equal(key->secret_key, "secret");
    s3_keys_put(key);
    s3_keys_free(keys);
}

/* --- metadata services --- */

static char *answer_with(const char *body)
{
    char *text;
    assert_true(asprintf(&text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body) > 0);
    return text;
}

static char *document(const char *access_key, int64_t expires_in_s)
{
    char *body, when[CLOCK_ISO_SIZE];
    clock_iso(clock_wall_ms() + expires_in_s * 1000, when);
    assert_true(asprintf(&body,
                         "{\"Code\": \"Success\", \"AccessKeyId\": \"%s\", \"SecretAccessKey\": \"sec/ret\", "
                         "\"Token\": \"tok+en=\", \"Expiration\": \"%s\"}",
                         access_key, when) > 0);
    char *text = answer_with(body);
    free(body);
    return text;
}

static struct s3_keys *create_metadata(enum backend_credentials from)
{
    struct backend_settings settings = {.name = "s", .credentials_from = from, .credentials = server.url};
    struct s3_keys *keys;
    assert_int_equal(s3_keys_create(&settings, &keys), 0);
    return keys;
}

static void ec2(void **state)
{
    (void)state;
    char *token = answer_with("the-token"), *role = answer_with("arca-role\n"), *first = document("FIRST", 200);
    char *second = document("SECOND", 3600);
    const char *script[] = {token, role, first, token, role, second};
    const struct s3_key *key;
    scripted_start(&server, script, COUNT(script));
    struct s3_keys *keys = create_metadata(BACKEND_CREDENTIALS_EC2);
    assert_int_equal(get_key(keys, &key), 0);
    assert_string_equal(key->access_key, "FIRST");
    assert_string_equal(key->secret_key, "sec/ret");
    assert_string_equal(key->session_token, "tok+en=");
    assert_int_equal(atomic_load(&server.requests), 3);
    assert_non_null(strstr(server.heads[0], "PUT /latest/api/token HTTP/1.1"));
    assert_non_null(strstr(server.heads[0], "X-aws-ec2-metadata-token-ttl-seconds: 21600"));
    assert_non_null(strstr(server.heads[1], "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1"));
    assert_non_null(strstr(server.heads[1], "X-aws-ec2-metadata-token: the-token\r\n"));
    assert_non_null(strstr(server.heads[2], "GET /latest/meta-data/iam/security-credentials/arca-role HTTP/1.1"));
    /* it ends within minutes, but the service has just been asked */
    s3_keys_put(key);
    assert_int_equal(get_key(keys, &key), 0);
    s3_keys_put(key);
    assert_int_equal(atomic_load(&server.requests), 3);
    s3_keys_free(keys);
    /* what has long to go is not asked for again */
    keys = create_metadata(BACKEND_CREDENTIALS_EC2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(get_key(keys, &key), 0);
        assert_string_equal(key->access_key, "SECOND");
        s3_keys_put(key);
    }
    assert_int_equal(atomic_load(&server.requests), 6);
    s3_keys_free(keys);
    scripted_stop(&server);
    free(token), free(role), free(first), free(second);
}

static void ecs(void **state)
{
    (void)state;
    char *text = document("TASK", 3600);
    const char *script[] = {text};
    const struct s3_key *key;
    scripted_start(&server, script, COUNT(script));
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/abc", 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "who", 1);
    struct s3_keys *keys = create_metadata(BACKEND_CREDENTIALS_ECS);
    assert_int_equal(get_key(keys, &key), 0);
    assert_string_equal(key->access_key, "TASK");
    assert_non_null(strstr(server.heads[0], "GET /v2/credentials/abc HTTP/1.1"));
    assert_non_null(strstr(server.heads[0], "Authorization: who\r\n"));
    s3_keys_put(key);
    s3_keys_free(keys);
    scripted_stop(&server);
    free(text);
}

/* Many at once ask the service once. */
static void together(void **state)
{
    (void)state;
    enum { GETS = 20 };
    char *token = answer_with("t"), *role = answer_with("r"), *text = document("ONE", 3600);
    const char *script[] = {token, role, text, SCRIPT_CLOSE};
    struct get gets[GETS];
    struct loop *loop;
    scripted_start(&server, script, COUNT(script));
    struct s3_keys *keys = create_metadata(BACKEND_CREDENTIALS_EC2);
    assert_int_equal(loop_create(&(struct loop_options){.number = 0}, &loop), 0);
    for (unsigned i = 0; i < GETS; i++) {
        gets[i] = (struct get){.keys = keys};
        assert_int_equal(fiber_spawn(loop, run_get, &gets[i], NULL), 0);
    }
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    for (unsigned i = 0; i < GETS; i++) {
        assert_int_equal(gets[i].rc, 0);
        assert_string_equal(gets[i].key->access_key, "ONE");
        s3_keys_put(gets[i].key);
    }
    assert_int_equal(atomic_load(&server.requests), 3);
    s3_keys_free(keys);
    scripted_stop(&server);
    free(token), free(role), free(text);
}

/* Whoever asks the service gives up: that says nothing about the service. */
static void run_get_canceled(void *arg)
{
    struct get *get = arg, first = {.keys = get->keys};
    struct fiber *fiber;
    assert_int_equal(fiber_spawn(fiber_loop(fiber_self()), run_get, &first, &fiber), 0);
    fiber_yield();
    fiber_cancel(fiber);
    fiber_yield();
    assert_int_equal(first.rc, ERR_CANCELED);
    run_get(get);
}

static void canceled(void **state)
{
    (void)state;
    char *text = document("TASK", 3600);
    const char *script[] = {text};
    scripted_start(&server, script, COUNT(script));
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/abc", 1);
    struct get get = {.keys = create_metadata(BACKEND_CREDENTIALS_ECS)};
    on_fiber(run_get_canceled, &get);
    assert_int_equal(get.rc, 0);
    assert_string_equal(get.key->access_key, "TASK");
    s3_keys_put(get.key);
    s3_keys_free(get.keys);
    scripted_stop(&server);
    free(text);
}

static void services_that_fail(void **state)
{
    (void)state;
    char *role = answer_with("../../etc?x"), *token = answer_with("t"), *bad_token = answer_with("a\nb");
    char *expired = document("OLD", -10), *good_role = answer_with("r"), *none = answer_with("{}");
    const char *const scripts[][3] = {
        {"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "", ""},
        {token, role, ""},
        {bad_token, "", ""},
        {token, good_role, expired},
        {token, good_role, none},
    };
    const struct s3_key *key;
    for (size_t i = 0; i < COUNT(scripts); i++) {
        scripted_start(&server, scripts[i], 3);
        struct s3_keys *keys = create_metadata(BACKEND_CREDENTIALS_EC2);
        assert_int_equal(get_key(keys, &key), ERR_UNAVAILABLE);
        s3_keys_free(keys);
        scripted_stop(&server);
    }
    free(role), free(token), free(bad_token), free(expired), free(good_role), free(none);
}

static void documents(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "[]",
        "null",
        "{}",
        "{\"AccessKeyId\": \"a\"}",
        "{\"AccessKeyId\": \"a\", \"SecretAccessKey\": 5}",
        "{\"AccessKeyId\": \"a\\n\", \"SecretAccessKey\": \"s\"}",
        "{\"AccessKeyId\": \"a\", \"SecretAccessKey\": \"s\", \"Expiration\": \"soon\"}",
        "{\"AccessKeyId\": \"a\", \"AccessKeyId\": \"b\", \"SecretAccessKey\": \"s\"}",
    };
    int64_t expires_ms;
    struct secrets *secrets = secrets_create();
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_int_equal(metadata_parse(span_str(wrong[i]), secrets, &expires_ms), ERR_SYNTAX);
    assert_int_equal(
        metadata_parse(span_str("{\"AccessKeyId\": \"a\", \"SecretAccessKey\": \"s\"}"), secrets, &expires_ms), 0);
    assert_true(expires_ms == INT64_MAX);
    secrets_free(secrets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(file, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_are_none, setup, teardown),
        cmocka_unit_test(environment),
        cmocka_unit_test(ec2),
        cmocka_unit_test(ecs),
        cmocka_unit_test(together),
        cmocka_unit_test(canceled),
        cmocka_unit_test(services_that_fail),
        cmocka_unit_test(documents),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
