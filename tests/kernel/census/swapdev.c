/* SPDX-License-Identifier: MIT */
/*
 * A zram device that is swapped to, and its end with the program.
 * Invariant: whatever way the program ends (but by SIGKILL), the device goes with it.
 */
#include "swapdev.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>
#include <unistd.h>

#include "lab.h"

static char device[64], id[16];
static size_t nr_pages;
static bool swap_is_on;

void swapdev_remove(void)
{
	if (swap_is_on && swapoff(device) < 0)
		printf("swapoff %s: %s\n", device, strerror(errno));
	if (*id)
		lab_write_text("/sys/class/zram-control/hot_remove", id);
	swap_is_on = false;
	*id = '\0';
}

static void remove_and_end(int sig)
{
	swapdev_remove();
	_exit(128 + sig);
}

/* A swap area has a header in its first page: version, last page, and a signature at its end. */
static bool write_header(void)
{
	static char header[PAGE];
	uint32_t version = 1, last = (uint32_t)nr_pages - 1;
	int fd = open(device, O_WRONLY | O_CLOEXEC);
	bool ok;

	memcpy(header + 1024, &version, sizeof(version));
	memcpy(header + 1028, &last, sizeof(last));
	memcpy(header + PAGE - 10, "SWAPSPACE2", 10);
	ok = fd >= 0 && pwrite(fd, header, sizeof(header), 0) == sizeof(header) && fsync(fd) == 0;
	close(fd);
	return ok;
}

void swapdev_make(size_t nr)
{
	char path[128], size[32];

	if (geteuid() != 0)
		lab_skip("swapon needs root");
	lab_sysfs_lock();
	nr_pages = nr;
	atexit(swapdev_remove);
	signal(SIGTERM, remove_and_end);
	signal(SIGINT, remove_and_end);
	/* Reading it makes a device. */
	if (!lab_read_text("/sys/class/zram-control/hot_add", id, sizeof(id)))
		lab_skip("no zram device can be made");
	id[strcspn(id, "\n")] = '\0';
	snprintf(device, sizeof(device), "/dev/zram%s", id);
	snprintf(path, sizeof(path), "/sys/block/zram%s/disksize", id);
	snprintf(size, sizeof(size), "%lu", nr * PAGE);
	if (!lab_write_text(path, size) || !write_header() ||
	    swapon(device, SWAP_FLAG_PREFER) < 0) {
		int err = errno;

		swapdev_remove();
		lab_skip("swap on %s: %s", device, strerror(err));
	}
	swap_is_on = true;
}
