/* SPDX-License-Identifier: MIT */
/*
 * The four functions that a C compiler asks of every environment, declared here because a board
 * without libc has no <string.h> either. They are for private memory only: shared memory is
 * accessed through ordering.h.
 */
#ifndef L4VIO_BYTES_H
#define L4VIO_BYTES_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size_bytes);
void *memmove(void *to, const void *from, size_t size_bytes);
void *memset(void *to, int byte, size_t size_bytes);
int memcmp(const void *a, const void *b, size_t size_bytes);

#endif
