/* SPDX-License-Identifier: MIT */
/*
 * A page with a foreign reference, which a write must copy: does the kernel empty
 * this CPU's LRU batch before it finds that out?  To 7.2 it does; mainline of
 * mid-2026 counts first.  A fresh page in the same batch is the witness.
 *
 * Invariant: the page is copied in either case, and the kernel does not do now the
 * one and now the other.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define ROUNDS 40
#define TRIES 200
#define KPF_LRU 5

static uint64_t word(const char *path, uint64_t index)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t w = 0;

	if (fd < 0 || pread(fd, &w, 8, index * 8) != 8)
		w = 0;
	if (fd >= 0)
		close(fd);
	return w;
}

static uint64_t frame(const char *at)
{
	return word("/proc/self/pagemap", (uintptr_t)at / PAGE) & ((1ULL << 55) - 1);
}

static int on_lru(uint64_t pfn)
{
	return word("/proc/kpageflags", pfn) >> KPF_LRU & 1;
}

/* 0: the batch was empty before; 1: emptied by the write; 2: it was not; -1: no copy. */
static int once(void)
{
	char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov = { at, 8 };
	uint64_t held, fresh;
	int fd[2], ret = 0;
	pid_t pid;

	if (at == MAP_FAILED || pipe(fd) || madvise(at, 2 * PAGE, MADV_NOHUGEPAGE))
		return -1;
	*(volatile char *)at = 1;
	if (vmsplice(fd[1], &iov, 1, 0) != 8)
		return -1;
	pid = fork();
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	held = frame(at);
	*(volatile char *)(at + PAGE) = 1;
	fresh = frame(at + PAGE);
	if (!on_lru(held) && !on_lru(fresh)) {
		*(volatile char *)at = 2;
		ret = frame(at) == held ? -1 : (on_lru(fresh) ? 1 : 2);
	}
	munmap(at, 2 * PAGE);
	close(fd[0]);
	close(fd[1]);
	return ret;
}

int main(void)
{
	int seen[3] = { 0 };
	cpu_set_t set;

	if (geteuid()) {
		printf("SKIP: page frames are shown to root only\n");
		return 77;
	}
	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
	/* A test beside this one may be emptying all batches for a while. */
	for (int i = 0, tries = 0; i < ROUNDS; i++) {
		int what = once();

		if (what < 0) {
			printf("a page that a pipe holds was not copied\n");
			return 1;
		}
		seen[what]++;
		if (i == ROUNDS - 1 && seen[0] == ROUNDS && tries++ < TRIES) {
			usleep(20000);
			seen[0] = 0;
			i = -1;
		}
	}
	printf("emptied %d, not emptied %d, empty before %d\n", seen[1], seen[2], seen[0]);
	if (seen[0] == ROUNDS) {
		printf("SKIP: others empty this CPU's batch all the time\n");
		return 77;
	}
	/* Others may empty it in between; nobody fills it. */
	return seen[1] && seen[2] > ROUNDS / 4;
}
