/* SPDX-License-Identifier: MIT */
/*
 * A played process: it waits for a call, and does it to its own memory.  It holds
 * nothing but the scenario's regions and its own small stack.
 *
 * Invariant: nothing of this program lies in a region.
 */
#include "play.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define KPF_WRITEBACK (1ULL << 8)
#define KPF_THP (1ULL << 22) /* of large folios of any size */

static int pagemap = -1;
static struct pin pins[MAX_PINS];

static void pin_close(struct pin *pin)
{
	for (int i = 0; i < 2; i++)
		if (pin->fd[i] > 0)
			close(pin->fd[i]);
	memset(pin, 0, sizeof(*pin));
}

/* A fresh look at one's own page map; a forked child must not hold pins. */
static void settle(void)
{
	if (pagemap >= 0)
		close(pagemap);
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	touch_settle();
	for (int i = 0; i < MAX_PINS; i++)
		pin_close(&pins[i]);
	track_settle();
	signal(SIGCHLD, SIG_IGN);
	keeper_unlock();
}

uint64_t pagemap_of(int fd, unsigned long addr)
{
	uint64_t entry = 0;

	if (pread(fd, &entry, sizeof(entry), addr / PAGE * sizeof(entry)) != sizeof(entry))
		return 0;
	return entry;
}

static int do_cpu(int which)
{
	cpu_set_t set;
	int cpu = which ? (sh->cpu ? 0 : 1) : sh->cpu;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? errno : 0;
}

static int file_region(size_t len)
{
	int fd = memfd_create("region", MFD_CLOEXEC);
	char buf[PAGE];

	for (size_t at = 0; at < len; at += PAGE) {
		memset(buf, 0, sizeof(buf));
		memcpy(buf, &at, sizeof(at));
		if (pwrite(fd, buf, PAGE, at) != (ssize_t)PAGE)
			return -1;
	}
	return fd;
}

/* Room of its own for each region: aligned, and nothing next to it to merge with. */
static int do_map(struct region *r)
{
	size_t len = r->nr * PAGE;
	size_t room = (len + 3 * HUGE) & ~(HUGE - 1);
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, fd = -1;
	char *at = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start;

	if (at == MAP_FAILED)
		return errno;
	start = (char *)(((unsigned long)at + HUGE) & ~(HUGE - 1));
	if (!strcmp(r->kind, "file")) {
		fd = file_region(len);
		flags = MAP_PRIVATE | MAP_FIXED;
	} else if (!strcmp(r->kind, "shared")) {
		flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
	} else if (!strcmp(r->kind, "hugetlb")) {
		flags |= MAP_HUGETLB;
	}
	if (mmap(start, len, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED)
		return errno;
	if (fd >= 0)
		close(fd);
	r->addr = (unsigned long)start;
	if (!strcmp(r->kind, "thp") || !strcmp(r->kind, "mthp64"))
		return madvise(start, len, MADV_HUGEPAGE) ? errno : 0;
	if (!strcmp(r->kind, "4k"))
		madvise(start, len, MADV_NOHUGEPAGE);
	return 0;
}

static int do_remap(struct region *r, bool misaligned)
{
	size_t len = r->nr * PAGE;
	size_t room = (len + 4 * HUGE) & ~(HUGE - 1);
	char *at = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start = (char *)(((unsigned long)at + HUGE) & ~(HUGE - 1));

	if (at == MAP_FAILED)
		return errno;
	if (misaligned)
		start += 16 * PAGE;
	if (mremap((void *)r->addr, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, start) == MAP_FAILED)
		return errno;
	r->addr = (unsigned long)start;
	return 0;
}

static int do_madvise(struct proc *p, struct region *r, int advice)
{
	return madvise((void *)(r->addr + p->first * PAGE), (p->last - p->first + 1) * PAGE, advice)
		       ? errno
		       : 0;
}

/* Each huge unit that the range touches gets a border inside, for a moment. */
static int do_split(struct proc *p, struct region *r)
{
	unsigned long addr = (r->addr + p->first * PAGE) & ~(HUGE - 1);

	for (; addr <= r->addr + p->last * PAGE; addr += HUGE) {
		char *mid = (char *)addr + HUGE / 2;

		if ((unsigned long)mid >= r->addr + r->nr * PAGE)
			break;
		if (madvise(mid, PAGE, MADV_DONTDUMP) || madvise(mid, PAGE, MADV_DODUMP))
			return errno;
	}
	return 0;
}

/* A page that is still being written keeps its place in the swap cache. */
static void wait_written(const uint64_t *frames, unsigned long nr)
{
	for (unsigned long i = 0, tries = 0; i < nr && tries < 2000;) {
		if (!frames[i] || !frame_is(frames[i], KPF_WRITEBACK)) {
			i++;
			continue;
		}
		usleep(1000);
		tries++;
	}
}

/* Pages go to swap one madvise at a time; reclaim may need more than one try. */
static int do_pageout(struct proc *p, struct region *r)
{
	static uint64_t frames[MAX_SWAPPED];
	unsigned long nr = p->last - p->first + 1;
	int rc = 0;

	if (nr > MAX_SWAPPED)
		return E2BIG;
	for (unsigned long i = 0; i < nr; i++) {
		uint64_t entry = pagemap_of(pagemap, r->addr + (p->first + i) * PAGE);

		frames[i] = entry & PM_PRESENT ? entry & PM_PFN : 0;
	}
	for (int try = 0; try < 10 && !rc; try++) {
		unsigned long left = 0;

		rc = do_madvise(p, r, MADV_PAGEOUT);
		for (unsigned long i = p->first; i <= p->last; i++)
			left += !(pagemap_of(pagemap, r->addr + i * PAGE) & PM_SWAP);
		if (!left)
			break;
		usleep(2000);
	}
	wait_written(frames, nr);
	return rc;
}

static int pin_ring(struct pin *pin, void *addr)
{
	struct io_uring_params params = { 0 };
	struct iovec iov = { addr, PAGE };
	int ring = syscall(__NR_io_uring_setup, 1, &params);

	if (ring < 0)
		return errno;
	pin->fd[0] = ring;
	if (syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1))
		return errno;
	return 0;
}

static int do_pin(unsigned long addr, bool longterm)
{
	struct iovec iov = { (void *)addr, 8 };
	struct pin *pin = pins;

	while (pin->addr)
		if (++pin == pins + MAX_PINS)
			return ENOSPC;
	pin->addr = addr;
	if (longterm)
		return pin_ring(pin, (void *)addr);
	if (pipe2(pin->fd, O_CLOEXEC))
		return errno;
	return vmsplice(pin->fd[1], &iov, 1, 0) == 8 ? 0 : errno;
}

/* The newest one, as the ledger does it. */
static int do_unpin(unsigned long addr)
{
	for (int i = MAX_PINS - 1; i >= 0; i--) {
		if (pins[i].addr != addr)
			continue;
		if (!pins[i].fd[1])
			syscall(__NR_io_uring_register, pins[i].fd[0], IORING_UNREGISTER_BUFFERS,
				NULL, 0);
		pin_close(&pins[i]);
		return 0;
	}
	return ENOENT;
}

static int do_fork(struct proc *p)
{
	int child = p->child; /* the slot is called again before the child looks */
	pid_t pid = fork();

	if (pid < 0)
		return errno;
	if (!pid)
		proc_serve(child);
	sh->procs[child].pid = pid;
	return 0;
}

/* The kernel lets go of a ring's pins some time after its file: say so first. */
static void unpin_all(void)
{
	for (int i = 0; i < MAX_PINS; i++) {
		if (pins[i].addr && !pins[i].fd[1])
			syscall(__NR_io_uring_register, pins[i].fd[0], IORING_UNREGISTER_BUFFERS,
				NULL, 0);
		pin_close(&pins[i]);
	}
}

static int do_exec(int slot)
{
	char arg[16];

	unpin_all();

	snprintf(arg, sizeof(arg), "%d", slot);
	execl("/proc/self/exe", "play", "--exec", arg, NULL);
	return errno;
}

static int do_op(struct proc *p, int slot)
{
	struct region *r = &p->regions[p->region];
	unsigned long addr = r->addr + p->first * PAGE;
	size_t len = (p->last - p->first + 1) * PAGE;

	switch (p->op) {
	case OP_MAP:
		return do_map(r);
	case OP_WRITE:
	case OP_SYSWRITE:
		return touch_write(p, r, pagemap);
	case OP_POKE:
		return touch_poke(p);
	case OP_CLEARDIRTY:
		return track_clear_dirty();
	case OP_UFFD:
		return track_uffd(r, p->arg);
	case OP_WP:
	case OP_UNWP:
		return track_wp(addr, len, p->op == OP_WP);
	case OP_SCAN:
		return track_scan(pagemap, addr, len);
	case OP_CPU:
		return do_cpu(p->arg);
	case OP_LARGE:
		return frame_is(pagemap_of(pagemap, addr) & PM_PFN, KPF_THP) ? EBUSY : 0;
	case OP_READ:
		touch_read(p, r, pagemap);
		return 0;
	case OP_FORK:
		return do_fork(p);
	case OP_EXEC:
		return do_exec(slot);
	case OP_UNMAP:
		return munmap((void *)addr, len) ? errno : 0;
	case OP_DONTNEED:
		return do_madvise(p, r, MADV_DONTNEED);
	case OP_FREE:
		return do_madvise(p, r, MADV_FREE);
	case OP_PROTECT:
		return mprotect((void *)addr, len, p->arg ? PROT_READ | PROT_WRITE : PROT_READ)
			       ? errno
			       : 0;
	case OP_REMAP:
		return do_remap(r, p->arg);
	case OP_ADVISE:
		return do_madvise(p, r, p->arg);
	case OP_PAGEOUT:
		return do_pageout(p, r);
	case OP_PIN:
		return do_pin(addr, p->arg);
	case OP_UNPIN:
		return do_unpin(addr);
	case OP_COLLAPSE:
		return do_madvise(p, r, MADV_COLLAPSE);
	case OP_SPLIT:
		return do_split(p, r);
	case OP_PFN:
		p->pfn = pagemap_of(pagemap, addr) & PM_PFN;
		return 0;
	default:
		return EINVAL;
	}
}

/* Without the player there is nobody left to be asked by. */
static void wait_for_call(struct proc *p, uint32_t seen)
{
	struct timespec second = { 1, 0 };

	syscall(SYS_futex, &p->asked, FUTEX_WAIT, seen, &second, NULL, 0);
	if (kill(sh->player, 0) && errno == ESRCH)
		_exit(1);
}

void proc_serve(int slot)
{
	struct proc *p = &sh->procs[slot];

	settle();
	/* A forked child starts with the call it was born in already answered. */
	for (uint32_t seen = p->answered;; seen = p->answered) {
		while (__atomic_load_n(&p->asked, __ATOMIC_ACQUIRE) == seen)
			wait_for_call(p, seen);
		if (p->op == OP_EXIT) {
			unpin_all();
			_exit(0);
		}
		p->error = do_op(p, slot);
		__atomic_store_n(&p->answered, p->asked, __ATOMIC_RELEASE);
		syscall(SYS_futex, &p->answered, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
}

/* After exec: the call that asked for it is answered by the new program. */
void proc_exec_main(int slot)
{
	struct proc *p = &sh->procs[slot];

	p->error = 0;
	memset(p->regions, 0, sizeof(p->regions));
	__atomic_store_n(&p->answered, p->asked, __ATOMIC_RELEASE);
	syscall(SYS_futex, &p->answered, FUTEX_WAKE, 1, NULL, NULL, 0);
	proc_serve(slot);
}
