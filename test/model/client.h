/* A client: a fiber that does random operations and compares every answer with the model. */
#ifndef ARCA_TEST_CLIENT_H
#define ARCA_TEST_CLIENT_H

#include "base/arena.h"
#include "dice.h"
#include "index/index.h"
#include "model.h"
#include "world.h"

#define UPLOADS_MAX 2
#define PARTS_MAX   3
#define WHAT_MAX    200

/* What all clients share. */
struct run {
    uint64_t seed;
    struct world *world;
    struct model model;
    bool faults; /* operations may fail */
    uint64_t operations;               /* that it is to do, */
    uint64_t begun, succeeded, failed; /* and has done */
    uint64_t verified;                 /* reads of whole objects */
    uint64_t changes, returns, ended;  /* of placements: begun, of them while another was under way, seen to be done */
    bool following;                    /* somebody makes the world follow its config */
    bool pending[WORLD_PLACEMENTS];    /* one was begun and not yet seen to be done */
    struct world_set configured[WORLD_PLACEMENTS], left[WORLD_PLACEMENTS]; /* by the config; before the last change */
    uint64_t trace;                    /* of what was done and what came of it, when: the same for the same seed */
};

/* One that the client has begun. Nobody else knows it. */
struct upload {
    bool open;
    unsigned bucket, key;
    uint32_t value; /* what its object will be */
    uint8_t id[UPLOAD_ID_SIZE];
    unsigned deletions; /* of the bucket, that were begun when it was */
    struct values parts[PARTS_MAX]; /* what each part may be */
};

struct client {
    struct run *run;
    unsigned number;
    struct dice dice;
    struct arena *arena;
    struct upload uploads[UPLOADS_MAX];
    uint64_t operation;  /* that it does now, */
    char what[WHAT_MAX]; /* in words */
};

void client_init(struct client *client, struct run *run, unsigned number);
void client_free(struct client *client);
/* Lets up to so much time pass, or none. */
void client_think(struct client *client, unsigned ms) SUSPENDS;
/* One operation. */
void client_step(struct client *client) SUSPENDS;
/* Compares everything, alone, with backends that are calm. */
void client_verify(struct client *client) SUSPENDS;

/* --- for the files of clients --- */

/* Tells what was expected, and how to do it again, and ends the process. */
void client_fail(const struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
/* The same, of a value that a register did not have. */
void client_fail_values(struct client *client, const struct access *access, const char *got);
void client_says(struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum doing { DOING_READ, DOING_WRITE, DOING_INDEX };
/* Counts the operation. What may fail while there are faults may fail so, or the run is over. */
void client_ended(struct client *client, enum doing doing, int rc);

/* The value that an object tells it is, if that is one of those it may be. */
uint32_t client_expect(struct client *client, struct access *access, const Arca__Object *object);

/* A body that is a value. */
struct value_source {
    struct source source;
    const struct value *value;
    uint64_t at;
    struct client *slow; /* whose put takes longer than changes of placements do; NULL: it does not */
};
void value_source_init(struct value_source *source, const struct value *value);
int value_described(void *arg, char **etag, Arca__Checksum ***checksums, size_t *count);

Arca__Headers *client_headers(struct client *client, uint32_t value);

/* --- bucket.c --- */
void client_make_bucket(struct client *client, unsigned b) SUSPENDS;
void client_drop_bucket(struct client *client, unsigned b) SUSPENDS;

/* A bucket, looked up and held for an operation. False: there is none, and the operation is over. */
struct in_bucket {
    struct bucket *model;
    struct access access;
    Arca__Bucket *bucket;
    uint32_t value;
};
bool bucket_enter(struct client *client, unsigned b, struct in_bucket *in) SUSPENDS;
/* rc: what the operation in it gave. */
void bucket_leave(struct client *client, struct in_bucket *in, int rc);

/* --- multipart.c --- */
void client_multipart(struct client *client) SUSPENDS;

/* --- list.c --- */
void client_list(struct client *client) SUSPENDS;
void client_list_all(struct client *client, unsigned b) SUSPENDS;

/* --- change.c --- */
/* One act of the administrator: another set of a placement, another config, a job paused or resumed, a backend down. */
void client_administer(struct client *client) SUSPENDS;
/* Before a start: what the config says; now and then something else than before. */
void client_configure(struct client *client);
/* After a start: it was followed. */
void client_followed(struct client *client);
/* Alone: what the index says that each placement is to be. True: they are. */
bool client_verify_sets(struct client *client) SUSPENDS;

#endif
