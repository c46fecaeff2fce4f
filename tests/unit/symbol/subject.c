/* SPDX-License-Identifier: MIT */
/*
 * Calls from known lines: leaf is inlined into middle, middle into subject_inlined.
 * Compiled with -g -O2; a return address is noted by the called function.
 */
#include "subject.h"

static struct subject result;

__attribute__((noinline)) static void note(uintptr_t *ret)
{
	*ret = (uintptr_t)__builtin_return_address(0);
	__asm__ volatile("" ::: "memory");
}

__attribute__((always_inline)) static inline void leaf(void)
{
	result.line_leaf = __LINE__ + 1;
	note(&result.inlined);
	__asm__ volatile("nop");
}

__attribute__((always_inline)) static inline void middle(void)
{
	result.line_middle = __LINE__ + 1;
	leaf();
}

__attribute__((noinline)) static void subject_inlined(void)
{
	result.line_outer = __LINE__ + 1;
	middle();
}

__attribute__((noinline)) static void subject_plain(void)
{
	result.line_plain = __LINE__ + 1;
	note(&result.plain);
	__asm__ volatile("nop");
}

struct subject subject_run(void)
{
	subject_inlined();
	subject_plain();
	return result;
}
