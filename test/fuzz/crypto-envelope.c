/* Bytes that a backend may return where an extent is expected: the header's parser, and opening all segments. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "crypto/envelope.h"
#include "crypto/wrap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct data_key *keys[SUITE_AEGIS_256 + 1];

static void prepare(void)
{
    static const struct bucket_key bucket_key = {.id = 1};
    static const uint8_t blob_id[BLOB_ID_SIZE];
    uint8_t wrapped[WRAPPED_KEY_SIZE];

    if (keys[SUITE_AES_256_GCM] != NULL)
        return;
    if (crypto_init() != 0)
        abort();
    for (enum envelope_suite suite = SUITE_AES_256_GCM; suite <= SUITE_AEGIS_256; suite++) {
        int rc = data_key_create(&bucket_key, suite, blob_id, wrapped, &keys[suite]);

        if (rc != 0 && rc != ERR_UNSUPPORTED)
            abort();
    }
}

static void open_all(enum envelope_suite suite, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    struct extent_opener opener;

    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    if (extent_open_begin(&opener, keys[suite], 0, size) == 0) {
        extent_check_header(&opener, span_of(data, size < ENVELOPE_HEADER_SIZE ? size : ENVELOPE_HEADER_SIZE));
        for (uint64_t n = 0; n < opener.segments; n++) {
            uint64_t offset = envelope_segment_offset(suite, n), next = envelope_segment_offset(suite, n + 1);

            /* Nobody finds bytes that a random key made. */
            if (extent_open_segment(&opener, n, copy + offset, (next < size ? next : size) - offset) == 0)
                abort();
        }
        extent_open_end(&opener);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope_header header;

    prepare();
    if (envelope_parse_header(span_of(data, size), &header) == 0 && keys[header.suite] != NULL)
        open_all(header.suite, data, size);
    open_all(SUITE_AES_256_GCM, data, size);
    return 0;
}
