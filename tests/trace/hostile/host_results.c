/* SPDX-License-Identifier: MIT */
/*
 * Every wrapped call against the raw system call, with good and bad arguments:
 * the same result, the same errno, and errno untouched where it succeeds.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <pthread.h>

#include "host.h"

#define PAGE 4096UL
#define UNSET 12345

static long raw(long nr, long a, long b, long c, long d, long e, long f)
{
	return syscall(nr, a, b, c, d, e, f);
}

/* Fresh memory for each call: three pages, of which the middle one is a hole. */
static char *fresh(bool hole)
{
	char *p = (char *)syscall(SYS_mmap, NULL, 3 * PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(p != MAP_FAILED);
	memset(p, 1, 3 * PAGE);
	if (hole)
		syscall(SYS_munmap, p + PAGE, PAGE);
	return p;
}

static void drop(char *p)
{
	syscall(SYS_munmap, p, 3 * PAGE);
}

static void compare(const char *what, int variant, long got, int got_errno, long want,
		    int want_errno)
{
	if (got == want && got_errno == want_errno)
		return;
	fprintf(stderr, "%s #%d: %ld errno %d, raw %ld errno %d\n", what, variant, got, got_errno,
		want, want_errno);
	exit(99);
}

/* p: the memory; the call by name, then the raw one on memory of its own. */
#define same(variant, hole, call, nr, ...)                               \
	do {                                                             \
		char *p = fresh(hole), *saved = p;                       \
		long got_, want_;                                        \
		int got_errno_;                                          \
                                                                         \
		errno = UNSET;                                           \
		got_ = (long)(call);                                     \
		got_errno_ = errno;                                      \
		drop(saved);                                             \
		p = saved = fresh(hole);                                 \
		errno = UNSET;                                           \
		want_ = raw(nr, __VA_ARGS__);                            \
		compare(#call, variant, got_, got_errno_, want_, errno); \
		drop(saved);                                             \
	} while (0)

#define L(x) ((long)(x))

/* The last one is too long for any address space; run_maps() alone asks for it. */
static char lens_page[2 * PAGE];
static const size_t lens[] = { 0, 1, PAGE, 2 * PAGE, 3 * PAGE, ~0UL, 1UL << 47 };
#define NR_LENS (sizeof(lens) / sizeof(lens[0]))

static void run_ranges(void)
{
	size_t i, j;

	for (i = 0; i < NR_LENS - 1; i++)
		for (j = 0; j < 2; j++) {
			size_t len = lens[i];
			int n = (int)(i * 10 + j), advice, prot;

			same(n, j, munmap(p, len), SYS_munmap, L(p), L(len), 0, 0, 0, 0);
			same(n, j, munmap(p + 1, len), SYS_munmap, L(p + 1), L(len), 0, 0, 0, 0);
			same(n, j, mlock(p, len), SYS_mlock, L(p), L(len), 0, 0, 0, 0);
			same(n, j, munlock(p, len), SYS_munlock, L(p), L(len), 0, 0, 0, 0);
			same(n, j, mlock2(p, len, 1), SYS_mlock2, L(p), L(len), 1, 0, 0, 0);
			same(n, j, mlock2(p, len, 99), SYS_mlock2, L(p), L(len), 99, 0, 0, 0);
			for (advice = -1; advice < 26; advice++) {
				same(n * 100 + advice, j, madvise(p, len, advice), SYS_madvise,
				     L(p), L(len), advice, 0, 0, 0);
				same(n * 100 + advice, j, madvise(p + 1, len, advice), SYS_madvise,
				     L(p + 1), L(len), advice, 0, 0, 0);
			}
			for (prot = 0; prot < 9; prot += 3) {
				same(n, j, mprotect(p, len, prot), SYS_mprotect, L(p), L(len), prot,
				     0, 0, 0);
				same(n, j, mprotect(p + 3, len, prot), SYS_mprotect, L(p + 3),
				     L(len), prot, 0, 0, 0);
			}
		}
}

static void run_maps(void)
{
	static const int flags[] = { MAP_PRIVATE | MAP_ANONYMOUS,
				     MAP_SHARED,
				     0,
				     MAP_PRIVATE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				     MAP_SHARED_VALIDATE };
	size_t i, j;

	/* At the same place both times, so that addresses can be compared. */
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		for (j = 0; j < NR_LENS; j++) {
			size_t len = lens[j];
			char *place = fresh(false);
			long got, want;
			int err;

			drop(place);
			errno = UNSET;
			got = L(mmap(place, len, PROT_READ, flags[i], -1, 0));
			err = errno;
			if (got != -1)
				raw(SYS_munmap, got, L(len), 0, 0, 0, 0);
			errno = UNSET;
			want = raw(SYS_mmap, L(place), L(len), PROT_READ, flags[i], -1, 0);
			compare("mmap", (int)(i * 10 + j), got, err, want, errno);
			if (want != -1)
				raw(SYS_munmap, want, L(len), 0, 0, 0, 0);
		}
	same(0, false, mremap(p, PAGE, 0, 0), SYS_mremap, L(p), PAGE, 0, 0, 0, 0);
	/* No room to grow in place. */
	same(1, false, mremap(p, PAGE, 2 * PAGE, 0), SYS_mremap, L(p), PAGE, 2 * PAGE, 0, 0, 0);
	same(4, false, mremap(p, 3 * PAGE, PAGE, MREMAP_FIXED, NULL), SYS_mremap, L(p), 3 * PAGE,
	     PAGE, MREMAP_FIXED, 0, 0);
	same(2, false, mremap(p + 1, PAGE, PAGE, 0), SYS_mremap, L(p + 1), PAGE, PAGE, 0, 0, 0);
	same(3, false, mremap(p, PAGE, PAGE, 99), SYS_mremap, L(p), PAGE, PAGE, 99, 0, 0);
}

static void run_others(void)
{
	struct iovec iov = { NULL, PAGE };

	same(0, false, mlockall(0), SYS_mlockall, 0, 0, 0, 0, 0, 0);
	same(1, false, mlockall(99), SYS_mlockall, 99, 0, 0, 0, 0, 0);
	same(2, false, mlockall(MCL_FUTURE), SYS_mlockall, MCL_FUTURE, 0, 0, 0, 0, 0);
	same(3, false, munlockall(), SYS_munlockall, 0, 0, 0, 0, 0, 0);
	same(0, false, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), SYS_prctl, PR_SET_THP_DISABLE, 1, 0,
	     0, 0, 0);
	same(1, false, prctl(PR_SET_THP_DISABLE, 0, 1, 0, 0), SYS_prctl, PR_SET_THP_DISABLE, 0, 1,
	     0, 0, 0);
	same(2, false, prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), SYS_prctl, PR_SET_THP_DISABLE, 0, 0,
	     0, 0, 0);
	same(3, false, prctl(67, 0, 0, 0, 0), SYS_prctl, 67, 0, 0, 0, 0, 0);
	same(4, false, prctl(67, 0, 1, 0, 0), SYS_prctl, 67, 0, 1, 0, 0, 0);
	same(5, false, prctl(0x53564d41, 0, p, PAGE, "a name"), SYS_prctl, 0x53564d41, 0, L(p),
	     PAGE, L("a name"), 0);
	same(6, false, prctl(0x53564d41, 0, p, PAGE, NULL), SYS_prctl, 0x53564d41, 0, L(p), PAGE, 0,
	     0);
	same(7, false, prctl(0x53564d41, 0, p, PAGE, (char *)8), SYS_prctl, 0x53564d41, 0, L(p),
	     PAGE, 8, 0);
	same(8, false, prctl(0x53564d41, 5, p, PAGE, NULL), SYS_prctl, 0x53564d41, 5, L(p), PAGE, 0,
	     0);
	same(9, false, prctl(-1, 0, 0, 0, 0), SYS_prctl, -1, 0, 0, 0, 0, 0);
	same(10, false, prctl(PR_GET_DUMPABLE), SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0, 0);
	same(0, false, (iov.iov_base = p, process_madvise(-1, &iov, 1, MADV_COLD, 0)),
	     SYS_process_madvise, -1, L(&iov), 1, MADV_COLD, 0, 0);
	same(1, false, (iov.iov_base = p, process_madvise(-1, (void *)8, 1, MADV_COLD, 0)),
	     SYS_process_madvise, -1, 8, 1, MADV_COLD, 0, 0);
}

static void *do_nothing(void *arg)
{
	return arg;
}

/* Advice to oneself by a pidfd, to another process, and binding (libnuma's name). */
static void run_self(void)
{
	long (*bind)(void *, unsigned long, int, const unsigned long *, unsigned long, unsigned) =
		(long (*)(void *, unsigned long, int, const unsigned long *, unsigned long,
			  unsigned))dlsym(RTLD_DEFAULT, "mbind");
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct iovec iov[2];
	int other, ready[2];
	pid_t child;
	char c;

	check(!pipe(ready));
	child = fork();
	if (!child) {
		check(write(ready[1], "x", 1) == 1);
		pause();
		_exit(0);
	}
	check(read(ready[0], &c, 1) == 1);
	other = (int)syscall(SYS_pidfd_open, child, 0);
	check(self >= 0 && other >= 0);
	same(0, false,
	     (iov[0] = (struct iovec){ p, PAGE }, iov[1] = (struct iovec){ p + 2 * PAGE, PAGE },
	      process_madvise(self, iov, 2, MADV_COLD, 0)),
	     SYS_process_madvise, self,
	     L((iov[0] = (struct iovec){ p, PAGE }, iov[1] = (struct iovec){ p + 2 * PAGE, PAGE },
		iov)),
	     2, MADV_COLD, 0, 0);
	same(1, false, process_madvise(self, iov, 2, MADV_COLD, 1), SYS_process_madvise, self,
	     L(iov), 2, MADV_COLD, 1, 0);
	same(2, false,
	     (iov[0] = (struct iovec){ lens_page, PAGE },
	      process_madvise(other, iov, 1, MADV_COLD, 0)),
	     SYS_process_madvise, other, L(iov), 1, MADV_COLD, 0, 0);
	if (bind) {
		same(3, false, bind(p, PAGE, 0, NULL, 0, 0), SYS_mbind, L(p), PAGE, 0, 0, 0, 0);
		same(4, false, bind(p, PAGE, 99, NULL, 0, 0), SYS_mbind, L(p), PAGE, 99, 0, 0, 0);
	}
	kill(child, SIGKILL);
	wait_for(child);
}

/* What has no raw twin: successes leave errno alone, failures give libc's. */
static void run_libc(void)
{
	void *old = sbrk(0);
	pthread_t thread;
	char *p = fresh(false);

	errno = UNSET;
	check(sbrk(8192) == old && sbrk(0) == (char *)old + 8192 && sbrk(-8192) != (void *)-1);
	check(brk((char *)old + PAGE) == 0 && sbrk(0) == (char *)old + PAGE && brk(old) == 0);
	check(errno == UNSET);
	check(sbrk(1L << 46) == (void *)-1 && errno == ENOMEM);
	errno = UNSET;
	check(posix_madvise(p, PAGE, POSIX_MADV_DONTNEED) == 0 && p[0] == 1);
	check(posix_madvise(p, PAGE, POSIX_MADV_SEQUENTIAL) == 0);
	check(posix_madvise(p, PAGE, 99) == EINVAL && errno == UNSET);
	check(pthread_create(&thread, NULL, do_nothing, NULL) == 0);
	check(pthread_join(thread, NULL) == 0 && errno == UNSET);
	touch_memory(3);
	check(errno == UNSET);
	wait_for(({
		pid_t pid = fork();

		if (!pid)
			_exit(errno != UNSET);
		pid;
	}));
	check(errno == UNSET);
}

int main(int argc, char **argv)
{
	static const struct host_case cases[] = {
		{ "ranges", run_ranges }, { "maps", run_maps }, { "others", run_others },
		{ "self", run_self },	  { "libc", run_libc }, { NULL, NULL },
	};

	return host_main(cases, argc, argv);
}
