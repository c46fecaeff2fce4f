/* SPDX-License-Identifier: MIT */
/*
 * A private mapping of a file on disk cannot be registered for write protection, not even
 * where all of its pages have been written and are anonymous by now (a program's
 * .data).  The error is -EINVAL, and nothing of the range is registered.  A private
 * mapping of shared memory (a memfd, tmpfs) can, as well as anonymous memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "subject.h"

#define NR 4

static char *file, *memory, *anon;
static char data[4 * PAGE] __attribute__((aligned(4096))) = { 1 };

static void step(int n)
{
	if (n == 0) {
		lab_fill(file, NR, 1);
		lab_fill(memory, NR, 1);
		lab_fill(anon, NR, 1);
		lab_fill(data, NR, 1);
	}
}

int main(void)
{
	int fd = (int)memfd_create("private", MFD_CLOEXEC);
	int disk = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct subject s;

	if (fd < 0 || disk < 0 || ftruncate(fd, NR * PAGE) < 0)
		lab_die("memfd");
	file = mmap(NULL, NR * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, disk, 0);
	memory = mmap(NULL, NR * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	anon = lab_map(NR);
	s = subject_serve(step);
	subject_step(&s, 0);
	check(!(lab_entry(s.pagemap, file) & PM_FILE), "the page was not copied");
	check(uffd_register(s.uffd, file, NR) == -EINVAL, "a private file mapping: %d",
	      uffd_register(s.uffd, file, NR));
	check(uffd_register(s.uffd, data, NR) == -EINVAL, ".data: %d",
	      uffd_register(s.uffd, data, NR));
	check(uffd_protect(s.uffd, file, NR) == -ENOENT, "it can be protected");
	check(uffd_register(s.uffd, memory, NR) == 0, "private shared memory: %d",
	      uffd_register(s.uffd, memory, NR));
	check(uffd_protect(s.uffd, memory, NR) == 0 && pages_protected(s.pagemap, memory, NR) == NR,
	      "private shared memory is not protected");
	check(uffd_register(s.uffd, anon, NR) == 0, "anonymous memory cannot be registered");
	subject_end(&s);
	return lab_result();
}
