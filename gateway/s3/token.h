/* Continuation tokens: where a listing goes on, in a form that clients pass back as it is. Pure. */
#ifndef ARCA_S3_TOKEN_H
#define ARCA_S3_TOKEN_H

#include "base/arena.h"
#include "base/span.h"

/* `last` is the last key or common prefix that was listed. In the arena; ptr NULL when out of memory. */
struct span token_encode(struct span last, struct arena *arena);
/* ERR_SYNTAX: not one of ours. ERR_NOMEM. */
int token_decode(struct span token, struct arena *arena, struct span *last);

#endif
