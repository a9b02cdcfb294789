#include "policy/policy.h"

#include <stddef.h>
#include "base/err.h"

int policy_decide(const struct policy_request *request)
{
    return request->user_id != NULL ? 0 : ERR_DENIED;
}
