#include "suspects.h"

#include <stdio.h>
#include <string.h>
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

void suspects_add(struct suspects *suspects, const Arca__Replica *replica, const uint8_t blob_id[16], uint32_t extent)
{
    struct suspect suspect = {0};
    if (replica->state == ARCA__REPLICA__STATE__SUSPECT || replica->locator.len > LOCATOR_MAX)
        return;
    replica_name(blob_id, extent, &suspect.name);
    snprintf(suspect.backend, sizeof(suspect.backend), "%s", replica->backend);
    suspect.locator.length = (uint8_t)replica->locator.len;
    if (replica->locator.len > 0)
        memcpy(suspect.locator.bytes, replica->locator.data, replica->locator.len);
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
