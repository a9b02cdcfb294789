/* Files and folders that are to survive a power loss. All block. Errors as err_from_errno gives them, and logged. */
#ifndef ARCA_INDEX_DURABLE_H
#define ARCA_INDEX_DURABLE_H

#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

#define PATH_SIZE 4096

/* Joins with slashes; `name` may be NULL. ERR_TOO_LARGE. */
int path_join(char out[PATH_SIZE], const char *folder, const char *name);
/* The path of what is named after a number, as folder_numbers lists it. ERR_TOO_LARGE. */
int path_of_number(char out[PATH_SIZE], const char *folder, uint64_t number, const char *suffix);

int folder_make(const char *path); /* fine if it exists; syncs the parent */
int folder_sync(const char *path);
/* Removes a folder that holds only files. Fine if there is none. */
int folder_remove(const char *path);
/* The names in a folder that are 20 digits and `suffix`, as numbers, ascending; allocated. */
int folder_numbers(const char *path, const char *suffix, uint64_t **out, size_t *count);

int file_sync(const char *path);
/* Replaces a small file as a whole. */
int file_write(const char *folder, const char *name, struct span content);
/* At most `size` bytes. ERR_NOT_FOUND (not logged). */
int file_read(const char *path, char *out, size_t size, size_t *len);
int file_copy(const char *from, const char *to);

/* Writes all bytes at an offset. The error is not logged. */
int write_all(int fd, struct span bytes, uint64_t offset);

/* An exclusive lock for as long as the descriptor is open. ERR_LOCKED (not logged). */
int folder_lock(const char *folder, int *fd);

#endif
