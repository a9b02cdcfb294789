/* Any query of a head that is otherwise in order. */
#include "base/buf.h"
#include "fuzz_auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf head = {0};

    buf_append_str(&head, "GET /bucket/key?");
    buf_append(&head, span_of(data, size));
    buf_append_str(&head, " HTTP/1.1\r\nHost: 127.0.0.1:9000\r\n\r\n");
    if (head.failed == 0)
        fuzz_verify(buf_span(&head), SPAN_NONE);
    buf_free(&head);
    return 0;
}
