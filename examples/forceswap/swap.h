/* SPDX-License-Identifier: MIT */
/* A swap device for the length of one run. */
#ifndef FORCESWAP_SWAP_H
#define FORCESWAP_SWAP_H

struct swap {
	char dev[4096];
	int zram; /* -1: it is a file */
};

/*
 * @where: "zram", or the path of a file that does not exist yet.  Returns 0, or
 * -errno: -EPERM not root, -ENOENT no zram on this kernel, -EINVAL a file system
 * that cannot hold swap.
 */
int swap_begin(struct swap *s, const char *where);
void swap_end(struct swap *s);

#endif
