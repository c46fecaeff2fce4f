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
#include "traced/shim.h"

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

/*
 * Where there are no tables the unwinder reads the instruction at a return
 * address, to see whether it is a signal trampoline: but above a coroutine's
 * first frame, or a stack that is no stack, an address may be anything.  So what
 * has no tables gets those of a function that nobody has called, and the walk
 * ends there; only our own trampoline is recognised by its bytes.
 */
struct bases {
	void *text, *data, *function;
};

extern const void *real_find(void *pc, struct bases *bases) __asm__("__real__Unwind_Find_FDE");
extern const void *wrap_find(void *pc,
			     struct bases *bases) __asm__("__wrap__Unwind_Find_FDE") ct_hidden;
extern char end_of_stack[] __asm__("ct_end_of_stack") ct_hidden;

__asm__(".text\n"
	"	.p2align 4\n"
	"	.hidden ct_end_of_stack\n"
	"	.globl ct_end_of_stack\n"
	"ct_end_of_stack:\n"
	"	.cfi_startproc\n"
#if defined(__x86_64__)
	"	.cfi_undefined rip\n"
#else
	"	.cfi_undefined x30\n"
#endif
	"	nop\n"
	"	nop\n"
	"	.cfi_endproc\n");

const void *wrap_find(void *pc, struct bases *bases)
{
	const struct ct_shim *shim = ct_shim;
	const void *found = real_find(pc, bases);

	if (found || !shim || ((u64)pc >= shim->text_start && (u64)pc < shim->text_end))
		return found;
	found = real_find(end_of_stack, bases);
	/* All that the tables say holds from here on. */
	bases->function = NULL;
	return found;
}
