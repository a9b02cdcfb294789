#include "suspects.h"

#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "crypto/envelope.h"
#include "replicas.h"

void suspects_init(struct suspects *suspects)
{
    pthread_mutex_init(&suspects->lock, NULL);
    atomic_init(&suspects->count, 0);
}

void suspects_fini(struct suspects *suspects)
{
    pthread_mutex_destroy(&suspects->lock);
}

static bool same(const struct suspect *a, const struct suspect *b)
{
    return memcmp(&a->name, &b->name, sizeof(a->name)) == 0 && strcmp(a->backend, b->backend) == 0 &&
           span_eq(span_of(a->locator.bytes, a->locator.length), span_of(b->locator.bytes, b->locator.length));
}

int suspect_fill(struct suspect *suspect, const Arca__Replica *replica, const struct blob_name *name)
{
    if (replica->locator.len > LOCATOR_MAX)
        return ERR_CORRUPT;
    *suspect = (struct suspect){.name = *name};
    snprintf(suspect->backend, sizeof(suspect->backend), "%s", replica->backend);
    suspect->locator.length = (uint8_t)replica->locator.len;
    if (replica->locator.len > 0)
        memcpy(suspect->locator.bytes, replica->locator.data, replica->locator.len);
    return 0;
}

void suspects_add(struct suspects *suspects, const Arca__Replica *replica, const uint8_t blob_id[16], uint32_t extent)
{
    struct suspect suspect;
    struct blob_name name;
    replica_name(blob_id, extent, &name);
    if (replica->state == ARCA__REPLICA__STATE__SUSPECT || suspect_fill(&suspect, replica, &name) != 0)
        return;
    pthread_mutex_lock(&suspects->lock);
    size_t count = suspects->count, i = 0;
    while (i < count && !same(&suspects->all[i], &suspect))
        i++;
    if (i == count && count < SUSPECTS_MAX) {
        suspects->all[count] = suspect;
        suspects->count = count + 1;
    }
    pthread_mutex_unlock(&suspects->lock);
}

size_t suspects_take(struct suspects *suspects, struct suspect *out, size_t max)
{
    if (suspects->count == 0)
        return 0;
    pthread_mutex_lock(&suspects->lock);
    size_t count = suspects->count, n = count < max ? count : max;
    memcpy(out, suspects->all, n * sizeof(*out));
    memmove(suspects->all, suspects->all + n, (count - n) * sizeof(*out));
    suspects->count = count - n;
    pthread_mutex_unlock(&suspects->lock);
    return n;
}

static int mark(struct suspect *suspect, struct index *index, Arca__Replica__State state) SUSPENDS
{
    Arca__Replica replica = ARCA__REPLICA__INIT;
    Arca__MarkReplica mark = ARCA__MARK_REPLICA__INIT;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    replica.backend = suspect->backend;
    replica.locator = (ProtobufCBinaryData){suspect->locator.length, suspect->locator.bytes};
    replica.state = state;
    mark.blob_id = (ProtobufCBinaryData){BLOB_ID_SIZE, suspect->name.bytes};
    mark.extent = replica_extent(&suspect->name);
    mark.replica = &replica;
    mutation.time_ms = clock_wall_ms();
    mutation.op_case = ARCA__MUTATION__OP_MARK_REPLICA;
    mutation.mark_replica = &mark;
    return index_apply(index, &mutation);
}

int suspect_quarantine(struct suspect *suspect, struct index *index) SUSPENDS
{
    char hex[2 * BLOB_ID_SIZE + 1];
    int rc = mark(suspect, index, ARCA__REPLICA__STATE__SUSPECT);
    text_hex(span_of(suspect->name.bytes, BLOB_ID_SIZE), hex);
    if (rc == 0)
        log_warn("quarantine", "blob %s, extent %u on backend %s is damaged or missing; it will be repaired", hex,
                 (unsigned)replica_extent(&suspect->name), suspect->backend);
    else if (rc != ERR_NOT_FOUND)
        log_warn("quarantine", "blob %s on backend %s cannot be put up for repair: %s", hex, suspect->backend,
                 err_text(rc));
    metrics_add(METRIC_QUARANTINED, rc == 0);
    return rc;
}

int suspect_release(struct suspect *suspect, struct index *index) SUSPENDS
{
    return mark(suspect, index, ARCA__REPLICA__STATE__GOOD);
}
