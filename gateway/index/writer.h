/* The one writer: takes mutations from all loops, and makes those that are waiting durable together. */
#ifndef ARCA_INDEX_WRITER_H
#define ARCA_INDEX_WRITER_H

#include "base/fiber.h"
#include "index/recover.h"
#include "index/snapshot.h"

struct writer;

/* Starts the thread. `recovered` has view and journal, which stay the caller's; `snapshots` is told of growth.
 * `reserve` bytes are kept back in `folder`. ERR_NOMEM, ERR_IO. */
int writer_start(const struct recovered *recovered, struct snapshots *snapshots, const char *folder, uint64_t reserve,
                 struct writer **out);
/* Does what is queued and ends. NULL is fine. */
void writer_stop(struct writer *writer);

void writer_apply(struct writer *writer, const Arca__Mutation *const *mutations, size_t count, int *results) SUSPENDS;
int writer_ready(struct writer *writer);

/* As index.h says of index_mark, index_shipping_begin and so on. */
void writer_mark(struct writer *writer, struct index_mark *out);
void writer_shipping_begin(struct writer *writer, const struct index_shipping *shipping);
void writer_shipping_end(struct writer *writer);
void writer_shipped(struct writer *writer, uint64_t sequence, int64_t safe_ms, bool stalled);
int64_t writer_safe_ms(const struct writer *writer);

#endif
