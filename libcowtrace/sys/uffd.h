/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd, write protection only: one function for each call, and what each
 * error means.
 *
 * A userfaultfd belongs to the memory of the process that created it; whoever holds
 * the descriptor serves it.  All functions are thread-safe.  How a userfaultfd behaves
 * is shown, one program for each point, in tests/kernel/uffd.
 *
 * The time in which nothing can be changed: from the moment when the process forks
 * or moves a mapping until its event has been read *and* the process has gone on,
 * every protect and unprotect is refused with -EAGAIN.  Read, and try again; some
 * tens of us pass between the reading and the end of the refusals.
 */
#ifndef CT_SYS_UFFD_H
#define CT_SYS_UFFD_H

#include <linux/userfaultfd.h>
#include <sys/types.h>

#include "base/base.h"

/*
 * Opens /dev/userfaultfd (Linux 6.1): whoever may open it may make userfaultfds that
 * see the kernel's accesses as well, and so may everybody to whom it is passed.
 * 0; -ENOENT: no such device; -EACCES, -EPERM: forbidden; -EMFILE, -ENFILE, -ENOMEM.
 */
int ct_uffd_open_dev(int *ret_fd);

/*
 * A new userfaultfd for the memory of the *calling* process, close-on-exec and
 * non-blocking (poll() works on no other).  It wants ct_uffd_api() before all else.
 * 0; -ENOTTY: dev is something else; -EMFILE, -ENFILE, -ENOMEM.
 */
int ct_uffd_create(int dev, int *ret_fd);

/* What ct_uffd_api() asks for, UFFD_FEATURE_*. */
#define CT_UFFD_FEATURES                                                  \
	((u64)(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_EVENT_FORK | \
	       UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_EXACT_ADDRESS))

/*
 * Asks for CT_UFFD_FEATURES, once in a userfaultfd's life.  The caller needs
 * CAP_SYS_PTRACE in the first user namespace (for EVENT_FORK), the process that
 * created it does not.
 *
 * 0; -EPERM: no CAP_SYS_PTRACE; -ENOTSUP: the kernel lacks some, and *ret_missing says
 * which (0 where not even that could be found out; written with this error alone);
 * -EINVAL: it was done before; -ENOTTY: not a userfaultfd.  Failed, but for -EINVAL
 * because done before, it may be tried again.
 */
int ct_uffd_api(int fd, u64 *ret_missing);

/*
 * What the running kernel offers, UFFD_FEATURE_*, by a userfaultfd of our own that
 * is closed again.  0, or the error of creating it.
 */
int ct_uffd_features(u64 *ret_features);

/*
 * Registers [start, start + len) for write protection; nothing is protected yet, and
 * what is registered already stays as it is.  Whole VMAs: a part would split them.
 *
 * 0; -EINVAL: nothing mapped there, not page-aligned, or a VMA that cannot be
 * registered (private file mappings); -EBUSY: another userfaultfd has it; -ESRCH: the
 * memory is gone (exec, or the last thread's end); -EPERM: not writable and never
 * can be (shared memory only); -ENOMEM: no memory, or too many VMAs.
 */
int ct_uffd_register_wp(int fd, u64 start, u64 len);

/*
 * Takes [start, start + len) out again: its protection is lifted and its waiters are
 * woken.  What is not registered is passed over.  0; -EINVAL, -ESRCH, -ENOMEM as above.
 */
int ct_uffd_unregister(int fd, u64 start, u64 len);

/*
 * Protects the pages of [start, start + len) that are there; where nothing is,
 * nothing is remembered.  A part of a PMD-mapped unit splits its mapping, a whole one
 * does not.  Sleeps on the process's mmap lock: a fork of a big process, for example.
 *
 * 0; -EAGAIN: an event is pending, or the process is not yet past it; -ENOENT: some of
 * it is not registered (what lies before that is protected); -ESRCH: the memory is
 * gone; -EINVAL: not page-aligned; -ENOMEM, -EFAULT.
 */
int ct_uffd_protect(int fd, u64 start, u64 len);

/*
 * Lifts the protection of [start, start + len): the write that waits there succeeds
 * when it is tried again, and copies or reuses the page then.  wake: wakes who waits
 * in it; otherwise ct_uffd_wake() must follow.  Errors as ct_uffd_protect().
 */
int ct_uffd_unprotect(int fd, u64 start, u64 len, bool wake);

/* Wakes who waits in [start, start + len), if anybody does.  0; -EINVAL: not page-aligned. */
int ct_uffd_wake(int fd, u64 start, u64 len);

/*
 * Takes up to nr messages.  A fault's order among events is not kept: the kernel
 * gives all faults before it gives an event.  EVENT_FORK brings the child's
 * userfaultfd: a descriptor of the caller's, close-on-exec and non-blocking like its
 * parent's, with the same features.  While it is unread the forking thread sleeps.
 *
 * Returns how many; -EAGAIN: none there; -EMFILE, -ENFILE, -ENOMEM: no descriptor
 * for a child: the event stays and may be read later; -EINVAL: no ct_uffd_api() yet,
 * or nr is 0.
 */
int ct_uffd_read(int fd, struct uffd_msg *v, size_t nr);

/*
 * Faults that nobody has read yet (/proc/self/fdinfo).  Where there are none and poll()
 * yet says POLLIN, the next read gives an event.  Some 3 us.  0, or -errno.
 */
int ct_uffd_pending(int fd, u64 *ret_nr);

#endif
