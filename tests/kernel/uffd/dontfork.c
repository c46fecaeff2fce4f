/* SPDX-License-Identifier: MIT */
/*
 * What a child does not get: of MADV_DONTFORK memory neither VMA nor registration
 * (-ENOENT on its userfaultfd); of MADV_WIPEONFORK memory a registered VMA with none
 * of its pages, and so nothing protected.  The parent keeps its protection of both.
 * Where everything registered is DONTFORK there is no event at all.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "subject.h"

#define NR 8

enum { CHILD };

static char *plain, *dont, *wipe;

static void step(int n)
{
	pid_t pid;

	if (n == 0) {
		lab_fill(plain, NR, 1);
		lab_fill(dont, NR, 1);
		lab_fill(wipe, NR, 1);
		madvise(dont, NR * PAGE, MADV_DONTFORK);
		madvise(wipe, NR * PAGE, MADV_WIPEONFORK);
	} else if (n == 1) {
		pid = fork();
		if (pid == 0)
			for (;;)
				pause();
		shared[CHILD] = (uint64_t)pid;
	}
}

int main(void)
{
	int child, pagemap;
	struct subject s;

	plain = lab_map(NR);
	dont = lab_map(NR);
	wipe = lab_map(NR);
	s = subject_serve(step);
	subject_step(&s, 0);
	uffd_arm(s.uffd, dont, NR);
	subject_step(&s, 1);
	check(!uffd_readable(s.uffd, 0), "an event although the child has nothing");
	uffd_arm(s.uffd, plain, NR);
	uffd_arm(s.uffd, wipe, NR);
	subject_tell(&s, 1);
	child = uffd_next_fork(s.uffd);
	check(subject_done(&s, 10000), "fork");
	pagemap = lab_pagemap((pid_t)shared[CHILD]);
	check(pages_protected(pagemap, plain, NR) == NR, "plain memory");
	check(uffd_protect(child, dont, NR) == -ENOENT, "the child's DONTFORK range: %d",
	      uffd_protect(child, dont, NR));
	check(pages_protected(pagemap, wipe, NR) == 0, "wiped pages are protected");
	check(uffd_protect(child, wipe, NR) == 0, "the wiped range is not registered");
	check(pages_protected(pagemap, wipe, NR) == 0, "protection of nothing left something");
	check(pages_protected(s.pagemap, dont, NR) == NR &&
		      pages_protected(s.pagemap, wipe, NR) == NR,
	      "the parent's");
	close(child);
	close(pagemap);
	subject_end(&s);
	return lab_result();
}
