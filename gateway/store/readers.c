#include "readers.h"

void readers_init(struct readers *readers)
{
    for (size_t i = 0; i < LOOPS_MAX; i++)
        atomic_init(&readers->loops[i].oldest_ms, INT64_MAX);
}

void readers_enter(struct readers *readers, struct store_reader *reader)
{
    unsigned loop = loop_number(loop_self());
    reader->next = NULL;
    reader->before = readers->loops[loop].last;
    if (reader->before != NULL)
        reader->before->next = reader;
    else
        readers->loops[loop].first = reader;
    readers->loops[loop].last = reader;
    if (reader->before == NULL)
        atomic_store(&readers->loops[loop].oldest_ms, reader->since_ms);
}

void readers_leave(struct readers *readers, struct store_reader *reader)
{
    unsigned loop = loop_number(loop_self());
    if (reader->next != NULL)
        reader->next->before = reader->before;
    else
        readers->loops[loop].last = reader->before;
    if (reader->before != NULL) {
        reader->before->next = reader->next;
        return;
    }
    readers->loops[loop].first = reader->next;
    atomic_store(&readers->loops[loop].oldest_ms, reader->next != NULL ? reader->next->since_ms : INT64_MAX);
}

int64_t readers_oldest_ms(const struct readers *readers)
{
    int64_t oldest_ms = INT64_MAX;
    for (size_t i = 0; i < LOOPS_MAX; i++) {
        int64_t ms = atomic_load(&readers->loops[i].oldest_ms);
        oldest_ms = ms < oldest_ms ? ms : oldest_ms;
    }
    return oldest_ms;
}
