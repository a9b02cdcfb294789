/* Bodies of changes: what is taken, and how the rest is refused. */
#include "unit.h"
#include <stdio.h>
#include <string.h>
#include "admin/change.h"
#include "base/err.h"

static struct arena *arena;
static struct change change;
static char why[256];

static int parse(const char *text)
{
    why[0] = '\0';
    return change_parse(span_str(text), arena, &change, why, sizeof(why));
}

static void what_is_right_is_taken(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"backends\": [\"b\", \"a-1\"], \"write_quorum\": 2}"), 0);
    assert_int_equal(change.count, 2);
    assert_true(span_eq_str(change.backends[0], "b"));
    assert_true(span_eq_str(change.backends[1], "a-1"));
    assert_int_equal(change.write_quorum, 2);
    assert_int_equal(parse(" {\"backends\":[\"b\"]}\n"), 0);
    assert_int_equal(change.write_quorum, 0);
}

static void what_is_wrong_is_named(void **state)
{
    static const char *const cases[][2] = {
        {"", "no JSON"},
        {"{", "no JSON"},
        {"{\"backends\": [\"a\"]} x", "no JSON"},
        {"{\"backends\": [\"a\"], \"backends\": [\"b\"]}", "no JSON"},
        {"{\"backends\": [\"a\\u0000b\"]}", "no JSON"},
        {"{\"backends\": [\"\xff\"]}", "no JSON"},
        {"[\"a\"]", "object"},
        {"{}", "name the backends"},
        {"{\"backends\": []}", "name the backends"},
        {"{\"backends\": \"a\"}", "name the backends"},
        {"{\"backends\": [1]}", "array of names"},
        {"{\"backends\": [\"\"]}", "array of names"},
        {"{\"backends\": [[\"a\"]]}", "array of names"},
        {"{\"backends\": [\"a\", \"b\", \"a\"]}", "'a' is named twice"},
        {"{\"backends\": [\"a\"], \"quorum\": 1}", "no key 'quorum'"},
        {"{\"backends\": [\"a\"], \"write_quorum\": 0}", "write_quorum"},
        {"{\"backends\": [\"a\"], \"write_quorum\": -1}", "write_quorum"},
        {"{\"backends\": [\"a\"], \"write_quorum\": \"1\"}", "write_quorum"},
        {"{\"backends\": [\"a\"], \"write_quorum\": 4294967297}", "write_quorum"},
        {"{\"backends\": [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\",\"d\",\"e\",\"f\","
         "\"g\",\"h\"]}", "at most 16"},
        {"[[[[[[[[[]]]]]]]]]", "nested"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i][0]), ERR_INVALID);
        if (strstr(why, cases[i][1]) == NULL)
            fail_msg("%s: '%s'", cases[i][0], why);
    }
}

static void depth_is_bounded(void **state)
{
    static char deep[CHANGE_SIZE_MAX + 1];
    (void)state;
    memset(deep, '[', sizeof(deep) - 1);
    assert_int_equal(parse(deep), ERR_INVALID);
    assert_non_null(strstr(why, "nested"));
}

static void memory_runs_out(void **state)
{
    (void)state;
    struct arena *small = arena_create(1);
    assert_non_null(small);
    const char text[] = "{\"backends\": [\"a\"]}";
    assert_int_equal(change_parse(span_str(text), small, &change, why, sizeof(why)), ERR_NOMEM);
    arena_free(small);
}

static int set_up(void **state)
{
    (void)state;
    return (arena = arena_create(1 << 20)) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_is_taken),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
