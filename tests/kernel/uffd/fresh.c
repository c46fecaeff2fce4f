/* SPDX-License-Identifier: MIT */
/*
 * Without EVENT_REMOVE, EVENT_UNMAP and WP_UNPOPULATED, only a write into a protected
 * page is told: nothing of reads, of what is dropped (MADV_DONTNEED, munmap, MADV_FREE),
 * of what is filled afterwards, of a page that was empty when its range was protected.
 * mprotect keeps protection; a read-only page that is made writable still asks.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "subject.h"

#define NR 16

static char *p;

static void step(int n)
{
	if (n == 0) {
		lab_fill(p, NR / 2, 1);
	} else if (n == 1) {
		for (size_t i = 0; i < NR; i++)
			(void)*(volatile char *)(p + i * PAGE);
		madvise(p, PAGE, MADV_DONTNEED);
		p[0] = 2;
		p[0] = 3;
		munmap(p + PAGE, PAGE);
		madvise(p + 2 * PAGE, PAGE, MADV_FREE);
		lab_fill(p + NR / 2 * PAGE, NR / 2, 2);
	} else if (n == 2) {
		mprotect(p + 4 * PAGE, PAGE, PROT_READ);
		mprotect(p + 4 * PAGE, PAGE, PROT_READ | PROT_WRITE);
	} else if (n == 3) {
		p[4 * PAGE] = 2;
	}
}

int main(void)
{
	struct uffd_msg msg;
	struct subject s;

	p = lab_map(NR);
	s = subject_serve(step);
	subject_step(&s, 0);
	uffd_arm(s.uffd, p, NR);
	check(pages_protected(s.pagemap, p, NR) == NR / 2, "protection of nothing left something");
	subject_step(&s, 1);
	check(!uffd_readable(s.uffd, 0), "a message without a protected write");
	check(!page_protected(s.pagemap, p), "a page filled anew is protected");
	subject_step(&s, 2);
	check(page_protected(s.pagemap, p + 4 * PAGE), "mprotect lifted protection");
	subject_tell(&s, 3);
	msg = uffd_next(s.uffd);
	check(msg.event == UFFD_EVENT_PAGEFAULT &&
		      msg.arg.pagefault.address == (uintptr_t)p + 4 * PAGE,
	      "event %#x", msg.event);
	check(msg.arg.pagefault.flags == (UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE),
	      "flags %#llx", (unsigned long long)msg.arg.pagefault.flags);
	uffd_lift(s.uffd, p + 4 * PAGE, 1, true);
	check(subject_done(&s, 10000), "the write does not go on");
	subject_end(&s);
	return lab_result();
}
