/* Journal recovery on hostile bytes. The first byte chooses: the rest as a segment file as it is, or as mutations (each
 * a length of 2 bytes, little-endian, and its bytes) that are put into whole records, read back and applied, since no
 * mutation of a fuzzer survives the CRC. */
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "fuzz_view.h"
#include "index/apply.h"
#include "index/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_raw(struct span bytes)
{
    struct journal_reader reader;
    struct journal_entry record;
    uint64_t torn;
    if (journal_reader_init(&reader, bytes) != 0)
        return;
    while (journal_reader_next(&reader, &record) == 0)
        if (record.payload.ptr < bytes.ptr || record.payload.ptr + record.payload.len > bytes.ptr + bytes.len)
            abort();
    journal_reader_end(&reader, &torn);
    if (torn > bytes.len)
        abort();
}

static void apply_payload(struct apply *apply, struct span payload)
{
    Arca__Mutation *mutation;
    arena_reset(apply->arena);
    if (record_unpack(&arca__mutation__descriptor, apply->arena, payload, &mutation) != 0)
        return;
    apply->txn->touched = false;
    if (apply_mutation(apply, mutation) == 0 && apply->txn->touched)
        apply->meta->sequence++;
}

static void read_back(struct span bytes, size_t count)
{
    struct journal_reader reader;
    struct journal_entry record;
    struct txn txn;
    struct meta meta;
    uint64_t torn;
    struct apply apply = {.txn = &txn, .meta = &meta, .arena = arena_create(16 << 20), .tally = tally_create()};
    if (apply.arena == NULL || apply.tally == NULL || journal_reader_init(&reader, bytes) != 0 ||
        view_write(fuzz_view(), &txn) != 0 || meta_get(&txn, &meta) != 0)
        abort();
    for (; journal_reader_next(&reader, &record) == 0; count--)
        apply_payload(&apply, record.payload);
    if (count != 0 || journal_reader_end(&reader, &torn) != 0 || torn != 0)
        abort();
    tally_write(apply.tally, &txn);
    txn_abort(&txn);
    tally_free(apply.tally);
    arena_free(apply.arena);
}

static void write_and_read(struct span input)
{
    struct buf segment = {0};
    struct journal_header header = {.first = 1, .salt = "saltsal"};
    uint8_t hash[JOURNAL_HASH_SIZE] = {0};
    uint64_t sequence = 1;
    fuzz_view();
    journal_header_encode(&header, buf_reserve(&segment, JOURNAL_HEADER_SIZE));
    segment.len = JOURNAL_HEADER_SIZE;
    while (input.len > 2) {
        size_t len = (size_t)input.ptr[0] | (size_t)input.ptr[1] << 8;
        struct span payload = span_take(span_skip(input, 2), len);
        input = span_skip(input, 2 + payload.len);
        if (payload.len != 0)
            journal_record_append(&segment, &header, sequence++, 1, payload, hash);
    }
    if (segment.failed == 0)
        read_back(buf_span(&segment), (size_t)sequence - 1);
    buf_free(&segment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span rest = span_of(data + 1, size - 1);
    if (data[0] == 'r')
        read_raw(rest);
    else
        write_and_read(rest);
    return 0;
}
