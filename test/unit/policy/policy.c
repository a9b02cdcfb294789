#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/err.h"
#include "policy/policy.h"

static void users_may_and_nobody_may_not(void **state)
{
    struct policy_request request = {.action = "s3:GetObject", .bucket = SPAN_LITERAL("b"), .key = SPAN_LITERAL("k")};

    (void)state;
    assert_int_equal(policy_decide(&request), ERR_DENIED);
    request.user_id = "someone";
    assert_int_equal(policy_decide(&request), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(users_may_and_nobody_may_not)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
