#include "base/clock.h"
#include "base/err.h"
#include "object/engine_private.h"

/* Within a placement: nothing is moved. */
int object_copy(struct engine *engine, struct arena *arena, const Arca__Bucket *bucket, struct span key,
                Arca__Object *object, Arca__Precondition *precondition) SUSPENDS
{
    (void)arena;
    object->modified_ms = clock_wall_ms();
    Arca__PutObject put = ARCA__PUT_OBJECT__INIT;
    put.bucket_id = bucket->id;
    put.key = bytes_of(key.ptr, key.len);
    put.object = object;
    put.precondition = precondition;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_PUT_OBJECT;
    mutation.put_object = &put;
    int rc = engine_apply(engine, &mutation);
    return rc == ERR_NOT_FOUND ? ERR_CONFLICT : rc;
}

static void delete_init(const Arca__Bucket *bucket, struct span key, Arca__Precondition *precondition,
                        Arca__DeleteObject *delete, Arca__Mutation *mutation)
{
    arca__delete_object__init(delete);
    delete->bucket_id = bucket->id;
    delete->key = bytes_of(key.ptr, key.len);
    delete->precondition = precondition;
    arca__mutation__init(mutation);
    mutation->op_case = ARCA__MUTATION__OP_DELETE_OBJECT;
    mutation->delete_object = delete;
    mutation->time_ms = clock_wall_ms();
}

int object_delete(struct engine *engine, struct arena *arena, const Arca__Bucket *bucket, struct span key,
                  Arca__Precondition *precondition) SUSPENDS
{
    (void)arena;
    Arca__DeleteObject delete;
    Arca__Mutation mutation;
    delete_init(bucket, key, precondition, &delete, &mutation);
    return index_apply(engine->options.index, &mutation);
}

void object_delete_all(struct engine *engine, struct arena *arena, const Arca__Bucket *bucket, const struct span *keys,
                       Arca__Precondition *const *preconditions, size_t count, int *results) SUSPENDS
{
    struct one {
        Arca__Mutation mutation;
        Arca__DeleteObject delete;
    } *all = arena_alloc(arena, count * sizeof(*all));
    const Arca__Mutation **mutations = arena_alloc(arena, count * sizeof(const Arca__Mutation *));
    if (all == NULL || mutations == NULL) {
        for (size_t i = 0; i < count; i++)
            results[i] = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        delete_init(bucket, keys[i], preconditions != NULL ? preconditions[i] : NULL, &all[i].delete, &all[i].mutation);
        mutations[i] = &all[i].mutation;
    }
    index_apply_all(engine->options.index, mutations, count, results);
}
