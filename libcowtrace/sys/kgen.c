/* SPDX-License-Identifier: MIT */
/*
 * The experiments that tell the generations apart.  Each makes memory, forks, and
 * looks at what a write did:
 *
 *   held     a page held by a pipe, made read-only and writable again: copied by
 *            the rules that count references and know no exclusive mark (g3, g4)
 *   held THP a huge page held by a pipe and shared with a child that is gone: split
 *            by the rules that count references of huge pages (g4 on)
 *   shared   a huge page shared with a living child: copied whole to 5.7
 *   zero     the huge zero page: replaced by a huge page from 6.13 (and to 5.7)
 *   last     the only page left of a huge page: reused to 6.9
 *   split    a huge page mapped by PTEs and owned alone again: reused from 6.15
 *   drain    a page held by a pipe and shared with a child that is gone is copied, but
 *            this CPU's LRU batch is emptied first: not any more from g6b on
 *
 * What g2 does with KSM pages, and g1 does not, cannot be tried: it would take a
 * running ksmd, which is the machine's to start.
 *
 * Invariant: nothing is decided by a version, and nothing of the caller's memory
 * is touched: all happens in a child.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "sys/kgen.h"

#define KPF_LRU (1ULL << 5) /* of /proc/kpageflags */

enum answer { NO, YES, UNKNOWN };

struct probe {
	struct ct_kgen *gen;
	enum answer held, held_thp, shared, zero, last, split, drain;
};

static void say(struct probe *p, const char *fmt, ...) ct_printf(2, 3);

static void say(struct probe *p, const char *fmt, ...)
{
	struct ct_kgen *g = p->gen;
	va_list ap;

	if (g->nr_evidence == CT_KGEN_MAX_EVIDENCE)
		return;
	va_start(ap, fmt);
	vsnprintf(g->evidence[g->nr_evidence++], sizeof(g->evidence[0]), fmt, ap);
	va_end(ap);
}

static void report(struct probe *p, enum answer a, const char *what, const char *yes,
		   const char *no)
{
	say(p, "%s: %s", what, a == UNKNOWN ? "could not be tried" : (a == YES ? yes : no));
}

/* Two units, so that one of them is aligned; NULL: no memory. */
static char *map_unit(void)
{
	char *at = mmap(NULL, 2 * CT_HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

	if (at == MAP_FAILED)
		return NULL;
	at = (char *)(((u64)at + CT_HUGE_SIZE - 1) & ~(u64)(CT_HUGE_SIZE - 1));
	madvise(at, CT_HUGE_SIZE, MADV_HUGEPAGE);
	return at;
}

/* Is the mapping that holds @at mapped by a PMD? */
static bool is_huge(const char *at)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long lo = 0, hi = 0, a, b, kb = 0;
	char line[256];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2)
			lo = a, hi = b;
		else if (lo <= (u64)at && (u64)at < hi &&
			 sscanf(line, "AnonHugePages: %lu", &kb) == 1)
			found = true;
	}
	if (f)
		fclose(f);
	return kb >= CT_HUGE_SIZE / 1024;
}

/* A written huge page, or NULL where there are none to be had. */
static char *huge_unit(void)
{
	char *at = map_unit();

	if (!at)
		return NULL;
	memset(at, 1, CT_HUGE_SIZE);
	return is_huge(at) ? at : NULL;
}

/* A child that shares all memory, until child_end(). */
static pid_t child_begin(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

static void child_end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static bool hold(char *at, int pipe_fd[2])
{
	struct iovec iov = { at, 8 };

	return !pipe2(pipe_fd, O_CLOEXEC) && vmsplice(pipe_fd[1], &iov, 1, 0) == 8;
}

/* What the pipe holds is the old content if the page was copied. */
static enum answer try_held(void)
{
	char *at = mmap(NULL, CT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);
	char seen[8] = { 0 };
	int fd[2];

	if (at == MAP_FAILED)
		return UNKNOWN;
	memset(at, 'a', 8);
	if (!hold(at, fd) || mprotect(at, CT_PAGE_SIZE, PROT_READ) ||
	    mprotect(at, CT_PAGE_SIZE, PROT_READ | PROT_WRITE))
		return UNKNOWN;
	memset(at, 'b', 8);
	if (read(fd[0], seen, sizeof(seen)) != sizeof(seen))
		return UNKNOWN;
	close(fd[0]);
	close(fd[1]);
	return seen[0] == 'a' ? YES : NO;
}

static enum answer try_held_thp(void)
{
	char *at = huge_unit();
	enum answer ret;
	int fd[2];

	if (!at || !hold(at, fd))
		return UNKNOWN;
	child_end(child_begin());
	*(volatile char *)at = 2;
	ret = is_huge(at) ? NO : YES;
	close(fd[0]);
	close(fd[1]);
	munmap(at, CT_HUGE_SIZE);
	return ret;
}

static enum answer try_shared(void)
{
	char *at = huge_unit();
	enum answer ret;
	pid_t child;

	if (!at)
		return UNKNOWN;
	child = child_begin();
	*(volatile char *)at = 2;
	ret = is_huge(at) ? YES : NO;
	child_end(child);
	munmap(at, CT_HUGE_SIZE);
	return ret;
}

static enum answer try_zero(void)
{
	char *at = map_unit();
	char on = '0';
	int fd = open("/sys/kernel/mm/transparent_hugepage/use_zero_page", O_RDONLY | O_CLOEXEC);
	enum answer ret;

	if (fd >= 0 && read(fd, &on, 1) != 1)
		on = '0';
	if (fd >= 0)
		close(fd);
	if (!at || on != '1')
		return UNKNOWN;
	(void)*(volatile char *)at;
	*(volatile char *)at = 1;
	ret = is_huge(at) ? YES : NO;
	munmap(at, CT_HUGE_SIZE);
	return ret;
}

/* 0 where frames are not shown (they are to CAP_SYS_ADMIN only). */
static u64 frame_of(const char *at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	u64 entry = 0;

	if (fd < 0 || pread(fd, &entry, 8, ct_page_of((u64)at) * 8) != 8)
		entry = 0;
	if (fd >= 0)
		close(fd);
	return entry & ((1ULL << 55) - 1);
}

/* System-wide, from 5.9: small pages that a write fault reused. */
static u64 pgreuse(void)
{
	FILE *f = fopen("/proc/vmstat", "re");
	char line[128];
	unsigned long n = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "pgreuse %lu", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

/* A huge page mapped by PTEs, that a child shared and left. */
static char *split_unit(void)
{
	char *at = huge_unit();

	if (!at || madvise(at + CT_PAGE_SIZE, CT_PAGE_SIZE, MADV_DONTDUMP) ||
	    madvise(at + CT_PAGE_SIZE, CT_PAGE_SIZE, MADV_DODUMP))
		return NULL;
	return at;
}

/*
 * Reused pages keep their frames; without a look at frames, 500 reuses within a
 * millisecond are nobody else's.
 */
static enum answer try_split(void)
{
	char *at = split_unit();
	u64 before, reused;

	if (!at)
		return UNKNOWN;
	child_end(child_begin());
	before = frame_of(at + CT_HUGE_SIZE / 2);
	reused = pgreuse();
	for (size_t i = 0; i < CT_HUGE_SIZE; i += CT_PAGE_SIZE)
		*(volatile char *)(at + i) = 2;
	if (before)
		return frame_of(at + CT_HUGE_SIZE / 2) == before ? YES : NO;
	if (!reused)
		return UNKNOWN;
	return pgreuse() - reused >= 500 ? YES : NO;
}

/* Only frames can tell of a single page. */
static enum answer try_last(void)
{
	char *at = split_unit();
	u64 before;

	if (!at)
		return UNKNOWN;
	munmap(at + CT_PAGE_SIZE, CT_HUGE_SIZE - CT_PAGE_SIZE);
	child_end(child_begin());
	before = frame_of(at);
	*(volatile char *)at = 2;
	if (!before)
		return UNKNOWN;
	return frame_of(at) == before ? YES : NO;
}

/* Is the frame on an LRU list, and in no CPU's batch? */
static bool on_lru(u64 frame)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	u64 flags = 0;

	if (fd < 0 || pread(fd, &flags, 8, frame * 8) != 8)
		flags = ~0ULL;
	if (fd >= 0)
		close(fd);
	return flags & KPF_LRU;
}

/* One copy of a held page, with a fresh one as the witness of the batch. */
static enum answer try_drain_once(void)
{
	char *at = mmap(NULL, 2 * CT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	enum answer ret = UNKNOWN;
	u64 held, fresh;
	int fd[2];

	if (at == MAP_FAILED)
		return UNKNOWN;
	madvise(at, 2 * CT_PAGE_SIZE, MADV_NOHUGEPAGE);
	*(volatile char *)at = 1;
	if (!hold(at, fd))
		return UNKNOWN;
	child_end(child_begin());
	held = frame_of(at);
	*(volatile char *)(at + CT_PAGE_SIZE) = 1;
	fresh = frame_of(at + CT_PAGE_SIZE);
	/* Somebody may have emptied the batch before. */
	if (fresh && !on_lru(held) && !on_lru(fresh)) {
		*(volatile char *)at = 2;
		ret = frame_of(at) == held ? UNKNOWN : (on_lru(fresh) ? YES : NO);
	}
	close(fd[0]);
	close(fd[1]);
	munmap(at, 2 * CT_PAGE_SIZE);
	return ret;
}

/*
 * Others empty batches as well, or fill them until they are emptied, on a busy CPU all
 * the time: each try is made where the scheduler likes it best.
 */
static enum answer try_drain(void)
{
	enum answer ret = UNKNOWN;
	cpu_set_t all, one;
	int kept = 0;

	/* Frames are not shown: nothing to see, 16 times. */
	if (!frame_of((char *)&kept) || sched_getaffinity(0, sizeof(all), &all))
		return UNKNOWN;
	for (int i = 0; i < 16 && ret != YES; i++) {
		CPU_ZERO(&one);
		CPU_SET(sched_getcpu(), &one);
		sched_setaffinity(0, sizeof(one), &one);
		ret = try_drain_once();
		kept += ret == NO;
		sched_setaffinity(0, sizeof(all), &all);
	}
	return ret == YES ? YES : (kept > 2 ? NO : UNKNOWN);
}

static const char *by_mark(struct probe *p)
{
	/* The two differ in races only: without a look at frames it is not uncertain. */
	if (p->split == YES)
		return p->drain == NO ? "g6b" : "g6";
	if (p->zero == YES)
		return "g5-zero";
	if (p->last == UNKNOWN || p->split == UNKNOWN || p->zero == UNKNOWN)
		p->gen->certain = false;
	return p->last == NO ? "g5-late" : "g5";
}

/* No exclusive mark and no reference counted: what tells g1 from g2 is KSM's. */
static const char *by_mapcount(struct probe *p)
{
	if (p->shared == NO)
		return "g2-split";
	p->gen->certain = false;
	return "g2";
}

static const char *conclude(struct probe *p)
{
	p->gen->certain = p->held != UNKNOWN && p->held_thp != UNKNOWN;
	/* Without huge pages: a kernel without the counter is older than 5.9. */
	if (p->held_thp == UNKNOWN && p->held == NO)
		p->held_thp = pgreuse() ? YES : NO;
	if (p->held == YES)
		return p->held_thp == YES ? "g4" : "g3";
	return p->held_thp == YES ? by_mark(p) : by_mapcount(p);
}

static void experiments(struct ct_kgen *gen)
{
	struct probe p = { .gen = gen };

	p.held = try_held();
	report(&p, p.held, "an exclusive page that a pipe holds, made read-only and back, written",
	       "copied", "reused");
	p.held_thp = try_held_thp();
	report(&p, p.held_thp, "a huge page that a pipe holds and a gone child shared, written",
	       "split", "reused");
	p.shared = try_shared();
	report(&p, p.shared, "a huge page that a child shares, written", "copied whole", "split");
	p.zero = try_zero();
	report(&p, p.zero, "the huge zero page, written", "a huge page replaced it", "split");
	p.last = try_last();
	report(&p, p.last, "the only page left of a huge page, owned alone again, written",
	       "reused", "copied");
	p.split = try_split();
	report(&p, p.split, "a huge page mapped by PTEs, owned alone again, written", "reused",
	       "copied");
	p.drain = p.split == YES ? try_drain() : UNKNOWN;
	report(&p, p.drain, "a page that a pipe holds and a gone child shared, written",
	       "this CPU's LRU batch was emptied first", "no LRU batch was emptied");
	snprintf(gen->model, sizeof(gen->model), "%s", conclude(&p));
}

static u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * CT_NSEC_PER_SEC + ts.tv_nsec;
}

static void child_main(int fd)
{
	struct ct_kgen gen = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_DFL);
	experiments(&gen);
	if (write(fd, &gen, sizeof(gen)) != sizeof(gen))
		_exit(1);
	_exit(0);
}

static int read_all(int fd, void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = read(fd, (char *)buf + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		at += n;
	}
	return 0;
}

int ct_kgen_probe(struct ct_kgen *ret_gen)
{
	u64 begin = now_ns();
	struct ct_kgen gen;
	int fd[2], rc;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid) {
		close(fd[0]);
		child_main(fd[1]);
	}
	close(fd[1]);
	rc = pid < 0 ? -errno : read_all(fd[0], &gen, sizeof(gen));
	close(fd[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (rc)
		return rc;
	gen.took_ns = now_ns() - begin;
	*ret_gen = gen;
	return 0;
}
