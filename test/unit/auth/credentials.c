/* The credentials file, and every way in which it can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "auth/credentials.h"
#include "base/err.h"

static char path[256];

static int make_file(void **state)
{
    const char *tmp = getenv("TMPDIR");
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "%s/arca-credentials-XXXXXX", tmp != NULL ? tmp : "/tmp");
    fd = mkstemp(path);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static int load(const char *text, char why[512], struct credentials **out)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    why[0] = '\0';
    return credentials_load(path, why, 512, out);
}

static void entries_are_found_by_access_key(void **state)
{
    static const char text[] = "# größer: characters before a secret have several bytes\n"
                               "- {name: b, access_key: BBB, secret_key: 'secret/with+all''s', user_id: u1}\n"
                               "- name: a\n"
                               "  access_key: AAA   # the first\n"
                               "  secret_key: \"quoted \\\"secret\\\"\"  # a comment\n"
                               "  user_id: u2\n"
                               "  display_name: Ärztin\n"
                               "- {secret_key: 12345678, name: c, access_key: CC.C-c_c~c@c+c, user_id: u1}\n";
    struct credentials *set;
    char why[512];

    (void)state;
    int rc = load(text, why, &set);
    assert_string_equal(why, "");
    assert_int_equal(rc, 0);
    assert_int_equal(credentials_count(set), 3);
    const struct credential *a = credentials_find(set, SPAN_LITERAL("AAA"));
    assert_string_equal(a->name, "a");
    assert_string_equal(a->secret_key, "quoted \"secret\"");
    assert_string_equal(a->user_id, "u2");
    assert_string_equal(a->display_name, "Ärztin");
    const struct credential *b = credentials_find(set, SPAN_LITERAL("BBB"));
    assert_string_equal(b->secret_key, "secret/with+all's");
    assert_string_equal(b->display_name, "b");
    assert_string_equal(credentials_find(set, SPAN_LITERAL("CC.C-c_c~c@c+c"))->secret_key, "12345678");
    assert_null(credentials_find(set, SPAN_LITERAL("BB")));
    assert_null(credentials_find(set, SPAN_LITERAL("BBBB")));
    assert_null(credentials_find(set, SPAN_LITERAL("aaa")));
    assert_null(credentials_find(set, SPAN_NONE));
    assert_ptr_equal(credentials_ref(set), set);
    credentials_unref(set);
    assert_string_equal(a->name, "a");
    credentials_unref(set);
    credentials_unref(NULL);
}

#define ENTRY "- name: a\n  access_key: AAA\n  secret_key: 0123456789abcdef\n  user_id: u\n"

static void each_mistake_is_told_with_line_and_key(void **state)
{
    static const struct {
        const char *text, *where, *what;
    } rows[] = {
        {"", ":1: ", "the file is empty"},
        {"[]", ":1: ", "needs at least 1 entry"},
        {"name: a\n", ":1: ", "must be a list"},
        {"- a\n", ":1: [0]:", "must be a mapping"},
        {ENTRY "- {name: b, access_key: BBB, user_id: u}\n", ":5: [1].secret_key:", "is missing"},
        {ENTRY "  secret: x\n", ":5: [0].secret:", "unknown key 'secret'"},
        {ENTRY "  secretkey: x\n", ":5: [0].secretkey:", "did you mean 'secret_key'?"},
        {ENTRY "- name: a\n  access_key: BBB\n  secret_key: 0123456789abcdef\n  user_id: u\n",
         ":5: [1].name:", "is taken by"},
        {ENTRY "- name: b\n  access_key: AAA\n  secret_key: 0123456789abcdef\n  user_id: u\n",
         ":6: [1].access_key:", "is taken by"},
        {"- name: a\n  access_key: A/A\n  secret_key: 0123456789abcdef\n  user_id: u\n",
         ":2: [0].access_key:", "may have"},
        {"- name: a\n  access_key: AA\n  secret_key: 0123456789abcdef\n  user_id: u\n",
         ":2: [0].access_key:", "at least 3"},
        {"- name: a\n  access_key: AAA\n  secret_key: 0123456\n  user_id: u\n", ":3: [0].secret_key:", "at least 8"},
        {"- name: a\n  access_key: AAA\n  secret_key: [0123456]\n  user_id: u\n",
         ":3: [0].secret_key:", "a single value"},
        {"- name: \"a\\x07\"\n  access_key: AAA\n  secret_key: 0123456789abcdef\n  user_id: u\n",
         ":1: [0]:", "control"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct credentials *set = NULL;
        char why[512], where[512];
        snprintf(where, sizeof(where), "%s%s", path, rows[i].where);
        assert_int_equal(load(rows[i].text, why, &set), ERR_INVALID);
        if (strncmp(why, where, strlen(where)) != 0 || strstr(why, rows[i].what) == NULL)
            fail_msg("%s: %s", rows[i].text, why);
        if (strstr(why, "01234") != NULL)
            fail_msg("a secret is told: %s", why);
        assert_null(set);
    }
}

static void secrets_of_all_lengths(void **state)
{
    (void)state;
    for (size_t length = 8; length <= 256; length++) {
        char text[600], secret[300], why[512];
        struct credentials *set;
        memset(secret, 's', length);
        secret[length] = '\0';
        snprintf(text, sizeof(text), "[{name: a, access_key: AAA, secret_key: \"%s\", user_id: u}]", secret);
        int rc = load(text, why, &set);
        assert_string_equal(why, "");
        assert_int_equal(rc, 0);
        assert_string_equal(credentials_find(set, SPAN_LITERAL("AAA"))->secret_key, secret);
        credentials_unref(set);
    }
}

static void no_file(void **state)
{
    struct credentials *set;
    char why[512];

    (void)state;
    assert_int_equal(credentials_load("/nowhere/credentials.yaml", why, sizeof(why), &set), ERR_NOT_FOUND);
    assert_non_null(strstr(why, "/nowhere/credentials.yaml: cannot be read"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_found_by_access_key),
        cmocka_unit_test(each_mistake_is_told_with_line_and_key),
        cmocka_unit_test(secrets_of_all_lengths),
        cmocka_unit_test(no_file),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
