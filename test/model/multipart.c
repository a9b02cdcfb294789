/* Uploads in parts. An upload belongs to the client that began it, so that its parts need no registers, only the set of
 * what each may be; the object that comes of it is written to a key like any other. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/text.h"
#include "crypto/digest.h"

#define PART_MIN   ((uint64_t)5 << 20) /* of all parts but the last */
#define BIG_BUCKET 0                   /* uploads with such parts go to one key: they are big */
#define BIG_KEY    0
#define MD5_SIZE   16

static struct span id_of(const struct upload *upload)
{
    return span_of(upload->id, sizeof(upload->id));
}

static const char *text_of(const struct client *client, const struct upload *upload)
{
    return client->run->model.buckets[upload->bucket].name;
}

/* It may have gone with its bucket. */
static bool may_be_gone(const struct client *client, const struct upload *upload)
{
    return client->run->model.buckets[upload->bucket].deletions != upload->deletions;
}

static void set_part(struct values *part, uint32_t value, bool certain)
{
    if (certain)
        part->count = 0;
    if (values_have(part, value))
        return;
    if (part->count == part->room) {
        part->room = part->room == 0 ? 4 : 2 * part->room;
        if ((part->all = reallocarray(part->all, part->room, sizeof(*part->all))) == NULL)
            abort();
    }
    part->all[part->count++] = value;
}

static void begin(struct client *client, struct upload *upload) SUSPENDS
{
    struct run *run = client->run;
    struct in_bucket in;
    Arca__Upload row = ARCA__UPLOAD__INIT;
    bool big = dice_chance(&client->dice, 15000);
    upload->bucket = big ? BIG_BUCKET : (unsigned)dice_below(&client->dice, BUCKETS);
    upload->key = big ? BIG_KEY : (unsigned)dice_below(&client->dice, run->model.buckets[upload->bucket].key_count);
    struct bucket *bucket = &run->model.buckets[upload->bucket];
    /* One that is being deleted now may take it along. */
    upload->deletions = bucket->deletions - (bucket->deleting > 0);
    client_says(client, "create upload in %s", bucket->name);
    if (!bucket_enter(client, upload->bucket, &in))
        return;
    upload->value = value_new(&run->model);
    row.headers = client_headers(client, upload->value);
    row.owner_id = (char *)(uintptr_t)"owner";
    int rc = upload_create(world_engine(run->world), client->arena, in.bucket, model_key(upload->key), &row);
    bucket_leave(client, &in, rc);
    if (rc == ERR_NO_SUCH_BUCKET)
        return;
    client_ended(client, DOING_INDEX, rc);
    if (rc != 0)
        return;
    memcpy(upload->id, row.id.data, sizeof(upload->id));
    upload->open = true;
    for (unsigned p = 0; p < PARTS_MAX; p++)
        set_part(&upload->parts[p], ABSENT, true);
}

/* True: it was done. */
static bool upload_ended(struct client *client, struct upload *upload, enum doing doing, int rc)
{
    if (rc == ERR_NO_SUCH_BUCKET || rc == ERR_NO_SUCH_UPLOAD) {
        if (!may_be_gone(client, upload))
            client_fail(client, "%s", err_text(rc));
        upload->open = false;
        return false;
    }
    client_ended(client, doing, rc);
    return rc == 0;
}

static uint64_t part_size(struct client *client, const struct upload *upload)
{
    uint64_t kind = dice_below(&client->dice, 10);
    if (upload->bucket == BIG_BUCKET && upload->key == BIG_KEY && kind < 4)
        return PART_MIN + dice_below(&client->dice, 100000);
    return kind == 9 ? 0 : 1 + dice_below(&client->dice, kind == 8 ? 2 * ENVELOPE_SEGMENT : 3000);
}

static int put_part(struct client *client, struct upload *upload, const struct in_bucket *in, unsigned p,
                    uint32_t value, struct source *body) SUSPENDS
{
    Arca__Part part = ARCA__PART__INIT;
    part.number = p + 1;
    struct part_put put = {
        .bucket = in->bucket,
        .key = model_key(upload->key),
        .upload_id = id_of(upload),
        .part = &part,
        .body = body,
        .seal = {value_described, value_of(&client->run->model, value)->etag},
        .deadline_ms = DEADLINE_NONE,
    };
    return part_put(world_engine(client->run->world), client->arena, &put);
}

static void send_part(struct client *client, struct upload *upload) SUSPENDS
{
    struct model *model = &client->run->model;
    struct in_bucket in;
    struct value_source source;
    unsigned p = (unsigned)dice_below(&client->dice, PARTS_MAX);
    uint32_t value = value_new(model);
    value_fill(model, value, part_size(client, upload));
    client_says(client, "part %u of an upload in %s = %u, %llu bytes", p + 1, text_of(client, upload), (unsigned)value,
                (unsigned long long)value_of(model, value)->size);
    if (!bucket_enter(client, upload->bucket, &in)) {
        upload->open = false;
        return;
    }
    value_source_init(&source, value_of(model, value));
    int rc = put_part(client, upload, &in, p, value, &source.source);
    bucket_leave(client, &in, rc == ERR_NO_SUCH_BUCKET ? rc : 0);
    bool done = upload_ended(client, upload, DOING_WRITE, rc);
    set_part(&upload->parts[p], value, done);
}

/* A piece of an object becomes a part. */
static void copy_part(struct client *client, struct upload *upload, unsigned b, unsigned k) SUSPENDS
{
    struct model *model = &client->run->model;
    struct in_bucket from, in;
    struct access access;
    struct object_reader *reader;
    Arca__Object *object;
    unsigned p = (unsigned)dice_below(&client->dice, PARTS_MAX);
    client_says(client, "copy a part of %s to part %u of an upload in %s", model->buckets[b].name, p + 1,
                text_of(client, upload));
    if (!bucket_enter(client, b, &from))
        return;
    reg_read(&from.model->keys[k], &access);
    int rc = object_open(world_engine(client->run->world), client->arena, from.bucket, model_key(k), &object, &reader);
    uint32_t number = rc == 0 ? client_expect(client, &access, object) : ABSENT;
    if (rc != 0 && (rc != ERR_NO_SUCH_KEY || !values_have(&access.seen, ABSENT)))
        client_fail(client, "%s", err_text(rc));
    reg_told(&access, number);
    bucket_leave(client, &from, 0);
    if (rc != 0)
        return;
    if (bucket_enter(client, upload->bucket, &in)) {
        const struct value *source = value_of(model, number);
        uint64_t offset = dice_below(&client->dice, source->size + 1);
        uint32_t value = value_new(model);
        uint64_t length = value_append(model, value, source, offset, dice_below(&client->dice, source->size + 1));
        object_reader_range(reader, offset, length);
        rc = put_part(client, upload, &in, p, value, object_reader_source(reader, client->arena));
        bucket_leave(client, &in, rc == ERR_NO_SUCH_BUCKET ? rc : 0);
        bool done = upload_ended(client, upload, rc == ERR_CORRUPT ? DOING_READ : DOING_WRITE, rc);
        set_part(&upload->parts[p], value, done);
    }
    object_reader_close(reader);
}

static void compare_parts(struct client *client, struct upload *upload) SUSPENDS
{
    Arca__Part **parts;
    size_t count, at = 0;
    client_says(client, "list the parts of an upload in %s", text_of(client, upload));
    int rc = index_part_list(world_index(client->run->world), id_of(upload), 0, 1000, client->arena, &parts, &count);
    if (rc != 0)
        client_fail(client, "%s", err_text(rc));
    for (unsigned p = 0; p < PARTS_MAX && !may_be_gone(client, upload); p++) {
        const Arca__Part *part = at < count && parts[at]->number == p + 1 ? parts[at++] : NULL;
        bool expected = part == NULL && values_have(&upload->parts[p], ABSENT);
        for (size_t i = 0; part != NULL && i < upload->parts[p].count; i++) {
            uint32_t number = upload->parts[p].all[i];
            const struct value *value = number != ABSENT ? value_of(&client->run->model, number) : NULL;
            if (value == NULL || strcmp(value->etag, part->etag) != 0 || value->size != part->size)
                continue;
            set_part(&upload->parts[p], number, true);
            expected = true;
        }
        if (!expected)
            client_fail(client, "part %u is %s", p + 1, part != NULL ? part->etag : "missing");
        if (part == NULL)
            set_part(&upload->parts[p], ABSENT, true);
    }
}

static void compare_uploads(struct client *client, struct upload *upload) SUSPENDS
{
    struct in_bucket in;
    struct index_listing listing;
    bool found = false;
    client_says(client, "list the uploads of %s", text_of(client, upload));
    if (!bucket_enter(client, upload->bucket, &in)) {
        upload->open = false;
        return;
    }
    struct index_list_query query = {.node = in.bucket->uploads_node, .prefix = model_key(upload->key), .max = 1000};
    int rc = index_list(world_index(client->run->world), &query, client->arena, &listing);
    bucket_leave(client, &in, 0);
    if (rc != 0)
        client_fail(client, "%s", err_text(rc));
    for (size_t i = 0; i < listing.count; i++) {
        ProtobufCBinaryData id = listing.entries[i].upload->id;
        found = found || span_eq(id_of(upload), span_of(id.data, id.len));
    }
    if (!found && !listing.truncated && !may_be_gone(client, upload))
        client_fail(client, "an upload is not listed");
}

/* --- completion --- */

struct completion_list {
    Arca__CompletedPart parts[PARTS_MAX], *list[PARTS_MAX];
    uint32_t values[PARTS_MAX];
    size_t count;
    bool certain; /* all of them are there, so */
    bool small;   /* one of them, that is not the last */
};

static void choose_parts(struct client *client, struct upload *upload, struct completion_list *out)
{
    *out = (struct completion_list){.certain = true};
    for (unsigned p = 0; p < PARTS_MAX; p++) {
        const struct values *part = &upload->parts[p];
        uint32_t value = part->all[dice_below(&client->dice, part->count)];
        if (value == ABSENT || (p > 0 && dice_chance(&client->dice, 300000)))
            continue;
        if (out->count > 0 && value_of(&client->run->model, out->values[out->count - 1])->size < PART_MIN)
            out->small = true;
        arca__completed_part__init(&out->parts[out->count]);
        out->parts[out->count].number = p + 1;
        out->parts[out->count].etag = value_of(&client->run->model, value)->etag;
        out->list[out->count] = &out->parts[out->count];
        out->values[out->count++] = value;
        out->certain = out->certain && part->count == 1;
    }
}

/* The object as it will be: the parts' bytes, and the ETag of their ETags. */
static void compose(struct client *client, uint32_t number, const struct completion_list *list)
{
    struct model *model = &client->run->model;
    struct value *value = value_of(model, number);
    uint8_t raw[PARTS_MAX * MD5_SIZE], md5[DIGEST_MAX];
    value->size = 0;
    value->piece_count = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct value *part = value_of(model, list->values[i]);
        if (part->size > 0)
            value_append(model, number, part, 0, part->size);
        if (text_unhex(span_str(part->etag), raw + i * MD5_SIZE, MD5_SIZE) != 0)
            abort();
    }
    digest_once(DIGEST_MD5, span_of(raw, list->count * MD5_SIZE), md5);
    text_hex(span_of(md5, MD5_SIZE), value->etag);
    snprintf(value->etag + 2 * MD5_SIZE, ETAG_TEXT - 2 * MD5_SIZE, "-%zu", list->count);
}

static int complete_once(struct client *client, struct upload *upload, const struct in_bucket *in,
                         struct completion_list *list, Arca__Object *object) SUSPENDS
{
    arca__object__init(object);
    struct upload_complete complete = {
        .bucket = in->bucket,
        .key = model_key(upload->key),
        .upload_id = id_of(upload),
        .parts = list->list,
        .part_count = list->count,
        .object = object,
    };
    return upload_complete(world_engine(client->run->world), client->arena, &complete);
}

static void complete(struct client *client, struct upload *upload) SUSPENDS
{
    struct in_bucket in;
    struct access access;
    struct completion_list list;
    Arca__Object object;
    choose_parts(client, upload, &list);
    client_says(client, "complete an upload of %zu parts in %s = %u", list.count, text_of(client, upload),
                (unsigned)upload->value);
    if (!bucket_enter(client, upload->bucket, &in)) {
        upload->open = false;
        return;
    }
    compose(client, upload->value, &list);
    const char *etag = value_of(&client->run->model, upload->value)->etag;
    reg_write(&in.model->keys[upload->key], &access, upload->value);
    int rc = complete_once(client, upload, &in, &list, &object);
    bool refused = rc == ERR_PART_TOO_SMALL || rc == ERR_INVALID_PART;
    if ((rc == ERR_PART_TOO_SMALL && !list.small) || (rc == 0 && list.small) || (rc == 0 && list.count == 0) ||
        (rc == ERR_INVALID_PART && list.certain && list.count > 0 && !may_be_gone(client, upload)))
        client_fail(client, "%s", err_text(rc));
    if (refused || !upload_ended(client, upload, DOING_INDEX, rc)) {
        bool gone = rc == ERR_NO_SUCH_UPLOAD || rc == ERR_NO_SUCH_BUCKET;
        if (refused || gone)
            reg_refused(&access);
        else
            reg_unknown(&access);
        /* Its value is told by now, if it took effect: another list would make it another. */
        upload->open = upload->open && refused;
        bucket_leave(client, &in, rc == ERR_NO_SUCH_BUCKET ? rc : 0);
        return;
    }
    if (strcmp(object.etag, etag) != 0 || object.size != value_of(&client->run->model, upload->value)->size)
        client_fail(client, "it has %llu bytes and the ETag %s", (unsigned long long)object.size, object.etag);
    reg_told(&access, upload->value);
    upload->open = false;
    rc = dice_chance(&client->dice, 300000) ? complete_once(client, upload, &in, &list, &object) : 0;
    bool gone = rc == ERR_NO_SUCH_BUCKET || (rc == ERR_NO_SUCH_UPLOAD && may_be_gone(client, upload));
    if (rc == 0 && strcmp(object.etag, etag) != 0)
        client_fail(client, "once more, it has the ETag %s", object.etag);
    bucket_leave(client, &in, rc == ERR_NO_SUCH_BUCKET ? rc : 0);
    if (!gone)
        client_ended(client, DOING_INDEX, rc);
}

static void give_up(struct client *client, struct upload *upload) SUSPENDS
{
    struct in_bucket in;
    client_says(client, "abort an upload in %s", text_of(client, upload));
    if (!bucket_enter(client, upload->bucket, &in)) {
        upload->open = false;
        return;
    }
    int rc = upload_abort(world_engine(client->run->world), client->arena, in.bucket, model_key(upload->key),
                          id_of(upload));
    bucket_leave(client, &in, rc == ERR_NO_SUCH_BUCKET ? rc : 0);
    upload_ended(client, upload, DOING_INDEX, rc);
    upload->open = false; /* or nobody knows */
}

void client_multipart(struct client *client) SUSPENDS
{
    struct dice *dice = &client->dice;
    struct upload *upload = &client->uploads[dice_below(dice, UPLOADS_MAX)];
    uint64_t kind = dice_below(dice, 100);
    if (!upload->open) {
        begin(client, upload);
    } else if (kind < 40) {
        send_part(client, upload);
    } else if (kind < 60) {
        unsigned b = (unsigned)dice_below(dice, BUCKETS);
        copy_part(client, upload, b, (unsigned)dice_below(dice, client->run->model.buckets[b].key_count));
    } else if (kind < 68) {
        compare_parts(client, upload);
    } else if (kind < 72) {
        compare_uploads(client, upload);
    } else if (kind < 94) {
        complete(client, upload);
    } else {
        give_up(client, upload);
    }
}
