/* Mutations applied to the view: each first checks everything that can fail, then changes rows. Deterministic: the same
 * mutations in the same order make the same rows, so that times, ids and the sequence come from the mutation and the
 * meta row and nowhere else. */
#ifndef ARCA_INDEX_APPLY_H
#define ARCA_INDEX_APPLY_H

#include "base/arena.h"
#include "index/index.h"
#include "index/lmdb/records.h"
#include "index/lmdb/tree.h"
#include "index/tally.h"

#define PART_NUMBER_MAX 10000 /* docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */

struct apply {
    struct txn *txn;
    struct meta *meta;   /* sequence is the last applied one's */
    struct arena *arena; /* for records read on the way; reset by the caller */
    struct tally *tally; /* of one transaction or all; the caller writes it before a commit, resets it after an abort */
    int64_t now_ms;      /* the mutation's time */
    uint64_t sequence;   /* of this mutation */
};

/* Applies one. When it fails and txn->touched is set, or the failure is the machine's, the transaction is spoilt. When
 * it succeeds and txn->touched is not set, it changed nothing and is not journalled; else the caller advances
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
bool replica_valid(const Arca__Replica *replica);
/* An extent of the blob has more replicas (sign 1) or fewer (-1). */
int holdings_change(struct apply *apply, const Arca__Blob *blob, uint32_t extent, Arca__Replica *const *replicas,
                    size_t count, int sign);
/* One more or one fewer reference to a body: a blob or, if `blob_id` is empty, a manifest; both empty is fine. What
 * loses its last becomes garbage. */
int body_check(struct apply *apply, struct span blob_id, struct span manifest_id); /* ERR_NOT_FOUND */
int body_reference(struct apply *apply, struct span blob_id, struct span manifest_id);
int body_release(struct apply *apply, struct span blob_id, struct span manifest_id);
/* Removes the part rows of an upload; their blobs become garbage. */
int parts_release(struct apply *apply, struct span upload_id);
int apply_add_garbage(struct apply *apply, const Arca__Mutation *mutation);
int apply_collected(struct apply *apply, const Arca__Mutation *mutation);

/* apply_repair.c */
/* Whether a set has a good replica on each backend that is to have one. NULL: those that hold it are to. */
bool replicas_meet(const Arca__Placement *set, Arca__Replica *const *replicas, size_t count);
/* The same, and none is suspect, wherever. */
bool replicas_whole(const Arca__Placement *set, Arca__Replica *const *replicas, size_t count);
bool member_wanted(const Arca__Member *member); /* is to have everything */
/* Rows for the extents of a new blob that are not whole. */
int repairs_add(struct apply *apply, const Arca__NewBlob *blob);
/* The rows of all extents of a blob that nobody refers to any more. */
int repairs_forget(struct apply *apply, struct span blob_id);
int apply_add_replica(struct apply *apply, const Arca__Mutation *mutation);
int apply_remove_replica(struct apply *apply, const Arca__Mutation *mutation);
int apply_mark_replica(struct apply *apply, const Arca__Mutation *mutation);
int apply_repair_done(struct apply *apply, const Arca__Mutation *mutation);
int apply_repair_failed(struct apply *apply, const Arca__Mutation *mutation);

/* apply_placement.c */
#define JOB_NAME_MAX  79
#define JOB_PLACEMENT "placement " /* and a placement's name */
bool placement_valid(const Arca__Placement *placement);
/* A bucket may be made under the placement of this name (empty: under none). ERR_NOT_FOUND: the config has no such one. */
int placement_takes_bucket(struct apply *apply, const char *name);
bool placement_settled(const Arca__Placement *placement); /* no change is under way: all are MEMBER */
bool job_valid(const Arca__Job *job);
/* The placement that a job of this name changes; NULL if it is another kind of job. */
const char *job_placement(const char *job);
int apply_set_placement(struct apply *apply, const Arca__Mutation *mutation);
int apply_set_job(struct apply *apply, const Arca__Mutation *mutation);
int apply_remove_job(struct apply *apply, const Arca__Mutation *mutation);

/* apply_object.c */
/* The newest version; *out is NULL if there is none. `version` is its row's suffix. */
int object_newest(struct apply *apply, uint64_t node, struct span key, Arca__Object **out,
                  uint8_t version[VERSION_SIZE]);
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
