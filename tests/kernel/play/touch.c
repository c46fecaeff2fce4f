/* SPDX-License-Identifier: MIT */
/*
 * Reads and writes of a played process, and what each page that was written met.
 *
 * Invariant: the frame of a page is read right before and right after its write.
 */
#include "play.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define KPF_ZERO_PAGE (1ULL << 24)

static int kpageflags = -1;
static int scratch = -1; /* a file that system calls read into pages from */

void touch_settle(void)
{
	if (scratch < 0)
		scratch = memfd_create("scratch", MFD_CLOEXEC);
	if (kpageflags < 0)
		kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
}

bool frame_is(uint64_t pfn, uint64_t flag)
{
	uint64_t flags = 0;

	if (pread(kpageflags, &flags, sizeof(flags), pfn * sizeof(flags)) != sizeof(flags))
		return false;
	return flags & flag;
}

static bool is_zero_page(uint64_t pfn)
{
	return frame_is(pfn, KPF_ZERO_PAGE);
}

/* A page that its write did not touch: did it move as well? */
static bool neighbour_moved(int map, unsigned long addr, uint64_t before)
{
	uint64_t after = pagemap_of(map, addr ^ PAGE);

	return (before & PM_PRESENT) && (after & PM_PRESENT) &&
	       (before & PM_PFN) != (after & PM_PFN);
}

/* By the process itself, by the kernel in its name, or by another process. */
static bool store(const struct proc *p, unsigned long addr, uint64_t content)
{
	struct iovec from = { &content, sizeof(content) };
	struct iovec to = { (void *)addr, sizeof(content) };

	if (p->op == OP_SYSWRITE)
		return pwrite(scratch, &content, sizeof(content), 0) == sizeof(content) &&
		       pread(scratch, to.iov_base, sizeof(content), 0) == sizeof(content);
	if (p->op == OP_POKE)
		return process_vm_writev(sh->procs[p->child].pid, &from, 1, &to, 1, 0) ==
		       sizeof(content);
	*(volatile uint64_t *)addr = content;
	return true;
}

static bool write_page(struct proc *p, int map, unsigned long addr, bool huge)
{
	uint64_t near = huge ? pagemap_of(map, addr ^ PAGE) : 0;
	uint64_t content = p->content ? p->content : ++sh->unique;
	uint64_t before, after;

	before = pagemap_of(map, addr);
	if (!store(p, addr, content))
		return false;
	after = pagemap_of(map, addr);
	if (!(before & PM_PRESENT))
		p->fresh++;
	else if (is_zero_page(before & PM_PFN))
		p->zeroed++;
	else if ((before & PM_PFN) == (after & PM_PFN))
		p->reuse++;
	else
		p->copy++;
	if (huge && neighbour_moved(map, addr, near) && !is_zero_page(near & PM_PFN))
		p->moved_huge++;
	return true;
}

int touch_write(struct proc *p, struct region *r, int map)
{
	bool huge = !strcmp(r->kind, "thp") || !strcmp(r->kind, "hugetlb");

	for (unsigned long i = p->first; i <= p->last; i++)
		if (!write_page(p, map, r->addr + i * PAGE, huge))
			return errno ? errno : EIO;
	return 0;
}

/* The region and its addresses are the other's; the range was looked up in them. */
int touch_poke(struct proc *p)
{
	struct proc *to = &sh->procs[p->child];
	char path[64];
	int fd, rc;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", to->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	rc = touch_write(p, &to->regions[to->region], fd);
	close(fd);
	return rc;
}

void touch_read(struct proc *p, struct region *r, int map)
{
	for (unsigned long i = p->first; i <= p->last; i++) {
		unsigned long addr = r->addr + i * PAGE;

		p->fresh += !(pagemap_of(map, addr) & PM_PRESENT);
		(void)*(volatile uint64_t *)addr;
	}
}
