/* Columns of text, each as wide as its widest cell, and numbers as people read them. */
#ifndef ARCA_TOOLS_TABLE_H
#define ARCA_TOOLS_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

#define TABLE_COLUMNS 10
#define TABLE_CELL    100

struct table_row {
    char cells[TABLE_COLUMNS][TABLE_CELL];
    char note[200]; /* a line of its own below it; "": none */
};

struct table {
    const char *columns; /* a letter a column: 'l' or 'r', where its cells stand */
    struct table_row *rows;
    size_t count;
};

/* A new row with its cells, strings, as many as there are columns. NULL when out of memory. */
struct table_row *table_add(struct table *table, ...);
void table_print(const struct table *table, struct buf *out);
void table_free(struct table *table);

#define HUMAN_SIZE 32
/* "1.2 GiB"; "12 B" */
const char *human_bytes(uint64_t bytes, char out[HUMAN_SIZE]);
/* "3d 4h", "2m 10s", "9s" */
const char *human_duration(int64_t ms, char out[HUMAN_SIZE]);

#endif
