/* SPDX-License-Identifier: MIT */
/*
 * A jemalloc arena in a snapshot heap: mallocx(n, MALLOCX_ARENA(arena)) lands there,
 * and what jemalloc gives back to the system (decay, purge) is told to the snapshots.
 *
 * In a library of its own, libcowtrace-jemalloc (pkg-config cowtrace-jemalloc), because
 * linking jemalloc replaces the program's malloc.
 */
#ifndef COWTRACE_JEMALLOC_H
#define COWTRACE_JEMALLOC_H

#include <cowtrace/snapshot.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes an arena whose memory is that of @heap.
 *
 * @heap: empty, nothing else may use it, and it must outlive the arena
 * @ret_arena: for MALLOCX_ARENA() and mallctl(); add MALLOCX_TCACHE_NONE, or a cache
 *             of its own, or freed memory goes through the thread's common cache
 *
 * Memory: jemalloc keeps this arena's own records in the heap too, some 2 MiB; when
 * the heap is full, mallocx() returns NULL.
 * Context: not in a signal handler.
 *
 * Returns 0; -EINVAL (NULL); -ENOMEM (also: a heap of less than 4 MiB); -EAGAIN
 * (jemalloc refuses another arena); -ECHILD.
 */
int cowtrace_arena_create(struct cowtrace_heap *heap, unsigned int *ret_arena);

/*
 * Ends the arena; what was allocated in it must not be used any more.  The heap, its
 * snapshots and its memory stay as they are.
 *
 * Returns 0; -EINVAL (not an arena of this library); -EBUSY (threads are bound to it).
 */
int cowtrace_arena_destroy(unsigned int arena);

#ifdef __cplusplus
}
#endif

#endif
