/* SPDX-License-Identifier: MIT */
/*
 * A memfd mapped by two processes is one memory after its descriptor is closed:
 * a fork does not copy it, an exec'd stranger's futex wake reaches a waiter, and
 * a word in it can be waited for by a process that maps it elsewhere.
 */
#include <linux/futex.h>
#include <stdatomic.h>

#include "say.h"

struct page {
	_Atomic uint32_t word, seen;
};

static struct page *map(int fd)
{
	struct page *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	say("map", p != MAP_FAILED);
	return p;
}

int main(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC), status;
	struct timespec bound = { 5, 0 };
	struct page *here, *there;
	pid_t pid;
	double t;

	say("memfd", fd >= 0 && !ftruncate(fd, 4096));
	here = map(fd);
	there = map(fd);
	close(fd);
	say("two places", here != there);
	pid = fork();
	if (!pid) {
		long ret = syscall(SYS_futex, &there->word, FUTEX_WAIT, 0, &bound, NULL, 0);

		atomic_store(&there->seen, here->word);
		_exit(ret && errno != EAGAIN);
	}
	usleep(50000);
	t = now_ms();
	atomic_store(&here->word, 7);
	syscall(SYS_futex, &here->word, FUTEX_WAKE, 1, NULL, NULL, 0);
	say("the waiter ends well", waitpid(pid, &status, 0) == pid && !status);
	say("and soon", now_ms() - t < 2000);
	say("one memory", here->seen == 7 && there->seen == 7);
	return 0;
}
