#include "table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct table_row *table_add(struct table *table, ...)
{
    struct table_row *rows = realloc(table->rows, (table->count + 1) * sizeof(*rows));
    if (rows == NULL)
        return NULL;
    table->rows = rows;
    struct table_row *row = &rows[table->count++];
    va_list args;
    va_start(args, table);
    memset(row, 0, sizeof(*row));
    for (size_t i = 0; table->columns[i] != '\0'; i++)
        snprintf(row->cells[i], sizeof(row->cells[i]), "%s", va_arg(args, const char *));
    va_end(args);
    return row;
}

void table_print(const struct table *table, struct buf *out)
{
    int widths[TABLE_COLUMNS] = {0};
    size_t columns = strlen(table->columns);
    for (size_t i = 0; i < table->count * columns; i++) {
        int width = (int)strlen(table->rows[i / columns].cells[i % columns]);
        widths[i % columns] = width > widths[i % columns] ? width : widths[i % columns];
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct table_row *row = &table->rows[i];
        size_t last = columns;
        while (last > 0 && row->cells[last - 1][0] == '\0')
            last--;
        for (size_t j = 0; j < last; j++) {
            bool ends = j + 1 == last && table->columns[j] == 'l';
            int width = ends ? 0 : table->columns[j] == 'l' ? -widths[j] : widths[j];
            buf_printf(out, "%s%*s", j > 0 ? "  " : "", width, row->cells[j]);
        }
        buf_append_str(out, "\n");
        if (row->note[0] != '\0')
            buf_printf(out, "    %s\n", row->note);
    }
}

void table_free(struct table *table)
{
    free(table->rows);
    *table = (struct table){0};
}

const char *human_bytes(uint64_t bytes, char out[HUMAN_SIZE])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    double value = (double)bytes / 1024;
    if (bytes < 1024) {
        snprintf(out, HUMAN_SIZE, "%u B", (unsigned)bytes);
        return out;
    }
    /* What would be printed as "1024.0" is 1.0 of the next. */
    for (; value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        value /= 1024;
    snprintf(out, HUMAN_SIZE, "%.1f %s", value, units[unit]);
    return out;
}

const char *human_duration(int64_t ms, char out[HUMAN_SIZE])
{
    long long seconds = ms / 1000 + (ms % 1000 > 0);
    if (seconds < 60)
        snprintf(out, HUMAN_SIZE, "%llds", seconds);
    else if (seconds < 3600)
        snprintf(out, HUMAN_SIZE, "%lldm %llds", seconds / 60, seconds % 60);
    else if (seconds < 86400)
        snprintf(out, HUMAN_SIZE, "%lldh %lldm", seconds / 3600, seconds / 60 % 60);
    else
        snprintf(out, HUMAN_SIZE, "%lldd %lldh", seconds / 86400, seconds / 3600 % 24);
    return out;
}
