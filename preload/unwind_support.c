/* SPDX-License-Identifier: MIT */
/*
 * What libgcc's unwinder (linked in, hidden) refers to and never needs here.
 * Defined hidden, so that none of it becomes an undefined symbol of the preload:
 * no heap of the program, no lock of libpthread, by construction.
 *
 * - malloc, free: to sort tables given to __register_frame_info(); nobody
 *   registers any with this copy.
 * - pthread_mutex_lock and _unlock: around that same, empty, list.
 * - pthread_once: for the table of register sizes, built by the constructor
 *   (ct_stack_warm) while there is one thread.
 * - __pthread_key_create: only its address counts: "are there threads?"
 * - abort: on tables that make no sense.  Ending the program is not ours to do;
 *   an illegal instruction is what libgcc's own callers would get as well.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/base.h"

/* Under other names in C: the compiler knows the real ones too well. */
extern void *no_malloc(size_t len) __asm__("malloc") ct_hidden;
extern void no_free(void *p) __asm__("free") ct_hidden;
extern void no_abort(void) __asm__("abort") ct_hidden __attribute__((noreturn));
extern int no_lock(void *mutex) __asm__("pthread_mutex_lock") ct_hidden;
extern int no_unlock(void *mutex) __asm__("pthread_mutex_unlock") ct_hidden;
extern int plain_once(int *once, void (*fn)(void)) __asm__("pthread_once") ct_hidden;
extern int no_key(void) __asm__("__pthread_key_create") ct_hidden;

void *no_malloc(size_t len)
{
	return NULL;
}

void no_free(void *p)
{
}

void no_abort(void)
{
	__builtin_trap();
}

int no_lock(void *mutex)
{
	return 0;
}

int no_unlock(void *mutex)
{
	return 0;
}

int plain_once(int *once, void (*fn)(void))
{
	if (!*once) {
		fn();
		*once = 2; /* as libpthread marks it */
	}
	return 0;
}

int no_key(void)
{
	return -1;
}
