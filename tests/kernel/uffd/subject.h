/* SPDX-License-Identifier: MIT */
/*
 * What the programs of this folder share.  Each states one behaviour of userfaultfd
 * that an engine outside the program relies on; nothing here is cowtrace's.  Results
 * and statuses are as in ../census/lab.h.
 *
 * A subject is a process that does what it is told and has a userfaultfd, which we
 * hold and serve.  Memory that is mapped and not touched before subject_start() lies
 * at the same place in both.
 */
#ifndef SUBJECT_H
#define SUBJECT_H

#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../census/lab.h"

#define PM_UFFD_WP (1ULL << 57)

#define FEATURES                                                                               \
	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | \
	 UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_EXACT_ADDRESS)

/* Seen by us, the subjects and their children: what a step has to say. */
#define NR_SHARED 8192
extern _Atomic uint64_t *shared;

struct subject {
	pid_t pid;
	int sock;
	int pagemap;
	int uffd;
};

/*
 * Runs step(-1), makes a userfaultfd from a device that only we can open, hands it
 * over, keeps nothing of it, and then runs step(n) when told.  Skips where there is no
 * such device.  Without UFFDIO_API.
 */
struct subject subject_start(void (*step)(int n));
/* The same, after UFFDIO_API (by us) for FEATURES. */
struct subject subject_serve(void (*step)(int n));
/* Let it do step(n); it may have to wait for us. */
void subject_tell(struct subject *s, int n);
/* Has it done what it was told, within ms? */
bool subject_done(struct subject *s, int ms);
/* Tells, and waits; it is not to fault meanwhile. */
void subject_step(struct subject *s, int n);
/* Ends and reaps it, and closes what is ours. */
void subject_end(struct subject *s);

/* UFFDIO_API: 0, or -errno. */
int uffd_api(int fd, uint64_t features);
/* All on pages [p, p + nr_pages); 0, or -errno. */
int uffd_register(int fd, const void *p, size_t nr_pages);
int uffd_unregister(int fd, const void *p, size_t nr_pages);
int uffd_protect(int fd, const void *p, size_t nr_pages);
int uffd_lift(int fd, const void *p, size_t nr_pages, bool wake);
int uffd_wake(int fd, const void *p, size_t nr_pages);
/* Registers and protects; dies where that fails. */
void uffd_arm(int fd, const void *p, size_t nr_pages);
/* The same call again as long as it is refused by -EAGAIN; 0, or another -errno. */
int uffd_lift_soon(int fd, const void *p, size_t nr_pages);

/* POLLIN within ms? */
bool uffd_readable(int fd, int ms);
/* The next message; dies where none comes in 10 s. */
struct uffd_msg uffd_next(int fd);
/* The next message is EVENT_FORK; the child's userfaultfd. */
int uffd_next_fork(int fd);
/* Faults nobody has read: "pending" of fdinfo. */
unsigned int uffd_pending(int fd);

/* The page there has the uffd-wp bit; how many of nr_pages have it. */
bool page_protected(int pagemap, const void *p);
size_t pages_protected(int pagemap, const char *p, size_t nr_pages);
/* The page there is mapped by a PMD. */
bool page_huge(int pagemap, const void *p);
/* All that is in /proc/PID/task/TID/syscall. */
void thread_syscall(pid_t pid, pid_t tid, char *ret, size_t len);
/* PC and SP from it; the system call's number, or -1 in user mode. */
long thread_place(pid_t pid, pid_t tid, uint64_t *ret_pc, uint64_t *ret_sp);
/* VMAs that touch [p, p + nr_pages). */
int nr_vmas(pid_t pid, const void *p, size_t nr_pages);
/* Waits until word i of shared is v; dies after 10 s. */
void shared_wait(int i, uint64_t v);

#endif
