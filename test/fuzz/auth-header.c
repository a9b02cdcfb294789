/* Any head: its Authorization header and what else the verifier looks at. */
#include "fuzz_auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_verify(span_of(data, size), SPAN_NONE);
    return 0;
}
