/* SPDX-License-Identifier: MIT */
/*
 * Swap gives a page another PFN without a write, so a PFN that changed over a
 * swap-out proves nothing.  While it is out, pagemap says SWAPPED with the same
 * swap entry on both sides of a fork, and the scan SWAPPED, not FILE; pswpout and
 * pswpin move.  A page that is mapped twice is not taken by MADV_PAGEOUT.
 *
 * Uses a zram device of its own, and removes it: there a page is out when the call
 * returns, while on a disk it stays in the swap cache, with its PFN, until somebody
 * needs the memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <unistd.h>

#include "lab.h"
#include "scan.h"

#define NR 64
#define SWAP_PAGES 4096
#define SWAP_TYPE(e) ((e)&0x1f)

static char device[64], id[16];
static bool swap_is_on;
static char *region;

static void swap_remove(void)
{
	if (swap_is_on && swapoff(device) < 0)
		printf("swapoff %s: %s\n", device, strerror(errno));
	if (*id)
		lab_write_text("/sys/class/zram-control/hot_remove", id);
}

static void swap_remove_and_end(int sig)
{
	swap_remove();
	_exit(128 + sig);
}

/* A swap area has a header in its first page: version, last page, and a signature at its end. */
static bool swap_write_header(void)
{
	static char header[PAGE];
	uint32_t version = 1, last = SWAP_PAGES - 1;
	int fd = open(device, O_WRONLY | O_CLOEXEC);
	bool ok;

	memcpy(header + 1024, &version, sizeof(version));
	memcpy(header + 1028, &last, sizeof(last));
	memcpy(header + PAGE - 10, "SWAPSPACE2", 10);
	ok = fd >= 0 && pwrite(fd, header, sizeof(header), 0) == sizeof(header) && fsync(fd) == 0;
	close(fd);
	return ok;
}

static void swap_make(void)
{
	char path[128], size[32];

	atexit(swap_remove);
	signal(SIGTERM, swap_remove_and_end);
	signal(SIGINT, swap_remove_and_end);
	/* Reading it makes a device. */
	if (!lab_read_text("/sys/class/zram-control/hot_add", id, sizeof(id)))
		lab_skip("no zram device can be made");
	id[strcspn(id, "\n")] = '\0';
	snprintf(device, sizeof(device), "/dev/zram%s", id);
	snprintf(path, sizeof(path), "/sys/block/zram%s/disksize", id);
	snprintf(size, sizeof(size), "%lu", SWAP_PAGES * PAGE);
	if (!lab_write_text(path, size) || !swap_write_header() ||
	    swapon(device, SWAP_FLAG_PREFER) < 0) {
		int err = errno;

		swap_remove();
		lab_skip("swap on %s: %s", device, strerror(err));
	}
	swap_is_on = true;
}

static void step(int n)
{
	/* Reads: no write, and the page comes in again. */
	(void)n;
	(void)*(volatile char *)region;
}

static unsigned int count_out(int fd, const char *p)
{
	unsigned int out = 0;

	for (size_t i = 0; i < NR; i++) {
		uint64_t e = lab_entry(fd, p + i * PAGE);

		out += (e & PM_SWAPPED) && !(e & PM_PRESENT);
	}
	return out;
}

static void out_and_in(int self)
{
	uint64_t was = lab_pfn(self, region), out_before = lab_vmstat("pswpout"), parent, child;
	uint64_t in_before = lab_vmstat("pswpin");
	struct lab_child c;
	unsigned int out;

	madvise(region, NR * PAGE, MADV_PAGEOUT);
	out = count_out(self, region);
	if (out < NR) {
		swap_remove();
		lab_skip("MADV_PAGEOUT took only %u of %d pages", out, NR);
	}
	check(SWAP_TYPE(lab_entry(self, region)) < 23, "a swap entry of no swap device");
	check(scan_page(self, region) == SCAN_SWAPPED, "the scan says %#lx",
	      (unsigned long)scan_page(self, region));
	check(lab_vmstat("pswpout") - out_before >= NR, "pswpout did not move");
	c = lab_child_start(step);
	check(lab_entry(self, region) >> 57 == lab_entry(c.pagemap, region) >> 57 &&
		      (lab_entry(self, region) & PM_PFN) == (lab_entry(c.pagemap, region) & PM_PFN),
	      "the two sides have different swap entries");
	(void)*(volatile char *)region;
	parent = lab_pfn(self, region);
	check(parent, "the parent's page is not in after a read");
	check(count_out(c.pagemap, region) == NR, "the child's entry came in with the parent's");
	lab_child_step(&c);
	child = lab_pfn(c.pagemap, region);
	printf("PFN before %#lx, in again at the parent %#lx, at the child %#lx: %s\n",
	       (unsigned long)was, (unsigned long)parent, (unsigned long)child,
	       parent == child ? "one page" : "two pages, though nobody wrote");
	check(lab_vmstat("pswpin") > in_before, "pswpin did not move");
	lab_child_end(&c);
}

static void shared_stays(int self)
{
	char *p = lab_map(NR);
	struct lab_child c;

	lab_fill(p, NR, 1);
	lab_drain();
	c = lab_child_start(step);
	madvise(p, NR * PAGE, MADV_PAGEOUT);
	check(count_out(self, p) == 0, "MADV_PAGEOUT took %u shared pages", count_out(self, p));
	lab_child_end(&c);
}

int main(void)
{
	int self;

	lab_need_pfns();
	if (geteuid() != 0)
		lab_skip("swapon needs root");
	lab_sysfs_lock();
	swap_make();
	self = lab_pagemap(0);
	region = lab_map(NR);
	lab_fill(region, NR, 1);
	lab_drain();
	out_and_in(self);
	shared_stays(self);
	return lab_result();
}
