/* Signature Version 2 signs some parameters only. One that makes another operation of a request must be among them, or
 * anybody could add it to a URL that was signed for something else. */
#include "unit.h"
#include "s3/route.c"
#include "crypto/sign_v2.h"

static void selectors_are_signed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        const char *selector = table[i].selector;
        /* The same listing of the same bucket in another form; botocore sends it unsigned. */
        if (selector != NULL && strcmp(selector, "list-type") != 0 && !sign_v2_covers(span_str(selector)))
            fail_msg("%s: ?%s is not signed", table[i].name, selector);
    }
}

/* The list is searched by halves. */
static void each_covered_name_is_found(void **state)
{
    static const char *const names[] = {"accelerate", "acl", "partNumber", "response-expires", "uploadId", "versionId",
                                        "versioning", "versions", "website", "select-type", "delete", "torrent"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        assert_true(sign_v2_covers(span_str(names[i])));
    assert_false(sign_v2_covers(SPAN_LITERAL("prefix")));
    assert_false(sign_v2_covers(SPAN_LITERAL("ACL")));
    assert_false(sign_v2_covers(SPAN_LITERAL("ac")));
    assert_false(sign_v2_covers(SPAN_NONE));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors_are_signed),
        cmocka_unit_test(each_covered_name_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
