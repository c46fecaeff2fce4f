/* SPDX-License-Identifier: MIT */
/*
 * What a scenario needs of the machine: swap, KSM, sizes of huge pages.
 *
 * Invariant: what is to be put back is written down before it is changed, in memory
 * that the keeper (keeper.c) shares: it does so when the player could not.
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

/* What was changed. */
struct host {
	struct {
		char path[128];
		char value[64];
	} saved[16];
	int nr_saved;
	char swap_dev[64];
	int zram_id;
	bool loop;
};

static struct host *host;

bool host_init(void)
{
	host = mmap(NULL, sizeof(*host), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (host == MAP_FAILED)
		return false;
	host->zram_id = -1;
	return true;
}

bool put(const char *path, const char *value)
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

	while (i < host->nr_saved && strcmp(host->saved[i].path, path))
		i++;
	if (!get(path, now, sizeof(now)))
		return false;
	chosen(now);
	if (!strcmp(now, value))
		return true;
	if (i == host->nr_saved) {
		if (host->nr_saved == 16)
			return false;
		snprintf(host->saved[i].path, sizeof(host->saved[i].path), "%s", path);
		snprintf(host->saved[i].value, sizeof(host->saved[i].value), "%s", now);
		host->nr_saved++;
	}
	return put(path, value);
}

void settings_restore(void)
{
	for (; host->nr_saved > 0; host->nr_saved--) {
		int i = host->nr_saved - 1;

		put(host->saved[i].path, host->saved[i].value);
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
	host->zram_id = atoi(id);
	snprintf(path, sizeof(path), "/sys/block/zram%d/disksize", host->zram_id);
	snprintf(size, sizeof(size), "%lu", SWAP_SIZE);
	if (!put(path, size))
		return false;
	snprintf(host->swap_dev, sizeof(host->swap_dev), "/dev/zram%d", host->zram_id);
	return true;
}

/* A loop device over memory: swap that answers later, and keeps the swap cache. */
static bool loop_on(void)
{
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int mem = memfd_create("swap", MFD_CLOEXEC);
	int nr = ctl < 0 ? -1 : ioctl(ctl, LOOP_CTL_GET_FREE);
	int dev = -1;

	if (nr >= 0 && !ftruncate(mem, SWAP_SIZE)) {
		snprintf(host->swap_dev, sizeof(host->swap_dev), "/dev/loop%d", nr);
		dev = open(host->swap_dev, O_RDWR | O_CLOEXEC);
		host->loop = dev >= 0;
		if (host->loop && ioctl(dev, LOOP_SET_FD, mem))
			host->loop = false;
	}
	if (dev >= 0)
		close(dev);
	if (ctl >= 0)
		close(ctl);
	close(mem);
	return host->loop;
}

/* Readahead would bring back pages that nobody asked for. */
bool swap_on(const char *kind)
{
	if (!(!strcmp(kind, "sync") ? zram_on() : loop_on()))
		return false;
	if (!make_swap(host->swap_dev) || swapon(host->swap_dev, 0))
		return false;
	return setting("/proc/sys/vm/page-cluster", "0");
}

void swap_off(void)
{
	char id[16];

	if (host->swap_dev[0])
		swapoff(host->swap_dev);
	if (host->loop) {
		int dev = open(host->swap_dev, O_RDWR | O_CLOEXEC);

		ioctl(dev, LOOP_CLR_FD, 0);
		close(dev);
	}
	if (host->zram_id >= 0) {
		char path[64];

		snprintf(path, sizeof(path), "/sys/block/zram%d/reset", host->zram_id);
		put(path, "1");
		snprintf(id, sizeof(id), "%d", host->zram_id);
		put("/sys/class/zram-control/hot_remove", id);
	}
	host->swap_dev[0] = '\0';
	host->loop = false;
	host->zram_id = -1;
}
