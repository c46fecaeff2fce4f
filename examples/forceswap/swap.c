/* SPDX-License-Identifier: MIT */
/*
 * 64 MiB of swap, on zram or in a file, taken away again at the end.  Nothing of
 * the machine's own swap is touched.
 *
 * Invariant: what swap_begin() made, swap_end() removes.
 */
#include "swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>
#include <unistd.h>

#define PAGE 4096
#define SIZE (64L << 20)

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return rc;
}

static int zram_begin(struct swap *s)
{
	char path[64], size[24], id[16] = "";
	int fd = open("/sys/class/zram-control/hot_add", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, id, sizeof(id) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return -ENOENT;
	s->zram = atoi(id);
	snprintf(s->dev, sizeof(s->dev), "/dev/zram%d", s->zram);
	snprintf(path, sizeof(path), "/sys/block/zram%d/disksize", s->zram);
	snprintf(size, sizeof(size), "%ld", SIZE);
	return put(path, size);
}

/* Written out, because swap wants no holes. */
static int file_begin(struct swap *s, const char *where)
{
	static char block[1 << 20];
	int fd = open(where, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : 0;

	if (rc)
		return rc;
	snprintf(s->dev, sizeof(s->dev), "%s", where);
	for (long at = 0; at < SIZE && !rc; at += sizeof(block))
		if (write(fd, block, sizeof(block)) != sizeof(block))
			rc = -ENOSPC;
	close(fd);
	return rc;
}

/* The header that mkswap writes: version 1, the last page, the magic. */
static int sign(const char *dev)
{
	char page[PAGE] = { 0 };
	uint32_t head[3] = { 1, SIZE / PAGE - 1, 0 };
	int fd = open(dev, O_WRONLY | O_CLOEXEC);
	int rc;

	memcpy(page + 1024, head, sizeof(head));
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	rc = fd < 0 || pwrite(fd, page, PAGE, 0) != PAGE || fsync(fd) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return rc;
}

int swap_begin(struct swap *s, const char *where)
{
	int rc;

	*s = (struct swap){ .zram = -1 };
	rc = !strcmp(where, "zram") ? zram_begin(s) : file_begin(s, where);
	if (!rc)
		rc = sign(s->dev);
	if (!rc && swapon(s->dev, 0))
		rc = -errno;
	if (rc)
		swap_end(s);
	return rc;
}

void swap_end(struct swap *s)
{
	char text[64];

	if (!s->dev[0])
		return;
	swapoff(s->dev);
	if (s->zram < 0) {
		unlink(s->dev);
	} else {
		snprintf(text, sizeof(text), "/sys/block/zram%d/reset", s->zram);
		put(text, "1");
		snprintf(text, sizeof(text), "%d", s->zram);
		put("/sys/class/zram-control/hot_remove", text);
	}
	s->dev[0] = '\0';
}
