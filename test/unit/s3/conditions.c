#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/err.h"
#include "s3/conditions.h"

#define MODIFIED_MS 1700000000500 /* Tue, 14 Nov 2023 22:13:20 GMT and a half second */
#define SAME        1700000000

static int check(struct conditions conditions)
{
    return conditions_check(&conditions, SPAN_LITERAL("abc"), MODIFIED_MS);
}

static void etags_are_compared_in_lists_with_or_without_quotes(void **state)
{
    (void)state;
    struct span etag = SPAN_LITERAL("abc");
    assert_true(conditions_etag_listed(SPAN_LITERAL("\"abc\""), etag));
    assert_true(conditions_etag_listed(SPAN_LITERAL("abc"), etag));
    assert_true(conditions_etag_listed(SPAN_LITERAL("\"x\", W/\"abc\""), etag));
    assert_true(conditions_etag_listed(SPAN_LITERAL(" * "), etag));
    assert_false(conditions_etag_listed(SPAN_LITERAL("\"abcd\""), etag));
    assert_false(conditions_etag_listed(SPAN_LITERAL(""), etag));
}

static void precedence_of_rfc_9110_13_2_2(void **state)
{
    (void)state;
    struct span yes = SPAN_LITERAL("\"abc\""), no = SPAN_LITERAL("\"x\"");
    assert_int_equal(check((struct conditions){0}), 0);
    assert_int_equal(check((struct conditions){.if_match = yes}), 0);
    assert_int_equal(check((struct conditions){.if_match = no}), ERR_PRECONDITION);
    assert_int_equal(check((struct conditions){.if_none_match = yes}), ERR_NOT_MODIFIED);
    assert_int_equal(check((struct conditions){.if_none_match = no}), 0);
    assert_int_equal(check((struct conditions){.has_unmodified_since = true, .unmodified_since = SAME - 1}),
                     ERR_PRECONDITION);
    assert_int_equal(check((struct conditions){.has_unmodified_since = true, .unmodified_since = SAME}), 0);
    assert_int_equal(check((struct conditions){.has_modified_since = true, .modified_since = SAME}), ERR_NOT_MODIFIED);
    assert_int_equal(check((struct conditions){.has_modified_since = true, .modified_since = SAME - 1}), 0);
    /* An entity tag outweighs the date of its kind. */
    assert_int_equal(check((struct conditions){.if_match = yes, .has_unmodified_since = true}), 0);
    assert_int_equal(
        check((struct conditions){.if_none_match = no, .has_modified_since = true, .modified_since = SAME}), 0);
    assert_int_equal(check((struct conditions){.if_match = no, .if_none_match = yes}), ERR_PRECONDITION);
    assert_int_equal(check((struct conditions){.if_match = yes, .if_none_match = yes}), ERR_NOT_MODIFIED);
}

static void if_range_needs_the_very_same_object(void **state)
{
    (void)state;
    struct span etag = SPAN_LITERAL("abc");
    assert_true(conditions_if_range(SPAN_NONE, etag, MODIFIED_MS));
    assert_true(conditions_if_range(SPAN_LITERAL("\"abc\""), etag, MODIFIED_MS));
    assert_false(conditions_if_range(SPAN_LITERAL("W/\"abc\""), etag, MODIFIED_MS));
    assert_false(conditions_if_range(SPAN_LITERAL("\"x\""), etag, MODIFIED_MS));
    assert_true(conditions_if_range(SPAN_LITERAL("Tue, 14 Nov 2023 22:13:20 GMT"), etag, MODIFIED_MS));
    assert_false(conditions_if_range(SPAN_LITERAL("Tue, 14 Nov 2023 22:13:21 GMT"), etag, MODIFIED_MS));
}

static void writes_hand_their_conditions_to_the_index(void **state)
{
    (void)state;
    struct arena *arena = arena_create(1 << 20);
    Arca__Precondition *condition;
    struct conditions none = {.has_modified_since = true};
    assert_int_equal(conditions_precondition(&none, arena, &condition), 0);
    assert_null(condition);

    struct conditions create = {.if_none_match = SPAN_LITERAL("*")};
    assert_int_equal(conditions_precondition(&create, arena, &condition), 0);
    assert_true(condition->must_not_exist);
    assert_int_equal(condition->n_if_none_match, 0);

    struct conditions replace = {.if_match = SPAN_LITERAL("\"a\", b"), .has_unmodified_since = true};
    assert_int_equal(conditions_precondition(&replace, arena, &condition), 0);
    assert_int_equal(condition->n_if_match, 2);
    assert_string_equal(condition->if_match[0], "a");
    assert_string_equal(condition->if_match[1], "b");
    assert_false(condition->has_unmodified_since);
    assert_false(condition->must_exist);
    arena_free(arena);
}

static void headers_are_read_by_their_two_sets_of_names(void **state)
{
    (void)state;
    struct http_header headers[] = {
        {SPAN_LITERAL("If-Match"), SPAN_LITERAL("a")},
        {SPAN_LITERAL("X-Amz-Copy-Source-If-Match"), SPAN_LITERAL("b")},
        {SPAN_LITERAL("If-Modified-Since"), SPAN_LITERAL("yesterday")},
        {SPAN_LITERAL("x-amz-copy-source-if-unmodified-since"), SPAN_LITERAL("Tue, 14 Nov 2023 22:13:20 GMT")},
    };
    struct http_request request = {.headers = headers, .header_count = 4};
    struct conditions conditions;
    conditions_read(&request, false, &conditions);
    assert_true(span_eq_str(conditions.if_match, "a"));
    assert_false(conditions.has_modified_since || conditions.has_unmodified_since);
    conditions_read(&request, true, &conditions);
    assert_true(span_eq_str(conditions.if_match, "b"));
    assert_true(conditions.has_unmodified_since);
    assert_int_equal(conditions.unmodified_since, SAME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(etags_are_compared_in_lists_with_or_without_quotes),
        cmocka_unit_test(precedence_of_rfc_9110_13_2_2),
        cmocka_unit_test(if_range_needs_the_very_same_object),
        cmocka_unit_test(writes_hand_their_conditions_to_the_index),
        cmocka_unit_test(headers_are_read_by_their_two_sets_of_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
