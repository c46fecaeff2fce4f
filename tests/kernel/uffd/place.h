/* SPDX-License-Identifier: MIT */
/* Accesses whose place in the code is known: the instruction's address, and SP there. */
#ifndef PLACE_H
#define PLACE_H

#include <stdint.h>

#if defined(__x86_64__)
#define HAVE_PLACE 1

/* One store of a byte; writes down PC and SP of the storing instruction before it. */
static inline void place_store(char *to, char value, volatile uint64_t *pc, volatile uint64_t *sp)
{
	__asm__ volatile("lea 1f(%%rip), %%rax\n\t"
			 "mov %%rax, (%2)\n\t"
			 "mov %%rsp, (%3)\n"
			 "1:\tmovb %1, (%0)\n\t"
			 :
			 : "r"(to), "q"(value), "r"(pc), "r"(sp)
			 : "rax", "memory");
}

/* read(fd, buf, len); PC is that after the system call's instruction. */
static inline long place_read(int fd, void *buf, unsigned long len, volatile uint64_t *pc,
			      volatile uint64_t *sp)
{
	long ret;

	__asm__ volatile("lea 1f(%%rip), %%rax\n\t"
			 "mov %%rax, (%4)\n\t"
			 "mov %%rsp, (%5)\n\t"
			 "xor %%eax, %%eax\n\t"
			 "syscall\n"
			 "1:"
			 : "=&a"(ret)
			 : "D"((long)fd), "S"(buf), "d"(len), "r"(pc), "r"(sp)
			 : "rcx", "r11", "memory");
	return ret;
}
#else
#define HAVE_PLACE 0
static inline void place_store(char *to, char value, volatile uint64_t *pc, volatile uint64_t *sp)
{
	*to = value;
}
static inline long place_read(int fd, void *buf, unsigned long len, volatile uint64_t *pc,
			      volatile uint64_t *sp)
{
	return -1;
}
#endif

#endif
