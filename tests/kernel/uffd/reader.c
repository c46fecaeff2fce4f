/* SPDX-License-Identifier: MIT */
/*
 * Who looks at another process's memory with process_vm_readv() changes it: a page
 * that a fork has shared is copied (or made exclusive, where its other mapper has
 * gone), protected or not, and the userfaultfd is told nothing.  So it is from Linux
 * 5.19 on, which has AnonExclusive.  Reading /proc/PID/mem changes nothing.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "subject.h"

#define NR 64

static char *region;

static void step(int n)
{
	if (n != 0)
		return;
	lab_fill(region, NR, 1);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
}

static size_t moved(const struct subject *s, const uint64_t *before)
{
	size_t nr = 0;

	for (size_t i = 0; i < NR; i++)
		nr += lab_pfn(s->pagemap, region + i * PAGE) != before[i];
	return nr;
}

static void read_by_file(const struct subject *s)
{
	char path[64], byte;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)s->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		lab_die("/proc/PID/mem");
	for (size_t i = 0; i < NR; i++)
		check(pread(fd, &byte, 1, (off_t)(uintptr_t)(region + i * PAGE)) == 1 && byte == 1,
		      "page %zu cannot be read", i);
	close(fd);
}

static void read_by_call(const struct subject *s)
{
	char byte;
	struct iovec to = { &byte, 1 };

	for (size_t i = 0; i < NR; i++) {
		struct iovec from = { region + i * PAGE, 1 };

		check(process_vm_readv(s->pid, &to, 1, &from, 1, 0) == 1 && byte == 1,
		      "page %zu cannot be read", i);
	}
}

int main(void)
{
	uint64_t before[NR];
	bool has_exclusive;
	struct subject s;
	size_t nr;

	lab_need_pfns();
	region = lab_map(NR);
	s = subject_serve(step);
	subject_step(&s, 0);
	uffd_arm(s.uffd, region, NR);
	for (size_t i = 0; i < NR; i++)
		before[i] = lab_pfn(s.pagemap, region + i * PAGE);

	read_by_file(&s);
	nr = moved(&s, before);
	check(nr == 0, "reading /proc/PID/mem moved %zu pages", nr);

	read_by_call(&s);
	nr = moved(&s, before);
	has_exclusive = lab_kflags(lab_pfn(s.pagemap, region)) & KPF_ANON_EXCLUSIVE;
	printf("process_vm_readv() moved %zu of %u pages\n", nr, NR);
	check(nr == (has_exclusive ? NR : 0), "it moved %zu pages, AnonExclusive %d", nr,
	      has_exclusive);
	check(pages_protected(s.pagemap, region, NR) == NR, "a protection is lost");
	check(!uffd_readable(s.uffd, 20), "the userfaultfd was told of it");
	subject_end(&s);
	return lab_result();
}
