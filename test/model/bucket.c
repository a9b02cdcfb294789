/* Buckets: made, deleted, and held while something is done in them. */
#include "client.h"

#include "base/err.h"

bool bucket_enter(struct client *client, unsigned b, struct in_bucket *in) SUSPENDS
{
    *in = (struct in_bucket){.model = &client->run->model.buckets[b]};
    reg_read(&in->model->reg, &in->access);
    int rc = index_bucket_get(world_index(client->run->world), span_str(in->model->name), client->arena, &in->bucket);
    if (rc == ERR_NO_SUCH_BUCKET) {
        if (!values_have(&in->access.seen, ABSENT))
            client_fail_values(client, &in->access, "the bucket is not there");
        reg_told(&in->access, ABSENT);
        return false;
    }
    if (rc != 0)
        client_fail(client, "the bucket: %s", err_text(rc));
    in->value = value_number(in->bucket->owner_name);
    if (!values_have(&in->access.seen, in->value))
        client_fail_values(client, &in->access, in->bucket->owner_name);
    return true;
}

void bucket_leave(struct client *client, struct in_bucket *in, int rc)
{
    if (rc != ERR_NO_SUCH_BUCKET) {
        reg_told(&in->access, in->value);
        return;
    }
    if (!values_have(&in->access.seen, ABSENT))
        client_fail_values(client, &in->access, "the bucket went away");
    reg_told(&in->access, ABSENT);
}

void client_make_bucket(struct client *client, unsigned b) SUSPENDS
{
    struct bucket *bucket = &client->run->model.buckets[b];
    struct access access;
    char name[16];
    uint32_t value = value_new(&client->run->model);
    value_name(value, name);
    client_says(client, "create bucket %s as %s", bucket->name, name);
    reg_write(&bucket->reg, &access, value);
    int rc = bucket_create(world_engine(client->run->world), client->arena, span_str(bucket->name),
                           span_str(bucket->placement), SPAN_LITERAL("owner"), span_str(name));
    if (rc == ERR_BUCKET_OWNED) {
        if (!values_any(&access.seen))
            client_fail_values(client, &access, "it is there");
        reg_refused(&access);
        return;
    }
    client_ended(client, DOING_INDEX, rc);
    if (rc == 0 && !values_have(&access.seen, ABSENT))
        client_fail_values(client, &access, "it was made again");
    if (rc == 0)
        reg_told(&access, value);
    else
        reg_unknown(&access);
}

static void end_keys(struct client *client, struct access *keys, unsigned count, int rc)
{
    bool any = false;
    for (unsigned k = 0; k < count; k++) {
        any = any || values_any(&keys[k].seen);
        if (rc == 0 && !values_have(&keys[k].seen, ABSENT))
            client_fail_values(client, &keys[k], "it went with its bucket");
        if (rc == 0)
            reg_told(&keys[k], ABSENT);
        else
            reg_unknown(&keys[k]);
    }
    if (rc == ERR_BUCKET_NOT_EMPTY && !any)
        client_fail(client, "it is not empty, but no key was there");
}

void client_drop_bucket(struct client *client, unsigned b) SUSPENDS
{
    struct bucket *bucket = &client->run->model.buckets[b];
    struct access access, keys[KEYS_MAX];
    client_says(client, "delete bucket %s", bucket->name);
    reg_write(&bucket->reg, &access, ABSENT);
    for (unsigned k = 0; k < bucket->key_count; k++)
        reg_read(&bucket->keys[k], &keys[k]);
    bucket->deletions++;
    bucket->deleting++;
    int rc = bucket_delete(world_engine(client->run->world), client->arena, span_str(bucket->name));
    bucket->deleting--;
    end_keys(client, keys, bucket->key_count, rc);
    if (rc == ERR_BUCKET_NOT_EMPTY || rc == ERR_NO_SUCH_BUCKET) {
        if (rc == ERR_NO_SUCH_BUCKET && !values_have(&access.seen, ABSENT))
            client_fail_values(client, &access, "it is not there");
        reg_refused(&access);
        return;
    }
    client_ended(client, DOING_INDEX, rc);
    if (rc == 0 && !values_any(&access.seen))
        client_fail_values(client, &access, "it was deleted twice");
    if (rc == 0)
        reg_told(&access, ABSENT);
    else
        reg_unknown(&access);
}
