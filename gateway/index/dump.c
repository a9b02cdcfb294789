#include <string.h>
#include "base/err.h"
#include "index/apply.h"
#include "index/index.h"
#include "index/private.h"
#include "index/recover.h"

struct dump {
    int (*record)(const struct journal_record *record, void *arg);
    void *arg;
};

static int dump_record(const struct journal_place *place, void *arg)
{
    const struct dump *dump = arg;
    struct span payload = place->record->payload;
    Arca__Mutation *mutation = arca__mutation__unpack(NULL, payload.len, payload.ptr);
    if (mutation == NULL)
        return ERR_CORRUPT;
    struct journal_record record = {.sequence = place->record->sequence,
                                    .segment = place->segment,
                                    .offset = place->record->offset,
                                    .mutation = mutation};
    int rc = dump->record(&record, dump->arg);
    arca__mutation__free_unpacked(mutation, NULL);
    return rc;
}

int index_journal_dump(const char *path, int (*record)(const struct journal_record *record, void *arg), void *arg,
                       uint64_t *torn)
{
    struct index_paths paths;
    struct journal_scan scan;
    struct dump dump = {.record = record, .arg = arg};
    int rc = index_paths_init(&paths, path);
    if (rc == 0)
        rc = journal_scan(paths.journal, 0, dump_record, &dump, &scan);
    if (rc == 0 && torn != NULL)
        *torn = scan.torn;
    return rc;
}

#define BLOB_LIMIT (16U << 20) /* bytes that one unpacked blob and one of its extents may take */

static int blob_extents(struct txn *txn, struct arena *arena, const Arca__Blob *blob,
                        int (*extent)(const Arca__Blob *blob, const Arca__Extent *extent, void *arg), void *arg)
{
    if (blob->extent_count <= 1) {
        Arca__Extent only = ARCA__EXTENT__INIT;
        only.n_replicas = blob->n_replicas;
        only.replicas = blob->replicas;
        return extent(blob, &only, arg);
    }
    struct span id = record_bytes(blob->id), value;
    struct record_key start = key_numbered(id.ptr, 0);
    struct span key = record_key_span(&start);
    int rc = txn_seek(txn, TABLE_REPLICAS, MDB_SET_RANGE, &key, &value);
    for (; rc == 0 && span_starts(key, id); rc = txn_seek(txn, TABLE_REPLICAS, MDB_NEXT, &key, &value)) {
        Arca__Extent *row;
        if ((rc = record_unpack(&arca__extent__descriptor, arena, value, &row)) != 0 ||
            (rc = extent(blob, row, arg)) != 0)
            return rc;
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int index_extents_each(struct index *index,
                       int (*extent)(const Arca__Blob *blob, const Arca__Extent *extent, void *arg), void *arg)
{
    struct txn *txn;
    struct span key = SPAN_NONE, value;
    struct arena *arena = arena_create(BLOB_LIMIT);
    if (arena == NULL)
        return ERR_NOMEM;
    int rc = view_read(index_view(index), &txn);
    if (rc != 0) {
        arena_free(arena);
        return rc;
    }
    rc = txn_seek(txn, TABLE_BLOBS, MDB_FIRST, &key, &value);
    for (; rc == 0; rc = txn_seek(txn, TABLE_BLOBS, MDB_NEXT, &key, &value)) {
        Arca__Blob *blob;
        arena_reset(arena);
        if ((rc = record_unpack(&arca__blob__descriptor, arena, value, &blob)) != 0)
            break;
        if (!blob_id_valid(record_bytes(blob->id))) {
            rc = ERR_CORRUPT;
            break;
        }
        if ((rc = blob_extents(txn, arena, blob, extent, arg)) != 0)
            break;
    }
    view_read_end(txn);
    arena_free(arena);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}
