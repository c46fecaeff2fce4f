/* SPDX-License-Identifier: MIT */
/*
 * Swap of a program's own, in memory (zram): there a page is out when MADV_PAGEOUT
 * returns, while on a disk it stays in the swap cache, with its PFN, until somebody
 * needs the memory.
 */
#ifndef LAB_SWAPDEV_H
#define LAB_SWAPDEV_H

#include <stddef.h>

/*
 * Takes the lock of settings, makes a device of nr_pages, and removes it when the
 * program ends.  Skips where that cannot be done.
 */
void swapdev_make(size_t nr_pages);
/* Removes it now. */
void swapdev_remove(void);

#endif
