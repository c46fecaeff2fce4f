/* SPDX-License-Identifier: MIT */
/*
 * Parent and child that write the same shared page at the same instant can both
 * copy it: each sees the other's mapping, and the page itself is freed.  So the
 * copies of a fork are between one and two for each page that both have written,
 * and only the PFNs tell.  Never do both go on with the shared page, and never is
 * the page of one the page of the other.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"

#define NR 4096

static char *region;
static atomic_int *meet;

/* Both sides come here for each page, and leave together. */
static void write_all(int who)
{
	for (int i = 0; i < NR; i++) {
		atomic_fetch_add(&meet[0], 1);
		while (atomic_load_explicit(&meet[0], memory_order_relaxed) < 2 * (i + 1))
			;
		region[(size_t)i * PAGE] = (char)who;
	}
}

int main(void)
{
	uint64_t was[NR];
	unsigned int both = 0, neither = 0, same = 0;
	int self, child_fd;
	pid_t pid;

	lab_need_pfns();
	if (lab_nr_cpus() < 2)
		lab_skip("only one processor");
	self = lab_pagemap(0);
	region = lab_map(NR);
	lab_fill(region, NR, 1);
	lab_drain();
	for (size_t i = 0; i < NR; i++)
		was[i] = lab_pfn(self, region + i * PAGE);
	meet = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (pid == 0) {
		lab_pin(1);
		write_all(3);
		atomic_store(&meet[1], 1);
		pause();
	}
	child_fd = lab_pagemap(pid);
	lab_pin(0);
	write_all(2);
	while (!atomic_load(&meet[1]))
		;
	for (size_t i = 0; i < NR; i++) {
		uint64_t parent = lab_pfn(self, region + i * PAGE);
		uint64_t child = lab_pfn(child_fd, region + i * PAGE);

		both += parent != was[i] && child != was[i];
		neither += parent == was[i] && child == was[i];
		same += parent == child;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	printf("%d pages written by both sides at once: %u copied twice (%.1f %%), the rest once\n",
	       NR, both, 100.0 * both / NR);
	check(neither == 0 && same == 0, "%u never copied, %u still one page", neither, same);
	return lab_result();
}
