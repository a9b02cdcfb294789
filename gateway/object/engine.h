/* The engine: what an object store does, without HTTP and XML. Writes, reads, copies, multipart uploads. Everything
 * here works on plaintext towards its callers and on sealed extents towards the store. */
#ifndef ARCA_OBJECT_ENGINE_H
#define ARCA_OBJECT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/block.h"
#include "base/source.h"
#include "base/span.h"
#include "crypto/envelope.h"
#include "crypto/keyring.h"
#include "index/index.h"

struct store;
struct engine;

#define PART_SIZE_MAX   (5ULL << 30)
#define OBJECT_SIZE_MAX (5ULL << 40)
#define PART_NUMBER_MAX 10000

struct engine_options {
    struct index *index;
    struct store *store;
    struct keyring *keyring;
    struct budget *budget;
    enum envelope_suite suite;
    uint64_t extent_size; /* bytes of plaintext, a multiple of ENVELOPE_SEGMENT */
};

/* Binds the index to the keyring or checks that they belong together (ERR_WRONG_KEY), rewraps bucket keys under the
 * newest root key, opens a lease of blob ids. On a fiber, once, before serving. */
int engine_create(const struct engine_options *options, struct engine **out) SUSPENDS;
/* Closes the lease when all that was begun under it is in the index: on a fiber, after the last operation. When a store
 * failed to say what it has, the lease stays open, so that the next start looks for orphans. */
int engine_quiesce(struct engine *engine) SUSPENDS;
void engine_free(struct engine *engine); /* NULL is fine */
struct index *engine_index(struct engine *engine);
/* The lease that this process's blob ids begin with, for the search for orphans. */
void engine_lease(const struct engine *engine, uint8_t out[LEASE_ID_SIZE]);

/* Whether `stored` is this extent of the blob as it was sealed: header and all tags. Changes nothing in it. ERR_CORRUPT: it is
 * not. ERR_WRONG_KEY: the keys that the rows name do not open, so that nothing can be said. ERR_NOMEM, ERR_CANCELED. */
int engine_verify(struct engine *engine, const Arca__Blob *blob, uint32_t extent, struct span stored) SUSPENDS;

/* --- buckets --- */
/* ERR_BUCKET_OWNED, ERR_BUCKET_EXISTS, ERR_NOT_FOUND (no such placement). `placement` may be empty: the store's default. */
int bucket_create(struct engine *engine, struct arena *arena, struct span name, struct span placement,
                  struct span owner_id, struct span owner_name) SUSPENDS;
int bucket_delete(struct engine *engine, struct arena *arena,
                  struct span name) SUSPENDS; /* ERR_BUCKET_NOT_EMPTY, ERR_NO_SUCH_BUCKET */

/* --- writes --- */
/* Called when the whole body was read and before anything is committed: fills in the object's (or part's) etag and
 * checksums. An error refuses the write. */
struct write_seal {
    int (*described)(void *arg, char **etag, Arca__Checksum ***checksums, size_t *checksum_count);
    void *arg;
};

struct object_put {
    const Arca__Bucket *bucket;
    struct span key;
    Arca__Object *object; /* in: headers, owner; out: size, modified_ms, etag, checksums, blob_id */
    struct source *body;
    struct write_seal seal;
    Arca__Precondition *precondition; /* NULL: none. Checked early, and again when it is applied */
    uint64_t size_max;                /* ERR_TOO_LARGE beyond it */
    int64_t deadline_ms;
    unsigned retry_after_s; /* out, with ERR_UNAVAILABLE: when to try again; 0: not known */
};
/* Errors: the source's, the store's, index_apply's; before the body is read, if the placement cannot take it now. On failure
 * whatever was stored is garbage and noted as such. */
int object_put(struct engine *engine, struct arena *arena, struct object_put *put) SUSPENDS;

struct part_put {
    const Arca__Bucket *bucket;
    struct span key;
    struct span upload_id; /* raw */
    Arca__Part *part;      /* in: number; out: the rest */
    struct source *body;
    struct write_seal seal;
    int64_t deadline_ms;
    unsigned retry_after_s; /* as for object_put */
};
int part_put(struct engine *engine, struct arena *arena, struct part_put *put) SUSPENDS;

/* A copy by reference: one more object that names the source's blob or manifest, whose bucket has the same placement: what is
 * in a placement stays in it. `object` has what the copy is to have
 * (headers, etag, checksums, body ids, size), modified_ms is set here. ERR_CONFLICT: the source went away meanwhile. */
int object_copy(struct engine *engine, struct arena *arena, const Arca__Bucket *bucket, struct span key,
                Arca__Object *object, Arca__Precondition *precondition) SUSPENDS;

int object_delete(struct engine *engine, struct arena *arena, const Arca__Bucket *bucket, struct span key,
                  Arca__Precondition *precondition) SUSPENDS;
/* results[i] gets each key's outcome. */
void object_delete_all(struct engine *engine, struct arena *arena, const Arca__Bucket *bucket, const struct span *keys,
                       Arca__Precondition *const *preconditions, size_t count, int *results) SUSPENDS;

/* --- multipart --- */
/* `upload` has headers, owner, checksum kind and type; id, key and created_ms are set here. */
int upload_create(struct engine *engine, struct arena *arena, const Arca__Bucket *bucket, struct span key,
                  Arca__Upload *upload) SUSPENDS;
struct upload_complete {
    const Arca__Bucket *bucket;
    struct span key;
    struct span upload_id;
    Arca__CompletedPart **parts; /* ascending */
    size_t part_count;
    Arca__Precondition *precondition;
    struct span checksum; /* the client's x-amz-checksum-* of the whole, raw; empty: none. ERR_BAD_CHECKSUM */
    uint64_t size;        /* x-amz-mp-object-size; 0: not given. ERR_INVALID */
    Arca__Object *object; /* the caller's, initialised; filled in */
};
/* ETag md5(md5s)-N; composite or combined checksums. Repeating a completed one succeeds with the same result.
 * ERR_NO_SUCH_UPLOAD, ERR_INVALID_PART, ERR_PART_ORDER, ERR_PART_TOO_SMALL, ERR_PRECONDITION. */
int upload_complete(struct engine *engine, struct arena *arena, struct upload_complete *complete) SUSPENDS;
int upload_abort(struct engine *engine, struct arena *arena, const Arca__Bucket *bucket, struct span key,
                 struct span upload_id) SUSPENDS;

/* --- reads --- */
struct object_reader;
/* Looks the object up; *out has its record. ERR_NO_SUCH_KEY. The blob stays readable until the reader is closed, even when
 * the object is deleted or replaced meanwhile. In the arena; released by object_reader_close. */
int object_open(struct engine *engine, struct arena *arena, const Arca__Bucket *bucket, struct span key,
                Arca__Object **out, struct object_reader **reader) SUSPENDS;
/* Chooses the bytes to read: [offset, offset + length) within the size. Once, before object_read. */
void object_reader_range(struct object_reader *reader, uint64_t offset, uint64_t length);
/* The next decrypted and verified bytes, as up to `max` spans valid until the next call; *count 0 at the end.
 * ERR_CORRUPT: no replica verifies; nothing of the damaged segment is handed out. Read ahead goes on in the background.
 */
int object_read(struct object_reader *reader, struct span *spans, size_t max, size_t *count,
                int64_t deadline_ms) SUSPENDS;
void object_reader_close(struct object_reader *reader) SUSPENDS; /* NULL is fine */
/* The chosen range as a source, for UploadPartCopy; instead of object_read. It takes no memory from the body budget:
 * who waits for the budget in order to write must not hold some of it for reading. In the arena; NULL when out of
 * memory. */
struct source *object_reader_source(struct object_reader *reader, struct arena *arena);

#endif
