/* What an object store is, in memory: registers (a bucket, a key), each with the values that it may have now.
 *
 * Several clients write and read one register at once, so that it has a set of possible values, not one. An operation takes
 * effect at some moment between its beginning and its end. A write's value is possible from its beginning on; once a write
 * has succeeded, or a read has told a value, only that value and those of writes that overlapped with it are left. A write
 * that failed leaves it open until then whether it took effect. What a read tells must have been possible at some moment
 * while it ran. */
#ifndef ARCA_TEST_REGISTER_H
#define ARCA_TEST_REGISTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/list.h"

#define ABSENT 0 /* the value of what is not there */

/* A set of values. */
struct values {
    uint32_t *all;
    size_t count, room;
};

struct reg {
    struct values now;
    struct list running; /* struct access */
};

/* One operation on one register, while it runs. */
struct access {
    struct list link;
    struct reg *reg;
    bool writes;
    uint32_t value;       /* that it writes */
    struct values seen;   /* all that were possible since it began, but its own */
    struct values rivals; /* of writes that overlapped with it */
};

void reg_init(struct reg *reg);
void reg_free(struct reg *reg);
bool values_have(const struct values *values, uint32_t value);
/* One that is not ABSENT. */
bool values_any(const struct values *values);

void reg_read(struct reg *reg, struct access *access);
void reg_write(struct reg *reg, struct access *access, uint32_t value);
/* It has ended. `told`: it read this value, or has written its own. */
void reg_told(struct access *access, uint32_t value);
/* It has ended and tells nothing: a read that failed, a write that may have taken effect. */
void reg_unknown(struct access *access);
/* It has ended, and was refused: the value was not written. */
void reg_refused(struct access *access);

#endif
