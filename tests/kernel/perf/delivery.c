/* SPDX-License-Identifier: MIT */
/*
 * The signal of a write fault comes in the thread that wrote, once, when the kernel
 * has put the new page there and before the store is tried again; siginfo has the
 * address and the event's data, the context the store's own address.  The second
 * write of the page raises nothing, and neither does a disabled event.
 */
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trap.h"

#define PAGES 64

/* One store; writes down its own address before it. */
static void placed_store(char *to, char value, volatile uint64_t *pc)
{
#if defined(__x86_64__)
	__asm__ volatile("lea 1f(%%rip), %%rax\n\t"
			 "mov %%rax, (%2)\n"
			 "1:\tmovb %1, (%0)\n\t"
			 :
			 : "r"(to), "q"(value), "r"(pc)
			 : "rax", "memory");
#else
	*pc = 0;
	*(volatile char *)to = value;
#endif
}

int main(void)
{
	char *page = lab_map(PAGES);
	volatile uint64_t pc = 0;
	int fd, pipes[2];
	char c;

	trap_init(page, PAGES);
	lab_fill(page, PAGES, 1);
	trap_pagemap = lab_pagemap(0);
	fd = trap_open((struct trap_opts){ .disabled = true });
	if (pipe(pipes))
		lab_die("pipe");
	if (!fork()) {
		close(pipes[1]);
		_exit((int)read(pipes[0], &c, 1));
	}
	placed_store(page, 2, &pc); /* the stack's and pc's pages are ours again now */
	check(!traps->nr, "%u signals of a disabled event", traps->nr);
	trap_enable(fd);
	for (int i = 1; i < PAGES; i++) {
		char *at = page + (size_t)i * PAGE + 5;

		trap_reset();
		placed_store(at, 2, &pc);
		check(traps->nr == 1, "page %d: %u signals", i, traps->nr);
		check(traps->code == TRAP_CODE, "si_code %d", traps->code);
		check(traps->addr == (uint64_t)at, "si_addr is not the address");
		check(traps->data == TRAP_DATA, "data %#llx", (unsigned long long)traps->data);
		check(traps->tid == (int32_t)syscall(SYS_gettid), "another thread");
		check(!pc || traps->pc == pc, "pc %#llx, and the store's is %#llx",
		      (unsigned long long)traps->pc, (unsigned long long)pc);
		check(traps->entry & PM_EXCLUSIVE, "page %d is still shared in the handler", i);
		check(traps->byte == 0, "page %d: the store has run before the handler", i);
		check(*at == 2, "the store is lost");
		trap_reset();
		placed_store(at, 3, &pc);
		check(!traps->nr, "%u signals of a second write", traps->nr);
	}
	check(!traps->nr_async, "%u signals came late", traps->nr_async);
	close(pipes[1]);
	wait(NULL);
	return lab_result();
}
