/* SPDX-License-Identifier: MIT */
/*
 * The userfaultfd of a heap: opening it with as much as this user may have, and its
 * ioctls.  No decision is made here.  Everything but the opening is
 * async-signal-safe and leaves errno alone; results are 0 or -errno.
 */
#ifndef CT_SNAPSHOT_UFFD_H
#define CT_SNAPSHOT_UFFD_H

#include <linux/userfaultfd.h>

#include "base/base.h"

/* Linux 6.4: protects pages that are not there yet. */
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
/* Linux 6.6: touching a page raises SIGBUS. */
#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (1 << 14)
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};
#endif

struct ct_snap_uffd {
	int fd;
	bool kernel_faults; /* faults of system calls are served too */
	u64 features;	    /* what was asked for and given */
};

/*
 * @need: features without which it is -ENOTSUP; @want: those that are nice to have.
 * @user_only: do not ask for kernel faults.
 * Returns 0, -ENOTSUP, -EPERM, -EMFILE, -ENFILE, -ENOMEM.
 */
int ct_snap_uffd_open(u64 need, u64 want, bool user_only, struct ct_snap_uffd *ret);

/*
 * @mode: UFFDIO_REGISTER_MODE_*.  -EBUSY: registered elsewhere; -EINVAL: not such
 * memory, or not mapped; -ENOTSUP: the kernel cannot protect it.
 */
int ct_snap_uffd_register(int fd, void *addr, size_t len, u64 mode);
int ct_snap_uffd_unregister(int fd, void *addr, size_t len);

/* -ENOENT: a part is not mapped, or not registered here. */
int ct_snap_uffd_protect(int fd, void *addr, size_t len);

/* Makes it writable again.  @wake: and lets those go on that wait for it. */
int ct_snap_uffd_release(int fd, void *addr, size_t len, bool wake);
int ct_snap_uffd_wake(int fd, void *addr, size_t len);

/* Puts pages where there are none (-EEXIST: there is one); wakes nobody. */
int ct_snap_uffd_fill(int fd, void *addr, const void *from, size_t len);
int ct_snap_uffd_poison(int fd, void *addr, size_t len);

#endif
