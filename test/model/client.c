#include "client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/loop.h"
#include "simulated.h"

#define ARENA_LIMIT ((size_t)8 << 20)
#define EXTENT      ENVELOPE_SEGMENT
#define READ_SPANS  3
#define SLOW_MS     8000 /* at most, for an extent of a slow body */
#define SLOW        60000 /* of a million puts of several extents */
#define CHANGES     1000 /* of a million operations, by the administrator */

/* --- what is told --- */

void client_says(struct client *client, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(client->what, sizeof(client->what), format, args);
    va_end(args);
}

void client_fail(const struct client *client, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    fprintf(stderr, "model: FAILED: seed %llu, operation %llu, client %u: %s: ", (unsigned long long)client->run->seed,
            (unsigned long long)client->operation, client->number, client->what);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nmodel: again: test/run model --seed %llu --operations %llu\n",
            (unsigned long long)client->run->seed, (unsigned long long)client->run->operations);
    fflush(stderr);
    world_destroy(client->run->world);
    _exit(1);
}

static void append_values(char *text, size_t size, const struct values *values)
{
    for (size_t i = 0; i < values->count; i++) {
        size_t length = strlen(text);
        snprintf(text + length, size - length, " %u", (unsigned)values->all[i]);
    }
}

void client_fail_values(struct client *client, const struct access *access, const char *got)
{
    char text[512] = "";
    append_values(text, sizeof(text), &access->seen);
    client_fail(client, "%s, but its value (0: absent) was one of:%s", got, text);
}

void client_ended(struct client *client, enum doing doing, int rc)
{
    struct run *run = client->run;
    bool killed = world_killed(run->world);
    run->trace = dice_mix(run->trace ^ client->operation << 20 ^ (uint64_t)(unsigned)rc ^
                          (uint64_t)simulated_now_ms() << 40);
    run->succeeded += rc == 0;
    if (rc == 0)
        return;
    run->failed++;
    bool fine = run->faults && rc == ERR_NOSPC && doing != DOING_READ;
    if (doing == DOING_WRITE)
        fine = fine || (run->faults && (rc == ERR_UNAVAILABLE || rc == ERR_READONLY));
    if (doing == DOING_READ)
        fine = run->faults && (rc == ERR_UNAVAILABLE || rc == ERR_CORRUPT);
    if (killed)
        fine = fine || rc == ERR_CANCELED || rc == ERR_IO;
    if (!fine)
        client_fail(client, "%s", err_text(rc));
}

/* --- bodies --- */

static int read_value(struct source *source, uint8_t *dst, size_t capacity, size_t *got) SUSPENDS
{
    struct value_source *s = (struct value_source *)(void *)source;
    uint64_t left = s->value->size - s->at;
    *got = capacity < left ? capacity : (size_t)left;
    value_read(s->value, s->at, dst, *got);
    s->at += *got;
    if (s->slow != NULL)
        client_think(s->slow, SLOW_MS);
    else if (s->at % 3 == 0)
        fiber_yield();
    return 0;
}

void value_source_init(struct value_source *source, const struct value *value)
{
    int64_t length = value->size % 4 == 1 ? -1 : (int64_t)value->size; /* some do not tell */
    *source = (struct value_source){.source = {.read = read_value, .length = length}, .value = value};
}

int value_described(void *arg, char **etag, Arca__Checksum ***checksums, size_t *count)
{
    (void)checksums;
    (void)count;
    *etag = arg;
    return 0;
}

Arca__Headers *client_headers(struct client *client, uint32_t value)
{
    Arca__Headers *headers = arena_alloc(client->arena, sizeof(*headers));
    arca__headers__init(headers);
    headers->content_type = arena_zalloc(client->arena, 16);
    value_name(value, headers->content_type);
    return headers;
}

static Arca__Object *new_object(struct client *client, uint32_t value)
{
    Arca__Object *object = arena_alloc(client->arena, sizeof(*object));
    arca__object__init(object);
    object->headers = client_headers(client, value);
    object->owner_id = (char *)(uintptr_t)"owner";
    return object;
}

static uint64_t choose_size(struct dice *dice)
{
    uint64_t kind = dice_below(dice, 100);
    if (kind < 5)
        return 0;
    if (kind < 75)
        return 1 + dice_below(dice, 3000);
    if (kind < 90)
        return EXTENT - 2 + dice_below(dice, 5);
    return EXTENT + dice_below(dice, 3 * EXTENT);
}

/* --- conditions --- */

struct condition {
    Arca__Precondition record;
    Arca__Precondition *given; /* NULL: none */
    char *etags[1];
    char etag[ETAG_TEXT];
};

static void choose_condition(struct client *client, const struct reg *reg, struct condition *out)
{
    uint64_t kind = dice_below(&client->dice, 10);
    *out = (struct condition){.record = ARCA__PRECONDITION__INIT};
    if (kind < 6)
        return;
    out->given = &out->record;
    if (kind < 8) {
        out->record.must_not_exist = true;
        return;
    }
    uint32_t value = reg->now.all[dice_below(&client->dice, reg->now.count)];
    strcpy(out->etag, value != ABSENT ? value_of(&client->run->model, value)->etag : "none");
    out->etags[0] = out->etag;
    out->record.if_match = out->etags;
    out->record.n_if_match = 1;
}

/* Whether the condition held, or did not hold, for one of the values that there were. */
static bool could_be(struct client *client, const struct condition *condition, const struct access *access, bool held)
{
    for (size_t i = 0; i < access->seen.count; i++) {
        uint32_t value = access->seen.all[i];
        bool holds = condition->record.must_not_exist
                         ? value == ABSENT
                         : value != ABSENT && strcmp(value_of(&client->run->model, value)->etag, condition->etag) == 0;
        if (holds == held)
            return true;
    }
    return false;
}

/* The end of a write to a key. True: it was done. */
static bool write_ended(struct client *client, struct access *access, const struct condition *condition,
                        enum doing doing, int rc)
{
    if (rc == ERR_PRECONDITION || rc == ERR_NO_SUCH_KEY) {
        if (condition->given == NULL || !could_be(client, condition, access, false))
            client_fail_values(client, access, err_text(rc));
        reg_refused(access);
        return false;
    }
    if (rc == ERR_NO_SUCH_BUCKET) {
        reg_refused(access);
        return false;
    }
    client_ended(client, doing, rc);
    if (rc == 0 && condition->given != NULL && !could_be(client, condition, access, true))
        client_fail_values(client, access, "a condition held");
    if (rc == 0)
        reg_told(access, access->value);
    else
        reg_unknown(access);
    return rc == 0;
}

/* --- objects --- */

static const char *key_text(unsigned key)
{
    return key == 10 ? "kkk.." : (const char *)model_key(key).ptr;
}

static void put(struct client *client, unsigned b, unsigned k) SUSPENDS
{
    struct run *run = client->run;
    struct in_bucket in;
    struct access access;
    struct condition condition;
    struct value_source source;
    if (!bucket_enter(client, b, &in))
        return;
    uint32_t value = value_new(&run->model);
    value_fill(&run->model, value, choose_size(&client->dice));
    choose_condition(client, &in.model->keys[k], &condition);
    client_says(client, "put %s/%s = %u, %llu bytes%s%s", in.model->name, key_text(k), (unsigned)value,
                (unsigned long long)value_of(&run->model, value)->size,
                condition.record.must_not_exist ? ", if none" : "", condition.record.n_if_match > 0 ? ", if match" : "");
    value_source_init(&source, value_of(&run->model, value));
    bool slow = value_of(&run->model, value)->size > EXTENT && dice_chance(&client->dice, SLOW);
    source.slow = slow ? client : NULL;
    struct object_put op = {
        .bucket = in.bucket,
        .key = model_key(k),
        .object = new_object(client, value),
        .body = &source.source,
        .seal = {value_described, value_of(&run->model, value)->etag},
        .precondition = condition.given,
        .size_max = (uint64_t)1 << 30,
        .deadline_ms = DEADLINE_NONE,
    };
    reg_write(&in.model->keys[k], &access, value);
    int rc = object_put(world_engine(run->world), client->arena, &op);
    write_ended(client, &access, &condition, DOING_WRITE, rc);
    bucket_leave(client, &in, rc);
}

uint32_t client_expect(struct client *client, struct access *access, const Arca__Object *object)
{
    const char *name = object->headers != NULL ? object->headers->content_type : "";
    uint32_t number = value_number(name);
    if (number == ABSENT || !values_have(&access->seen, number))
        client_fail_values(client, access, name);
    const struct value *value = value_of(&client->run->model, number);
    if (object->size != value->size || strcmp(object->etag, value->etag) != 0)
        client_fail(client, "value %u has %llu bytes and the ETag %s, not %llu and %s", (unsigned)number,
                    (unsigned long long)value->size, value->etag, (unsigned long long)object->size, object->etag);
    return number;
}

/* Opens and compares what is told of the object. 0: *value is what it is. */
static int open_key(struct client *client, const struct in_bucket *in, unsigned k, Arca__Object **object,
                    struct object_reader **reader, uint32_t *value) SUSPENDS
{
    struct access access;
    reg_read(&in->model->keys[k], &access);
    int rc = object_open(world_engine(client->run->world), client->arena, in->bucket, model_key(k), object, reader);
    *value = ABSENT;
    if (rc == ERR_NO_SUCH_KEY && !values_have(&access.seen, ABSENT))
        client_fail_values(client, &access, "it is not there");
    if (rc == 0)
        *value = client_expect(client, &access, *object);
    if (rc == 0 || rc == ERR_NO_SUCH_KEY)
        reg_told(&access, *value);
    else
        client_fail(client, "%s", err_text(rc));
    return rc;
}

static int compare_body(struct client *client, struct object_reader *reader, const struct value *value,
                        uint64_t offset, uint64_t length) SUSPENDS
{
    struct span spans[READ_SPANS];
    size_t count;
    uint64_t at = offset;
    int rc;
    object_reader_range(reader, offset, length);
    while ((rc = object_read(reader, spans, READ_SPANS, &count, DEADLINE_NONE)) == 0 && count > 0) {
        for (size_t i = 0; i < count; i++) {
            if (at + spans[i].len > offset + length || !value_equals(value, at, spans[i]))
                client_fail(client, "wrong bytes at %llu to %llu", (unsigned long long)at,
                            (unsigned long long)(at + spans[i].len));
            at += spans[i].len;
        }
        if (dice_chance(&client->dice, 300000))
            fiber_yield();
    }
    if (rc == 0 && at != offset + length)
        client_fail(client, "it ends at %llu, not at %llu", (unsigned long long)at,
                    (unsigned long long)(offset + length));
    return rc;
}

static void get(struct client *client, unsigned b, unsigned k, bool whole) SUSPENDS
{
    struct in_bucket in;
    Arca__Object *object;
    struct object_reader *reader;
    uint32_t number;
    client_says(client, "get %s/%s", client->run->model.buckets[b].name, key_text(k));
    if (!bucket_enter(client, b, &in))
        return;
    int rc = open_key(client, &in, k, &object, &reader, &number);
    bucket_leave(client, &in, 0);
    if (rc != 0)
        return;
    const struct value *value = value_of(&client->run->model, number);
    uint64_t offset = whole ? 0 : dice_below(&client->dice, value->size + 1);
    uint64_t length = whole ? value->size : dice_below(&client->dice, value->size - offset + 1);
    client_says(client, "get %s/%s = %u, %llu bytes from %llu on", in.model->name, key_text(k), (unsigned)number,
                (unsigned long long)length, (unsigned long long)offset);
    rc = compare_body(client, reader, value, offset, length);
    object_reader_close(reader);
    client_ended(client, DOING_READ, rc);
    client->run->verified += whole && rc == 0;
}

static void head(struct client *client, unsigned b, unsigned k) SUSPENDS
{
    struct in_bucket in;
    struct access access;
    Arca__Object *object;
    uint32_t value = ABSENT;
    client_says(client, "head %s/%s", client->run->model.buckets[b].name, key_text(k));
    if (!bucket_enter(client, b, &in))
        return;
    reg_read(&in.model->keys[k], &access);
    int rc = index_object_get(world_index(client->run->world), in.bucket->id, model_key(k), client->arena, &object,
                              NULL);
    if (rc == 0)
        value = client_expect(client, &access, object);
    else if (rc != ERR_NO_SUCH_KEY || !values_have(&access.seen, ABSENT))
        client_fail_values(client, &access, err_text(rc));
    reg_told(&access, value);
    bucket_leave(client, &in, 0);
}

static void delete(struct client *client, unsigned b, unsigned k) SUSPENDS
{
    struct in_bucket in;
    struct access access;
    struct condition condition;
    if (!bucket_enter(client, b, &in))
        return;
    choose_condition(client, &in.model->keys[k], &condition);
    if (condition.record.must_not_exist)
        condition.given = NULL;
    client_says(client, "delete %s/%s%s", in.model->name, key_text(k), condition.given != NULL ? ", if match" : "");
    reg_write(&in.model->keys[k], &access, ABSENT);
    int rc = object_delete(world_engine(client->run->world), client->arena, in.bucket, model_key(k), condition.given);
    write_ended(client, &access, &condition, DOING_WRITE, rc);
    bucket_leave(client, &in, rc);
}

/* DeleteObjects: some keys at once. */
static void delete_some(struct client *client, unsigned b) SUSPENDS
{
    static const struct condition none;
    struct in_bucket in;
    struct access accesses[KEYS_MAX];
    struct span keys[KEYS_MAX];
    int results[KEYS_MAX], left = 0;
    size_t count = 0;
    client_says(client, "delete some keys of %s", client->run->model.buckets[b].name);
    if (!bucket_enter(client, b, &in))
        return;
    for (unsigned k = 0; k < in.model->key_count; k++) {
        if (dice_chance(&client->dice, 800000))
            continue;
        keys[count] = model_key(k);
        reg_write(&in.model->keys[k], &accesses[count++], ABSENT);
    }
    object_delete_all(world_engine(client->run->world), client->arena, in.bucket, keys, NULL, count, results);
    for (size_t i = 0; i < count; i++) {
        write_ended(client, &accesses[i], &none, DOING_WRITE, results[i]);
        left = results[i] == ERR_NO_SUCH_BUCKET ? results[i] : left;
    }
    bucket_leave(client, &in, left);
}

/* As CopyObject does it: by reference within a placement, */
static int copy_reference(struct client *client, const struct in_bucket *target, unsigned key,
                          const Arca__Object *object, Arca__Object *copied, Arca__Precondition *precondition) SUSPENDS
{
    copied->size = object->size;
    copied->etag = object->etag;
    copied->blob_id = object->blob_id;
    copied->manifest_id = object->manifest_id;
    copied->part_count = object->part_count;
    return object_copy(world_engine(client->run->world), client->arena, target->bucket, model_key(key), copied,
                       precondition);
}

/* and else the bytes. */
static int copy_bytes(struct client *client, const struct in_bucket *target, unsigned key, struct object_reader *reader,
                      uint32_t value, Arca__Object *copied, Arca__Precondition *precondition) SUSPENDS
{
    struct object_put op = {
        .bucket = target->bucket,
        .key = model_key(key),
        .object = copied,
        .body = object_reader_source(reader, client->arena),
        .seal = {value_described, value_of(&client->run->model, value)->etag},
        .precondition = precondition,
        .size_max = (uint64_t)1 << 30,
        .deadline_ms = DEADLINE_NONE,
    };
    return object_put(world_engine(client->run->world), client->arena, &op);
}

static void copy(struct client *client, unsigned from, unsigned from_key, unsigned to, unsigned to_key) SUSPENDS
{
    struct run *run = client->run;
    struct in_bucket source, target;
    struct access access, held;
    struct condition condition;
    struct object_reader *reader;
    Arca__Object *object;
    uint32_t number, value;
    client_says(client, "copy %s/%s", run->model.buckets[from].name, key_text(from_key));
    if (!bucket_enter(client, from, &source))
        return;
    reg_read(&source.model->keys[from_key], &held);
    int rc = open_key(client, &source, from_key, &object, &reader, &number);
    bucket_leave(client, &source, 0);
    if (rc != 0) {
        reg_unknown(&held);
        return;
    }
    if (!bucket_enter(client, to, &target)) {
        object_reader_close(reader);
        reg_unknown(&held);
        return;
    }
    Arca__Object *copied = new_object(client, value = value_new(&run->model));
    *value_of(&run->model, value) = *value_of(&run->model, number);
    bool moves = object->size > 0 && strcmp(source.model->placement, target.model->placement) != 0;
    choose_condition(client, &target.model->keys[to_key], &condition);
    client_says(client, "copy%s %s/%s = %u to %s/%s = %u", moves ? " the bytes of" : "", source.model->name,
                key_text(from_key), (unsigned)number, target.model->name, key_text(to_key), (unsigned)value);
    reg_write(&target.model->keys[to_key], &access, value);
    if (moves)
        object_reader_range(reader, 0, object->size);
    rc = moves ? copy_bytes(client, &target, to_key, reader, value, copied, condition.given)
               : copy_reference(client, &target, to_key, object, copied, condition.given);
    object_reader_close(reader);
    /* The source is gone: somebody wrote there while the copy was made. */
    bool changed = held.rivals.count > 0 || held.seen.count > 1;
    if (rc == ERR_CONFLICT && changed && !moves)
        reg_refused(&access);
    else
        write_ended(client, &access, &condition, rc == ERR_CORRUPT && moves ? DOING_READ : DOING_WRITE, rc);
    reg_unknown(&held);
    bucket_leave(client, &target, rc);
}

/* --- steps --- */

void client_step(struct client *client) SUSPENDS
{
    struct dice *dice = &client->dice;
    unsigned b = (unsigned)dice_below(dice, BUCKETS);
    struct bucket *bucket = &client->run->model.buckets[b];
    unsigned k = (unsigned)dice_below(dice, bucket->key_count);
    uint64_t kind = dice_below(dice, 1000);
    arena_reset(client->arena);
    client->operation = ++client->run->begun;
    if (dice_chance(dice, CHANGES))
        client_administer(client);
    else if (kind < 250) {
        put(client, b, k);
    } else if (kind < 550) {
        get(client, b, k, kind < 400);
    } else if (kind < 600) {
        head(client, b, k);
    } else if (kind < 690) {
        delete(client, b, k);
    } else if (kind < 700) {
        delete_some(client, b);
    } else if (kind < 760) {
        unsigned to = (unsigned)dice_below(dice, BUCKETS);
        copy(client, b, k, to, (unsigned)dice_below(dice, client->run->model.buckets[to].key_count));
    } else if (kind < 840) {
        client_list(client);
    } else if (kind < 960) {
        client_multipart(client);
    } else if (kind < 980 || !values_any(&bucket->reg.now)) {
        client_make_bucket(client, b);
    } else {
        client_drop_bucket(client, b);
    }
}

void client_think(struct client *client, unsigned ms) SUSPENDS
{
    int64_t until_ms = loop_now_ms() + (int64_t)dice_below(&client->dice, ms);
    if (dice_below(&client->dice, 2) == 0)
        return;
    while (loop_now_ms() < until_ms && fiber_wait(until_ms) == 0)
        continue;
}

void client_verify(struct client *client) SUSPENDS
{
    for (unsigned b = 0; b < BUCKETS; b++) {
        for (unsigned k = 0; k < client->run->model.buckets[b].key_count; k++) {
            arena_reset(client->arena);
            get(client, b, k, true);
        }
        arena_reset(client->arena);
        client_list_all(client, b);
    }
}

void client_init(struct client *client, struct run *run, unsigned number)
{
    *client = (struct client){.run = run, .number = number, .dice = {dice_mix(run->seed ^ dice_mix(number))}};
    client->arena = arena_create(ARENA_LIMIT);
    if (client->arena == NULL)
        abort();
}

void client_free(struct client *client)
{
    for (unsigned u = 0; u < UPLOADS_MAX; u++) {
        for (unsigned p = 0; p < PARTS_MAX; p++)
            free(client->uploads[u].parts[p].all);
    }
    arena_free(client->arena);
}
