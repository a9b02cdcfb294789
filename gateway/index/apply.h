/* Mutations applied to the view: each first checks everything that can fail, then changes rows. Deterministic: the same
 * mutations in the same order make the same rows, so that times, ids and the sequence come from the mutation and the meta
 * row and nowhere else. */
#ifndef ARCA_INDEX_APPLY_H
#define ARCA_INDEX_APPLY_H

#include "base/arena.h"
#include "index/index.h"
#include "index/lmdb/records.h"
#include "index/lmdb/tree.h"

#define PART_NUMBER_MAX 10000 /* docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */

struct apply {
    struct txn *txn;
    struct meta *meta;   /* sequence is the last applied one's */
    struct arena *arena; /* for records read on the way; reset by the caller */
    int64_t now_ms;      /* the mutation's time */
    uint64_t sequence;   /* of this mutation */
};

/* Applies one. When it fails and txn->touched is set, or the failure is the machine's, the transaction is spoilt. When it
 * succeeds and txn->touched is not set, it changed nothing and is not journalled; else the caller advances
 * meta->sequence. */
int apply_mutation(struct apply *apply, const Arca__Mutation *mutation);

/* --- shared by the operations --- */

struct bucket_nodes {
    uint64_t objects;
    uint64_t uploads;
};
int apply_bucket(struct apply *apply, uint64_t bucket_id, struct bucket_nodes *out); /* ERR_NO_SUCH_BUCKET */
/* The value of a bucket_ids row: the uploads' node (8, BE), then the name. */
int bucket_nodes_decode(uint64_t bucket_id, struct span row, struct bucket_nodes *out);

/* apply_blob.c */
bool blob_id_valid(struct span id);
/* Checks before changing: ERR_INVALID, ERR_EXISTS. */
int blob_check_new(struct apply *apply, const Arca__NewBlob *blob);
int blob_insert(struct apply *apply, const Arca__NewBlob *blob, uint32_t references);
/* One more or one fewer reference to a body: a blob or, if `blob_id` is empty, a manifest; both empty is fine. What loses
 * its last becomes garbage. */
int body_check(struct apply *apply, struct span blob_id, struct span manifest_id); /* ERR_NOT_FOUND */
int body_reference(struct apply *apply, struct span blob_id, struct span manifest_id);
int body_release(struct apply *apply, struct span blob_id, struct span manifest_id);
/* Removes the part rows of an upload; their blobs become garbage. */
int parts_release(struct apply *apply, struct span upload_id);
int apply_add_garbage(struct apply *apply, const Arca__Mutation *mutation);
int apply_collected(struct apply *apply, const Arca__Mutation *mutation);

/* apply_repair.c */
/* Rows for the extents of a new blob that have fewer replicas than they are to have. */
int repairs_add(struct apply *apply, const Arca__NewBlob *blob);
int repair_forget(struct apply *apply, struct span blob_id, uint32_t extent);
int apply_add_replica(struct apply *apply, const Arca__Mutation *mutation);
int apply_mark_replica(struct apply *apply, const Arca__Mutation *mutation);
int apply_repair_done(struct apply *apply, const Arca__Mutation *mutation);
int apply_repair_failed(struct apply *apply, const Arca__Mutation *mutation);

/* apply_object.c */
/* The newest version; *out is NULL if there is none. `version` is its row's suffix. */
int object_newest(struct apply *apply, uint64_t node, struct span key, Arca__Object **out, uint8_t version[VERSION_SIZE]);
/* Makes the newest version of a key from `object` and releases the one before. */
int object_replace(struct apply *apply, uint64_t node, struct span key, const Arca__Object *object,
                   const Arca__Object *old, const uint8_t old_version[VERSION_SIZE]);
int apply_put_object(struct apply *apply, const Arca__Mutation *mutation);
int apply_delete_object(struct apply *apply, const Arca__Mutation *mutation);

/* apply_upload.c */
/* Aborts all uploads of a bucket. ERR_BUCKET_NOT_EMPTY when they are too many for one mutation. */
int uploads_drop(struct apply *apply, uint64_t uploads_node);
int apply_create_upload(struct apply *apply, const Arca__Mutation *mutation);
int apply_put_part(struct apply *apply, const Arca__Mutation *mutation);
int apply_complete_upload(struct apply *apply, const Arca__Mutation *mutation);
int apply_abort_upload(struct apply *apply, const Arca__Mutation *mutation);
int apply_forget_uploads(struct apply *apply, const Arca__Mutation *mutation);

#endif
