/* SPDX-License-Identifier: MIT */
/*
 * What a scenario needs of the machine: swap, KSM, sizes of huge pages.
 *
 * Invariant: every setting that was changed is put back by settings_restore(),
 * which main() calls on every way out.
 */
#include "play.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <unistd.h>

#define KSM "/sys/kernel/mm/ksm/"
#define THP "/sys/kernel/mm/transparent_hugepage/"
#define SWAP_SIZE (64UL << 20)

static struct {
	char path[128];
	char value[64];
} saved[16];
static int nr_saved;
static char swap_dev[64];
static int zram_id = -1, loop_fd = -1;

static bool put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool get(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	buf[n] = '\0';
	return true;
}

bool have_file(const char *path)
{
	return !access(path, F_OK);
}

/* "always [madvise] never": the word in brackets is the one to put back. */
static void chosen(char *value)
{
	char *open = strchr(value, '['), *close = open ? strchr(open, ']') : NULL;

	if (close) {
		*close = '\0';
		memmove(value, open + 1, strlen(open));
	}
	value[strcspn(value, "\n")] = '\0';
}

bool setting(const char *path, const char *value)
{
	char now[64];
	int i = 0;

	while (i < nr_saved && strcmp(saved[i].path, path))
		i++;
	if (!get(path, now, sizeof(now)))
		return false;
	chosen(now);
	if (!strcmp(now, value))
		return true;
	if (i == nr_saved) {
		if (nr_saved == 16)
			return false;
		snprintf(saved[i].path, sizeof(saved[i].path), "%s", path);
		snprintf(saved[i].value, sizeof(saved[i].value), "%s", now);
		nr_saved++;
	}
	return put(path, value);
}

void settings_restore(void)
{
	while (nr_saved > 0) {
		nr_saved--;
		put(saved[nr_saved].path, saved[nr_saved].value);
	}
}

/* Which sizes a fault may choose: one alone, or the kind could not be told. */
void huge_sizes(const char *kind)
{
	if (!have_file(THP "hugepages-64kB/enabled"))
		return;
	if (!strcmp(kind, "mthp64")) {
		setting(THP "hugepages-2048kB/enabled", "never");
		setting(THP "hugepages-64kB/enabled", "madvise");
	} else if (!strcmp(kind, "thp")) {
		setting(THP "hugepages-64kB/enabled", "never");
		setting(THP "hugepages-2048kB/enabled", "inherit");
	}
}

bool ksm_start(void)
{
	return setting(KSM "sleep_millisecs", "0") && setting(KSM "pages_to_scan", "2000") &&
	       setting(KSM "run", "1");
}

/* Returns when the daemon is past its batch. */
void ksm_stop(void)
{
	setting(KSM "run", "0");
}

/* The header that mkswap writes: version 1, the last page, the magic. */
static bool make_swap(const char *dev)
{
	char page[PAGE] = { 0 };
	uint32_t head[3] = { 1, SWAP_SIZE / PAGE - 1, 0 };
	int fd = open(dev, O_RDWR | O_CLOEXEC);
	bool ok;

	memcpy(page + 1024, head, sizeof(head));
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	ok = fd >= 0 && pwrite(fd, page, PAGE, 0) == (ssize_t)PAGE && !fsync(fd);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool zram_on(void)
{
	char id[16], path[64], size[32];

	if (!get("/sys/class/zram-control/hot_add", id, sizeof(id)))
		return false;
	zram_id = atoi(id);
	snprintf(path, sizeof(path), "/sys/block/zram%d/disksize", zram_id);
	snprintf(size, sizeof(size), "%lu", SWAP_SIZE);
	if (!put(path, size))
		return false;
	snprintf(swap_dev, sizeof(swap_dev), "/dev/zram%d", zram_id);
	return true;
}

/* A loop device over memory: swap that answers later, and keeps the swap cache. */
static bool loop_on(void)
{
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int mem = memfd_create("swap", MFD_CLOEXEC);
	int nr = ctl < 0 ? -1 : ioctl(ctl, LOOP_CTL_GET_FREE);
	bool ok = false;

	snprintf(swap_dev, sizeof(swap_dev), "/dev/loop%d", nr);
	if (nr >= 0 && !ftruncate(mem, SWAP_SIZE)) {
		loop_fd = open(swap_dev, O_RDWR | O_CLOEXEC);
		ok = loop_fd >= 0 && !ioctl(loop_fd, LOOP_SET_FD, mem);
	}
	if (ctl >= 0)
		close(ctl);
	close(mem);
	return ok;
}

/* Readahead would bring back pages that nobody asked for. */
bool swap_on(const char *kind)
{
	if (!(!strcmp(kind, "sync") ? zram_on() : loop_on()))
		return false;
	if (!make_swap(swap_dev) || swapon(swap_dev, 0))
		return false;
	return setting("/proc/sys/vm/page-cluster", "0");
}

void swap_off(void)
{
	char id[16];

	if (swap_dev[0])
		swapoff(swap_dev);
	if (loop_fd >= 0) {
		ioctl(loop_fd, LOOP_CLR_FD, 0);
		close(loop_fd);
	}
	if (zram_id >= 0) {
		char path[64];

		snprintf(path, sizeof(path), "/sys/block/zram%d/reset", zram_id);
		put(path, "1");
		snprintf(id, sizeof(id), "%d", zram_id);
		put("/sys/class/zram-control/hot_remove", id);
	}
	swap_dev[0] = '\0';
	loop_fd = zram_id = -1;
}
